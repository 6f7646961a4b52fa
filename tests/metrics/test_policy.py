import math

import numpy as np
import pandas as pd
import pytest

from treatsel.errors import InputError, TreatselWarning
from treatsel.metrics import (
    aipw_scores,
    arm_means,
    concordant_difference,
    effective_sample_size,
    gain_over_best_arm,
    gain_over_received,
    policy_value,
    policy_value_aipw,
    received_propensity,
)

ARMS = ["CBT", "IPT", "SSRI"]


@pytest.fixture
def tables(cohort):
    rng = np.random.default_rng(5)
    by_arm = pd.DataFrame(rng.uniform(0.2, 0.8, (len(cohort), 3)), index=cohort.index, columns=ARMS)
    propensities = pd.DataFrame(1 / 3, index=cohort.index, columns=ARMS)
    return by_arm, propensities


@pytest.fixture
def scores(cohort, tables):
    return aipw_scores(cohort["y"], cohort["arm"], *tables)


@pytest.fixture
def recommended(tables):
    return tables[0].idxmax(axis=1)


def fields(result):
    return {name: value for name, value in result.to_dict().items() if not isinstance(value, str)}


@pytest.mark.parametrize("groups", [None, "site"])
def test_weights_are_repeated_rows(cohort, scores, recommended, groups):
    again = cohort.index.repeat(cohort["weight"])
    sites = (None, None) if groups is None else (cohort[groups], cohort.loc[again, groups])
    weight = cohort["weight"]
    for metric in (policy_value_aipw, gain_over_best_arm):
        found = metric(scores, recommended, groups=sites[0], sample_weight=weight)
        expected = metric(scores.loc[again], recommended[again], groups=sites[1])
        assert fields(found) == pytest.approx(fields(expected), nan_ok=True)
    pd.testing.assert_frame_equal(
        arm_means(scores, groups=sites[0], sample_weight=weight),
        arm_means(scores.loc[again], groups=sites[1]),
    )
    vectors = cohort["y"], cohort["arm"], scores, recommended
    found = gain_over_received(*vectors, groups=sites[0], sample_weight=weight)
    expected = gain_over_received(*(vector.loc[again] for vector in vectors), groups=sites[1])
    assert fields(found) == pytest.approx(fields(expected))


@pytest.mark.parametrize("method", ["hajek", "ipw"])
def test_weights_are_repeated_rows_for_weighted_values(cohort, tables, recommended, method):
    again = cohort.index.repeat(cohort["weight"])
    probability = received_propensity(cohort["arm"], tables[1])
    vectors = cohort["y"], cohort["arm"], recommended
    found = policy_value(*vectors, propensity=probability, method=method, sample_weight=cohort["weight"])
    repeated = [vector[again] for vector in vectors]
    expected = policy_value(*repeated, propensity=probability[again], method=method)
    assert fields(found) == pytest.approx(fields(expected), nan_ok=True)
    difference = concordant_difference(*vectors, sample_weight=cohort["weight"])
    assert fields(difference) == pytest.approx(fields(concordant_difference(*repeated)))


def test_order_of_rows_and_columns_does_not_matter(cohort, tables, recommended):
    order = np.random.default_rng(1).permutation(len(cohort))
    by_arm, propensities = tables
    scores = aipw_scores(cohort["y"], cohort["arm"], by_arm, propensities[ARMS[::-1]])
    moved = cohort.iloc[order]
    again = aipw_scores(moved["y"], moved["arm"], by_arm.iloc[order][ARMS[::-1]], propensities.iloc[order])
    pd.testing.assert_frame_equal(scores.iloc[order], again[ARMS])
    first = gain_over_best_arm(scores, recommended, groups=cohort["site"])
    second = gain_over_best_arm(again, recommended.iloc[order], groups=moved["site"])
    assert first.best_arm == second.best_arm
    assert fields(first) == pytest.approx(fields(second))


def test_categories_and_strings_are_the_same_arms(cohort, tables):
    strings = aipw_scores(cohort["y"], cohort["arm"], *tables)
    categories = aipw_scores(cohort["y"], cohort["arm"].astype("category"), *tables)
    objects = aipw_scores(cohort["y"].to_list(), cohort["arm"].to_list(), *tables)
    pd.testing.assert_frame_equal(strings, categories)
    pd.testing.assert_frame_equal(strings, objects)


