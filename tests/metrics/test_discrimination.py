import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, balanced_accuracy_score

from treatsel.errors import InputError
from treatsel.metrics.discrimination import (
    average_precision,
    balanced_accuracy,
    model_based_concordance,
    roc_auc,
    roc_auc_difference,
    within_arm_auc,
)

PATIENTS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(-5, 5), st.integers(0, 3)), min_size=4, max_size=30
)


def columns(rows):
    return (np.array(column) for column in zip(*rows, strict=True))


def same(first, second):
    for name, value in first.to_dict().items():
        other = getattr(second, name)
        if isinstance(value, float):
            assert other == pytest.approx(value, abs=1e-10, nan_ok=True), name
        else:
            assert other == value, name


def pair_count(y, score):
    event, other = score[y == 1], score[y == 0]
    return np.mean((event[:, None] > other) + (event[:, None] == other) / 2)


@settings(max_examples=60, deadline=None)
@given(PATIENTS)
def test_auc_is_the_share_of_concordant_pairs(rows):
    y, score, _ = columns(rows)
    found = roc_auc(y, score)
    if 0 < y.sum() < len(y):
        assert found.value == pytest.approx(pair_count(y, score))
    else:
        assert math.isnan(found.value)
        assert "one class" in found.method


@settings(max_examples=60, deadline=None)
@given(PATIENTS)
def test_weights_are_repeated_rows(rows):
    y, score, weight = columns(rows)
    if weight.sum() == 0:
        return
    arm = np.where(np.arange(len(y)) % 2, "a", "b")
    again = [np.repeat(values, weight) for values in (y, score, arm)]
    same(roc_auc(y, score, sample_weight=weight), roc_auc(*again[:2]))
    same(within_arm_auc(y, score, arm, sample_weight=weight), within_arm_auc(*again))
    flipped = score % 3
    same(
        roc_auc_difference(y, score, flipped, sample_weight=weight),
        roc_auc_difference(*again[:2], again[1] % 3),
    )


@settings(max_examples=40, deadline=None)
@given(PATIENTS, st.randoms(use_true_random=False))
def test_neither_row_order_nor_a_monotone_map_matters(rows, random):
    y, score, _ = columns(rows)
    expected = roc_auc(y, score)
    same(expected, roc_auc(y, np.exp(score / 3) - 7))
    order = list(range(len(y)))
    random.shuffle(order)
    same(expected, roc_auc(y[order], score[order]))
    arm = np.where(y + score > 1, "a", "b")
    same(within_arm_auc(y, score, arm), within_arm_auc(y[order], score[order], arm[order]))


def test_the_other_direction_is_the_complement(cohort):
    up, down = roc_auc(cohort["y"], cohort["p"]), roc_auc(cohort["y"], -cohort["p"])
    assert down.value == pytest.approx(1 - up.value)
    assert down.lower == pytest.approx(1 - up.upper)


def test_perfect_separation_has_an_exact_bound():
    found = roc_auc([0] * 10 + [1] * 5, list(range(15)))
    assert (found.value, found.upper) == (1.0, 1.0)
    assert found.lower == pytest.approx(0.025 ** (1 / 5))
    assert math.isnan(found.se)
    assert "exact binomial" in found.method
    worst = roc_auc([1] * 10 + [0] * 5, list(range(15)))
    assert (worst.value, worst.lower) == (0.0, 0.0)
    assert worst.upper == pytest.approx(1 - 0.025 ** (1 / 5))


def test_a_constant_score_is_chance():
    found = roc_auc([0, 1, 0, 1], [0.3] * 4)
    assert (found.value, found.lower, found.upper) == (0.5, 0.5, 0.5)


def test_a_single_event_has_a_value_but_no_interval():
    found = roc_auc([0, 1, 0, 0], [0.1, 0.2, 0.3, 0.15])
    assert found.value == pytest.approx(2 / 3)
    assert math.isnan(found.lower)
    assert "two events" in found.method


def test_logit_interval_stays_inside():
    y, score = [0, 0, 1, 1, 0, 1], [0.1, 0.4, 0.35, 0.8, 0.2, 0.7]
    found = roc_auc(y, score, interval="logit")
    assert 0 < found.lower < found.value < found.upper < 1


def test_within_arm_auc_ignores_differences_between_arms():
    y, arm = [0, 0, 0, 1, 1, 1, 1, 0], ["a"] * 4 + ["b"] * 4
    score = [0.1] * 4 + [0.9] * 4
    assert roc_auc(y, score).value == 0.75
    assert within_arm_auc(y, score, arm).value == 0.5


