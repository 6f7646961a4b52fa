"""Aumann-Shapley attributions: equal to the path integral, and additive to the printed probability."""

from dataclasses import replace

import lightgbm
import numpy as np
import pandas as pd
import pytest
from numpy.polynomial.legendre import leggauss
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from treatsel.additive import SiteEffects, additive_of
from treatsel.additive._explainer import Explainer, _rescaled
from treatsel.errors import AdditivityError
from treatsel.explanation import explain
from treatsel.models import ArmwiseClassifier

NAMES = ["a", "b", "c"]


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(11)
    X = pd.DataFrame(rng.normal(size=(400, 3)), columns=NAMES)
    X["arm"] = rng.choice(["CBT", "SSRI", "TAU"], 400)
    lift = np.where(X["arm"] == "CBT", 2 * X["a"], X["b"] * X["c"])
    return X, (rng.random(400) < expit(lift)).astype(int)


@pytest.fixture(scope="module")
def logistic(table):
    return ArmwiseClassifier(LogisticRegression(C=100)).fit(*table)


def integrated(additive, x, background, k):
    """The definition, for linear terms: the gradient of p, integrated from the mean background to x."""
    matrix = additive.encoding.encode(x)
    start = additive.encoding.encode(background).mean(axis=0)
    nodes, weights = leggauss(60)
    total = np.zeros_like(matrix)
    for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        p = expit(additive.logit(start + node * (matrix - start))[:, k])
        total += weight * (p * (1 - p))[:, None] * additive.coefficients[k]
    found = np.zeros((len(x), len(NAMES)))
    np.add.at(found.T, additive.encoding.sources, (total * (matrix - start)).T)
    return found


def test_an_arm_equals_numerical_integration(logistic, table):
    X = table[0]
    found = explain(logistic, X.head(30), arm="CBT", background=X, scale="probability")
    expected = integrated(additive_of(logistic), X[NAMES].head(30), X, 0)
    np.testing.assert_allclose(found.attributions, expected, atol=1e-10)
    assert np.abs(found.attributions).max() > 0.2  # of probability: the path bends


def test_a_contrast_equals_the_integral_of_each_arm_along_its_own_path(logistic, table):
    X, additive = table[0], additive_of(logistic)
    found = explain(logistic, X.head(30), contrast=("SSRI", "CBT"), background=X, scale="probability")
    first, second = (integrated(additive, X[NAMES].head(30), X, k) for k in (1, 0))
    np.testing.assert_allclose(found.attributions, first - second, atol=1e-10)


@pytest.mark.parametrize("trees", [False, True])
def test_contrasts_add_up_to_the_printed_difference(logistic, table, trees):
    X, y = table
    model = logistic
    if trees:
        model = ArmwiseClassifier(lightgbm.LGBMClassifier(n_estimators=30, verbose=-1)).fit(X, y)
    found = explain(model, X, contrast=("CBT", "TAU"), background=X.head(50), scale="probability")
    printed = model.predict_by_arm(X)
    difference = (printed["CBT"] - printed["TAU"]).to_numpy()
    np.testing.assert_allclose(found.base_value + found.attributions.sum(axis=1), difference, atol=1e-9)
    np.testing.assert_allclose(found.predictions, difference, atol=1e-12)


def test_the_service_has_its_own_attribution(logistic, table):
    X, additive = table[0], additive_of(logistic)
    moved = additive.intercept + np.array([[0.8, -0.4, 0.1], [0.0, 0.0, 0.0]])
    known = SiteEffects(
        column="site",
        labels=("north",),
        intercept=moved,
        coefficients=additive.coefficients,
        draws=None,
    )
    sited = replace(additive, sites=known)
    matrix = additive.encoding.encode(X.head(5))
    numbers, explainer = np.zeros(5, dtype=np.intp), Explainer.of(sited, additive.encoding.encode(X))
    values, base, difference = explainer.explain(matrix, [0, 1], "probability", sites=numbers)
    probability = expit(sited.logit(matrix, numbers))
    np.testing.assert_allclose(difference, probability[:, 0] - probability[:, 1], atol=1e-12)
    np.testing.assert_allclose(base + values.sum(axis=1), difference, atol=1e-9)
    assert (values[:, -1] > 0).all()


def test_the_limit_of_a_path_without_length():
    values = np.array([[0.5, -0.5], [0.5, -0.5 + 1e-9], [0.5, -0.5 + 1e-5]])
    logit = 0.3 + values.sum(axis=1)
    p = expit(0.3)
    np.testing.assert_allclose(_rescaled(values, 0.3, logit), values * p * (1 - p), rtol=1e-5)
    assert _rescaled(values, 0.3, logit)[0].tolist() == (values[0] * p * (1 - p)).tolist()


def test_wrong_sums_are_refused_on_the_probability_scale(logistic, table, monkeypatch):
    X = table[0]
    monkeypatch.setattr("treatsel.additive._explainer._rescaled", lambda values, base, logit: values)
    with pytest.raises(AdditivityError, match="do not add up"):
        explain(logistic, X.head(3), arm="CBT", background=X, scale="probability")
