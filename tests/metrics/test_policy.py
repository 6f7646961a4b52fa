import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from treatsel._stats.two_proportions import LIMITS, fisher, limits_of
from treatsel.errors import InputError, TreatselWarning
from treatsel.metrics.policy import (
    aipw_scores,
    arm_means,
    effective_sample_size,
    gain_over_best_arm,
    gain_over_each_arm,
    gain_over_random,
    gain_over_received,
    naive_concordance_contrast,
    policy_value,
    policy_value_aipw,
    policy_value_direct,
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


def allowing(scores, recommended, **options):
    return gain_over_best_arm(scores, recommended, selection="adjusted", **options)


def fields(result):
    return {name: value for name, value in result.to_dict().items() if not isinstance(value, str)}


@pytest.mark.parametrize("clusters", [None, "site"])
def test_weights_are_repeated_rows(cohort, scores, recommended, clusters):
    again = cohort.index.repeat(cohort["weight"])
    sites = (None, None) if clusters is None else (cohort[clusters], cohort.loc[again, clusters])
    weight = cohort["weight"]
    for metric in (policy_value_aipw, gain_over_best_arm, gain_over_random, allowing):
        found = metric(scores, recommended, clusters=sites[0], sample_weight=weight)
        expected = metric(scores.loc[again], recommended[again], clusters=sites[1])
        assert fields(found) == pytest.approx(fields(expected), nan_ok=True)
    pd.testing.assert_frame_equal(
        gain_over_each_arm(scores, recommended, clusters=sites[0], sample_weight=weight).to_frame(),
        gain_over_each_arm(scores.loc[again], recommended[again], clusters=sites[1]).to_frame(),
    )
    pd.testing.assert_frame_equal(
        arm_means(scores, clusters=sites[0], sample_weight=weight),
        arm_means(scores.loc[again], clusters=sites[1]),
    )
    vectors = cohort["y"], cohort["arm"], scores, recommended
    found = gain_over_received(*vectors, clusters=sites[0], sample_weight=weight)
    expected = gain_over_received(*(vector.loc[again] for vector in vectors), clusters=sites[1])
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
    names = {"prognosis": tables[0].mean(axis=1), "clusters": cohort["site"]}
    options = {name: values for name, values in names.items() if method == "ipw"}
    difference = naive_concordance_contrast(*vectors, **options, sample_weight=cohort["weight"])
    options = {name: values[again] for name, values in options.items()}
    pd.testing.assert_frame_equal(
        difference.to_frame(), naive_concordance_contrast(*repeated, **options).to_frame()
    )


def test_propensity_is_a_vector_or_a_table(cohort, tables, recommended):
    by_arm, table = tables
    uneven = table.mul([0.6, 1.2, 1.2], axis=1)
    own = received_propensity(cohort["arm"], uneven)
    patients = cohort["y"], cohort["arm"]
    pd.testing.assert_frame_equal(
        aipw_scores(*patients, by_arm, uneven), aipw_scores(*patients, by_arm, own), check_exact=True
    )
    found = [policy_value(*patients, recommended, propensity=given) for given in (uneven, own)]
    assert found[0] == found[1]
    with pytest.raises(InputError, match="sum is not 1"):
        policy_value(*patients, recommended, propensity=table / 2)


def test_order_of_rows_and_columns_does_not_matter(cohort, tables, recommended):
    order = np.random.default_rng(1).permutation(len(cohort))
    by_arm, propensities = tables
    scores = aipw_scores(cohort["y"], cohort["arm"], by_arm, propensities[ARMS[::-1]])
    moved = cohort.iloc[order]
    again = aipw_scores(moved["y"], moved["arm"], by_arm.iloc[order][ARMS[::-1]], propensities.iloc[order])
    pd.testing.assert_frame_equal(scores.iloc[order], again[ARMS])
    first = gain_over_best_arm(scores, recommended, clusters=cohort["site"])
    second = gain_over_best_arm(again, recommended.iloc[order], clusters=moved["site"])
    assert first.comparator_arm == second.comparator_arm
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
    assert (gain.value, gain.lower, gain.upper, gain.n_discordant) == (0, 0, 0, 0)
    assert (gain.comparator_arm, gain.comparator_source, gain.p_value) == (best, "selected in these data", 1)
    named = gain_over_best_arm(scores, [best] * len(scores), comparator="IPT")
    assert named.comparator_source == "named in advance"
    assert named.comparator == "best single arm"


def test_each_patient_may_have_an_own_comparator(scores, recommended):
    arms = list(scores.columns)
    same = gain_over_best_arm(scores, recommended, comparator=pd.Series(arms[1], scores.index))
    assert same == gain_over_best_arm(scores, recommended, comparator=arms[1])
    own = pd.Series(np.resize([arms[0], arms[1], arms[0]], len(scores)), scores.index)
    found = gain_over_best_arm(scores, recommended, comparator=own)
    rows, values = np.arange(len(scores)), scores.to_numpy()
    chosen, other = (values[rows, [arms.index(arm) for arm in each]] for each in (recommended, own))
    assert found.value == pytest.approx((chosen - other).mean())
    assert found.se == pytest.approx((chosen - other).std(ddof=1) / np.sqrt(len(scores)))
    assert found.n_discordant == int((np.asarray(recommended) != own.to_numpy()).sum())
    assert found.comparator_arm == arms[0]
    with pytest.raises(InputError, match="another order"):
        gain_over_best_arm(scores, recommended, comparator=own[::-1])
    with pytest.raises(InputError, match="without a column"):
        gain_over_best_arm(scores, recommended, comparator=pd.Series("none", scores.index))


def test_clusters_of_one_are_patients_with_students_t(cohort, scores, recommended):
    alone = gain_over_best_arm(scores, recommended)
    grouped = gain_over_best_arm(scores, recommended, clusters=cohort.index)
    assert grouped.se == pytest.approx(alone.se)
    assert grouped.upper - grouped.lower > alone.upper - alone.lower
    assert (alone.n_clusters, grouped.n_clusters) == (None, len(cohort))
    assert "t with 199 df" in grouped.method


def test_cluster_robust_error_by_hand():
    scores = pd.DataFrame({"a": [0.0] * 4, "b": [0.1, 0.3, 0.2, 0.6]})
    gain = gain_over_best_arm(scores, ["b"] * 4, comparator="a", clusters=["x", "x", "y", "y"])
    assert gain.value == pytest.approx(0.3)
    assert gain.se == pytest.approx(math.sqrt(2 * (0.2**2 + 0.2**2)) / 4)
    assert gain.upper - gain.value == pytest.approx(12.7062047 * gain.se)
    single = gain_over_best_arm(scores, ["b"] * 4, comparator="a", clusters=["x"] * 4)
    assert math.isnan(single.lower)
    assert "two clusters" in single.method


def test_no_concordant_or_discordant_patient():
    found = policy_value([1, 0], ["a", "a"], ["b", "b"], propensity=[0.5, 0.5])
    assert math.isnan(found.value)
    assert "no patient is concordant" in found.method
    for recommended, reason in (
        (["b", "b"], "no patient is concordant"),
        (["a", "a"], "no patient is discordant"),
    ):
        found = naive_concordance_contrast([1, 0], ["a", "a"], recommended)
        assert math.isnan(found.difference.value)
        assert reason in found.excess.method


def test_effective_sample_size():
    assert effective_sample_size(np.ones(7)) == 7
    assert effective_sample_size([1e-200, 1e-200]) == 2
    assert effective_sample_size([1, 3]) == pytest.approx(1.6)


def test_without_overlap_a_score_rests_on_the_model():
    by_arm = pd.DataFrame({"a": [0.4, 0.4], "b": [0.5, 0.5]})
    propensities = pd.DataFrame({"a": [1.0, 0.5], "b": [0.0, 0.5]})
    with pytest.warns(TreatselWarning, match="1 patient could not have received arm 'b'"):
        scores = aipw_scores([1, 0], ["a", "a"], by_arm, propensities)
    assert scores["b"].tolist() == [0.5, 0.5]


def trial(rng, n):
    """Arm b helps patients with x > 0 by as much as it harms the others; a biased, weak outcome model."""
    x = rng.choice([-1, 1], n)
    arm = np.where(rng.random(n) < 0.4, "b", "a")
    y = rng.binomial(1, 0.4 + 0.15 * x * (arm == "b"))
    by_arm = pd.DataFrame({"a": np.full(n, 0.5), "b": 0.5 + 0.05 * x})
    propensities = pd.DataFrame({"a": np.full(n, 0.6), "b": np.full(n, 0.4)})
    return x, arm, y, by_arm, propensities


@pytest.mark.slow
def test_gain_and_values_cover_their_truth():
    """Value of the rule .475; always a .4, so the gain over a is .075."""
    rng, times, covered = np.random.default_rng(4), 150, np.zeros(4)
    for _ in range(times):
        x, arm, y, by_arm, propensities = trial(rng, 400)
        rule = np.where(x > 0, "b", "a")
        scores = aipw_scores(y, arm, by_arm, propensities)
        probability = received_propensity(arm, propensities)
        found = [
            (gain_over_best_arm(scores, rule, comparator="a"), 0.075),
            (policy_value_aipw(scores, rule), 0.475),
            (policy_value(y, arm, rule, propensity=probability), 0.475),
            (policy_value(y, arm, rule, propensity=probability, method="ipw"), 0.475),
        ]
        covered += [estimate.lower <= truth <= estimate.upper for estimate, truth in found]
    assert (covered / times > 0.9).all()
    assert (covered / times < 0.99).all()


def test_direct_value_is_the_model_based_value(tables, recommended):
    found = policy_value_direct(tables[0], recommended)
    assert found.value == pytest.approx(tables[0].max(axis=1).mean())
    assert "rests on the model alone" in found.method


def test_counts_and_weights_of_effective_size():
    weights, counts = np.array([2.0, 1.0, 0.0]), [1, 3, 2]
    assert effective_sample_size(weights, sample_weight=counts) == pytest.approx(
        effective_sample_size(np.repeat(weights, counts))
    )


def test_gains_over_each_arm_include_the_gain_over_the_best(scores, recommended):
    gains = gain_over_each_arm(scores, recommended)
    best = gain_over_best_arm(scores, recommended)
    row = gains.to_frame().loc[best.comparator_arm]
    assert (row["value"], row["lower"], row["upper"], row["n_discordant"]) == (
        best.value,
        best.lower,
        best.upper,
        best.n_discordant,
    )
    assert row["value"] == gains.to_frame()["value"].min()
    wider = gain_over_each_arm(scores, recommended, simultaneous=True).to_frame()
    assert (wider["lower"] < gains.to_frame()["lower"]).all()
    assert "Bonferroni over 3 arms" in wider["method"].iloc[0]
    assert len(gains.plot().get_yticklabels()) == 3


def test_gain_over_random_is_that_over_shuffled_recommendations(scores, recommended):
    rng, cells = np.random.default_rng(3), scores.to_numpy()
    column = scores.columns.get_indexer(recommended)
    shuffled = [cells[np.arange(len(cells)), rng.permutation(column)].mean() for _ in range(4000)]
    own = cells[np.arange(len(cells)), column].mean()
    found = gain_over_random(scores, recommended)
    assert found.value == pytest.approx(own - np.mean(shuffled), abs=4 * np.std(shuffled) / 4000**0.5)
    alone = gain_over_random(scores, ["IPT"] * len(scores))
    assert (alone.value, alone.n_discordant, alone.comparator_arm) == (pytest.approx(0, abs=1e-12), 0, None)


def no_gain(rng, n, *, effects=(0.0, 0.0, 0.0), shares=(1 / 3, 1 / 3, 1 / 3)):
    """No patient gains from the rule: arm differences are constant, and the rule follows prognosis."""
    x = rng.normal(size=n)
    prognosis = 0.2 + 0.4 * expit(2 * x)
    arm = rng.choice(3, n, p=shares)
    y = rng.binomial(1, prognosis + np.array(effects)[arm])
    noise = x + rng.normal(size=n)
    rule = np.array(ARMS)[np.digitize(noise, [-0.8, 0.5])]
    table = pd.DataFrame(np.tile(shares, (n, 1)), columns=ARMS)
    by_arm = pd.DataFrame({name: np.clip(prognosis + 0.1, 0, 1) for name in ARMS})
    return y, np.array(ARMS)[arm], rule, prognosis, by_arm, table


@pytest.mark.slow
def test_without_gain_intervals_exclude_zero_in_five_percent():
    """All arms equal: gain over each arm, over the selected arm (selection-adjusted), and over random."""
    rng, times, wrong = np.random.default_rng(7), 160, np.zeros(3)
    for _ in range(times):
        y, arm, rule, _, by_arm, table = no_gain(rng, 250)
        scores = aipw_scores(y, arm, by_arm, table)
        found = [
            gain_over_best_arm(scores, rule, comparator="CBT"),
            allowing(scores, rule),
            gain_over_random(scores, rule),
        ]
        wrong += [not gain.lower <= 0 <= gain.upper for gain in found]
        assert (found[1].p_value < 0.05) == (not found[1].lower <= 0 <= found[1].upper)
    assert (wrong / times <= 0.08).all()
    assert (wrong[[0, 2]] / times >= 0.015).all()


def test_selection_adjusted_interval_contains_the_plain_one(scores, recommended):
    plain, found = gain_over_best_arm(scores, recommended), allowing(scores, recommended)
    assert found.value == plain.value
    assert found.lower <= plain.lower <= plain.upper
    assert found.upper >= found.value
    named = gain_over_best_arm(scores, recommended, comparator="IPT", selection="adjusted")
    assert named == gain_over_best_arm(scores, recommended, comparator="IPT")


@pytest.mark.slow
def test_the_naive_difference_is_explained_if_no_patient_gains():
    """The most common arm is better for all by .2, and is recommended to patients with a good prognosis."""
    rng = np.random.default_rng(6)
    options = {"effects": (0.0, 0.0, 0.2), "shares": (0.15, 0.15, 0.7)}
    y, arm, rule, *_ = no_gain(rng, 60_000, **options)
    found = naive_concordance_contrast(y, arm, rule)
    assert found.difference.lower > 0.07
    assert found.without_gain.value == pytest.approx(found.difference.value, abs=0.02)
    assert found.excess.value == pytest.approx(found.difference.value - found.without_gain.value)
    times, wrong = 300, 0
    for _ in range(times):
        y, arm, rule, *_ = no_gain(rng, 300, **options)
        excess = naive_concordance_contrast(y, arm, rule).excess
        wrong += not excess.lower <= 0 <= excess.upper
    assert 0.02 <= wrong / times <= 0.085


def test_prognosis_explains_assignment_that_followed_it():
    """Patients with a good prognosis received the recommended arm more often; all arms are equal."""
    rng = np.random.default_rng(8)
    y, arm, rule, prognosis, *_ = no_gain(rng, 20_000)
    obeyed = rng.random(20_000) < 2 * (prognosis - 0.2)
    received = np.where(obeyed, rule, arm)
    blind = naive_concordance_contrast(y, received, rule)
    assert blind.excess.lower > 0.05
    known = naive_concordance_contrast(y, received, rule, prognosis=prognosis)
    assert abs(known.excess.value) < 3 * known.excess.se
    assert known.without_gain.value == pytest.approx(known.difference.value, abs=0.02)


def test_an_excess_shows_where_there_is_a_gain():
    rng = np.random.default_rng(9)
    x, arm, y, _, _ = trial(rng, 4000)
    found = naive_concordance_contrast(y, arm, np.where(x > 0, "b", "a"))
    assert found.excess.lower > 0
    assert found.difference.value > 1.5 * 0.075  # about twice the gain over the best arm
    grouped = naive_concordance_contrast(y, arm, np.where(x > 0, "b", "a"), clusters=np.arange(4000))
    assert grouped.difference.se == pytest.approx(found.difference.se, rel=1e-3)
    assert grouped.excess.se == pytest.approx(found.excess.se, rel=1e-3)


def test_one_arm_for_all_leaves_no_excess():
    rng = np.random.default_rng(6)
    arm = rng.choice(["a", "b"], 2000)
    y = rng.binomial(1, np.where(arm == "b", 0.5, 0.3))
    found = naive_concordance_contrast(y, arm, np.full(2000, "b"))
    assert found.difference.value == pytest.approx(0.2, abs=0.07)
    assert found.without_gain.value == pytest.approx(found.difference.value)
    assert (found.excess.value, found.excess.se) == (0, 0)


@pytest.mark.parametrize(
    ("events", "n", "newcombe", "score"),
    [
        ((56, 48), (70, 80), (0.0524, 0.3339), (0.0528, 0.3382)),
        ((9, 3), (10, 10), (0.1705, 0.8090), (0.1700, 0.8406)),
        ((10, 0), (10, 20), (0.6791, 1.0), (0.7156, 1.0)),
        ((5, 0), (56, 29), (-0.0381, 0.1926), (-0.0326, 0.1933)),
    ],
)
def test_published_limits(events, n, newcombe, score):
    """Table II of Newcombe (1998): methods 10 and 6."""
    counts = np.array(events, dtype=float), np.array(n, dtype=float)
    assert limits_of("newcombe", *counts, 0.95) == pytest.approx(newcombe, abs=6e-5)
    assert limits_of("score", *counts, 0.95) == pytest.approx(score, abs=6e-5)


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.integers(0, 12)] * 4))
def test_limits_of_two_proportions_contain_the_difference_and_are_antisymmetric(cells):
    events = np.array(cells[:2], dtype=float)
    n = events + cells[2:]
    if not n.all():
        return
    share = events / n
    for name in LIMITS:
        lower, upper = limits_of(name, events, n, 0.9)
        assert -1 <= lower <= upper <= 1
        mirrored = limits_of(name, events[::-1], n[::-1], 0.9)
        assert mirrored == pytest.approx((-upper, -lower), abs=1e-7)
        if name != "agresti-caffo":
            assert lower - 1e-9 <= share[0] - share[1] <= upper + 1e-9


