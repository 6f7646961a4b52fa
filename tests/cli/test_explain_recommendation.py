"""`treatsel explain --recommendation`: one patient, the same numbers as in Python."""

import json

import pandas as pd
import pytest

import treatsel as ts
from treatsel.cli.main import main


def run(*arguments):
    return main(["explain", *map(str, arguments)])


def test_the_command_writes_what_python_says(trained, tmp_path, capsys):
    model, cohort = trained / "m.treatsel", trained / "cohort.csv"
    table = pd.read_csv(cohort, dtype={"patient_id": str})
    patient = table["patient_id"].iloc[2]
    out, told, plot = (tmp_path / name for name in ("why.csv", "why.json", "why.png"))
    arguments = [model, cohort, "--recommendation", "--patient", patient, "--fixed", "age", "gender"]
    assert run(*arguments, "--date", "2030-01-01", "--out", out, "--json", told, "--plot", plot) == 0
    assert "model_expired: 1 patient" in capsys.readouterr().err
    expected = ts.load_model(model).explain_recommendation(
        table.iloc[[2]], fixed=["age", "gender"], date="2030-01-01"
    )
    written = pd.read_csv(out)
    assert written["amount"].to_numpy() == pytest.approx(
        expected.to_frame()["amount"].to_numpy(), nan_ok=True
    )
    assert set(written["part"]) == {"attribution", "uncertainty", "change"}
    assert json.loads(told.read_text()) == expected.to_dict()
    assert plot.stat().st_size > 1000
    assert {"age", "gender"} <= set(written[written["note"] == "held fixed"]["name"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--recommendation"], "600 patients. Name one with --patient"),
        (["--recommendation", "--patient", "x"], "has that id"),
        (["--recommendation", "--scale", "logit"], "no other --scale"),
        (["--arm", "cbt", "--fixed", "age"], "options of --recommendation"),
    ],
)
def test_options_that_do_not_fit_are_refused(trained, capsys, arguments, message):
    assert run(trained / "m.treatsel", trained / "cohort.csv", *arguments) == 2
    assert message in capsys.readouterr().err
