import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from treatsel.errors import InputError
from treatsel.metrics.missing import gain_missing_bounds, missing_outcome_bounds, tipping_point
from treatsel.metrics.policy import aipw_scores, gain_over_best_arm

PATIENTS = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0, math.nan]), st.sampled_from("ab"), st.integers(0, 3)),
    min_size=4,
    max_size=30,
).filter(lambda rows: {arm for _, arm, weight in rows if weight} == {"a", "b"})


def columns(rows):
    return (np.array(column) for column in zip(*rows, strict=True))


def counts(n, rate, missing):
    """Outcomes of an arm: a rate among the observed, and a share that is missing."""
    absent = round(n * missing)
    events = round((n - absent) * rate)
    return [1.0] * events + [0.0] * (n - absent - events) + [math.nan] * absent


def value(found, measure, scenario, arms=None):
    rows = found.table[(found.table["measure"] == measure) & (found.table["scenario"] == scenario)]
    return (rows if arms is None else rows[rows["arms"] == arms])["value"].item()


def test_published_worst_case():
    """Discontinuation 17 v 27%, missing 11.1 v 6.3%: risk ratio .62, 1.02 in the worst case (JAMA 2026)."""
    y = counts(100_000, 0.170, 0.111) + counts(100_000, 0.274, 0.063)
    arm = ["tool"] * 100_000 + ["usual"] * 100_000
    found = missing_outcome_bounds(y, arm, arms=("tool", "usual"))
    assert round(value(found, "ratio", "observed"), 2) == 0.62
    # Worst case: all missing patients of arm "tool" discontinued, none of arm "usual".
    assert round(value(found, "ratio", "highest"), 2) == 1.02
    assert value(found, "ratio", "lowest") < 0.5


@settings(max_examples=40, deadline=None)
@given(PATIENTS)
def test_every_completion_lies_between_the_bounds(rows):
    y, arm, _ = columns(rows)
    found = missing_outcome_bounds(y, arm, arms=("a", "b"))
    rng = np.random.default_rng(0)
    full = np.where(np.isnan(y), rng.integers(0, 2, (20, len(y))), y)
    a, b = (full[:, arm == name].mean(axis=1) for name in "ab")
    for measure, label, mine in (("rate", "a", a), ("rate", "b", b), ("difference", "a v b", a - b)):
        low, high = (value(found, measure, scenario, label) for scenario in ("lowest", "highest"))
        assert low - 1e-12 <= mine.min() <= mine.max() <= high + 1e-12


@settings(max_examples=40, deadline=None)
@given(PATIENTS, st.randoms(use_true_random=False))
def test_weights_are_repeated_rows_in_any_order(rows, random):
    y, arm, weight = columns(rows)
    again = [np.repeat(part, weight) for part in (y, arm)]
    order = list(range(len(again[0])))
    random.shuffle(order)
    one = missing_outcome_bounds(y, arm, sample_weight=weight).table
    other = missing_outcome_bounds(again[0][order], again[1][order]).table
    pd.testing.assert_frame_equal(one, other)
    tips = (
        tipping_point(y, arm, arms=("a", "b"), sample_weight=weight),
        tipping_point(*again, arms=("a", "b")),
    )
    assert tips[0].tipping_limit == pytest.approx(tips[1].tipping_limit, nan_ok=True)


def test_bounds_coincide_without_missing_outcomes():
    y, arm = [1, 0, 1, 1, 0, 0], list("aaabbb")
    table = missing_outcome_bounds(y, arm).table
    ends = table.groupby(["measure", "arms"])["value"].agg(["min", "max"])
    assert (ends["min"] == ends["max"]).all()
    found = tipping_point(y, arm, arms=("a", "b"))
    assert (found.tipping_estimate, found.tipping_limit) == (-math.inf, 0)


def test_three_arms_have_rates_and_the_named_contrast():
    y, arm = [1, 0, None, 1, 0, None], list("aabbcc")
    assert set(missing_outcome_bounds(y, arm).table["measure"]) == {"rate"}
    found = missing_outcome_bounds(y, arm, arms=("c", "a"))
    assert value(found, "difference", "observed") == pytest.approx(0.0 - 0.5)
    assert found.table.query("measure == 'ratio'")["method"].str.contains("no interval").any()
    assert len(found.plot(measure="difference").get_yticklabels()) == 5


def test_an_arm_without_any_outcome():
    found = missing_outcome_bounds([1, 0, None, None], list("aabb"))
    row = found.table.query("arms == 'b' and scenario == 'observed'").iloc[0]
    assert math.isnan(row["value"])
    assert "not estimable" in row["method"]
    assert [value(found, "rate", scenario, "b") for scenario in ("lowest", "highest")] == [0, 1]
    assert math.isnan(tipping_point([1, 0, None, None], list("aabb"), arms=("a", "b")).tipping_estimate)


