"""The additive form: trees against LightGBM itself, draws against theory."""

import lightgbm
import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from treatsel.errors import UnsupportedModelError
from treatsel.models import ArmwiseClassifier, PooledClassifier
from treatsel.models._additive import Posterior
from treatsel.models._trees import trees_of_lightgbm


@pytest.mark.parametrize("missing", ["never", "in development", "only at prediction"])
def test_trees_equal_lightgbm_with_missing_values(missing):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(3000, 5)).round(1)
    y = rng.random(3000) < expit(x[:, 0] * x[:, 1])
    if missing == "in development":
        x[rng.random(x.shape) < 0.2] = np.nan
    model = lightgbm.LGBMClassifier(n_estimators=40, n_jobs=1, verbosity=-1).fit(x, y)
    new = rng.normal(size=(500, 5)).round(1)
    new[0] = 0.0
    if missing != "never":
        new[rng.random(new.shape) < 0.3] = np.nan
    trees = trees_of_lightgbm(model.booster_)
    assert trees.problem(5) is None
    np.testing.assert_array_equal(trees.score(new), model.predict(new, raw_score=True))


def test_arm_splits_are_decided_per_arm(patients):
    X, y = patients
    model = PooledClassifier(lightgbm.LGBMClassifier(n_estimators=30, min_child_samples=5)).fit(X, y)
    additive = model.additive()
    n_features = len(additive.encoding.features)
    assert all(trees.feature.max() < n_features for trees in additive.trees)
    raw = logit(model.predict_by_arm(X).to_numpy())
    np.testing.assert_allclose(additive.logit(additive.encoding.encode(X)), raw, atol=1e-9)


def test_a_stump_without_splits_is_read():
    x, y = np.zeros((40, 1)), np.arange(40) % 2
    model = lightgbm.LGBMClassifier(n_estimators=3, n_jobs=1, verbosity=-1).fit(x, y)
    np.testing.assert_array_equal(
        trees_of_lightgbm(model.booster_).score(x), model.predict(x, raw_score=True)
    )


def test_categorical_splits_are_refused():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 5, size=(500, 1)).astype(float)
    y = rng.random(500) < 0.2 + 0.6 * (x[:, 0] % 2)
    model = lightgbm.LGBMClassifier(n_estimators=3, n_jobs=1, verbosity=-1)
    model.fit(x, y, categorical_feature=[0])
    with pytest.raises(UnsupportedModelError, match="categorical splits"):
        trees_of_lightgbm(model.booster_)


def test_laplace_draws_have_the_mean_and_covariance_of_theory():
    rng = np.random.default_rng(2)
    design = np.column_stack([np.ones(400), rng.normal(size=(400, 2))])
    mean, precision = np.array([0.2, -0.4, 0.3]), np.array([0.0, 1.0, 1.0])
    draws = Posterior.at_optimum(design, np.ones(400), mean, precision).draw(n_draws=40_000)
    p = expit(design @ mean)
    covariance = np.linalg.inv(design.T @ (design * (p * (1 - p))[:, None]) + np.diag(precision))
    np.testing.assert_allclose(draws.mean(axis=0), mean, atol=1e-12)
    np.testing.assert_allclose(np.cov(draws.T), covariance, atol=0.03 * covariance.max())


def test_an_improper_posterior_gives_no_draws():
    design = np.ones((50, 2))
    assert Posterior.at_optimum(design, np.ones(50), np.zeros(2), np.zeros(2)).draw() is None


@pytest.mark.parametrize("model", [ArmwiseClassifier, PooledClassifier])
def test_draws_surround_the_prediction(model, patients):
    X, y = patients
    fitted = model(LogisticRegression(max_iter=500)).fit(X, y)
    additive = fitted.additive()
    draws = additive.predict_draws(X.head(20))
    assert draws.shape == (1000, 20, 3)
    point = fitted.predict_by_arm(X.head(20)).to_numpy()
    np.testing.assert_allclose(np.median(draws, axis=0), point, atol=0.03)


def test_trees_give_no_draws(patients):
    X, y = patients
    additive = ArmwiseClassifier(lightgbm.LGBMClassifier(n_estimators=3)).fit(X, y).additive()
    with pytest.raises(UnsupportedModelError, match="no posterior draws"):
        additive.predict_draws(X)


def test_lasso_gives_no_draws(patients):
    X, y = patients
    lasso = LogisticRegression(l1_ratio=1, solver="saga", tol=1e-2, max_iter=5000)
    assert PooledClassifier(lasso).fit(X, y).additive().draws is None


def test_arms_that_were_fitted_apart_have_independent_draws(patients):
    X, y = patients
    draws = ArmwiseClassifier(LogisticRegression(max_iter=500)).fit(X, y).additive().predict_draws(X.head(5))
    between = [np.corrcoef(draws[:, i, 0], draws[:, i, 1])[0, 1] for i in range(5)]
    assert np.abs(between).max() < 0.12
