"""The additive form: trees compared with LightGBM, draws with theory."""

from dataclasses import replace

import lightgbm
import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from tests.conftest import LASSO

from treatsel.additive import AdditiveModel, Trees, _scoring, score_trees
from treatsel.errors import UnsupportedModelError
from treatsel.models import ArmwiseClassifier, Encoding, PooledClassifier
from treatsel.models._lightgbm import trees_of_lightgbm
from treatsel.models._posterior import Posterior


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
    np.testing.assert_array_equal(score_trees(trees, new)[:, 0], model.predict(new, raw_score=True))


def test_arm_splits_are_decided_per_arm(patients):
    X, y = patients
    model = PooledClassifier(lightgbm.LGBMClassifier(n_estimators=30, min_child_samples=5)).fit(X, y)
    additive = model.additive()
    n_features = len(additive.encoding.features)
    assert all(additive.trees_of(k).feature.max() < n_features for k in range(3))
    raw = logit(model.predict_by_arm(X).to_numpy())
    np.testing.assert_allclose(additive.logit(additive.encoding.encode(X)), raw, atol=1e-9)


def test_a_stump_without_splits_is_read():
    x, y = np.zeros((40, 1)), np.arange(40) % 2
    model = lightgbm.LGBMClassifier(n_estimators=3, n_jobs=1, verbosity=-1).fit(x, y)
    np.testing.assert_array_equal(
        score_trees(trees_of_lightgbm(model.booster_), x)[:, 0], model.predict(x, raw_score=True)
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
    lasso = LogisticRegression(solver="saga", tol=1e-2, max_iter=5000, **LASSO)
    assert PooledClassifier(lasso).fit(X, y).additive().coefficient_draws is None


def test_arms_that_were_fitted_apart_have_independent_draws(patients):
    X, y = patients
    draws = ArmwiseClassifier(LogisticRegression(max_iter=500)).fit(X, y).additive().predict_draws(X.head(5))
    between = [np.corrcoef(draws[:, i, 0], draws[:, i, 1])[0, 1] for i in range(5)]
    assert np.abs(between).max() < 0.12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"linear_tree": True}, "linear leaves"),
        ({"zero_as_missing": True}, "0 as missing"),
        ({"boosting_type": "rf", "subsample": 0.6, "subsample_freq": 1}, "averaged trees"),
        ({"sigmoid": 2.0}, "sigmoid:2"),
    ],
)
def test_boosting_that_is_not_a_plain_sum_is_refused(options, message):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 3)).round(1)
    x[rng.random(x.shape) < 0.1] = np.nan
    y = (rng.random(400) < expit(np.nan_to_num(x[:, 0]))).astype(int)
    model = lightgbm.LGBMClassifier(n_estimators=5, n_jobs=1, verbosity=-1, **options).fit(x, y)
    with pytest.raises(UnsupportedModelError, match=message):
        trees_of_lightgbm(model.booster_)


def trees_from(feature, left, right, roots):
    n = len(feature)
    return Trees(
        feature=np.array(feature, dtype=np.int32),
        threshold=np.zeros(n),
        left=np.array(left, dtype=np.int32),
        right=np.array(right, dtype=np.int32),
        missing_left=np.zeros(n, dtype=bool),
        value=np.zeros(n),
        roots=np.array(roots, dtype=np.int32),
        member=np.zeros(len(roots), dtype=np.int32),
    )


STUMP = trees_from([0, -1, -1], [1, 1, 2], [2, 1, 2], [0])


@pytest.mark.parametrize(
    ("trees", "problem"),
    [
        (STUMP, None),
        (trees_from([0, -1, -1], [1, 1, 2], [2, 1, 2], [0, 0]), "not in order"),
        (trees_from([0, -1, -1], [1, 1, 2], [1, 1, 2], [0]), "no parent, or more than one"),
        (trees_from([0, 0, -1, -1], [1, 2, 2, 3], [2, 3, 2, 3], [0]), "no parent, or more than one"),
        (trees_from([1, -1, -1], [1, 1, 2], [2, 1, 2], [0]), "a feature that does not exist"),
        (trees_from([0, -1, -1], [1, 1, 2], [3, 1, 2], [0]), "points outside the tree"),
        (trees_from([0, -1, -1], [0, 1, 2], [2, 1, 2], [0]), "a child comes before its parent"),
        (replace(STUMP, value=np.array([0, np.inf, 0])), "not finite"),
        (replace(STUMP, threshold=np.zeros(2)), "differ in length"),
        (replace(STUMP, member=np.zeros(2, dtype=np.int32)), "differ in length"),
        (replace(STUMP, roots=np.zeros(0, np.int32), member=np.zeros(0, np.int32)), "differ in length"),
    ],
)
def test_a_structure_that_is_not_a_forest_is_detected(trees, problem):
    found = trees.problem(1)
    assert found is None if problem is None else problem in found


@pytest.mark.parametrize(
    ("member", "sound"),
    [([0, 0, 1], True), ([0, 1, 2], True), ([1, 1, 2], False), ([0, 2, 2], False), ([0, 1, 0], False)],
)
def test_members_that_are_not_in_order_are_detected(member, sound):
    three = replace(Trees.join([STUMP] * 3), member=np.array(member, dtype=np.int32))
    assert three.problem(1) == (None if sound else "its members are not in order")


def test_a_tree_that_is_too_deep_is_detected():
    depth = 300
    inner = np.arange(0, 2 * depth, 2)
    feature = np.full(2 * depth + 1, -1)
    feature[inner] = 0
    left, right = np.arange(2 * depth + 1), np.arange(2 * depth + 1)
    left[inner], right[inner] = inner + 1, inner + 2
    assert "deeper than 256" in trees_from(feature, left, right, [0]).problem(1)


