"""No number of a validation report is one patient's, and none of a small group follows from the others."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest

from treatsel import Cohort, TreatmentSelector, validate
from treatsel._disclosure import is_telling, joined_groups, suppression
from treatsel.datasets import make_cohort
from treatsel.validation._small_groups import safe_shares, safe_thresholds

pytestmark = pytest.mark.one_version


@pytest.fixture(scope="module")
def development():
    cohort = make_cohort(1200, random_state=1).cohort
    first = cohort.take(np.arange(600))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        selector = TreatmentSelector(codebook=cohort.codebook, estimator="hierarchical", random_state=0)
        return selector.fit(first.X, first.frame["dropout"]), cohort.take(np.arange(600, 1200))


def numbers_in(content):
    if isinstance(content, dict):
        for value in content.values():
            yield from numbers_in(value)
    elif isinstance(content, list | tuple):
        for value in content:
            yield from numbers_in(value)
    elif isinstance(content, float):
        yield content


def report_of(selector, cohort, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = validate(selector, cohort, outcome="dropout", assignment="randomised")
    report.to_json(path / "r.json")
    report.to_html(path / "r.html")
    report.to_markdown(path / "r.md")
    return report, json.loads((path / "r.json").read_text())


@pytest.mark.parametrize("n", [40, 120, 600])
def test_no_number_is_a_patients_prediction(development, tmp_path, n):
    selector, cohort = development
    cohort = cohort.take(np.arange(n))
    _, content = report_of(selector, cohort, tmp_path)
    predictions = np.unique(selector.predict_by_arm(cohort.X, "dropout").to_numpy())
    found = np.array([number for number in numbers_in(content) if 0 < number < 1])
    assert np.abs(found[:, None] - predictions).min() > 1e-12
    for name in ("calibration groups", "calibration groups by arm"):
        groups = pd.DataFrame(content["tables"][name])
        assert groups["n"].min() >= 5
        assert groups["n_events"].between(1, groups["n"] - 1).all()
        assert groups["n"].sum() == content["about"]["n_observed"]


def test_ordinary_calibration_groups_stay_as_they_are(development, tmp_path):
    selector, cohort = development
    report, _ = report_of(selector, cohort, tmp_path)
    assert len(report.tables["calibration groups"]) == 10


def test_an_arm_of_one_patient_is_left_out(development, tmp_path):
    selector, cohort = development
    frame = cohort.frame.iloc[:300].copy()
    frame.loc[frame["arm"] == "psychodynamic", "arm"] = "cbt"
    frame.iloc[7, frame.columns.get_loc("arm")] = "psychodynamic"
    contents = []
    for outcome in (0.0, 1.0):
        frame.iloc[7, frame.columns.get_loc("dropout")] = outcome
        report, content = report_of(selector, Cohort(frame, cohort.codebook), tmp_path)
        assert content["about"]["n"] == 299
        assert any("left out" in caution and "psychodynamic" in caution for caution in report.cautions)
        contents.append(json.dumps(content))
    assert contents[0] == contents[1]  # nothing depends on this patient's outcome


@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_a_tiny_site_does_not_follow_by_subtraction(development, tmp_path, outcome):
    selector, cohort = development
    frame = cohort.frame.iloc[:400].copy()
    frame.iloc[7, frame.columns.get_loc("service")] = "Tiny clinic"
    frame.iloc[7, frame.columns.get_loc("dropout")] = outcome
    report, _ = report_of(selector, Cohort(frame, cohort.codebook), tmp_path)
    sites, base = report.tables["sites"].drop_duplicates("site"), report.figure("base rate")
    rest = base["n"] - sites["n"].sum()
    rest_events = base["n_events"] - sites["n_events"].sum()
    assert sites["n"].isna().sum() >= 2
    assert rest >= 10
    assert 0 < rest_events < rest
    hidden = report.tables["sites"]["n"].isna()
    assert report.tables["sites"].loc[hidden, ["value", "lower", "upper"]].isna().all(axis=None)
    assert "Tiny clinic" not in str(report.figures["group"].tolist())


def test_thresholds_separate_no_telling_groups():
    rng = np.random.default_rng(0)
    for n in (7, 40, 300):
        p, y = rng.beta(2, 3, n), rng.integers(0, 2, n).astype(float)
        kept = safe_thresholds(np.arange(1, 20) / 20, p, y)
        between = np.digitize(p, kept)
        for group in range(len(kept) + 1):
            assert not is_telling((between == group).sum(), y[between == group].sum())
    p = np.repeat(np.arange(20) / 20 + 0.01, 20)
    every = np.arange(1, 20) / 20
    np.testing.assert_array_equal(safe_thresholds(every, p, np.tile([0.0, 1.0], 200)), every)


def test_groups_are_merged_only_where_needed():
    assert joined_groups([10, 10], [3, 4]).tolist() == [0, 1]
    assert joined_groups([1, 1, 1, 1], [0, 1, 0, 1]).tolist() == [-1] * 4
    assert joined_groups([4, 4, 4], [0, 1, 4]).tolist() == [0, 0, 0]
    assert np.diff(safe_shares(40) * 40).min() >= 5
    assert len(safe_shares(600)) == 20


def test_sites_with_one_outcome_together_hide_another():
    hidden = suppression([8, 9, 60, 90], primary=[True, True, False, False], events=np.array([0, 0, 20, 30]))
    assert hidden.tolist() == [True, True, True, False]
