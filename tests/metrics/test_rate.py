import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treatsel.errors import InputError
from treatsel.metrics.benefit import average_benefit, rank_weighted_average_treatment_effect

ARMS = {"control": "a", "treated": "b"}
SEEDS = st.integers(0, 2**32 - 1)


def trial(seed, n, *, benefit=0.6):
    """A trial 1:1 whose predictions are the truth; the benefit is uniform within +- half of `benefit`."""
    rng = np.random.default_rng(seed)
    low = rng.uniform(0.35, 0.65, n)
    by_arm = pd.DataFrame({"a": low, "b": low + benefit * rng.uniform(-0.5, 0.5, n)})
    arm = rng.choice(["a", "b"], n)
    arm[:2] = ["a", "b"]
    y = rng.binomial(1, np.where(arm == "b", by_arm["b"], by_arm["a"]))
    even = pd.DataFrame(0.5, index=by_arm.index, columns=by_arm.columns)
    return {"y_true": y, "received": arm, "by_arm": by_arm, "propensity": even} | ARMS


def by_definition(priority, score, q):
    """AUTOC, Qini and TOC(q) directly from the definition; equal priorities share their mean."""
    frame = pd.DataFrame({"priority": priority, "score": score}).sort_values("priority", ascending=False)
    shared = frame.groupby("priority")["score"].transform("mean").to_numpy()
    rank = np.arange(1, len(frame) + 1)
    toc = np.cumsum(shared) / rank - shared.mean()
    at = [toc[round(share * len(frame)) - 1] for share in q]
    return [toc.mean(), (rank / len(frame) * toc).mean(), *at]


def score_of(cohort):
    high, low = cohort["by_arm"]["b"], cohort["by_arm"]["a"]
    treated, y = cohort["received"] == "b", cohort["y_true"]
    return (high - low + np.where(treated, 2 * (y - high), -2 * (y - low))).to_numpy()


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.sampled_from([3, 1000]))
def test_areas_by_definition(seed, n_distinct):
    cohort = trial(seed, 50)
    priority = np.random.default_rng(seed).integers(0, n_distinct, 50)
    q = [0.02, 0.5, 0.9, 1]
    found = rank_weighted_average_treatment_effect(**cohort, priority=priority, at=q, n_resamples=2)
    expected = by_definition(priority, score_of(cohort), q)
    assert [found.autoc.value, found.qini.value, *found.table["value"]] == pytest.approx(expected)
    plain = rank_weighted_average_treatment_effect(
        **cohort, priority=priority, at=q, n_resamples=2, scores="ht"
    )
    y, treated = cohort["y_true"], cohort["received"] == "b"
    expected = by_definition(priority, 2 * y * np.where(treated, 1, -1), q)
    assert [plain.autoc.value, plain.qini.value, *plain.table["value"]] == pytest.approx(expected)


@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_weights_are_repeated_rows_and_order_does_not_matter(seed):
    cohort = trial(seed, 60)
    rng = np.random.default_rng(seed)
    priority, weight = rng.integers(0, 9, 60), rng.integers(0, 4, 60)
    weight[:2] = 1
    again = rng.permutation(np.repeat(np.arange(60), weight))
    moved = {
        k: v if isinstance(v, str) else v.iloc[again] if isinstance(v, pd.DataFrame) else v[again]
        for k, v in cohort.items()
    }
    found = rank_weighted_average_treatment_effect(
        **cohort, priority=priority, sample_weight=weight, n_resamples=2
    )
    expected = rank_weighted_average_treatment_effect(**moved, priority=priority[again], n_resamples=2)
    assert found.autoc.value == pytest.approx(expected.autoc.value)
    assert found.qini.value == pytest.approx(expected.qini.value)
    assert found.table["value"].to_list() == pytest.approx(expected.table["value"].to_list())
    assert (found.autoc.n, found.autoc.n_events) == (expected.autoc.n, expected.autoc.n_events)


def test_fractional_weights_lie_between_whole_ones():
    cohort = trial(0, 300)
    one, half, two = (
        rank_weighted_average_treatment_effect(
            **cohort, sample_weight=np.where(np.arange(300) < 150, w, 1), n_resamples=50
        )
        for w in (1, 1.5, 2)
    )
    assert min(one.qini.value, two.qini.value) <= half.qini.value <= max(one.qini.value, two.qini.value)
    assert half.autoc.se > 0


def test_standard_error_of_weights_is_that_of_repeated_rows():
    cohort = trial(1, 200)
    weight = np.full(200, 3)
    again = np.repeat(np.arange(200), 3)
    moved = {
        k: v if isinstance(v, str) else v.iloc[again] if isinstance(v, pd.DataFrame) else v[again]
        for k, v in cohort.items()
    }
    found = rank_weighted_average_treatment_effect(**cohort, sample_weight=weight, n_resamples=600)
    assert found.autoc.se == pytest.approx(
        rank_weighted_average_treatment_effect(**moved, n_resamples=600).autoc.se, rel=0.12
    )


