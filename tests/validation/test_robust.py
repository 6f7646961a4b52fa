"""Unusual cohorts, unusual predictions and damaged files: a clear message, never an obscure failure."""

import copy
import json
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

import treatsel as ts
from treatsel._reporting import format as formats
from treatsel.cli.main import main
from treatsel.errors import InputError, TreatselWarning
from treatsel.metrics import spiegelhalter_z, weak_calibration_test
from treatsel.validation import ValidationReport, compare, validate


def cohort_of(n, seed=0, **columns):
    """Two arms with a qualitative interaction, and the true table."""
    rng = np.random.default_rng(seed)
    x, arm = rng.normal(size=n), np.where(np.arange(n) % 2 == 0, "CBT", "SSRI")
    table = pd.DataFrame({"CBT": expit(0.3 * x), "SSRI": expit(-0.5 * x)})
    own = np.where(arm == "CBT", table["CBT"], table["SSRI"])
    frame = pd.DataFrame({"x": x, "arm": arm, "remission": (rng.random(n) < own).astype(int)})
    return frame.assign(**columns), table


@pytest.fixture(scope="module")
def plain():
    frame, table = cohort_of(400)
    return ts.Cohort(frame), table


@pytest.fixture(scope="module")
def report(plain):
    return validate(plain[1], plain[0], comparator="SSRI", assignment="randomised")


# --- additional figures, compared with the functions


def test_tests_of_calibration_are_reported_with_their_p(plain, report):
    cohort, table = plain
    own = np.where(cohort.received == "CBT", table["CBT"], table["SSRI"])
    weak, z = weak_calibration_test(cohort.y, own).weak, spiegelhalter_z(cohort.y, own)
    rows = report.tables["calibration tests"].set_index("test")
    assert rows.loc["Spiegelhalter z", ["statistic", "p_value"]].tolist() == [z.value, z.p_value]
    first = rows.iloc[0]
    assert (first["statistic"], first["df"], first["p_value"]) == (weak.statistic, 2, weak.p_value)
    assert f"p = {weak.p_value:.3f}" in report.figures.set_index("measure").loc[rows.index[0], "method"]


def test_the_best_arm_is_reported_as_named_and_as_selected(plain, report):
    named = report.figure("gain over the best single arm, named in advance")
    picked = report.figure("gain over the best single arm, selected in these data")
    wide = report.figure("gain over the best single arm, selected in these data, selection-adjusted interval")
    assert named["value"] == report.gain.value
    assert named["method"].startswith("over SSRI; ")
    each = report.figures[report.figures["measure"] == "gain over one arm for all patients"]
    assert list(each["group"]) == ["CBT", "SSRI"]
    assert picked["value"] == each["value"].min()
    assert wide["lower"] <= picked["lower"]
    assert wide["upper"] > picked["upper"]
    unnamed = validate(plain[1], plain[0], assignment="randomised", sections=())
    assert np.isnan(unnamed.figure("gain over the best single arm, named in advance")["value"])
    assert unnamed.gain.value == picked["value"]


def test_one_pair_has_all_figures_of_matched_pairs(report):
    rows = report.figures[report.figures["group"] == "CBT v SSRI"].set_index("measure")
    wanted = ["benefit on the logit, intercept", "benefit on the logit, slope", "E-for-benefit, mean"]
    wanted += ["Brier score for benefit", "cross-entropy for benefit"]
    assert rows.loc[wanted, ["value", "lower", "upper"]].notna().all(axis=None)
    assert rows.loc["benefit on the logit, slope", "lower"] < 1
    assert "200 resamples, patients resampled and matched again" in rows.loc["E-for-benefit, mean", "method"]
    errors = report.tables["benefit errors"].set_index("distance")
    assert (errors["expected_under_calibration"] < errors["q95_under_calibration"]).all()
    assert errors.loc["eavg", "value"] == rows.loc["E-for-benefit, mean", "value"]


# --- odd cohorts


