"""A cohort with one modifier, one prognostic covariate and pure noise, and quick fits to such cohorts."""

import warnings

import numpy as np
import pandas as pd
import pytest

import treatsel as ts
from treatsel.models import HierarchicalClassifier

COVARIATES = ["modifier", "prognostic", "noise", "letter"]


def simulate(n, *, seed, n_arms=2, slope=0.0, rate=None):
    """Covariates with the arm, and remission; `slope`: of the modifier in arm A, minus that in arm B."""
    random = np.random.default_rng(seed)
    X = pd.DataFrame({name: random.normal(size=n) for name in COVARIATES[:3]})
    X["letter"] = random.choice(["a", "b", "c"], n)
    arm = random.integers(0, n_arms, n)
    X["arm"] = np.array(list("ABCDEF"))[arm]
    own = np.array([slope / 2, -slope / 2, *[0.0] * (n_arms - 2)])
    logit = 0.2 + 0.3 * (arm == 1) + 1.0 * X["prognostic"] + own[arm] * X["modifier"]
    y = pd.Series((random.random(n) < 1 / (1 + np.exp(-logit))).astype(int), name="remission", index=X.index)
    return X, y


def fit(X, y, estimator="hierarchical"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ts.TreatmentSelector(estimator=estimator, event_is_good=True, random_state=0).fit(X, y)


@pytest.fixture(scope="session")
def planted():
    """A selector for two arms, and its patients: the benefit of A rises with the modifier."""
    X, y = simulate(500, seed=1, slope=1.4)
    return fit(X, y), X


@pytest.fixture(scope="session")
def refit():
    """Fit another model to another cohort with the arms of `n_arms`, without cross-validation."""
    bases = {}

    def quickly(X, y, model=None):
        n_arms = X["arm"].nunique()
        if n_arms not in bases:
            bases[n_arms] = fit(*simulate(120 * n_arms, seed=0, n_arms=n_arms))
        model = HierarchicalClassifier() if model is None else model
        return bases[n_arms].with_models({"remission": model.fit(X, y)})

    return quickly