@pytest.fixture
def trial():
    rng = np.random.default_rng(3)
    table = pd.DataFrame(rng.uniform(0.1, 0.9, (120, 3)), columns=list("abc"))
    received = rng.choice(list("abc"), 120)
    y = np.where(rng.random(120) < 0.2, np.nan, rng.integers(0, 2, 120))
    chance = pd.DataFrame(np.full((120, 3), 1 / 3), columns=list("abc"))
    return y, received, table, chance, table.idxmax(axis=1)


def test_gain_of_every_completion_lies_between_the_bounds(trial):
    y, received, table, chance, rule = trial
    found = gain_missing_bounds(*trial, comparator="b")
    low, high = (value(found, "gain", scenario) for scenario in ("lowest", "highest"))
    rng, gains = np.random.default_rng(0), []
    for _ in range(50):
        full = np.where(np.isnan(y), rng.integers(0, 2, len(y)), y)
        gains.append(
            gain_over_best_arm(aipw_scores(full, received, table, chance), rule, comparator="b").value
        )
    assert low <= min(gains) <= max(gains) <= high
    up = (rule == received) & (received != "b")
    down = (received == "b") & (rule != "b")
    at_worst = np.where(np.isnan(y), down & ~up, y)
    scores = aipw_scores(at_worst, received, table, chance)
    assert low == pytest.approx(gain_over_best_arm(scores, rule, comparator="b").value)
    assert low < value(found, "gain", "observed") < high


def test_gain_without_missing_outcomes_is_the_gain(trial):
    y, *rest = trial
    full = np.nan_to_num(y)
    found = gain_missing_bounds(full, *rest).table
    expected = gain_over_best_arm(aipw_scores(full, *rest[:3]), rest[3])
    assert found["value"].tolist() == pytest.approx([expected.value] * 5)
    assert found["lower"].tolist() == pytest.approx([expected.lower] * 5)
    assert found["n_missing"].tolist() == [0] * 5


@pytest.mark.parametrize("shifted", ["first", "second", "opposite"])
@pytest.mark.parametrize("measure", ["difference", "ratio"])
def test_at_the_tipping_point_the_limit_is_no_difference(measure, shifted):
    y, arm = counts(100, 0.65, 0.25) + counts(100, 0.42, 0.25), ["a"] * 100 + ["b"] * 100
    options = {"arms": ("a", "b"), "measure": measure, "shifted": shifted}
    found = tipping_point(y, arm, **options)
    at = tipping_point(y, arm, **options, deltas=[found.tipping_limit, 0.0]).table.iloc[0]
    assert at["lower"] == pytest.approx(0 if measure == "difference" else 1, abs=1e-9)
    assert np.sign(found.tipping_limit) == (1 if shifted == "second" else -1)
    seen = np.nanmean(y[100:]) if shifted == "second" else np.nanmean(y[:100])
    assert found.rate_limit == pytest.approx(expit(logit(seen) + found.tipping_limit))
    assert abs(found.tipping_estimate) > abs(found.tipping_limit)


def test_extreme_deltas_reach_the_bounds():
    y, arm = counts(200, 0.6, 0.2) + counts(200, 0.45, 0.1), ["a"] * 200 + ["b"] * 200
    bounds = missing_outcome_bounds(y, arm, arms=("a", "b"))
    table = tipping_point(y, arm, arms=("a", "b"), shifted="opposite", deltas=[-40, 0, 40]).table
    expected = [value(bounds, "difference", scenario) for scenario in ("lowest", "observed", "highest")]
    assert table["value"].tolist() == pytest.approx(expected)


def test_delta_interval_covers():
    """Missing with a log odds ratio of -1 against the observed: adjusting by -1 covers the true rates."""
    rng, hits = np.random.default_rng(5), 0
    for _ in range(300):
        parts = []
        for rate, share in ((0.6, 0.3), (0.4, 0.2)):
            absent = rng.random(300) < share
            parts.append(np.where(absent, np.nan, rng.random(300) < rate))
        y, arm = np.concatenate(parts), ["a"] * 300 + ["b"] * 300
        row = tipping_point(y, arm, arms=("a", "b"), deltas=[-1.0]).table.iloc[0]
        truth = 0.7 * 0.6 + 0.3 * expit(logit(0.6) - 1) - 0.4
        hits += row["lower"] < truth < row["upper"]
    assert 0.92 < hits / 300 < 0.98


def test_plot_of_the_tipping_point():
    y, arm = counts(100, 0.65, 0.25) + counts(100, 0.42, 0.25), ["a"] * 100 + ["b"] * 100
    found = tipping_point(y, arm, arms=("a", "b"))
    assert "a v b" in found.plot().get_ylabel()
    assert len(found.to_frame()) == 25


@pytest.mark.parametrize("arms", [("a", "a"), ("a", "z"), ("a",)])
def test_bad_arms(arms):
    with pytest.raises(InputError, match="arms"):
        missing_outcome_bounds([1, 0, None, 1], list("aabb"), arms=arms)