def test_within_arm_auc_weighs_arms_by_pairs(cohort):
    parts = []
    for _, rows in cohort.groupby("arm"):
        auc, pairs = roc_auc(rows["y"], rows["p"]), rows["y"].sum() * (1 - rows["y"]).sum()
        parts.append((pairs, auc.value, auc.se))
    pairs, value, se = (np.array(part) for part in zip(*parts, strict=True))
    found = within_arm_auc(cohort["y"], cohort["p"], cohort["arm"])
    assert found.value == pytest.approx(pairs @ value / pairs.sum())
    assert found.se == pytest.approx(np.sqrt(pairs**2 @ se**2) / pairs.sum())
    alone = within_arm_auc(cohort["y"], cohort["p"], ["x"] * len(cohort))
    assert alone.se == pytest.approx(roc_auc(cohort["y"], cohort["p"]).se)


def test_within_arm_auc_leaves_out_arms_of_one_class():
    found = within_arm_auc([0, 0, 1, 1, 0, 1], [0.3, 0.1, 0.9, 0.2, 0.3, 0.1], list("aabbcc"))
    assert found.value == 0.0
    assert math.isnan(within_arm_auc([0, 0, 1, 1], [0.3, 0.1, 0.9, 0.2], list("aabb")).value)


def test_a_score_does_not_differ_from_itself(cohort):
    found = roc_auc_difference(cohort["y"], cohort["p"], cohort["p"])
    assert (found.value, found.se, found.p_value) == (0, 0, 1)
    swapped = roc_auc_difference(cohort["y"], cohort["q"], cohort["p"])
    assert swapped.value == -roc_auc_difference(cohort["y"], cohort["p"], cohort["q"]).value


def test_intervals_cover():
    """Two normal distributions with means one apart: AUC = pnorm(1 / sqrt 2); the second score is useless."""
    rng, truth, covered, apart = np.random.default_rng(1), 0.7602499, 0, 0
    for _ in range(600):
        y = np.repeat([0, 1], [90, 50])
        score, other = rng.normal(y), rng.normal(y)
        found, difference = roc_auc(y, score), roc_auc_difference(y, score, other)
        covered += found.lower <= truth <= found.upper
        apart += difference.lower <= 0 <= difference.upper
    assert 0.92 < covered / 600 < 0.98
    assert 0.92 < apart / 600 < 0.98


def test_duplicates_in_one_cluster_add_no_information(cohort):
    """Each patient twice in the same cluster: the DeLong error is that of each patient once."""
    again = cohort.loc[cohort.index.repeat(2)]
    for name in ("p", "q"):
        once, twice = (
            roc_auc(cohort["y"], cohort[name]),
            roc_auc(again["y"], again[name], clusters=again.index),
        )
        assert (twice.value, twice.se) == pytest.approx((once.value, once.se))
        assert "200 clusters, t with 199 df" in twice.method
    once = roc_auc_difference(cohort["y"], cohort["p"], cohort["q"])
    twice = roc_auc_difference(again["y"], again["p"], again["q"], clusters=again.index)
    assert twice.se == pytest.approx(once.se)


def test_clusters_across_arms_and_within_one(cohort):
    alone = ["x"] * len(cohort)
    vectors, options = (cohort["y"], cohort["p"]), {"clusters": cohort["site"]}
    same(
        dataclasses.replace(within_arm_auc(*vectors, alone, **options), method=""),
        dataclasses.replace(roc_auc(*vectors, **options), method=""),
    )
    single = within_arm_auc(*vectors, cohort["arm"], clusters=alone)
    assert math.isnan(single.lower)
    assert "two clusters" in single.method
    moved = cohort.iloc[::-1]
    same(
        within_arm_auc(*vectors, cohort["arm"], **options),
        within_arm_auc(moved["y"], moved["p"], moved["arm"], clusters=moved["site"]),
    )


def test_weights_are_repeated_rows_in_clusters(cohort):
    again, weight = cohort.loc[cohort.index.repeat(cohort["weight"])], cohort["weight"]
    for metric in (roc_auc, average_precision):
        found = metric(cohort["y"], cohort["p"], clusters=cohort["site"], sample_weight=weight)
        same(found, metric(again["y"], again["p"], clusters=again["site"]))
    found = within_arm_auc(
        cohort["y"], cohort["p"], cohort["arm"], clusters=cohort["site"], sample_weight=weight
    )
    same(found, within_arm_auc(again["y"], again["p"], again["arm"], clusters=again["site"]))


