"""More covariates than can be fitted together: which are kept, and what is said."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from treatsel.models import HierarchicalClassifier
from treatsel.models.hierarchical import select_covariates
from treatsel.models.hierarchical._screening import MAX_TERMS

N, P = 500, 1500


@pytest.fixture(scope="module")
def wide():
    """Two covariates of 1,500 are prognostic; a third matters under arm B alone."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(N, P)), columns=[f"x{j}" for j in range(P)])
    arms = rng.integers(0, 2, N)
    logits = 1.2 * X["x7"] - 1.2 * X["x1400"] + 1.5 * X["x700"] * arms
    y = (rng.random(N) < expit(logits)).to_numpy(dtype=float)
    return X, arms, y


def test_few_covariates_are_all_kept_with_hinges(wide):
    X, arms, y = wide
    assert select_covariates(X.iloc[:, :20], arms, y, np.ones(N)) == (list(X.columns[:20]), True)


def test_hinges_are_given_up_before_covariates(wide):
    X, arms, y = wide
    limit = MAX_TERMS // 3 - 1
    assert select_covariates(X.iloc[:, :limit], arms, y, np.ones(N)) == (list(X.columns[:limit]), False)


@pytest.mark.parametrize("order", [1, -1])
def test_the_covariates_most_associated_within_an_arm_are_kept(wide, order):
    X, arms, y = wide
    names, hinges = select_covariates(X[X.columns[::order]], arms, y, np.ones(N))
    assert not hinges
    assert len(names) == MAX_TERMS // 3 - 1
    assert {"x7", "x1400", "x700"} <= set(names)
    forward, _ = select_covariates(X, arms, y, np.ones(N))
    assert set(names) == set(forward)


def test_a_category_is_kept_or_left_out_as_a_whole(wide):
    X, arms, y = wide
    letters = np.random.default_rng(1).choice(list("abcdef"), N)
    table = X.assign(useless=letters, telling=np.where(y == 1, "yes", letters))
    names, _ = select_covariates(table, arms, y, np.ones(N))
    assert "telling" in names


def test_a_wide_table_is_fitted_said_so_and_shrunk(wide):
    X, arms, y = wide
    table = X.assign(arm=np.array(["A", "B"])[arms])
    with pytest.warns(UserWarning, match="1,500 covariates are more .* uses the 399"):
        model = HierarchicalClassifier(arm="arm").fit(table, y)
    rng = np.random.default_rng(5)
    new = pd.DataFrame(rng.normal(size=(2000, P)), columns=X.columns).assign(arm="A")
    truth = expit(1.2 * new["x7"] - 1.2 * new["x1400"])
    predicted = model.predict_by_arm(new)["A"]
    loss = -(truth * np.log(predicted) + (1 - truth) * np.log(1 - predicted)).mean()
    rate = y[arms == 0].mean()
    base = -(truth * np.log(rate) + (1 - truth) * np.log(1 - rate)).mean()
    assert loss < base
    assert np.corrcoef(truth, predicted)[0, 1] > 0.25