# -- several ensembles -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ensembles():
    """Three ensembles of different size over four columns, and patients to score."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(800, 4)).round(2)
    x[rng.random(x.shape) < 0.1] = np.nan
    y = rng.random(800) < expit(np.nan_to_num(x[:, 0] * x[:, 1]))
    models = [
        lightgbm.LGBMClassifier(n_estimators=n, num_leaves=leaves, n_jobs=1, verbosity=-1).fit(x, y)
        for n, leaves in ((12, 4), (1, 2), (30, 8))
    ]
    return [trees_of_lightgbm(model.booster_) for model in models], x[:200]


def test_joined_ensembles_stay_apart(ensembles):
    parts, x = ensembles
    joined = Trees.join(parts)
    assert joined.problem(4) is None
    assert joined.n_members == 3
    assert np.bincount(joined.member).tolist() == [len(part.roots) for part in parts]
    expected = np.column_stack([score_trees(part, x)[:, 0] for part in parts])
    np.testing.assert_array_equal(score_trees(joined, x), expected)
    again = Trees.join([Trees.join(parts[:2]), parts[2]])
    for name in Trees.ARRAYS:
        np.testing.assert_array_equal(getattr(again, name), getattr(joined, name))
        assert getattr(again, name).dtype == getattr(joined, name).dtype


def test_weighted_members_are_one_sum(ensembles):
    parts, x = ensembles
    joined = Trees.join(parts)
    for weights in ([1.0, 1.0, 1.0], [0.5, 0.0, -2.0], [0.0, 0.0, 0.7], [0.3, 0.0, 0.0]):
        one = joined.weighted(np.array(weights))
        assert one.problem(4) is None
        assert one.n_members == 1
        sizes = [len(part.roots) for part, weight in zip(parts, weights, strict=True) if weight]
        assert len(one.roots) == sum(sizes)
        np.testing.assert_allclose(score_trees(one, x)[:, 0], score_trees(joined, x) @ weights, atol=1e-12)


def test_members_of_zero_weight_leave_nothing(ensembles):
    parts, _ = ensembles
    assert Trees.join(parts).weighted(np.zeros(3)) is None


def test_columns_can_be_renumbered(ensembles):
    parts, x = ensembles
    joined, wide = Trees.join(parts), np.full((len(x), 7), np.nan)
    columns = np.array([6, 0, 3, 2])
    wide[:, columns] = x
    renumbered = joined.renumbered(columns)
    assert renumbered.problem(7) is None
    assert renumbered.feature.dtype == np.int32
    np.testing.assert_array_equal(score_trees(renumbered, wide), score_trees(joined, x))


def test_scores_do_not_depend_on_other_patients(ensembles, monkeypatch):
    parts, x = ensembles
    joined = Trees.join(parts)
    expected = score_trees(joined, x)
    monkeypatch.setattr(_scoring, "BLOCK_CELLS", 100)
    np.testing.assert_array_equal(score_trees(joined, x), expected)
    assert score_trees(joined, x[:0]).shape == (0, 3)


def test_linear_terms_and_members_add_up_arm_by_arm(ensembles):
    parts, _ = ensembles
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(50, 4)), columns=list("abcd"))
    encoding = Encoding.learn(X, np.ones(50), native_missing=False)
    model = AdditiveModel(
        encoding=encoding,
        arms_=np.array(["A", "B"], dtype=object),
        intercept=np.array([0.1, -0.2]),
        coefficients=rng.normal(size=(2, 4)),
        trees=Trees.join(parts),
        mixing=np.array([[1.0, 0.5, 0.0], [0.0, 0.0, 0.0]]),
    )
    matrix = encoding.encode(X)
    expected = model.intercept + matrix @ model.coefficients.T
    expected[:, 0] += score_trees(parts[0], matrix)[:, 0] + 0.5 * score_trees(parts[1], matrix)[:, 0]
    np.testing.assert_allclose(model.logit(matrix), expected, atol=1e-12)
    assert model.trees_of(1) is None
    np.testing.assert_allclose(
        score_trees(model.trees_of(0), matrix)[:, 0],
        score_trees(parts[0], matrix)[:, 0] + 0.5 * score_trees(parts[1], matrix)[:, 0],
    )
    certain = np.concatenate([model.intercept[:, None], model.coefficients, model.mixing], axis=1)
    drawn = replace(model, coefficient_draws=np.tile(certain, (6, 1, 1)))
    np.testing.assert_allclose(drawn.predict_draws(X), np.tile(expit(expected), (6, 1, 1)), atol=1e-12)


def test_a_missing_value_is_drawn_independently_in_each_draw():
    X = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0], "b": list("pqpq")})
    encoding = Encoding.learn(X, np.ones(4), native_missing=False)
    certain = np.array([[0.2, 0.8, -0.5, 0.5]])
    model = AdditiveModel(
        encoding=encoding,
        arms_=np.array(["A"], dtype=object),
        intercept=certain[:, 0],
        coefficients=certain[:, 1:],
        coefficient_draws=np.tile(certain, (1000, 1, 1)),
    )
    new = pd.DataFrame({"a": [1.5, np.nan, 1.5], "b": ["p", "p", None]})
    logits = logit(model.predict_draws(new))[:, :, 0]
    np.testing.assert_allclose(logits[:, 0], 0.2 - 0.5, atol=1e-9)
    assert logits[:, 1].mean() == pytest.approx(0.2 - 0.5, abs=1e-9)
    assert logits[:, 1].std() == pytest.approx(0.8, abs=0.05)
    np.testing.assert_allclose(np.unique(logits[:, 2].round(9)), [-0.3, 0.7])
