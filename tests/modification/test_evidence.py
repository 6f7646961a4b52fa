"""Contour probability and ranks from draws."""

import numpy as np
import pytest
from scipy.stats import chi2

from treatsel.modification._evidence import contour_probability, findings, ranks_of


@pytest.mark.parametrize("size", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("n", [1, 4])
def test_the_contour_probability_is_that_of_the_wald_test(n, size):
    random = np.random.default_rng(n)
    root = random.normal(size=(n, n))
    mean = root @ np.full(n, size / np.sqrt(n))
    draws = mean[:, None] + root @ random.normal(size=(n, 20_000))
    kept = 1.0 if n == 1 else 0.95  # the smallest direction may be left out
    assert contour_probability(draws) == pytest.approx(chi2.sf(size**2, n), abs=0.02 / kept + (n > 1) * 0.15)


def test_far_from_zero_the_tail_is_that_of_the_normal_distribution():
    draws = 7 + np.random.default_rng(0).normal(size=(1, 1000))
    assert 1e-14 < contour_probability(draws) < 1e-9


def test_a_point_mass_at_zero_prevents_a_claim():
    draws = 7 + np.random.default_rng(0).normal(size=(1, 1000))
    draws[:, :100] = 0.0
    assert contour_probability(draws) > 0.05
    assert contour_probability(np.zeros((3, 100))) == 1.0
    assert contour_probability(np.zeros((0, 2, 100))) == 1.0


def test_ties_share_their_ranks_and_the_first_place():
    ranks, first = ranks_of(np.array([[0.3, 0.0, 0.1], [0.1, 0.0, 0.3], [0.2, 0.0, 0.2]]))
    assert ranks.T.tolist() == [[1, 3, 2], [2, 2, 2], [3, 1, 2]]
    assert first.tolist() == pytest.approx([4 / 9, 4 / 9, 1 / 9])


def test_a_finding_needs_both_conditions():
    found = findings(np.array([0.99, 0.99, 0.5, 0.04]), np.array([0.01, 0.2, 0.01, 1.0]), 0.95)
    assert found == ["modifies", "uncertain", "uncertain", "negligible"]
