"""Outcomes that were lost with dropout: figures represent the patients who were lost, against known truth."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

import treatsel as ts
from treatsel._stats.by_arm_tables import cells_of
from treatsel.codebook import Codebook, Field
from treatsel.datasets import load_synthetic, make_cohort
from treatsel.metrics import FUNCTIONS, arm_means
from treatsel.validation import SECTIONS
from treatsel.validation._policies import policies_of
from treatsel.validation._task import ValidationTask

pytestmark = pytest.mark.one_version

STORED = Path(__file__).parent / "by_arm_of_3d015a7"
WEIGHTED = "weighted to represent the patients whose outcome was not observed"


def of_truth(cohort, seed):
    """Validate the true probabilities: any deviation from 1 is a fault of the validation."""
    simulated = make_cohort(2500, random_state=seed, assignment="randomised", shift=0.5)
    kept = simulated.cohort if cohort is None else cohort(simulated.cohort)
    return ts.validate(simulated.truth["recovery"], kept, outcome="recovery", random_state=0)


def without_process(cohort):
    """Return the cohort without what was observed after the start."""
    names = [f.name for f in cohort.codebook.fields if f.role == "process" or f.name == "dropout"]
    fields = [f for f in cohort.codebook.fields if f.name not in names]
    frame = cohort.frame.reset_index().drop(columns=names)
    return ts.Cohort(frame, Codebook(tuple(fields), cohort.codebook.missing_values))


def ratio(report):
    rows = report.figures[report.figures["measure"] == "observed / expected"]
    return rows[rows["group"] == "overall"].iloc[0]


@pytest.mark.slow
def test_the_truth_is_calibrated_although_dropouts_are_lost():
    found = [(ratio(of_truth(None, seed)), ratio(of_truth(without_process, seed))) for seed in range(4)]
    weighted = np.array([ours["value"] for ours, _ in found])
    by_covariates = np.array([theirs["value"] for _, theirs in found])
    assert abs(weighted.mean() - 1) < 0.05
    assert (by_covariates > 1.04).all()
    assert by_covariates.mean() > 1.1  # covariates alone do not say who dropped out
    covered = [ours["lower"] < 1 < ours["upper"] for ours, _ in found]
    assert sum(covered) >= 3
    assert all(WEIGHTED in each["method"] for pair in found for each in pair)


def task_of(table, cohort, **options):
    given = {"outcome": "recovery", "comparator": None, "event_is_good": None, "level": 0.95}
    return ValidationTask.of(table, cohort, random_state=0, **given | options)


@pytest.fixture(autouse=True)
def one_thread():
    """As in `validate`: the matrices are small, and threads only compete."""
    with threadpool_limits(limits=1, user_api="blas"):
        yield


def stored(name):
    """The shipped cohort, predictions that are too high, and observed / expected of the complete outcomes."""
    cohort = load_synthetic(name).cohort
    table = pd.read_csv(STORED / f"{name}.csv", index_col=0).loc[cohort.frame.index]
    complete, table = table.pop("complete"), table / 10_000
    own = cells_of("received", cohort.received.to_numpy(dtype=object), table)
    return cohort, table, complete.sum() / own.sum()


@pytest.mark.parametrize(
    ("name", "known"), [("external", 0.896), pytest.param("development", 0.912, marks=pytest.mark.slow)]
)
def test_predictions_that_are_too_high_are_found_although_outcomes_were_lost(name, known):
    cohort, table, truth = stored(name)
    assert truth == pytest.approx(known, abs=5e-4)
    task, ratio = task_of(table, cohort), FUNCTIONS["observed_expected"]
    weighted = ratio(task.observed, task.own, **task.weights())
    assert weighted.value == pytest.approx(truth, abs=0.02)
    assert weighted.upper < 1
    complete_cases = ratio(task.observed, task.own)
    assert complete_cases.value > 1
    assert complete_cases.lower > truth


@pytest.mark.slow
def test_values_of_policies_represent_everyone():
    simulated = make_cohort(6_000, random_state=4, assignment="randomised", sites=1)
    truth, options = simulated.truth["recovery"], {"comparator": "cbt"}
    task = task_of(truth, simulated.cohort, **options)
    policies = policies_of(task, "randomised")
    known = truth.mean()
    weighted = arm_means(policies.scores, **policies.options)["value"]
    complete_cases = arm_means(policies.scores)["value"]
    assert (weighted - known).mean() == pytest.approx(0, abs=0.02)  # SE .009
    assert (complete_cases - known).mean() > 0.03
    best = truth.max(axis=1).mean() - truth["cbt"].mean()
    assert policies.gain.value == pytest.approx(best, abs=0.04)  # SE .018


@pytest.fixture(scope="module")
def report():
    simulated = make_cohort(700, random_state=1, assignment="randomised")
    left = ("benefit", "updating", "sample size", "case mix")
    sections = [name for name in SECTIONS if name not in left]
    options = {"outcome": "recovery", "assignment": "randomised", "sections": sections}
    return ts.validate(simulated.truth["recovery"], simulated.cohort, **options)


def test_complete_cases_stand_beside_the_figures(report, tmp_path):
    table = report.tables["complete cases"].set_index("measure")
    for measure in ("observed / expected", "calibration slope", "within-arm AUC", "Brier score", "AUC"):
        assert table.loc[measure, "weighted_value"] == report.figure(measure)["value"]
        assert table.loc[measure, "value"] != table.loc[measure, "weighted_value"]
    assert table.loc["gain over the best single arm", "weighted_value"] == report.gain.value
    assert table.loc["base rate", "value"] > table.loc["base rate", "weighted_value"]
    report.to_html(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "Complete cases" in page
    assert "Delta-adjusted" in page


def test_gain_and_calibration_by_how_much_worse_the_lost_fared(report):
    table = report.tables["delta-adjusted"].set_index(["measure", "lost", "shift"])["value"]
    everyone = "all lost patients"
    ratio = table["observed / expected", everyone]
    assert (ratio.diff().dropna() < 0).all()
    weighted = report.figure("observed / expected")["value"]
    assert ratio[0.0] == pytest.approx(weighted, abs=0.03)
    assert table["gain", everyone, 0.0] == pytest.approx(report.gain.value, abs=0.05)
    told = report.figure(f"observed / expected, {everyone} worse by 1")
    assert told["value"] == ratio[1.0]
    assert set(report.tables["tipping shifts"]["lost"]) == set(table["gain"].index.get_level_values("lost"))


@pytest.mark.slow
def test_the_rate_of_a_bad_outcome_rises_where_the_lost_fared_worse():
    simulated = make_cohort(500, random_state=6, assignment="randomised")
    frame = simulated.cohort.frame.reset_index()
    frame["relapse"] = 1 - frame.pop("recovery")
    fields = [f for f in simulated.cohort.codebook.fields if f.name != "recovery"]
    bad = Field(name="relapse", type="integer", role="outcome", event_is_good=False)
    cohort = ts.Cohort(frame, Codebook((*fields, bad), simulated.cohort.codebook.missing_values))
    table = 1 - simulated.truth["recovery"]
    found = ts.validate(table, cohort, outcome="relapse", sections=["missing outcomes"])
    rows = found.tables["delta-adjusted"]
    ratio = rows[rows["measure"] == "observed / expected"].sort_values("shift")["value"]
    assert (ratio.diff().dropna() > 0).all()
    assert len(rows["shift"].unique()) == len(ratio)


def test_the_caution_says_what_is_weighted_and_by_what(report):
    said = [str(c) for c in report.cautions]
    assert any("weight the other patients to represent them" in text for text in said)
    assert any("'sessions_attended', 'dropout' alone" in text for text in said)
    assert any("observation depends on these process columns" in text for text in said)
    simulated = make_cohort(400, random_state=1, assignment="randomised")
    plain = ts.validate(
        simulated.truth["recovery"], without_process(simulated.cohort), outcome="recovery", sections=[]
    )
    assert "loss test" not in plain.tables
    assert any("arm and covariates alone" in str(c) for c in plain.cautions)
    assert any("names no process column" in str(c) for c in plain.cautions)


@pytest.mark.parametrize("name", ["recovery", "dropout"])
def test_weights_represent_all_patients(name):
    simulated = make_cohort(1500, random_state=2, assignment="randomised")
    task = task_of(simulated.truth[name], simulated.cohort, outcome=name)
    if name == "dropout":  # observed in all
        assert task.weight is None
        return
    assert task.weight.shape == (int(task.seen.sum()),)
    assert task.weight.mean() == pytest.approx(1)
    dropout = simulated.cohort.frame["dropout"]
    whole, complete_cases = dropout.mean(), dropout[task.seen].mean()
    weighted = np.average(dropout[task.seen], weights=task.weight)
    assert abs(weighted - whole) < 0.25 * abs(complete_cases - whole)
