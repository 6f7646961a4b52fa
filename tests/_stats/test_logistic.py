"""Logistic regression for metrics and models: units, weights, separation, and refits at places."""

import numpy as np
import pytest
from scipy.special import expit

from treatsel._stats.logistic import fit_logistic, maximize
from treatsel._stats.refits import Refits, fit_at_places


@pytest.fixture
def data():
    rng = np.random.default_rng(5)
    x = rng.normal(size=80)
    return np.column_stack([np.ones(80), x]), rng.binomial(1, expit(0.3 + 0.8 * x)).astype(float)


def test_is_that_of_statsmodels(data):
    import statsmodels.api as sm

    design, outcome = data
    weights, offset = np.linspace(0.5, 2, 80), np.linspace(-1, 1, 80)
    known = sm.GLM(outcome, design, sm.families.Binomial(), freq_weights=weights, offset=offset)
    expected = known.fit(tol=1e-14, maxiter=100)
    found = fit_logistic(design, outcome, weights, offset=offset)
    assert found.coefficients == pytest.approx(expected.params, rel=1e-9)
    assert found.se == pytest.approx(expected.bse, rel=1e-7)


@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_the_unit_of_a_column_or_of_the_weights_does_not_matter(data, unit):
    design, outcome = data
    plain = fit_logistic(design, outcome, np.ones(80))
    columns = fit_logistic(design * [1, unit], outcome, np.ones(80))
    weights = fit_logistic(design, outcome, np.full(80, unit))
    assert columns.coefficients * [1, unit] == pytest.approx(plain.coefficients, rel=1e-9)
    assert weights.coefficients == pytest.approx(plain.coefficients, rel=1e-9)
    assert weights.se * np.sqrt(unit) == pytest.approx(plain.se, rel=1e-9)


def test_separated_classes_have_a_bound_and_no_fit(data):
    design, _ = data
    outcome = (design[:, 1] > 0.1).astype(float)
    assert fit_logistic(design, outcome, np.ones(80)) is None
    best = maximize(design, outcome, np.ones(80))
    assert (best.exists, best.rank) == (False, 2)
    assert best.log_likelihood == pytest.approx(0, abs=1e-9)


def test_combined_columns_have_the_shortest_coefficients_and_no_fit(data):
    design, outcome = data
    twice = np.column_stack([design, design[:, 1]])
    assert fit_logistic(twice, outcome, np.ones(80)) is None
    best, plain = maximize(twice, outcome, np.ones(80)), maximize(design, outcome, np.ones(80))
    assert (best.rank, best.exists) == (2, True)
    assert best.coefficients[1:] == pytest.approx(plain.coefficients[1] / 2 * np.ones(2), rel=1e-9)
    assert best.root @ best.root == pytest.approx(best.covariance, abs=1e-12)


def test_refits_have_no_coefficients_but_probabilities_where_classes_separate(data):
    design, outcome = data
    columns, start = design.T, fit_at_places(design.T, np.ones(80), outcome).coefficients
    counts, events = np.ones(80), (design[:, 1] > 0.1).astype(float)
    assert Refits.of(columns, start).coefficients(counts, events) is None
    fitted = Refits.of(columns, start, of_probabilities=True).probabilities(counts, events)
    assert fitted == pytest.approx(events, abs=1e-4)
