"""Delta-adjustment: patients whose outcome was lost fare worse by a stated amount."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from treatsel.errors import InputError
from treatsel.models import (
    ArmwiseClassifier,
    DeltaAdjustedClassifier,
    DropoutMixture,
    HierarchicalClassifier,
    PooledClassifier,
    StackedClassifier,
)

pytestmark = pytest.mark.one_version

ARMS = np.array(["A", "B", "C"])
SHIFT = -1.5


def cohort(n, seed, *, spared=None, sites=0, interaction=0.0):
    """Return X with dropout, y, and true probabilities, where the lost fare worse by 1.5 logits.

    Loss depends on covariates, arm and dropout, but never happens in the arm `spared`.
    """
    rng = np.random.default_rng([seed, 47])
    z = rng.standard_normal((n, 2))
    arm, rows = rng.integers(0, 3, n), np.arange(n)
    site = rng.integers(0, max(sites, 1), n)
    dropout_by_arm = expit(-0.6 + 0.5 * z[:, [0]] + np.array([0.4, 0.0, -0.4]))
    dropout = (rng.random(n) < dropout_by_arm[rows, arm]).astype(float)
    effects = np.random.default_rng(3).normal(0, 0.4, (max(sites, 1), 3))
    base = 0.3 + 0.7 * z[:, [0]] + z[:, [1]] * np.array([0.5, -0.5, 0.0]) + effects[site]
    base = base + interaction * np.sign(z[:, [0]] * z[:, [1]])

    def p_lost(d):
        found = expit(-1.0 + 1.5 * d - 0.4 * z[:, [1]] + np.array([0.5, 0.0, -0.5]))
        return np.where(spared == ARMS, 0.0, found)

    truth = np.zeros((n, 3))
    for d, p_d in ((0, 1 - dropout_by_arm), (1, dropout_by_arm)):
        at = base - 0.8 * d
        truth += p_d * ((1 - p_lost(d)) * expit(at) + p_lost(d) * expit(at + SHIFT))
    lost = rng.random(n) < p_lost(dropout[:, None])[rows, arm]
    y = (rng.random(n) < expit(base[rows, arm] - 0.8 * dropout + SHIFT * lost)).astype(float)
    y[lost] = np.nan
    X = pd.DataFrame(z, columns=["x0", "x1"]).assign(arm=ARMS[arm], dropout=dropout)
    return X.assign(site=site) if sites else X, y, pd.DataFrame(truth, columns=ARMS)


def exact(model, adjusted, X, service="known"):
    """Return the average over dropout and loss of the parts of an adjusted mixture."""
    chance = model.dropout_.predict_by_arm(X, service).to_numpy()
    total = 0.0
    for d, p_d in ((0.0, 1 - chance), (1.0, chance)):
        at = X.assign(dropout=d)
        p = model.outcome_.predict_by_arm(at, service).to_numpy()
        loss = adjusted.loss_.predict_by_arm(at, service).reindex(columns=ARMS).fillna(0.0).to_numpy()
        total = total + p_d * ((1 - loss) * p + loss * expit(logit(p) + adjusted.shift))
    return total


def test_a_planted_shift_is_accounted_for():
    with_shift, without = [], []
    for seed in range(6):
        X, y, _ = cohort(1500, seed)
        new, _, truth = cohort(4000, 100 + seed)
        model = DropoutMixture(HierarchicalClassifier()).fit(X, y)
        adjusted = DeltaAdjustedClassifier(model, shift=SHIFT).fit(X, np.isnan(y))
        with_shift.append((adjusted.predict_by_arm(new) - truth).to_numpy().mean())
        without.append((model.predict_by_arm(new) - truth).to_numpy().mean())
    se = np.std(with_shift, ddof=1) / np.sqrt(len(with_shift))
    assert abs(np.mean(with_shift)) < 2.5 * se
    assert se < 0.01
    assert np.mean(without) > 0.05


@pytest.mark.parametrize("service", ["known", "average", "new"])
def test_the_additive_form_is_the_average_at_every_service(service):
    X, y, _ = cohort(3000, 0, sites=12)
    model = DropoutMixture(HierarchicalClassifier(groups="site")).fit(X, y)
    adjusted = DeltaAdjustedClassifier(model, shift=SHIFT).fit(X, np.isnan(y))
    new = X.head(600)
    difference = adjusted.predict_by_arm(new, service).to_numpy() - exact(model, adjusted, new, service)
    assert np.abs(difference).mean() < 0.012
    assert abs(difference.mean()) < 0.004
    draws = adjusted.predict_draws(new, service)
    assert draws.shape == (1000, 600, 3)
    assert np.abs(draws.mean(axis=0) - adjusted.predict_by_arm(new, service)).to_numpy().mean() < 0.012


def test_trees_are_kept():
    X, y, _ = cohort(5000, 1, interaction=1.2)
    model = DropoutMixture(StackedClassifier()).fit(X, y)
    adjusted = DeltaAdjustedClassifier(model, shift=SHIFT).fit(X, np.isnan(y))
    difference = adjusted.predict_by_arm(X).to_numpy() - exact(model, adjusted, X)
    # a linear remainder cannot follow p (1 - p) where trees determine p; without trees it is below .012
    assert np.abs(difference).mean() < 0.025
    assert abs(difference.mean()) < 0.004
    # the trees do not split on the loss: they are those of the mixture
    assert adjusted.additive().trees.n_members == model.additive().trees.n_members


def test_the_uncertainty_is_that_of_the_model_and_of_the_loss():
    X, y, _ = cohort(900, 2)
    model = DropoutMixture(HierarchicalClassifier()).fit(X, y)
    adjusted = DeltaAdjustedClassifier(model, shift=SHIFT).fit(X, np.isnan(y))
    spread = [each.predict_draws(X.head(200)).std(axis=0).mean() for each in (model, adjusted)]
    assert 0.7 * spread[0] < spread[1] < 1.3 * spread[0]


def test_an_arm_without_loss_is_unchanged():
    X, y, _ = cohort(1500, 3, spared="B")
    X = X.drop(columns="dropout")
    seen = ~np.isnan(y)
    model = HierarchicalClassifier().fit(X[seen], y[seen])
    adjusted = DeltaAdjustedClassifier(model, shift=SHIFT).fit(X, ~seen)
    moved = adjusted.predict_by_arm(X) - model.predict_by_arm(X)
    assert moved["B"].abs().max() < 1e-5
    assert (moved[["A", "C"]].mean() < -0.05).all()
    assert list(adjusted.loss_.arms_) == ["A", "C"]


@pytest.mark.parametrize("learner", [ArmwiseClassifier, PooledClassifier], ids=["by arm", "pooled"])
def test_a_logistic_regression_can_be_adjusted(learner):
    X, y, _ = cohort(1500, 4)
    X, seen = X.drop(columns="dropout"), ~np.isnan(y)
    model = learner(LogisticRegression(C=0.5)).fit(X[seen], y[seen])
    adjusted = DeltaAdjustedClassifier(model, shift=SHIFT).fit(X, ~seen)
    p, loss = model.predict_by_arm(X).to_numpy(), adjusted.loss_.predict_by_arm(X).to_numpy()
    average = (1 - loss) * p + loss * expit(logit(p) + SHIFT)
    assert np.abs(adjusted.predict_by_arm(X).to_numpy() - average).mean() < 0.012


def test_it_is_an_estimator_of_scikit_learn():
    X, y, _ = cohort(600, 5)
    X, seen = X.drop(columns="dropout"), ~np.isnan(y)
    model = HierarchicalClassifier().fit(X[seen], y[seen])
    adjusted = DeltaAdjustedClassifier(model, shift=SHIFT).fit(X, ~seen)
    copied = pickle.loads(pickle.dumps(adjusted))
    pd.testing.assert_frame_equal(copied.predict_by_arm(X), adjusted.predict_by_arm(X))
    refitted = clone(adjusted).fit(X, ~seen)
    pd.testing.assert_frame_equal(refitted.predict_by_arm(X), adjusted.predict_by_arm(X))
    assert adjusted.levels_ == 2  # of the model
    assert adjusted.predict_proba(X).shape == (600, 2)
    with pytest.raises(AttributeError, match="DeltaAdjustedClassifier has no attribute 'nothing'"):
        _ = adjusted.nothing


def test_a_model_of_trees_alone_is_refused():
    lightgbm = pytest.importorskip("lightgbm")
    X, y, _ = cohort(600, 6)
    X, seen = X.drop(columns="dropout"), ~np.isnan(y)
    model = PooledClassifier(lightgbm.LGBMClassifier(n_estimators=5, verbose=-1)).fit(X[seen], y[seen])
    with pytest.raises(InputError, match="needs a model with linear terms; PooledClassifier has none"):
        DeltaAdjustedClassifier(model, shift=SHIFT).fit(X, ~seen)


def test_without_lost_outcomes_there_is_nothing_to_adjust():
    X, y, _ = cohort(600, 7)
    X, seen = X.drop(columns="dropout"), ~np.isnan(y)
    model = HierarchicalClassifier().fit(X[seen], y[seen])
    with pytest.raises(InputError, match="No outcome was lost"):
        DeltaAdjustedClassifier(model, shift=SHIFT).fit(X, np.zeros(600))
