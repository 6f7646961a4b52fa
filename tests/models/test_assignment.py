"""The assignment model against known assignment."""

import numpy as np
import pandas as pd

from treatsel.models import PROPENSITY_FLOOR, assignment_probabilities, balanced_folds


def cohort(n=3000, strength=1.0, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 2))
    chance = np.exp(strength * z[:, [0]] * np.array([-1.0, 0.0, 1.0]))
    chance /= chance.sum(axis=1, keepdims=True)
    arm = (chance.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    index = pd.Index([f"p{i}" for i in range(n)])
    received = pd.Series(np.array(["C", "A", "B"])[arm], index=index)
    return pd.DataFrame(z, columns=["x", "noise"], index=index), received, chance[:, [1, 2, 0]]


def estimate(X, received, **options):
    folds = balanced_folds(received, np.zeros(len(received)), random_state=0)
    return assignment_probabilities(X, received, folds, **options)


def test_known_probabilities_are_found():
    X, received, truth = cohort()
    table = estimate(X, received)
    assert list(table.columns) == ["A", "B", "C"]
    assert table.index.equals(X.index)
    np.testing.assert_allclose(table.sum(axis=1), 1)
    assert np.abs(table.to_numpy() - truth).mean() < 0.02


def test_in_a_trial_the_shares_are_found():
    X, received, _ = cohort(strength=0)
    assert (estimate(X, received) - 1 / 3).abs().mean(axis=None) < 0.03


def test_patients_are_predicted_by_a_model_that_never_saw_them():
    X, received, _ = cohort(300)
    folds = balanced_folds(received, np.zeros(300), random_state=0)
    table = assignment_probabilities(X, received, folds)
    rest, fold = folds[0]
    shuffled = received.copy()
    shuffled.iloc[fold] = received.iloc[fold].to_numpy()[::-1]
    again = assignment_probabilities(X, shuffled, folds)
    pd.testing.assert_frame_equal(table.iloc[fold], again.iloc[fold])
    assert not np.allclose(table.iloc[rest], again.iloc[rest])


def test_probabilities_keep_off_the_floor():
    X, received, _ = cohort(strength=6.0)
    table = estimate(X, received)
    assert table.to_numpy().min() >= PROPENSITY_FLOOR / (1 + 3 * PROPENSITY_FLOOR)
    np.testing.assert_allclose(table.sum(axis=1), 1)
    assert estimate(X, received, floor=0.1).to_numpy().min() >= 0.1 / 1.3


def test_one_arm_is_certain():
    X, received, _ = cohort(100)
    assert (estimate(X, received.mask(received != "A", "A")) == 1).all(axis=None)