def test_clustered_error_is_the_spread_over_repetitions():
    rng, values, alone, grouped = np.random.default_rng(2), [], [], []
    site = np.repeat(np.arange(30), 20)
    for _ in range(300):
        shift = rng.normal(size=30)[site]
        y = rng.binomial(1, 1 / (1 + np.exp(-shift)))
        score = y + shift + rng.normal(size=600)
        found = roc_auc(y, score, clusters=site)
        values.append(found.value)
        grouped.append(found.se)
        alone.append(roc_auc(y, score).se)
    assert np.mean(grouped) == pytest.approx(np.std(values), rel=0.12)
    assert np.mean(alone) < 0.85 * np.std(values)


def test_separation_in_clusters_counts_pairs_of_clusters():
    y, site = [0, 0, 1, 1] * 3, np.repeat(list("abc"), 4)
    found = roc_auc(y, y, clusters=site)
    assert (found.value, found.upper) == (1, 1)
    assert found.lower == pytest.approx(0.025)  # three clusters: one pair without a common cluster


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10), st.integers(0, 3), st.booleans()), min_size=2, max_size=15))
def test_model_based_concordance_is_a_sum_over_pairs(rows):
    tenth, weight, arm = (np.array(column) for column in zip(*rows, strict=True))
    if not weight.any():
        return
    again = np.repeat(tenth / 10, weight)
    pairs = again[:, None] * (1 - again) * (1 - np.eye(len(again)))
    above = (again[:, None] > again) + (again[:, None] == again) / 2
    found = model_based_concordance(tenth / 10, sample_weight=weight)
    same(found, model_based_concordance(again[::-1]))
    if pairs.sum() > 1e-9:
        assert found.value == pytest.approx((pairs * above).sum() / pairs.sum())
    else:
        assert math.isnan(found.value)
    arms = np.repeat(arm, weight)
    pairs = pairs * (arms[:, None] == arms)
    if pairs.sum() > 1e-9:
        within = model_based_concordance(tenth / 10, arm, sample_weight=weight)
        assert within.value == pytest.approx((pairs * above).sum() / pairs.sum())


def test_model_based_concordance_is_the_auc_of_a_calibrated_model(cohort):
    rng = np.random.default_rng(5)
    p, arm = rng.beta(2, 3, 40_000), rng.choice(["a", "b"], 40_000)
    y = rng.binomial(1, p)
    expected, found = model_based_concordance(p), roc_auc(y, p)
    assert found.value == pytest.approx(expected.value, abs=4 * found.se)
    within = within_arm_auc(y, p, arm)
    assert within.value == pytest.approx(model_based_concordance(p, arm).value, abs=4 * within.se)
    assert model_based_concordance([0, 1, 0, 1]).value == 1
    assert model_based_concordance([0.3] * 5).value == pytest.approx(0.5)
    assert math.isnan(model_based_concordance([0.3]).value)


def test_model_based_concordance_covers():
    """Of two uniform probabilities, E p (1 - q) is 1/4, of which 5/24 where p > q."""
    rng, covered, truth = np.random.default_rng(6), 0, 5 / 6
    for _ in range(300):
        found = model_based_concordance(rng.random(120))
        covered += found.lower <= truth <= found.upper
    assert 0.91 < covered / 300 < 0.98


@settings(max_examples=50, deadline=None)
@given(PATIENTS)
def test_average_precision_and_balanced_accuracy_are_those_of_scikit_learn(rows):
    y, score, weight = columns(rows)
    if not (weight @ y) or not (weight @ (1 - y)):
        return
    found = average_precision(y, score, sample_weight=weight)
    assert found.value == pytest.approx(average_precision_score(y, score, sample_weight=weight))
    again = np.repeat(np.arange(len(y)), weight)
    same(found, average_precision(y[again], score[again]))
    p = (score + 5) / 10
    result = balanced_accuracy(y, p, threshold=0.6, sample_weight=weight)
    expected = balanced_accuracy_score(y, p >= 0.6, sample_weight=weight)
    assert result.balanced_accuracy.value == pytest.approx(expected)
    pd.testing.assert_frame_equal(
        result.to_frame(), balanced_accuracy(y[again], p[again], threshold=0.6).to_frame()
    )


def test_average_precision_without_information_is_the_base_rate():
    found = average_precision([0, 1, 0, 0], [0.3] * 4)
    assert found.value == 0.25
    perfect = average_precision([0, 1, 0, 1], [0.1, 0.8, 0.2, 0.7])
    assert perfect.value == 1
    assert math.isnan(perfect.lower)
    assert math.isnan(average_precision([0, 0], [0.1, 0.2]).value)


def test_average_precision_covers():
    rng = np.random.default_rng(7)

    def draw(n):
        y = rng.binomial(1, 0.3, n)
        return y, rng.normal(y)

    truth, covered = average_precision(*draw(1_000_000)).value, 0
    for _ in range(400):
        found = average_precision(*draw(300))
        covered += found.lower <= truth <= found.upper
    assert 0.92 < covered / 400 < 0.98


