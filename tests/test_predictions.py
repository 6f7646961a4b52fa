"""Predictions: tables, JSON, warnings, audit record, plot."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from treatsel.errors import InputError
from treatsel.predictions import OUT_OF_SCOPE_CODES, WARNING_CODES, Predictions, digest

PATIENTS = pd.Index(["a", "b"], name="patient")


def table(values):
    return pd.DataFrame(values, index=PATIENTS, columns=["CBT", "SSRI"])


def make(codes=(), **options):
    values = {"remission": table([[0.5, 0.4], [0.3, 0.2]]), "dropout": table([[0.1, 0.2], [0.3, 0.4]])}
    rows = [{"patient": "b", "code": code, "column": "age"} for code in codes]
    content = {
        "tables": values,
        "lower": {name: t - 0.1 for name, t in values.items()},
        "upper": {name: t + 0.1 for name, t in values.items()},
        "level": 0.95,
        "warnings": pd.DataFrame(rows, columns=["patient", "code", "column"]),
        "audit": {"model_id": None, "library_version": "0"},
    }
    return Predictions.from_tables(**{**content, **options})


def test_the_long_table_has_one_row_per_patient_outcome_and_arm():
    frame = make().to_frame()
    scope = ["in_scope", "reason", "reason_column"]
    assert list(frame.columns) == ["patient", "outcome", "arm", "probability", "lower", "upper", *scope]
    assert frame.shape == (8, 9)
    row = frame.query("patient == 'b' and outcome == 'dropout' and arm == 'SSRI'").iloc[0]
    assert (row.probability, row.lower, row.upper) == pytest.approx((0.4, 0.3, 0.5))


def test_tables_are_found_by_outcome_and_are_copies():
    predictions = make()
    assert (predictions.outcomes, predictions.arms) == (("remission", "dropout"), ("CBT", "SSRI"))
    pd.testing.assert_frame_equal(predictions.by_arm(), predictions.by_arm("remission"))
    lower, upper = predictions.interval("dropout")
    np.testing.assert_allclose(upper - lower, 0.2)
    got = predictions.by_arm()
    got.loc["a", "CBT"] = 9.0
    assert predictions.by_arm().loc["a", "CBT"] == 0.5
    with pytest.raises(InputError, match="Did you mean 'dropout'"):
        predictions.by_arm("drop_out")


def test_json_is_valid_and_contains_no_nan():
    nowhere = {name: table([[np.nan] * 2] * 2) for name in ("remission", "dropout")}
    none = pd.DataFrame({"patient": ["a"], "code": ["no_interval"], "column": [np.nan]}, dtype="object")
    text = make(lower=nowhere, upper=nowhere, warnings=none).to_json()

    def refuse(constant):
        raise AssertionError(constant)

    content = json.loads(text, parse_constant=refuse)
    assert content["predictions"][0] == {
        "patient": "a",
        "outcome": "remission",
        "arm": "CBT",
        "probability": 0.5,
        "service": None,
        "lower": None,
        "upper": None,
        "in_scope": True,
        "scope_reasons": [],
    }
    assert content["warnings"] == [{"patient": "a", "code": "no_interval", "column": None}]
    assert content["level"] == 0.95


@pytest.mark.parametrize(
    "index",
    [
        pd.Index([3, 4]),
        pd.date_range("2024-03-31", periods=2, tz="Europe/London"),
        pd.MultiIndex.from_tuples([("s1", 1), ("s1", 2)]),
    ],
    ids=["integers", "times", "pairs"],
)
def test_any_index_can_be_written(index):
    values = {"remission": pd.DataFrame([[0.5, 0.4]] * 2, index=index, columns=["CBT", "SSRI"])}
    predictions = make(tables=values, lower=values, upper=values)
    assert len(json.loads(predictions.to_json())["predictions"]) == 4
    assert not predictions.out_of_scope.any()


@pytest.mark.parametrize("code", WARNING_CODES)
def test_codes_determine_whether_the_patient_is_out_of_scope(code):
    in_scope = (
        *("missing_covariate", "no_interval", "low_propensity", "unknown_key", "model_expired"),
        *("normalized_text", "safety_item", "safety_item_invalid", "safety_item_missing"),
        *("many_missing", "far_from_development"),
    )
    expected = code not in in_scope
    assert (code in OUT_OF_SCOPE_CODES) is expected
    assert make(codes=[code]).out_of_scope.to_dict() == {"a": False, "b": expected}


def test_the_docs_list_every_code():
    page = (Path(__file__).parents[1] / "docs" / "reference" / "warnings.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (yes|no) \|$", page, flags=re.MULTILINE)
    assert {code: words for code, words, _ in rows} == WARNING_CODES
    assert {code for code, _, out in rows if out == "yes"} == OUT_OF_SCOPE_CODES


def test_the_digest_depends_on_names_and_values_not_on_the_order_of_columns():
    frame = pd.DataFrame({"age": [31.0, np.nan], "job": ["x", None], "zero": [0.0, 1.0]})
    same = [
        frame[["zero", "job", "age"]],
        frame.set_axis([7, 8]),
        frame.assign(zero=[-0.0, 1.0]),
        frame.astype({"age": "Float64"}),
        frame.assign(zero=[0, 1]),
    ]
    assert {digest(other) for other in same} == {digest(frame)}
    different = [
        frame.assign(age=[32.0, np.nan]),
        frame.assign(job=["x", "None"]),
        frame.assign(age=["31.0", None]),
        frame.rename(columns={"age": "Age"}),
        frame[::-1],
        frame.head(1),
    ]
    assert len({digest(other) for other in [frame, *different]}) == 7


def test_plot_returns_axes():
    ax = make().plot(patient="b", outcome="dropout")
    assert ax.get_xlabel() == "Predicted probability of dropout"
    assert make().plot(ax=ax) is ax
    with pytest.raises(InputError, match="of this result has that id"):
        make().plot(patient="c")


def test_pyplot_is_never_imported():
    code = """
import sys, pandas as pd
import treatsel
from treatsel import recommend
from treatsel.predictions import Predictions
assert "matplotlib" not in sys.modules
t = pd.DataFrame({"CBT": [0.5], "SSRI": [0.4]})
w = pd.DataFrame({"patient": [], "code": [], "column": []})
Predictions.from_tables(tables={"r": t}, lower={"r": t}, upper={"r": t}, level=0.9, warnings=w).plot()
recommend(t, draws=[t.to_numpy()] * 3).plot()
assert "matplotlib" in sys.modules and "matplotlib.pyplot" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