@pytest.mark.parametrize("n", [1, 2, 5, 12])
@pytest.mark.parametrize("assignment", ["estimated", "randomised"])
def test_very_few_patients_give_a_report_without_a_gain(tmp_path, n, assignment):
    frame, table = cohort_of(n, remission=np.arange(n) % 3 == 0)
    cohort = ts.Cohort(frame.astype({"remission": int}))
    if n <= 5:  # no arm has 5 patients
        with pytest.raises(InputError, match="would tell of single patients"):
            validate(table, cohort, assignment=assignment)
        return
    report = validate(table, cohort, assignment=assignment)
    assert np.isnan(report.gain.value)
    assert "cannot" in report.headline
    assert any(
        word in report.gain.method for word in ("too few patients", "in all patients", "received 'CBT'")
    )
    report.to_html(tmp_path / "a.html")
    report.to_json(tmp_path / "a.json")
    assert ValidationReport.from_json(tmp_path / "a.json").headline == report.headline


def test_a_cohort_with_one_arm_is_reported_without_policies(plain):
    cohort, table = plain
    one = ts.Cohort(cohort.frame[cohort.frame["arm"] == "CBT"], cohort.codebook)
    report = validate(table, one)
    assert "every patient with the outcome observed received 'CBT'" in report.headline
    assert report.figure("calibration slope")["lower"] < 1 < report.figure("calibration slope")["upper"]
    assert "received 'CBT'" in dict(report.not_estimable)["Benefit"]


def test_no_number_has_the_sign_of_zero():
    assert formats.points(-0.0004) == "0.0 points"
    assert formats.points(0.0004) == "0.0 points"
    assert formats.points(-0.0006) == "-0.1 points"
    assert formats.number(-0.001) == "0.00"
    assert formats.percent(-0.0001) == "0.0 %"


def test_the_headline_has_no_negative_zero(report):
    table = report.tables["headline"].copy()
    table.loc[table["figure"] == "gain over the best single arm", ["lower", "upper"]] = [-0.01, -1e-9]
    tables = report.tables | {"headline": table}
    headline = ValidationReport(**{**vars(report), "tables": tables}).headline
    assert "interval of the gain -1.0 to 0.0 percentage points" in headline
    tiny = report.gain.__class__(**report.gain.to_dict() | {"value": -1e-5, "lower": -0.01, "upper": -1e-9})
    old = {name: table for name, table in report.tables.items() if name != "headline"}  # of a file before it
    headline = ValidationReport(**{**vars(report), "gain": tiny, "tables": old}).headline
    assert ": 0.0 percentage points (95% interval -1.0 to 0.0)" in headline


# --- odd predictions


def test_certain_predictions_are_counted_once_and_no_metric_warns(plain):
    cohort, table = plain
    certain = table.copy()
    certain.iloc[:20, 0], certain.iloc[20:40, 1] = 1.0, 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("error", TreatselWarning)
        report = validate(certain, cohort, comparator="CBT", assignment="randomised")
    found = [caution for caution in report.cautions if "are 0 or 1" in caution]
    own = int((cohort.received[:20] == "CBT").sum() + (cohort.received[20:40] == "SSRI").sum())
    assert len(found) == 1
    assert found[0].startswith(f"{own} of 400 predictions for the received arm (40 of 800 over all arms)")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.astype(object).assign(CBT="high"), "Column 'CBT' of the by-arm table must hold numbers"),
        (
            lambda t: t.where(t.index.to_series() >= 7),
            "Column 'CBT' of the by-arm table holds 7 missing values",
        ),
        (lambda t: t.drop(columns="SSRI"), r"200 patients of arms unknown to this model: \['SSRI'\]"),
        (lambda t: t.set_axis(["SSRI", "SSRI"], axis=1), "columns of the by-arm table hold 1 duplicate"),
        (lambda t: t.set_axis([0] * len(t)), "hold 399 duplicates"),
    ],
)
def test_odd_tables_of_predictions_are_refused_with_a_message(plain, change, message):
    with pytest.raises(InputError, match=message):
        validate(change(plain[1]), plain[0], sections=())


def test_labels_with_the_same_text_must_be_one_arm(plain):
    cohort, table = plain
    frame = cohort.frame.replace({"arm": {"CBT": "0", "SSRI": "1"}})
    numbered = ts.Cohort(frame)
    by_number = validate(table.set_axis([0, 1], axis=1), numbered, assignment="randomised", sections=())
    by_text = validate(table.set_axis(["0", "1"], axis=1), numbered, assignment="randomised", sections=())
    pd.testing.assert_frame_equal(by_number.figures, by_text.figures)
    chances = pd.DataFrame(0.5, index=table.index, columns=[0, 1])
    known = validate(table.set_axis(["0", "1"], axis=1), numbered, assignment=chances, sections=())
    assert known.assignment == "known for each patient"
    with pytest.raises(InputError, match="as text, hold 1 duplicate"):
        validate(table.set_axis([0, 1], axis=1).assign(**{"1": 0.2}), numbered, sections=())


