import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treatsel.errors import InputError
from treatsel.metrics import roc_auc, roc_auc_difference, within_arm_auc

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


def test_within_arm_auc_ignores_what_the_arm_alone_tells():
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
    """Two normals one apart: AUC = pnorm(1 / sqrt 2); a useless second score."""
    rng, truth, covered, apart = np.random.default_rng(1), 0.7602499, 0, 0
    for _ in range(600):
        y = np.repeat([0, 1], [90, 50])
        score, other = rng.normal(y), rng.normal(y)
        found, difference = roc_auc(y, score), roc_auc_difference(y, score, other)
        covered += found.lower <= truth <= found.upper
        apart += difference.lower <= 0 <= difference.upper
    assert 0.92 < covered / 600 < 0.98
    assert 0.92 < apart / 600 < 0.98


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: roc_auc([0, 1, 2], [0.1, 0.2, 0.3]), "y_true holds 1 values that are neither 0 nor 1"),
        (lambda: roc_auc([0, 1], [0.1, np.nan]), "y_score holds 1 missing values"),
        (lambda: roc_auc([0, 1], [0.1, 0.2, 0.3]), "Lengths differ: y_true 2, y_score 3"),
        (lambda: roc_auc([], []), "holds no patients"),
        (lambda: roc_auc([0, 1], [0.1, 0.2], level=95), "level is 95"),
        (lambda: roc_auc([0, 1], [0.1, 0.2], interval="delon"), "Did you mean 'delong'"),
        (lambda: roc_auc([0, 1], [0.1, 0.2], sample_weight=[0, 0]), "must not all be zero"),
        (lambda: roc_auc([0, 1], [0.1, 0.2], sample_weight=[1]), "Lengths differ"),
        (lambda: within_arm_auc([0, 1], [0.1, 0.2], ["a", None]), "received holds 1 missing labels"),
        (lambda: within_arm_auc([0, 1], [0.1, 0.2], ["a"]), "received 1"),
        (
            lambda: roc_auc(pd.Series([0, 1], ["x", "y"]), pd.Series([0.1, 0.2], ["y", "x"])),
            "y_score holds the same patients as y_true in another order",
        ),
    ],
)
def test_bad_input_says_what_and_how(call, message):
    with pytest.raises(InputError, match=message):
        call()