def test_scores_average_to_the_weighted_rates_without_a_model(cohort, tables):
    nothing = tables[0] * 0
    means = arm_means(aipw_scores(cohort["y"], cohort["arm"], nothing, tables[1]))
    for arm in ARMS:
        expected = ((cohort["arm"] == arm) * cohort["y"] * 3).mean()
        assert means.loc[arm, "value"] == pytest.approx(expected)


def test_the_best_arm_gains_nothing_over_itself(scores):
    best = arm_means(scores)["value"].idxmax()
    gain = gain_over_best_arm(scores, [best] * len(scores))
    assert (gain.value, gain.lower, gain.upper, gain.n_differs) == (0, 0, 0, 0)
    assert (gain.best_arm, gain.chosen, gain.p_value) == (best, "picked on this data", 1)
    named = gain_over_best_arm(scores, [best] * len(scores), best_arm="IPT")
    assert named.chosen == "named beforehand"
    assert named.compared_with == "best single arm"


def test_groups_of_one_are_patients_with_students_t(cohort, scores, recommended):
    alone = gain_over_best_arm(scores, recommended)
    grouped = gain_over_best_arm(scores, recommended, groups=cohort.index)
    assert grouped.se == pytest.approx(alone.se)
    assert grouped.upper - grouped.lower > alone.upper - alone.lower
    assert (alone.n_groups, grouped.n_groups) == (None, len(cohort))
    assert "t with 199 df" in grouped.method


def test_cluster_robust_error_by_hand():
    scores = pd.DataFrame({"a": [0.0] * 4, "b": [0.1, 0.3, 0.2, 0.6]})
    gain = gain_over_best_arm(scores, ["b"] * 4, best_arm="a", groups=["x", "x", "y", "y"])
    assert gain.value == pytest.approx(0.3)
    assert gain.se == pytest.approx(math.sqrt(2 * (0.2**2 + 0.2**2)) / 4)
    assert gain.upper - gain.value == pytest.approx(12.7062047 * gain.se)
    single = gain_over_best_arm(scores, ["b"] * 4, best_arm="a", groups=["x"] * 4)
    assert math.isnan(single.lower)
    assert "two groups" in single.method


def test_nobody_concordant():
    found = policy_value([1, 0], ["a", "a"], ["b", "b"], propensity=[0.5, 0.5])
    assert math.isnan(found.value)
    assert "no patient is concordant" in found.method
    for recommended, reason in ((["b", "b"], "nobody is concordant"), (["a", "a"], "nobody is discordant")):
        found = concordant_difference([1, 0], ["a", "a"], recommended)
        assert math.isnan(found.value)
        assert reason in found.method


def test_effective_sample_size():
    assert effective_sample_size(np.ones(7)) == 7
    assert effective_sample_size([1e-200, 1e-200]) == 2
    assert effective_sample_size([1, 3]) == pytest.approx(1.6)


def test_without_overlap_a_score_rests_on_the_model():
    by_arm = pd.DataFrame({"a": [0.4, 0.4], "b": [0.5, 0.5]})
    propensities = pd.DataFrame({"a": [1.0, 0.5], "b": [0.0, 0.5]})
    with pytest.warns(TreatselWarning, match="1 patients could not have been given arm 'b'"):
        scores = aipw_scores([1, 0], ["a", "a"], by_arm, propensities)
    assert scores["b"].tolist() == [0.5, 0.5]


def trial(rng, n):
    """Arm b helps those with x > 0 by as much as it harms the others; a biased, weak outcome model."""
    x = rng.choice([-1, 1], n)
    arm = np.where(rng.random(n) < 0.4, "b", "a")
    y = rng.binomial(1, 0.4 + 0.15 * x * (arm == "b"))
    by_arm = pd.DataFrame({"a": np.full(n, 0.5), "b": 0.5 + 0.05 * x})
    propensities = pd.DataFrame({"a": np.full(n, 0.6), "b": np.full(n, 0.4)})
    return x, arm, y, by_arm, propensities