def test_an_arm_that_no_patient_received_is_named(plain):
    cohort, table = plain
    report = validate(table.assign(weight=0.99), cohort, assignment="randomised", sections=())
    assert any("(arms: ['weight'])" in caution for caution in report.cautions)


def test_patients_without_assignment_probabilities_are_counted(plain):
    cohort, table = plain
    with pytest.raises(InputError, match="lacks 10 of 400 patients"):
        validate(table, cohort, assignment=(table * 0 + 0.5).iloc[10:], sections=())


def test_the_naive_contrast_is_next_to_its_value_under_no_gain(report):
    naive, none = (
        report.figure(name) for name in ("concordant minus discordant (naive)", "expected under no gain")
    )
    assert naive["section"] == none["section"] == "naive"
    assert naive["value"] != none["value"]


# --- damaged files


def _put(path, value):
    def change(content):
        *way, last = path
        place = content
        for key in way:
            place = place[key]
        place[last] = value

    return change


def _drop(*path):
    def change(content):
        *way, last = path
        place = content
        for key in way:
            place = place[key]
        del place[last]

    return change


DAMAGES = {
    "no gain": _drop("gain"),
    "no value of the gain": _drop("gain", "value"),
    "gain in words": _put(["gain", "value"], "large"),
    "level in words": _put(["level"], "95%"),
    "level in percent": _put(["level"], 95),
    "direction in words": _put(["event_is_good"], "yes"),
    "no figures": _put(["figures"], {}),
    "a column is missing": _drop("figures", "lower"),
    "a column is shorter": lambda content: content["figures"]["value"].pop(),
    "a figure in words": _put(["figures", "value", 0], "0.4"),
    "a measure is a number": _put(["figures", "measure", 0], 3),
    "a column is a text": _put(["figures", "method"], "Wald"),
    "a figure twice": lambda content: [column.append(column[0]) for column in content["figures"].values()],
    "no base rate": lambda content: content["figures"].update(
        measure=[name.replace("base rate", "rate") for name in content["figures"]["measure"]]
    ),
    "no flow": _drop("tables", "flow"),
    "flow in words": _put(["tables", "flow"], "none"),
    "cautions in words": _put(["cautions"], "none"),
    "reasons in words": _put(["not_estimable"], ["none"]),
    "no arms": _drop("about", "arms"),
    "patients in words": _put(["about", "n"], "many"),
}


@pytest.mark.parametrize("change", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_report_is_refused_with_a_message(report, tmp_path, capsys, change):
    content = copy.deepcopy(json.loads(json.dumps(report.to_dict())))
    change(content)
    with pytest.raises(InputError, match="incomplete or damaged"):
        ValidationReport.from_dict(content)
    report.to_json(tmp_path / "a.json")
    (tmp_path / "b.json").write_text(json.dumps(content))
    assert main(["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[: len(text) // 2], "is not a JSON file, or it is truncated"),
        (lambda text: text.replace('"level": 0.95', '"level": NaN'), "holds NaN, which is not JSON"),
        (lambda text: "[" * 100_000, "is not a JSON file"),
        (lambda text: text.replace('"schema": 1', '"schema": 7'), "has schema 7"),
        (lambda text: text.replace('"schema": 1,', ""), "has schema None"),
        (lambda text: "[1, 2]", "not a validation report"),
        (lambda text: "", "is not a JSON file"),
    ],
)
def test_an_unreadable_file_is_refused_with_a_message(report, tmp_path, change, message):
    report.to_json(tmp_path / "a.json")
    text = (tmp_path / "a.json").read_text()
    assert change(text) != text
    (tmp_path / "b.json").write_text(change(text))
    with pytest.raises(InputError, match=message):
        ValidationReport.from_json(tmp_path / "b.json")


def test_gains_over_arms_selected_differently_are_not_subtracted(report):
    moved = report.figures.copy()
    rows = moved["measure"] == "gain over the best single arm, selected in these data"
    moved.loc[rows, "method"] = "over another; Wald"
    other = ValidationReport(**{**vars(report), "figures": moved})
    assert len(compare(report, other)) == len(report.figures) - 1
