"""The test of whether the loss of outcomes depends on process columns."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.model_selection import KFold

import treatsel as ts
from treatsel.datasets import make_cohort
from treatsel.errors import InputError, TreatselWarning
from treatsel.models import loss_test

pytestmark = pytest.mark.one_version


def simulate(seed, by_dropout, n=400):
    """Return what `loss_test` needs; dropout depends on a covariate, and loss on both."""
    rng = np.random.default_rng(seed)
    covariates = pd.DataFrame(rng.standard_normal((n, 2)), columns=["a", "b"])
    received = pd.Series(rng.choice(["CBT", "SSRI"], n))
    dropout = (rng.random(n) < expit(covariates["a"] - 0.5)).astype(float)
    observed = rng.random(n) < expit(0.8 + 0.7 * covariates["a"] - by_dropout * dropout)
    process = pd.DataFrame({"dropout": dropout, "reason": rng.choice(["moved", "better", None], n)})
    folds = list(KFold(4).split(covariates))
    return covariates, received, observed.to_numpy(), process, folds


@pytest.mark.slow
def test_the_test_keeps_its_level_and_finds_a_planted_dependence():
    null = np.array([loss_test(*simulate(seed, 0.0)).p_value for seed in range(100)])
    assert 0 <= (null < 0.05).mean() <= 0.12  # three standard errors above .05
    assert 0.35 < null.mean() < 0.65
    found = loss_test(*simulate(0, 2.0))
    assert (found.columns, found.df, found.p_value < 1e-6) == (("dropout", "reason"), 3, True)


def test_columns_that_determine_the_loss_give_a_finite_statistic():
    covariates, received, observed, process, folds = simulate(1, 0.0)
    process = process.assign(measured=observed.astype(float))
    found = loss_test(covariates, received, observed, process, folds)
    assert np.isfinite(found.statistic)
    assert found.p_value < 1e-20


def test_what_the_test_refuses():
    covariates, received, observed, process, folds = simulate(2, 0.0)
    with pytest.raises(InputError, match="Every outcome was observed: there is no loss to test"):
        loss_test(covariates, received, np.ones(len(observed)), process, folds)
    with pytest.raises(InputError, match="process"):
        loss_test(covariates, received, observed, process.head(10), folds)


@pytest.mark.parametrize("missing", [None, "covariates"])
def test_a_selector_says_that_outcomes_are_loss_depends_on_process(missing):
    cohort = make_cohort(600, random_state=0).cohort
    options = {"estimator": "hierarchical", "random_state": 0, "missing": missing}
    with pytest.warns(TreatselWarning) as caught:
        selector = ts.TreatmentSelector(**options).fit(cohort)
    assert any("hardly missing at random given arm and covariates alone" in str(w.message) for w in caught)
    # dropout itself is always observed
    (found,) = [check for check in selector.data_checks_ if check.code == "loss_depends_on_process"]
    assert "depends on 'sessions_attended', 'dropout'" in found.message
    assert "p < 0.001" in found.message
    assert ("leave missing" in found.message) == (missing == "covariates")
