"""The numerical core beside numbers of R: see reference/hierarchical/compute.R."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from treatsel._stats.clustered_means import check_units, mean_of
from treatsel.additive import Encoding
from treatsel.models.hierarchical._curvature import Patients
from treatsel.models.hierarchical._evidence import Prior, find_mode
from treatsel.models.hierarchical._levels import Levels
from treatsel.models.hierarchical._variances import no_effects

FOLDER = Path(__file__).parents[1] / "reference" / "hierarchical"
FLAT = 1e4  # prior SD: as good as none


@pytest.fixture(scope="module")
def expected():
    lines = [line.split(",") for line in (FOLDER / "numbers.csv").read_text().splitlines()[1:]]
    return {name: np.array(values.split(), dtype=float) for name, values in lines}


@pytest.fixture(scope="module")
def table():
    return pd.read_csv(FOLDER / "patients.csv")


def patients_of(table, **options):
    covariates, n = table[["x", "z"]], len(table)
    encoding = Encoding.learn(covariates, np.ones(n), native_missing=False)
    y = options.pop("y", table["y"]).to_numpy(dtype=float)
    one_arm = {"arms": np.zeros(n, dtype=int), "n_arms": 1}
    return Patients(covariates, encoding, y=y, weights=np.ones(n), **one_arm, **options)


def mode_of(patients, **prior):
    terms = np.zeros((2, patients.n_terms))
    terms[0] = FLAT
    return find_mode(patients, no_effects(patients, terms * 0), Prior(terms, **prior), tol=1e-12)


def in_units(terms, table):
    """Return intercept and slopes per unit of the covariates instead of per SD."""
    covariates = table[["x", "z"]]
    slopes = terms[1:3] / covariates.std(ddof=0).to_numpy()
    return terms[0] - slopes @ covariates.mean().to_numpy(), slopes


def test_the_cumulative_logit_is_that_of_ordinal(table, expected):
    level, n = table["level"].to_numpy(), 5
    levels = Levels(level - 1, level, n, target=3)
    patients = patients_of(table, y=table["level"] > 3, levels=levels)
    mode = mode_of(patients)
    intercept, slopes = in_units(mode.state.terms[0], table)
    thresholds = levels.thresholds(mode.state.terms[0, 3:])[1:n]
    # 1e-4 of the patients are added to each level, to keep thresholds apart
    np.testing.assert_allclose(slopes, expected["ordinal.slopes"], atol=2e-4)
    np.testing.assert_allclose(-(intercept + thresholds), expected["ordinal.thresholds"], atol=2e-3)
    se = np.sqrt(mode.system.variance()) * mode.system.scale
    own = se[1:3] / table[["x", "z"]].std(ddof=0).to_numpy()
    np.testing.assert_allclose(own, expected["ordinal.se"][4:], rtol=1e-3)


def test_sites_and_therapists_are_those_of_lme4(table, expected):
    site, therapist = expected["glmer.sd"]
    codes = {name: table[name].to_numpy() - table[name].min() for name in ("site", "therapist")}
    codes["therapist"] = np.unique(codes["therapist"], return_inverse=True)[1]
    patients = patients_of(table, sites=codes["site"], therapists=codes["therapist"])
    mode = mode_of(patients, site=site, therapist=therapist)
    intercept, slopes = in_units(mode.state.terms[0], table)
    np.testing.assert_allclose([intercept, *slopes], expected["glmer.coefficients"], atol=1e-4)
    np.testing.assert_allclose(mode.state.sites[:, 0], expected["glmer.sites"], atol=1e-4)
    np.testing.assert_allclose(mode.state.therapists, expected["glmer.therapists"], atol=1e-4)
    se = np.sqrt(mode.system.variance()) * mode.system.scale
    own = se[1:3] / table[["x", "z"]].std(ddof=0).to_numpy()
    np.testing.assert_allclose(own, expected["glmer.se"][1:], rtol=1e-3)


def test_the_mean_over_few_clusters_is_that_of_clubsandwich(table, expected):
    y = table["y"].to_numpy(dtype=float)
    units = check_units(None, table["site"], 0.95, y=y)
    mean, (value, se, df) = mean_of(y, units), expected["clubSandwich.mean"]
    assert (mean.value, mean.se) == (pytest.approx(value), pytest.approx(se, abs=1e-7))
    assert f"cluster-robust (CR2), 8 clusters, t with {df:.1f} df" in mean.method
