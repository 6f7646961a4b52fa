"""Therapists: random effects nested in sites, and clusters."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

import treatsel as ts
from treatsel.datasets import make_cohort
from treatsel.errors import CohortError, InputError, TreatselWarning
from treatsel.models import HierarchicalClassifier, StackedClassifier
from treatsel.models._base import split_therapists
from treatsel.models._projection import averaged_over, normal_mean

pytestmark = pytest.mark.one_version


def simulate(seed, sd, n=1800, n_sites=8):
    """Return X and y of three arms, in which each therapist gives one."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.standard_normal((n, 3)), columns=list("abc"))
    arm, site = rng.integers(0, 3, n), rng.integers(0, n_sites, n)
    therapist = 3 * rng.integers(0, 6, n) + arm
    effect = sd * rng.standard_normal((n_sites, 18))[site, therapist]
    y = (rng.random(n) < expit(-0.3 + 0.6 * X["a"] + 0.2 * (arm == 1) + effect)).astype(float)
    X["arm"], X["site"] = np.array(list("ABC"))[arm], site
    X["therapist"] = [f"T{number}" for number in therapist]
    return X, y


def fitted(X, y, **options):
    return HierarchicalClassifier(groups="site", therapists="therapist", **options).fit(X, y)


@pytest.mark.parametrize("sd", [0.0, 0.6])
def test_a_planted_sd_of_therapists_is_found(sd):
    found = [fitted(*simulate(seed, sd)).prior_["therapist"] for seed in range(3)]
    assert np.mean(found) == pytest.approx(sd, abs=0.12 if sd else 0.2)


def test_probabilities_are_means_over_therapists():
    """The draws are shrunken towards 0 by what a mean over therapists does."""
    X, y = simulate(1, 0.9)
    model = fitted(X, y)
    mean = model.predict_draws(X.head(200), "average").mean(axis=0)
    np.testing.assert_allclose(mean, model.predict_by_arm(X.head(200), "average"), atol=0.012)
    logits, sd = np.linspace(-3, 3, 13), np.array(1.2)
    np.testing.assert_allclose(expit(logits * averaged_over(sd)), normal_mean(logits, sd**2), atol=0.01)


def test_predictions_do_not_depend_on_labels_order_or_column():
    X, y = simulate(2, 0.5)
    model = fitted(X, y)
    renamed = X.assign(therapist=X["therapist"].map(lambda label: f"new {label}"))
    by_arm = model.predict_by_arm(X)
    pd.testing.assert_frame_equal(fitted(renamed, y).predict_by_arm(X.drop(columns="therapist")), by_arm)
    order = np.random.default_rng(0).permutation(len(X))
    pd.testing.assert_frame_equal(fitted(X.iloc[order], y[order]).predict_by_arm(X), by_arm, atol=1e-7)


def test_labels_are_nested_in_sites_and_may_be_missing():
    X = pd.DataFrame({"x": range(6), "t": ["1", 1, 1.0, None, "2", np.nan]})
    sites = np.array([0, 0, 1, 0, 1, 1])
    rest, codes = split_therapists(X, "t", sites, None)
    assert list(rest.columns) == ["x"]
    assert codes.tolist() == [0, 0, 1, -1, 2, -1]
    assert split_therapists(X, "t", None, None)[1].tolist() == [0, 0, 0, -1, 1, -1]
    assert split_therapists(X.assign(t="only"), "t", sites, None)[1] is None  # no variance can be estimated


def test_patients_without_a_therapist_are_fitted_as_well():
    X, y = simulate(3, 0.5, n=900)
    some = X.assign(therapist=X["therapist"].where(X["arm"] != "C"))
    assert fitted(some, y).prior_["therapist"] > 0.2
    model = StackedClassifier(therapists="therapist").fit(some.drop(columns="site"), y)
    assert model.predict_by_arm(X).notna().all(axis=None)
    with pytest.raises(InputError, match="X has no column 'therapist', which was given as therapists"):
        fitted(X.drop(columns="therapist"), y)


def test_a_selector_reads_therapists_by_their_role(tmp_path):
    cohort = make_cohort(700, sites=6, random_state=0).cohort
    options = {"estimator": "hierarchical", "random_state": 0}
    with pytest.warns(TreatselWarning):
        selector = ts.TreatmentSelector(**options).fit(cohort)
    assert "therapist" in selector.models_["recovery"].prior_
    assert "therapist" not in cohort.X
    assert cohort.therapists.nunique() > 20
    # no label of a therapist is in a model file
    path = tmp_path / "model.treatsel"
    ts.save_model(selector, path, intended_use="test")
    content = path.read_bytes()
    assert not any(label.encode() in content for label in cohort.therapists.unique())
    with pytest.raises(CohortError, match="'therapist' looks like a therapist"):
        ts.TreatmentSelector(event_is_good=True).fit(
            cohort.X.assign(therapist=cohort.therapists.to_numpy()), cohort.frame["dropout"]
        )


@pytest.mark.slow
def test_intervals_of_arm_means_cover_with_few_sites_and_therapists():
    covered, errors = [], []
    for seed in range(12):
        simulated = make_cohort(1500, sites=6, missing=0.05, random_state=seed)
        with pytest.warns(TreatselWarning):
            selector = ts.TreatmentSelector(estimator="hierarchical", random_state=0).fit(simulated.cohort)
        means = selector.arm_means_
        truth = simulated.truth["recovery"].mean()[means.index]
        covered.append(truth.between(means["lower"], means["upper"]).mean())
        errors.append((means["value"] - truth).mean())
    assert np.mean(covered) >= 0.93
    assert abs(np.mean(errors)) < 0.02  # two standard errors over cohorts