def test_fisher_in_a_large_cohort():
    ratio, p_value = fisher(np.array([30_000.0, 25_000.0]), np.array([60_000.0, 52_000.0]))
    assert ratio == pytest.approx(30 * 27 / (30 * 25), rel=1e-4)
    assert 0 < p_value < 1e-8


GOOD = pd.DataFrame({"a": [0.4, 0.4], "b": [0.6, 0.6]})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: policy_value([1, 0], ["a", "b"], ["a", "b"], propensity=[0.5, 0]),
            "is 0 for the received arm of 1 patient;",
        ),
        (lambda: policy_value([1, 0], ["a", "b"], ["a"], propensity=[0.5, 0.5]), "recommended 1"),
        (lambda: policy_value([1, 0], ["a", "b"], ["a", None], propensity=[0.5] * 2), "1 missing label;"),
        (
            lambda: policy_value([1, 0], ["a", "b"], ["a", "b"], propensity=[0.5] * 2, method="aipw"),
            "method is 'aipw'",
        ),
        (
            lambda: aipw_scores([1, 0], ["a", "c"], GOOD, GOOD),
            r"1 patient of arms without a column: \['c'\]",
        ),
        (lambda: aipw_scores([1, 0], ["a", "b"], GOOD, GOOD * 0.9), "2 rows whose sum is not 1"),
        (lambda: aipw_scores([1, 0], ["a", "b"], GOOD, GOOD[["a"]]), "Give both a column for each arm"),
        (lambda: aipw_scores([1, 0], ["a", "b"], GOOD * 100, GOOD), "outside 0 to 1"),
        (lambda: aipw_scores([1, 0], ["a", "b"], GOOD.to_numpy(), GOOD), "must be a DataFrame"),
        (lambda: aipw_scores([1], ["a", "b"], GOOD, GOOD), "Lengths differ"),
        (lambda: aipw_scores([1, 0], ["a", "b"], GOOD, GOOD.iloc[::-1]), "in another order"),
        (lambda: received_propensity(["a", "b"], [0.5, 0.5]), "must be a DataFrame"),
        (
            lambda: policy_value_aipw(GOOD, ["a", "z"]),
            "recommended holds 1 patient of arms without a column",
        ),
        (lambda: policy_value_aipw(GOOD.iloc[:0], []), "scores is empty"),
        (
            lambda: gain_over_best_arm(GOOD, ["a", "b"], comparator="B"),
            "comparator is 'B'; it must be 'a' or 'b'",
        ),
        (
            lambda: gain_over_best_arm(GOOD, ["a", "b"], clusters=["s", None]),
            "clusters holds 1 missing label;",
        ),
        (lambda: gain_over_best_arm(GOOD * np.nan, ["a", "b"]), "2 missing values"),
        (lambda: effective_sample_size([0, 0]), "must not all be zero"),
        (lambda: gain_over_best_arm(GOOD, ["a", "b"], selection="no"), "selection is 'no'"),
        (lambda: gain_over_random(GOOD, ["a", "z"]), "without a column"),
        (lambda: policy_value_direct(GOOD * 2, ["a", "b"]), "outside 0 to 1"),
        (lambda: naive_concordance_contrast([1, 0], ["a", "b"], ["a"]), "recommended 1"),
        (lambda: naive_concordance_contrast([1, 0], ["a", "b"], ["a", "a"], interval="exact"), "interval is"),
        (
            lambda: naive_concordance_contrast([1, 0], ["a", "b"], ["a", "a"], prognosis=[0.1, np.nan]),
            "prognosis holds 1 missing",
        ),
    ],
)
def test_bad_input_is_refused_with_problem_and_remedy(call, message):
    with pytest.raises(InputError, match=message):
        call()
