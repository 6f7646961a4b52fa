"""Predictions averaged over dropout: right levels although dropouts are lost, in additive form."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.base import clone

from treatsel.additive import score_trees
from treatsel.models import DropoutMixture, HierarchicalClassifier, StackedClassifier

pytestmark = pytest.mark.one_version

ARMS = np.array(["A", "B", "C"])


def cohort(n, seed, *, interaction=0.0, effect=-1.5):
    """Return X with dropout, y (lost mostly after dropout), the score, and the true probabilities."""
    rng = np.random.default_rng([seed, 31])
    z = rng.standard_normal((n, 3))
    arm = rng.integers(0, 3, n)
    chance = expit(-0.3 + 0.6 * z[:, [0]] + np.array([0.4, 0.0, -0.4]))
    base = 0.2 + 0.7 * z[:, [1]] + z[:, [2]] * np.array([0.5, -0.5, 0.0])
    base = base + interaction * np.sign(z[:, [0]] * z[:, [1]])
    truth = (1 - chance) * expit(base) + chance * expit(base + effect)
    rows = np.arange(n)
    dropout = (rng.random(n) < chance[rows, arm]).astype(float)
    score = base[rows, arm] + effect * dropout + rng.logistic(size=n)
    y = (score > 0).astype(float)
    lost = rng.random(n) < np.where(dropout == 1, 0.65, 0.05)
    X = pd.DataFrame(z, columns=["x0", "x1", "x2"]).assign(arm=ARMS[arm], dropout=dropout)
    y[lost], score[lost] = np.nan, np.nan
    return X, y, score, pd.DataFrame(truth, columns=ARMS)


def bias(model, X, truth):
    return 100 * float((model.predict_by_arm(X) - truth).to_numpy().mean())


def test_the_mean_prediction_is_unbiased_where_dropouts_are_lost():
    biases, errors = [], []
    for seed in range(6):
        X, y, score, _ = cohort(1200, seed)
        new, _, _, truth = cohort(4000, 100 + seed)
        mixture = DropoutMixture(HierarchicalClassifier()).fit(X, y, score)
        seen = ~np.isnan(y)
        plain = HierarchicalClassifier().fit(X[seen].drop(columns="dropout"), y[seen], score=score[seen])
        models = (mixture, plain)
        biases.append([bias(model, new, truth) for model in models])
        errors.append([np.sqrt(((m.predict_by_arm(new) - truth) ** 2).to_numpy().mean()) for m in models])
    ours, complete_cases = np.mean(biases, axis=0)
    se = np.std([b[0] for b in biases], ddof=1) / np.sqrt(len(biases))
    assert abs(ours) < 1 + 2 * se
    assert se < 0.7
    assert complete_cases > 3
    assert np.mean(errors, axis=0)[0] < np.mean(errors, axis=0)[1]


@pytest.mark.parametrize(
    "estimator", [HierarchicalClassifier(), StackedClassifier()], ids=["linear", "trees"]
)
def test_the_additive_form_is_the_average(estimator):
    X, y, score, truth = cohort(3400, 0, interaction=0.8)
    model = DropoutMixture(estimator).fit(X, y, score)
    assert (model.additive().trees is None) == isinstance(estimator, HierarchicalClassifier)
    assert "dropout" not in model.additive().encoding.names
    new = X.head(500)
    chance = model.dropout_.predict_by_arm(new).to_numpy()
    each = [model.outcome_.predict_by_arm(new.assign(dropout=d)).to_numpy() for d in (0.0, 1.0)]
    average = (1 - chance) * each[0] + chance * each[1]
    found = model.predict_by_arm(new)
    assert np.abs(found.to_numpy() - average).max() < 0.06
    assert np.abs(found.to_numpy() - average).mean() < 0.01
    assert abs(bias(model, X, truth)) < 3
    draws = model.predict_draws(new)
    assert draws.shape == (1000, 500, 3)
    assert np.abs(draws.mean(axis=0) - found.to_numpy()).mean() < 0.012
    pd.testing.assert_frame_equal(model.predict_by_arm(new.drop(columns="dropout")), found)


def test_intervals_cover_the_truth():
    covered = []
    for seed in range(4):
        X, y, score, truth = cohort(1200, seed)
        draws = DropoutMixture(HierarchicalClassifier()).fit(X, y, score).predict_draws(X.head(300))
        low, high = np.quantile(draws, [0.025, 0.975], axis=0)
        covered.append(((low < truth.head(300)) & (truth.head(300) < high)).to_numpy().mean())
    assert np.mean(covered) > 0.88


def test_dropout_that_says_nothing_changes_little():
    X, y, score, _ = cohort(1200, 3, effect=0.0)
    mixture = DropoutMixture(HierarchicalClassifier()).fit(X, y, score)
    seen = ~np.isnan(y)
    plain = HierarchicalClassifier().fit(X[seen].drop(columns="dropout"), y[seen], score=score[seen])
    difference = (mixture.predict_by_arm(X) - plain.predict_by_arm(X)).to_numpy()
    assert abs(difference.mean()) < 0.015
    assert np.abs(difference).max() < 0.06


def test_it_is_a_model_like_the_others():
    X, y, _, _ = cohort(400, 1)
    model = DropoutMixture(HierarchicalClassifier()).fit(X, y)
    assert list(model.arms_) == list(ARMS)
    assert list(model.feature_names_in_) == ["x0", "x1", "x2"]
    assert model.levels_ == 2  # of its outcome model
    again = pickle.loads(pickle.dumps(model))
    pd.testing.assert_frame_equal(again.predict_by_arm(X), model.predict_by_arm(X))
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1.0)
    assert not hasattr(clone(model), "outcome_")
    with pytest.raises(AttributeError, match="no attribute 'nothing_'"):
        clone(model).nothing_  # noqa: B018


@pytest.mark.slow
def test_splits_on_a_known_column_are_resolved_exactly():
    X, y, score, _ = cohort(3400, 2, interaction=1.0)
    seen = ~np.isnan(y)
    trees = StackedClassifier().fit(X[seen], y[seen], score=score[seen]).additive().trees
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((300, int(trees.feature.max()) + 1))
    for column in range(matrix.shape[1]):
        for value in (
            -1.0,
            0.0,
            float(trees.threshold[trees.feature == column][0]) if column in trees.feature else 1.0,
        ):
            whole = matrix.copy()
            whole[:, column] = value
            resolved = trees.resolved(column, value)
            assert resolved.problem(matrix.shape[1] - 1) is None
            found = score_trees(resolved, np.delete(matrix, column, axis=1))
            np.testing.assert_array_equal(found, score_trees(trees, whole))
