"""Outcomes that were lost with dropout: measures are weighted where the cohort says who was lost."""

import numpy as np
import pytest

import treatsel as ts
from treatsel.codebook import Codebook
from treatsel.datasets import make_cohort
from treatsel.validation._task import ValidationTask

pytestmark = pytest.mark.one_version

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
    complete_cases = np.array([theirs["value"] for _, theirs in found])
    assert abs(weighted.mean() - 1) < 0.05
    assert (complete_cases > 1.04).all()
    assert complete_cases.mean() > 1.1
    covered = [ours["lower"] < 1 < ours["upper"] for ours, _ in found]
    assert sum(covered) >= 3
    assert all(WEIGHTED in ours["method"] for ours, _ in found)
    assert not any(WEIGHTED in theirs["method"] for _, theirs in found)


def test_the_caution_says_what_is_weighted_and_by_what():
    simulated = make_cohort(600, random_state=1, assignment="randomised")
    table = simulated.truth["recovery"]
    said = [str(c) for c in ts.validate(table, simulated.cohort, outcome="recovery").cautions]
    assert any("weight the other patients to represent them" in text for text in said)
    assert any("'sessions_attended', 'dropout' alone" in text for text in said)
    plain = ts.validate(table, without_process(simulated.cohort), outcome="recovery")
    assert any("who are left out" in str(c) for c in plain.cautions)


@pytest.mark.parametrize("name", ["recovery", "dropout"])
def test_weights_represent_all_patients(name):
    simulated = make_cohort(1500, random_state=2, assignment="randomised")
    task = ValidationTask.of(
        simulated.truth[name],
        simulated.cohort,
        outcome=name,
        comparator=None,
        event_is_good=None,
        level=0.95,
        random_state=0,
    )
    if name == "dropout":  # observed in all
        assert task.weight is None
        return
    assert task.weight.shape == (int(task.seen.sum()),)
    assert task.weight.mean() == pytest.approx(1)
    dropout = simulated.cohort.frame["dropout"]
    whole, complete_cases = dropout.mean(), dropout[task.seen].mean()
    weighted = np.average(dropout[task.seen], weights=task.weight)
    assert abs(weighted - whole) < 0.25 * abs(complete_cases - whole)
