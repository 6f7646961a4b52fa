"""`treatsel monitor`: exit status, what it prints, and one line on bad input."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from tests.conftest import LASSO

import treatsel as ts
from treatsel.cli.main import main
from treatsel.datasets import make_cohort
from treatsel.models import PooledClassifier

N = 600


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, and a CSV of patients that it has not seen."""
    folder = tmp_path_factory.mktemp("work")
    cohort = make_cohort(2 * N, missing=0.05, random_state=4).cohort
    plain = PooledClassifier(LogisticRegression(C=0.2, solver="liblinear", **LASSO))  # quick: no draws
    model = ts.TreatmentSelector(event_is_good=False, estimator=plain, random_state=0)
    model.fit(cohort.X[:N], cohort.y["dropout"][:N])
    ts.save_model(model, folder / "m.treatsel", intended_use="Tests.")
    recent = cohort.frame[N:].assign(known_on=pd.date_range("2025-01-01", periods=N).astype(str))
    recent.to_csv(folder / "recent.csv")
    return folder


@pytest.fixture
def recent(folder):
    return pd.read_csv(folder / "recent.csv", dtype=str, keep_default_na=False)


def monitored(capsys, folder, table, *more):
    path = folder / "changed.csv"
    table.to_csv(path, index=False)
    capsys.readouterr()
    status = main(["monitor", str(folder / "m.treatsel"), str(path), *map(str, more)])
    return status, capsys.readouterr()


def test_no_change_gives_status_0(folder, capsys, recent):
    status, found = monitored(capsys, folder, recent, "--date", "known_on")
    assert status == 0
    assert found.err == ""
    assert found.out.startswith("**No alarm: ")
    assert "at most 5 % of such reports" in found.out
    assert "No dates" not in found.out


def test_an_alarm_gives_status_1_and_files(folder, capsys, recent, tmp_path):
    recent.loc[: N // 4, "employment"] = "retired"
    outputs = [str(tmp_path / name) for name in ("a.html", "a.json", "a.md")]
    more = ["--html", outputs[0], "--json", outputs[1], "--markdown", outputs[2]]
    status, found = monitored(capsys, folder, recent, *more, "--false-alarm-rate", "0.01")
    assert status == 1
    assert "- employment: different proportions of categories" in found.out
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["alarm"] is True
    assert content["false_alarm_rate"] == 0.01
    assert "<h2>Alarms</h2>" in (tmp_path / "a.html").read_text()
    assert (tmp_path / "a.md").read_text().startswith("# Monitoring: dropout")


def test_the_status_survives_a_closed_pipe(folder, recent):
    recent.loc[: N // 4, "employment"] = "retired"
    recent.to_csv(folder / "changed.csv", index=False)
    command = f"{sys.executable} -m treatsel.cli.main monitor {folder}/m.treatsel {folder}/changed.csv"
    done = subprocess.run(
        ["bash", "-c", f"{command} | exec true; exit ${{PIPESTATUS[0]}}"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_outcomes_not_known_yet(folder, capsys, recent):
    recent.loc[100:, "dropout"] = ""
    _, found = monitored(capsys, folder, recent)
    assert f"The outcome of {N - 100} of {N} patients" in found.out


def test_without_outcomes(folder, capsys, recent):
    status, found = monitored(capsys, folder, recent.drop(columns=["dropout", "arm"]))
    assert status == 0
    assert "Calibration was not assessed: no outcome is known." in found.out


def test_other_reference(folder, capsys, recent):
    recent = recent.drop(columns="dropout")
    recent["age"] = (recent["age"].astype(float) + 9).clip(upper=90).astype(str)
    assert monitored(capsys, folder, recent)[0] == 1
    old = folder / "reference.csv"
    recent[::2].to_csv(old, index=False)
    assert monitored(capsys, folder, recent[1::2], "--reference", old)[0] == 0


@pytest.mark.parametrize(
    ("change", "more", "message"),
    [
        ({"dropout": "maybe"}, [], "neither 0 nor 1|not an integer|that are not"),
        ({}, ["--outcome", "recovery"], "The model has no outcome 'recovery'"),
        ({}, ["--date", "yesterday"], "no column 'yesterday'"),
        ({"known_on": "soon"}, ["--date", "known_on"], "40 values not in the form of a date"),
        ({"arm": "hypnosis"}, [], "arms unknown"),
        ({}, ["--false-alarm-rate", "2"], "false_alarm_rate is 2.0"),
    ],
)
def test_bad_input_gives_status_2(folder, capsys, recent, change, more, message):
    status, found = monitored(capsys, folder, recent[:40].assign(**change), *more)
    assert status == 2
    assert found.out == ""
    assert found.err.count("\n") == 1
    assert any(part in found.err for part in message.split("|"))


def test_no_value_of_a_patient_is_printed(folder, capsys, recent):
    recent.loc[0, ["age", "chronicity_months"]] = ["83.125", "977.125"]
    _, found = monitored(capsys, folder, recent, "--json", folder / "a.json")
    text = found.out + (folder / "a.json").read_text()
    assert "83.125" not in text
    assert "977.125" not in text
    assert not np.isin(recent["patient_id"], text.split()).any()