def test_a_trivial_rule_has_half_the_balanced_accuracy():
    found = balanced_accuracy([0, 1, 1, 1], [0.9] * 4)
    assert found.balanced_accuracy.value == 0.5
    assert found.accuracy.value == found.no_information_rate == found.base_rate.value == 0.75
    assert (found.sensitivity.value, found.specificity.value) == (1, 0)
    one = balanced_accuracy([1, 1], [0.2, 0.9])
    assert math.isnan(one.balanced_accuracy.value)
    assert math.isnan(one.specificity.value)
    assert one.sensitivity.value == 0.5
    grouped = balanced_accuracy([0, 1, 1, 1], [0.2, 0.9, 0.4, 0.8], clusters=list("abab"))
    assert "2 clusters" in grouped.balanced_accuracy.method


def test_balanced_accuracy_covers():
    rng, covered = np.random.default_rng(8), 0
    for _ in range(400):
        y = rng.binomial(1, 0.3, 200)
        right = rng.random(200) < np.where(y, 0.9, 0.6)
        found = balanced_accuracy(y, np.where(right, y, 1 - y)).balanced_accuracy
        covered += found.lower <= 0.75 <= found.upper
    assert 0.92 < covered / 400 < 0.985


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: roc_auc([0, 1, 2], [0.1, 0.2, 0.3]), "y_true holds 1 value that is neither 0 nor 1"),
        (lambda: roc_auc([0, 1], [0.1, np.nan]), "y_score holds 1 missing value"),
        (lambda: roc_auc([0, 1], [0.1, 0.2, 0.3]), "Lengths differ: y_true 2, y_score 3"),
        (lambda: roc_auc([], []), "holds no patients"),
        (lambda: roc_auc([0, 1], [0.1, 0.2], level=95), "level is 95"),
        (lambda: roc_auc([0, 1], [0.1, 0.2], interval="delon"), "Did you mean 'delong'"),
        (lambda: roc_auc([0, 1], [0.1, 0.2], sample_weight=[0, 0]), "must not all be zero"),
        (lambda: roc_auc([0, 1], [0.1, 0.2], sample_weight=[1]), "Lengths differ"),
        (lambda: within_arm_auc([0, 1], [0.1, 0.2], ["a", None]), "received holds 1 missing label;"),
        (lambda: within_arm_auc([0, 1], [0.1, 0.2], ["a"]), "received 1"),
        (lambda: roc_auc([0, 1], [0.1, 0.2], clusters=["a", None]), "clusters holds 1 missing label"),
        (lambda: model_based_concordance([0.1, 20]), "y_prob holds 1 value outside 0 to 1"),
        (lambda: model_based_concordance([]), "holds no patients"),
        (lambda: model_based_concordance([0.1, 0.2], ["a"]), "Lengths differ"),
        (lambda: balanced_accuracy([0, 1], [0.1, 0.2], threshold=50), "threshold is 50"),
        (lambda: average_precision([0, 1], [0.1, np.inf]), "y_score holds 1 infinite value"),
        (
            lambda: roc_auc(pd.Series([0, 1], ["x", "y"]), pd.Series([0.1, 0.2], ["y", "x"])),
            "y_score holds the same patients as y_true in another order",
        ),
    ],
)
def test_bad_input_is_refused_with_problem_and_remedy(call, message):
    with pytest.raises(InputError, match=message):
        call()


@pytest.mark.parametrize("seed", range(40))
def test_average_precision_of_a_perfect_ranking_is_1_without_an_interval(seed):
    rng = np.random.default_rng(seed)
    n_other, n_events = rng.integers(3, 20, 2)
    y = np.repeat([0, 1], [n_other, n_events])
    score = np.concatenate([rng.uniform(0, 0.4, n_other), rng.uniform(0.5, 1, n_events)])
    found = average_precision(y, score)
    assert found.value == 1.0
    assert np.isnan([found.lower, found.upper]).all()


def test_average_precision_with_events_only_states_the_reason():
    assert "every patient has outcome 1" in average_precision(np.ones(20), np.linspace(0, 1, 20)).method


def test_a_prediction_reaches_a_threshold_whatever_rounding_did():
    p = np.tile([0.1 + 0.2, 0.3, 0.7 - 0.4, 1 - 0.7, 0.9 - 0.6, 0.7 - 0.4], 10)  # all are 0.3
    y = np.tile([1, 0, 1, 0, 1, 1], 10)
    found = balanced_accuracy(y, p, threshold=0.3)
    assert (found.sensitivity.value, found.specificity.value) == (1.0, 0.0)
