"""Trees written for LightGBM: what it then says is what we say."""

import lightgbm
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from treatsel.additive import AdditiveModel
from treatsel.errors import InputError, UnsupportedModelError
from treatsel.models import ArmwiseClassifier, PooledClassifier


@pytest.fixture(scope="module", params=[ArmwiseClassifier, PooledClassifier])
def additive(request, patients):
    X, y = patients
    X = X.mask(np.random.default_rng(3).random(X.shape) < 0.1).assign(arm=X["arm"])
    learner = lightgbm.LGBMClassifier(n_estimators=20, num_leaves=7, min_child_samples=5)
    return request.param(learner).fit(X, y).additive()


def matrix_of(model, n=400):
    """Numbers of all sizes, on both sides of each threshold, on it, and missing."""
    random = np.random.default_rng(4)
    matrix = random.choice(model.trees.threshold, (n, len(model.encoding.features)))
    matrix += random.choice([0.0, 0.0, 1e-9, -1e-9, 1.0, -1.0], matrix.shape)
    matrix[random.random(matrix.shape) < 0.2] = np.nan
    return matrix


def test_the_raw_score_is_the_sum_of_the_trees(additive):
    matrix = matrix_of(additive)
    for k, arm in enumerate(additive.arms_):
        booster = additive.to_lightgbm(arm)
        ours = additive.trees_of(k).score(matrix)[:, 0]
        np.testing.assert_allclose(booster.predict(matrix, raw_score=True), ours, rtol=0, atol=1e-12)
        assert np.ptp(ours) > 0.1


def test_features_have_names_that_lightgbm_takes(additive):
    names = additive.to_lightgbm(additive.arms_[0]).feature_name()
    assert len(names) == len(set(names)) == len(additive.encoding.features)


def test_the_booster_survives_lightgbms_own_writer(additive):
    booster = additive.to_lightgbm(additive.arms_[0])
    again = lightgbm.Booster(model_str=booster.model_to_string())
    matrix = matrix_of(additive, n=50)
    np.testing.assert_array_equal(
        again.predict(matrix, raw_score=True), booster.predict(matrix, raw_score=True)
    )


def test_a_tree_without_splits_is_written(additive):
    stump = dict.fromkeys(additive.trees.ARRAYS, np.zeros(1, dtype=np.int32))
    stump |= {"feature": np.array([-1], dtype=np.int32), "value": np.array([0.25]), "threshold": np.zeros(1)}
    trees = type(additive.trees)(**{**stump, "missing_left": np.zeros(1, dtype=bool)})
    n_arms = len(additive.arms_)
    model = AdditiveModel(
        encoding=additive.encoding,
        arms_=additive.arms_,
        intercept=additive.intercept,
        coefficients=additive.coefficients,
        trees=trees,
        mixing=np.ones((n_arms, 1)),
    )
    score = model.to_lightgbm(additive.arms_[0]).predict(matrix_of(additive, n=3), raw_score=True)
    np.testing.assert_array_equal(score, 0.25)


def test_a_model_without_trees_is_refused(patients):
    X, y = patients
    model = PooledClassifier(LogisticRegression(max_iter=500)).fit(X, y).additive()
    with pytest.raises(UnsupportedModelError, match="has no trees"):
        model.to_lightgbm(model.arms_[0])


def test_an_unknown_arm_is_refused(additive):
    with pytest.raises(InputError, match="arm is 'yoga'"):
        additive.to_lightgbm("yoga")
