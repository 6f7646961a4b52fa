"""Real trials through the command line: the data are stored outside the project."""

import json

import pandas as pd
import pytest
from benchmarks.real_trials.__main__ import DATA, HERE, TRIALS, run

from treatsel.cohort import Cohort

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not DATA.exists(), reason="the real trials do not lie beside the project"),
]

# Raw rates as published with the data: trial, outcome, arm, events, observed (or the rounded rate).
COUNTS = [
    ("thp_pakistan", "remission_6m", "thp_cbt", 321, 418),
    ("thp_pakistan", "remission_6m", "enhanced_usual_care", 189, 400),
    ("thp_pakistan", "remission_12m", "thp_cbt", 296, 407),
    ("thp_pakistan", "remission_12m", "enhanced_usual_care", 158, 384),
]
RATES = [
    ("actg175", "cd4_up20", "zdv", 0.444),
    ("actg175", "cd4_up20", "ddi", 0.569),
    ("actg175", "cd4_up20", "zdv_zal", 0.559),
    ("actg175", "cd4_up20", "zdv_ddi", 0.665),
    ("actg175", "event", "zdv", 0.340),
    ("actg175", "event", "ddi", 0.228),
    ("actg175", "event", "zdv_zal", 0.208),
    ("actg175", "event", "zdv_ddi", 0.197),
]


@pytest.fixture(scope="module")
def cohorts():
    return {name: Cohort.read_csv(DATA / f"{name}.csv", HERE / f"{name}.yaml") for name in TRIALS}


@pytest.mark.parametrize(("trial", "outcome", "arm", "events", "observed"), COUNTS)
def test_counts_are_those_published(cohorts, trial, outcome, arm, events, observed):
    y = cohorts[trial].frame.loc[cohorts[trial].received == arm, outcome]
    assert (y.sum(), y.notna().sum()) == (events, observed)


@pytest.mark.parametrize(("trial", "outcome", "arm", "rate"), RATES)
def test_rates_are_those_published(cohorts, trial, outcome, arm, rate):
    y = cohorts[trial].frame.loc[cohorts[trial].received == arm, outcome]
    assert y.mean() == pytest.approx(rate, abs=5e-4)


def test_rates_of_ist_are_those_published(cohorts):
    cohort = cohorts["ist"]
    y, arm = cohort.frame["alive_independent_6m"], cohort.received
    aspirin = ~arm.str.startswith("no_aspirin")
    heparin = ~arm.str.endswith("no_heparin")
    rates = [y[aspirin].mean(), y[~aspirin].mean(), y[heparin].mean(), y[~heparin].mean()]
    assert rates == pytest.approx([0.378, 0.365, 0.371, 0.371], abs=5e-4)
    assert int(y.isna().sum()) == 150
    by_country = y.groupby(cohort.frame["country"]).mean()
    assert cohort.frame["country"].nunique() == 36
    assert by_country.min() < 0.25


def test_nothing_measured_after_baseline_is_a_covariate(cohorts):
    manifest = json.loads((DATA / "manifest.json").read_text())
    for name, cohort in cohorts.items():
        assert set(cohort.codebook.covariates) == set(manifest[name]["covariates"])


@pytest.mark.parametrize("trial", ["thp_pakistan", "actg175"])
def test_the_complete_workflow_runs_on_held_out_sites(trial, tmp_path):
    result = run(trial, DATA, tmp_path)
    figures = result["figures"]
    assert 0.55 < figures["within-arm AUC"]["value"] < 0.85
    assert 0.6 < figures["calibration slope"]["value"] < 1.6
    assert figures["gain over the best single arm"]["upper"] >= 0  # never significantly worse
    assert sum(result["statuses"].values()) == 20
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert len(pd.read_csv(tmp_path / "explanation.csv")) > 0


def test_the_complete_workflow_runs_on_a_large_trial(tmp_path):
    result = run("ist", DATA, tmp_path, most=2500)
    figures = result["figures"]
    assert figures["within-arm AUC"]["lower"] > 0.7
    assert figures["gain over the best single arm"]["upper"] >= 0