def test_gain_and_values_cover_their_truth():
    """Value of the rule .475; always a .4, so the gain over a is .075."""
    rng, times, covered = np.random.default_rng(4), 250, np.zeros(4)
    for _ in range(times):
        x, arm, y, by_arm, propensities = trial(rng, 400)
        rule = np.where(x > 0, "b", "a")
        scores = aipw_scores(y, arm, by_arm, propensities)
        probability = received_propensity(arm, propensities)
        found = [
            (gain_over_best_arm(scores, rule, best_arm="a"), 0.075),
            (policy_value_aipw(scores, rule), 0.475),
            (policy_value(y, arm, rule, propensity=probability), 0.475),
            (policy_value(y, arm, rule, propensity=probability, method="ipw"), 0.475),
        ]
        covered += [estimate.lower <= truth <= estimate.upper for estimate, truth in found]
    assert (covered / times > 0.91).all()
    assert (covered / times < 0.985).all()


def test_naive_difference_shows_a_gain_where_there_is_none():
    """b is better for all by .2, the rule gives b: no gain over b, but a 'difference' of .2."""
    rng = np.random.default_rng(6)
    arm = rng.choice(["a", "b"], 20_000)
    y = rng.binomial(1, np.where(arm == "b", 0.5, 0.3))
    assert concordant_difference(y, arm, np.full(20_000, "b")).value == pytest.approx(0.2, abs=0.03)


GOOD = pd.DataFrame({"a": [0.4, 0.4], "b": [0.6, 0.6]})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: policy_value([1, 0], ["a", "b"], ["a", "b"], propensity=[0.5, 0]),
            "1 patients probability 0",
        ),
        (lambda: policy_value([1, 0], ["a", "b"], ["a"], propensity=[0.5, 0.5]), "recommended 1"),
        (lambda: policy_value([1, 0], ["a", "b"], ["a", None], propensity=[0.5] * 2), "1 missing labels"),
        (
            lambda: policy_value([1, 0], ["a", "b"], ["a", "b"], propensity=[0.5] * 2, method="aipw"),
            "method is 'aipw'",
        ),
        (
            lambda: aipw_scores([1, 0], ["a", "c"], GOOD, GOOD),
            r"1 patients of arms without a column: \['c'\]",
        ),
        (lambda: aipw_scores([1, 0], ["a", "b"], GOOD, GOOD * 0.9), "2 patients whose row does not sum to 1"),
        (lambda: aipw_scores([1, 0], ["a", "b"], GOOD, GOOD[["a"]]), "Both need a column for each arm"),
        (lambda: aipw_scores([1, 0], ["a", "b"], GOOD * 100, GOOD), "outside 0 to 1"),
        (lambda: aipw_scores([1, 0], ["a", "b"], GOOD.to_numpy(), GOOD), "must be a DataFrame"),
        (lambda: aipw_scores([1], ["a", "b"], GOOD, GOOD), "Lengths differ"),
        (lambda: aipw_scores([1, 0], ["a", "b"], GOOD, GOOD.iloc[::-1]), "in another order"),
        (lambda: received_propensity(["a", "b"], [0.5, 0.5]), "must be a DataFrame"),
        (
            lambda: policy_value_aipw(GOOD, ["a", "z"]),
            "recommended holds 1 patients of arms without a column",
        ),
        (lambda: policy_value_aipw(GOOD.iloc[:0], []), "scores is empty"),
        (
            lambda: gain_over_best_arm(GOOD, ["a", "b"], best_arm="B"),
            "best_arm is 'B'; it must be 'a' or 'b'",
        ),
        (lambda: gain_over_best_arm(GOOD, ["a", "b"], groups=["s", None]), "groups holds 1 missing labels"),
        (lambda: gain_over_best_arm(GOOD * np.nan, ["a", "b"]), "2 missing values"),
        (lambda: effective_sample_size([0, 0]), "must not all be zero"),
    ],
)
def test_bad_input_says_what_and_how(call, message):
    with pytest.raises(InputError, match=message):
        call()