def test_a_ranking_by_the_truth_has_the_areas_of_the_truth():
    """Benefit uniform on +- h: TOC(q) = h (1 - q), so AUTOC = h / 2 and Qini = h / 6."""
    found = rank_weighted_average_treatment_effect(**trial(2, 60_000), n_resamples=60)
    assert found.autoc.value == pytest.approx(0.15, abs=3 * found.autoc.se)
    assert found.qini.value == pytest.approx(0.05, abs=3 * found.qini.se)
    assert found.table["value"].to_list() == pytest.approx(0.3 * (1 - found.table["q"]), abs=0.04)
    assert found.autoc.se < 0.01
    turned = rank_weighted_average_treatment_effect(
        **trial(2, 60_000), priority=-np.arange(60_000.0), n_resamples=60
    )
    assert abs(turned.autoc.value) < 4 * turned.autoc.se


def test_a_random_ranking_has_no_value_and_the_intervals_cover():
    found = [
        rank_weighted_average_treatment_effect(
            **trial(seed, 300), priority=np.random.default_rng(seed + 1).normal(size=300), n_resamples=60
        )
        for seed in range(120)
    ]
    for area in ("autoc", "qini"):
        values = [getattr(f, area).value for f in found]
        covers = [getattr(f, area).lower <= 0 <= getattr(f, area).upper for f in found]
        assert np.mean(values) == pytest.approx(0, abs=3.5 * np.std(values) / math.sqrt(120))
        assert np.mean([getattr(f, area).se for f in found]) == pytest.approx(np.std(values), rel=0.2)
        assert 0.88 <= np.mean(covers) <= 0.99
        rejects = [getattr(f, area).p_value < 0.05 for f in found]
        assert np.mean(rejects) == pytest.approx(1 - np.mean(covers))


def test_equal_priorities_have_value_zero():
    found = rank_weighted_average_treatment_effect(**trial(3, 100), priority=np.ones(100), n_resamples=20)
    assert found.autoc.value == pytest.approx(0, abs=1e-12)
    assert found.qini.value == pytest.approx(0, abs=1e-12)
    noise = np.array([0.55 - 0.5, 0.05])  # differ by rounding only
    assert noise[0] != noise[1]
    tied = rank_weighted_average_treatment_effect(
        **trial(3, 100), priority=np.tile(noise, 50), n_resamples=20
    )
    assert tied.autoc.value == pytest.approx(0, abs=1e-12)


def test_clusters_are_drawn_whole():
    cohort = trial(4, 400)
    sites = np.repeat(np.arange(20), 20)
    clustered = rank_weighted_average_treatment_effect(**cohort, clusters=sites, n_resamples=100)
    assert "t with 19 df" in clustered.autoc.method
    assert (
        clustered.autoc.value == rank_weighted_average_treatment_effect(**cohort, n_resamples=2).autoc.value
    )
    few = rank_weighted_average_treatment_effect(**cohort, clusters=sites % 3, n_resamples=100)
    assert math.isnan(few.autoc.lower)
    assert "at least four clusters" in few.autoc.method
    copies = {
        k: v if isinstance(v, str) else pd.concat([v] * 4) if isinstance(v, pd.DataFrame) else np.tile(v, 4)
        for k, v in trial(5, 100).items()
    }
    persons = rank_weighted_average_treatment_effect(
        **copies, clusters=np.tile(np.arange(100), 4), n_resamples=400
    )
    naive = rank_weighted_average_treatment_effect(**copies, n_resamples=400)
    assert persons.autoc.se == pytest.approx(2 * naive.autoc.se, rel=0.15)


def test_the_same_seed_gives_the_same_error():
    one, two, other = (
        rank_weighted_average_treatment_effect(**trial(6, 100), n_resamples=20, random_state=seed)
        for seed in (1, 1, 2)
    )
    assert one.autoc == two.autoc
    assert one.autoc.se != other.autoc.se


def test_curve_ends_at_zero_and_is_drawn():
    cohort = trial(7, 200)
    found = rank_weighted_average_treatment_effect(**cohort, n_resamples=20)
    last = found.to_frame().iloc[-1]
    assert last[["q", "value", "lower", "upper"]].to_list() == [1, 0, 0, 0]
    ax = found.plot()
    assert ax.get_lines()[-1].get_ydata().tolist() == found.table["value"].to_list()
    first = (
        rank_weighted_average_treatment_effect(**cohort, at=[1 / 200], n_resamples=2).table["value"].item()
    )
    best = int(np.argmax(cohort["by_arm"]["b"] - cohort["by_arm"]["a"]))
    everybody = average_benefit(**cohort).value
    assert first == pytest.approx(score_of(cohort)[best] - everybody)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"at": [0.0, 1.0]}, "above 0"),
        ({"n_resamples": 1}, "n_resamples"),
        ({"scores": "x"}, "scores"),
        ({"priority": [1.0]}, "Lengths differ"),
        ({"treated": "x"}, "treated is 'x'"),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(InputError, match=message):
        rank_weighted_average_treatment_effect(**(trial(8, 40) | change))
