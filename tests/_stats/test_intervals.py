"""Limits of proportions of weighted counts, also at 0 and 1; multiple tests; Cochran's Q."""

import numpy as np
import pytest
from scipy import special, stats

from treatsel._stats.heterogeneity import cochran_q
from treatsel._stats.intervals import clopper_pearson, wilson
from treatsel._stats.multiplicity import holm
from treatsel._stats.two_proportions import chi_squared, limits_of

EVENTS, N = np.array([0.0, 2.5, 3.0, 40.0, 0.0]), np.array([3.0, 4.2, 3.0, 1e4, 0.5])


def test_wilson_is_the_inverted_score_test_and_exact_at_the_ends():
    lower, upper = wilson(EVENTS, N, 0.9)
    assert lower[EVENTS == 0].tolist() == [0, 0]
    assert upper[EVENTS == N].tolist() == [1]
    share, z = EVENTS / N, stats.norm.ppf(0.95)
    for limit, inside in ((lower, EVENTS > 0), (upper, EVENTS < N)):
        at = limit[inside]
        score = (share[inside] - at) / np.sqrt(at * (1 - at) / N[inside])
        assert np.abs(score) == pytest.approx(np.full(len(score), z), rel=1e-9)


@pytest.mark.parametrize(("events", "n"), list(zip(EVENTS, N, strict=True)))
def test_clopper_pearson_leaves_half_the_error_on_each_side(events, n):
    lower, upper = clopper_pearson(events, n, 0.9)
    assert (lower == 0) == (events == 0)
    assert (upper == 1) == (events == n)
    if events:
        assert special.betainc(events, n - events + 1, lower) == pytest.approx(0.05, rel=1e-9)
    if events < n:
        assert special.betainc(events + 1, n - events, upper) == pytest.approx(0.95, rel=1e-9)


def test_newcombe_from_two_wilson_intervals_of_weighted_counts():
    events, n = np.array([2.5, 3.3]), np.array([10.2, 7.7])
    lower, upper = wilson(events, n, 0.95)
    share = events / n
    found = limits_of("newcombe", events, n, 0.95)
    below = np.hypot(share[0] - lower[0], upper[1] - share[1])
    assert found.lower == pytest.approx(share[0] - share[1] - below, rel=1e-9)


def test_chi_squared_is_the_square_of_the_pooled_z():
    events, n = np.array([2.5, 3.3]), np.array([10.2, 7.7])
    pooled = events.sum() / n.sum()
    z = (events / n) @ [1, -1] / np.sqrt(pooled * (1 - pooled) * (1 / n).sum())
    assert chi_squared(events, n) == pytest.approx((z**2, 2 * stats.norm.sf(abs(z))), rel=1e-9)
    assert np.isnan(chi_squared(np.zeros(2), n)).all()


def test_holm_leaves_out_what_was_not_tested():
    adjusted = holm(np.array([0.04, np.nan, 0.01, 0.03, 0.9]))
    assert adjusted == pytest.approx([0.09, np.nan, 0.04, 0.09, 0.9], nan_ok=True)
    assert np.isnan(holm(np.array([np.nan]))).all()


def test_cochran_q_by_hand():
    found = cochran_q(np.array([1.0, 3.0]), np.array([1.0, 1.0]))
    assert (found.statistic, found.df) == (2, 1)
    assert found.p_value == pytest.approx(stats.chi2.sf(2, 1))
    assert np.isnan(cochran_q(np.array([1.0]), np.array([1.0])).p_value)
