"""Monitoring: no alarm if nothing has changed, and the right alarm if something has."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats
from sklearn.linear_model import LogisticRegression
from tests.conftest import LASSO

import treatsel as ts
from treatsel._stats.multiplicity import holm
from treatsel.datasets import make_cohort
from treatsel.errors import CohortError, InputError
from treatsel.models import PooledClassifier
from treatsel.monitoring import AlarmThresholds, monitor, sequential_calibration_test
from treatsel.monitoring._baseline import baseline_of
from treatsel.monitoring._covariate_drift import CATEGORIES, MEAN, MISSING, OUTSIDE, SPREAD
from treatsel.monitoring._finding import Finding, with_alarms
from treatsel.monitoring._sequential_test import _capital

N = 600  # development patients; as many are recent


@pytest.fixture(scope="module")
def simulated():
    return make_cohort(2 * N, missing=0.05, random_state=4)


@pytest.fixture(scope="module")
def selector(simulated, tmp_path_factory):
    """Loaded from a file, so that only what it stores is used."""
    X, y = simulated.cohort.X[:N], simulated.cohort.y["dropout"][:N]
    plain = PooledClassifier(LogisticRegression(C=0.2, solver="liblinear", **LASSO))  # quick: no draws
    model = ts.TreatmentSelector(event_is_good=False, estimator=plain, random_state=0)
    path = tmp_path_factory.mktemp("model") / "m.treatsel"
    ts.save_model(model.fit(X, y), path, intended_use="Tests.")
    return ts.load_model(path)


@pytest.fixture
def X(simulated):  # noqa: N802
    return simulated.cohort.X[N:].copy()


@pytest.fixture
def y(simulated):
    return simulated.cohort.y["dropout"][N:].copy()


@pytest.fixture(scope="module")
def quiet(selector, simulated):
    return monitor(selector, simulated.cohort.X[N:], simulated.cohort.y["dropout"][N:])


def alarms(report):
    return set(report.alarms["name"]), set(report.alarms["section"])


# --- nothing has changed


def test_fresh_patients_of_the_same_kind_give_no_alarm(quiet):
    assert not len(quiet.alarms)
    assert quiet.headline.startswith("No alarm")
    assert quiet.n_tests > 50
    assert {"covariates", "warnings", "predictions", "calibration", "sequential test"} == set(
        quiet.figures["section"]
    )


def test_development_patients_are_recognized(selector, simulated):
    report = monitor(selector, simulated.cohort.X[:N])
    assert any("development cohort of the model itself" in caution for caution in report.cautions)
    drifts = report.figures[report.figures["measure"] == MEAN]["value"]
    assert drifts.abs().max() < 1e-9


def test_report_explains_its_false_alarm_rate(quiet):
    assert "at most 5 % of such reports" in quiet.false_alarm_guarantee
    assert quiet.sequential_test.threshold == pytest.approx(3 / 0.05)


# --- what the file stores


def test_stored_summary_is_that_of_the_development_cohort(selector, simulated):
    frame = simulated.cohort.X[:N]
    for known in baseline_of(selector):
        column = frame[known.name].dropna()
        assert known.n == N
        assert known.n_known_min <= len(column) <= known.n_known_max
        if known.kind == "category":
            assert known.proportions == pytest.approx(
                column.value_counts(normalize=True).reindex(list(known.levels)).to_numpy()
            )
        else:
            assert (known.mean, known.sd) == pytest.approx((column.mean(), column.std(ddof=0)))


def test_number_of_known_values_follows_from_whole_means(selector, simulated):
    exact = [known for known in baseline_of(selector) if known.n_known_min == known.n_known_max]
    counts = {known.name: known.n_known_min for known in exact}
    assert counts["wsas_start"] == simulated.cohort.X["wsas_start"][:N].notna().sum() < N
    assert len(exact) >= 13


# --- covariates drift


def test_one_drifting_number_alarms_alone(selector, X, y):
    X["age"] = (X["age"] + 0.4 * X["age"].std()).clip(upper=100).round()
    report = monitor(selector, X, y)
    assert alarms(report) == ({"age"}, {"covariates"})
    row = report.alarms.iloc[0]
    assert row["measure"] == MEAN
    assert row["lower"] < row["value"] < row["upper"]
    assert row["value"] == pytest.approx(0.4, abs=0.12)


def test_wider_spread_alarms_as_spread(selector, X):
    X["gad7_start"] = (13 + 1.5 * (X["gad7_start"] - X["gad7_start"].mean())).clip(0, 21).round()
    report = monitor(selector, X)
    assert "gad7_start" in set(report.alarms.loc[report.alarms["measure"] == SPREAD, "name"])
    assert alarms(report)[0] == {"gad7_start"}


def test_other_categories_alarm_alone(selector, X):
    X.iloc[:150, X.columns.get_loc("employment")] = "retired"
    report = monitor(selector, X)
    assert alarms(report)[0] == {"employment"}
    levels = report.levels.set_index(["column", "category"]).loc[("employment", "retired")]
    assert levels["now"] > levels["before"] + 0.1


def test_drifting_binary_alarms_alone(selector, X):
    X.iloc[:200, X.columns.get_loc("prior_treatment")] = 1.0
    assert alarms(monitor(selector, X))[0] == {"prior_treatment"}


def test_more_missing_alarms_as_missing(selector, X):
    X.iloc[::8, X.columns.get_loc("wsas_start")] = np.nan  # missing before, but less often
    X.iloc[::8, X.columns.get_loc("phq9_start")] = np.nan  # never missing before
    report = monitor(selector, X)
    assert alarms(report)[0] == {"wsas_start", "phq9_start"}
    assert set(report.alarms["measure"]) == {MISSING}


def test_column_without_any_value(selector, X, y):
    report = monitor(selector, X.assign(wsas_start=np.nan, employment=np.nan), y)
    assert {"wsas_start", "employment"} <= alarms(report)[0]
    assert {"wsas_start", "employment"} <= {what for what, why in report.not_estimable}


def test_another_unit_lies_outside_the_stored_range(selector, X):
    X.iloc[:60, X.columns.get_loc("chronicity_months")] *= 365
    report = monitor(selector, X)
    assert "chronicity_months" in set(report.alarms.loc[report.alarms["measure"] == OUTSIDE, "name"])


def test_faulty_values_alarm_by_code(selector, X):
    X = X.astype({"employment": object})
    X.iloc[:50, X.columns.get_loc("employment")] = "astronaut"
    report = monitor(selector, X)
    assert alarms(report)[0] == {"unseen_category"}
    row = report.figures.set_index("name").loc["out of scope"]
    assert row["value"] == pytest.approx(50 / N)


def test_equal_values_are_reported(selector, X):
    report = monitor(selector, X.assign(comorbidity_count=1.0))
    assert f"comorbidity_count: {SPREAD}" in {what for what, why in report.not_estimable}
    assert alarms(report)[0] == {"comorbidity_count"}


def test_other_reference_patients(selector, X, simulated):
    X["age"] += 10
    assert "age" in alarms(monitor(selector, X[300:]))[0]
    report = monitor(selector, X[300:], reference=X[:300])
    assert not len(report.alarms)
    assert "reference" in report.compared_with


# --- calibration


def test_more_outcomes_than_predicted_alarm_as_calibration(selector, X, y):
    report = monitor(selector, X, y.mask((y == 0) & (np.arange(N) % 4 == 0), 1.0))
    assert alarms(report)[1] == {"calibration", "sequential test"}
    assert "overall" in alarms(report)[0]
    assert report.sequential_test.direction == "more"
    assert report.sequential_test.alarm_at < N
    row = report.alarms[report.alarms["measure"] == "calibration in the large"].iloc[0]
    assert row["observed"] > row["expected"] + 0.05


def test_outcomes_in_order_of_time(selector, X, y):
    changed = y.mask((y == 0) & (np.arange(N) >= 300), 1.0)
    dates = pd.Series(pd.date_range("2025-01-01", periods=N), index=X.index)
    order = np.random.default_rng(0).permutation(N)
    shuffled = monitor(selector, X.iloc[order], changed.iloc[order], dates=dates.iloc[order])
    ordered = monitor(selector, X, changed)
    assert shuffled.sequential_test.alarm_at == ordered.sequential_test.alarm_at > 300
    assert not any("No dates" in caution for caution in shuffled.cautions)


def test_outcomes_not_known_yet_are_reported(selector, X, y):
    report = monitor(selector, X, y.mask(np.arange(N) >= 400))
    assert report.n_outcomes == 400
    assert any("200 of 600" in caution for caution in report.cautions)


def test_no_outcome_known(selector, X, y):
    report = monitor(selector, X, y * np.nan)
    assert report.sequential_test is None
    assert "calibration" not in set(report.figures["section"])
    assert "Calibration, overall" in {what for what, why in report.not_estimable}


def test_sites_make_tests_robust_to_clusters(selector, X, y):
    report = monitor(selector, X, y, clusters=np.arange(N) % 12)
    row = report.figures.query("section == 'calibration' and name == 'overall'").iloc[1]
    assert "12 clusters" in row["method"]
    assert row["p_value"] == pytest.approx(2 * stats.t.sf(abs(row["value"]) / _se(row, 11), 11))


def _se(row, df):
    return (row["upper"] - row["lower"]) / 2 / stats.t.ppf(0.975, df)


# --- few patients, and what a report must not disclose


def test_single_patient(selector, X, y):
    report = monitor(selector, X[:1], y[:1])
    assert not len(report.figures)
    assert report.headline.startswith("Nothing could be tested")
    text = json.dumps(report.to_dict()) + report.summary()
    assert "1 patient; a test needs 30" in text
    assert str(X["age"].iloc[0]) not in text


def test_small_counts_are_suppressed(selector, X):
    X.iloc[:3, X.columns.get_loc("phq9_start")] = np.nan
    figures = monitor(selector, X).figures.set_index(["name", "measure"])
    row = figures.loc[("phq9_start", MISSING)]
    assert np.isnan(row["value"])
    assert np.isnan(row["observed"])
    assert figures.loc[("phq9_start", MEAN), "n"] == 590  # not 597, which would disclose 3


def test_few_unknown_outcomes_are_not_counted(selector, X, y):
    report = monitor(selector, X[:40], y[:40].mask(np.arange(40) < 3))
    assert any("outcome of some of 40 patients" in caution for caution in report.cautions)


def test_a_small_baseline_count_does_not_follow_from_differences(selector, X, simulated):
    before, X = X[:300].copy(), X[300:].copy()
    before["wsas_start"] = before["wsas_start"].fillna(20.0)
    before.iloc[:3, before.columns.get_loc("wsas_start")] = np.nan
    before["living_alone"] = np.where(np.arange(300) < 2, 1.0, 0.0)
    X.iloc[:40, X.columns.get_loc("wsas_start")] = np.nan
    figures = monitor(selector, X, reference=before).figures.set_index(["name", "measure"])
    for key in (("wsas_start", MISSING), ("living_alone", MEAN)):
        row = figures.loc[key]
        assert np.isnan(row["expected"])
        assert row["alarm"]
    row = figures.loc[("wsas_start", MISSING)]
    assert (row["observed"] - row["value"]) * 300 == pytest.approx(4)  # the nearest of 1 to 4, not 3


@pytest.mark.parametrize("n_unknown", [3, 50])
def test_the_number_without_an_outcome_is_not_disclosed_if_small(selector, X, y, n_unknown):
    report = monitor(selector, X, y.mask(np.arange(N) < n_unknown))
    shown = {N - n_unknown} if n_unknown > 4 else {590}
    assert {report.n_outcomes, report.sequential_test.table["n"].iloc[-1]} == shown
    overall = report.figures.query("section in ('calibration', 'sequential test') and name == 'overall'")
    assert set(overall["n"]) == shown


def test_an_arm_of_three_does_not_follow_from_the_other_arms(selector, X, y):
    y = y.mask((X["arm"] == "ipt").to_numpy() & ((X["arm"] == "ipt").cumsum() > 3).to_numpy())
    rows = monitor(selector, X, y).figures.query("section == 'calibration'")
    sizes = rows[rows["name"] != "overall"].groupby("name")["n"].first()
    assert "ipt" not in sizes.index
    assert (sizes % 10 == 0).all()


def test_no_arithmetic_on_proportions_gives_a_small_count(selector, X):
    X.loc[X["employment"] == "student", "employment"] = "retired"
    X.iloc[:3, X.columns.get_loc("employment")] = "student"
    levels = monitor(selector, X).levels
    now = levels.loc[levels["column"] == "employment", "now"] * X["employment"].notna().sum()
    assert now.isna().sum() >= 2
    assert X["employment"].notna().sum() - now.sum() >= 10
    assert now.dropna().between(4.5, np.inf).where(now.dropna() > 0, True).all()


def test_sequential_table_never_steps_by_fewer_than_ten(quiet):
    steps = np.diff(quiet.sequential_test.table["n"], prepend=0)
    assert steps.min() >= 10
    assert quiet.sequential_test.table["n"].iloc[-1] == N


# --- the tests themselves


def test_holm_against_a_hand_worked_example():
    assert holm(np.array([0.01, 0.04, 0.03])) == pytest.approx([0.03, 0.06, 0.06])


def test_an_alarm_needs_both_chance_and_size():
    row = {"section": "covariates", "name": "a", "measure": "m", "value": 0.0, "n": 100, "method": ""}
    findings = [
        Finding(**row, p_value=1e-6, exceeds_threshold=True),
        Finding(**row, p_value=1e-6, exceeds_threshold=False),
        Finding(**row, p_value=0.5, exceeds_threshold=True),
        Finding(**row, exceeds_threshold=True),
    ]
    assert [finding.alarm for finding in with_alarms(findings, 0.05)] == [True, False, False, False]


def test_mean_agrees_with_welch(quiet, X, simulated):
    row = quiet.figures.set_index(["name", "measure"]).loc[("age", MEAN)]
    expected = stats.ttest_ind(X["age"], simulated.cohort.X["age"][:N], equal_var=False)
    assert row["p_value"] == pytest.approx(expected.pvalue, rel=1e-9)


def test_categories_agree_with_chi_square(quiet, X, simulated):
    row = quiet.figures.set_index(["name", "measure"]).loc[("employment", CATEGORIES)]
    table = [column["employment"].value_counts().sort_index() for column in (X, simulated.cohort.X[:N])]
    assert row["p_value"] == pytest.approx(stats.chi2_contingency(np.array(table)).pvalue, rel=1e-9)


def test_spread_keeps_its_rate_for_skewed_numbers(selector):
    from treatsel.monitoring._baseline import BaselineColumn
    from treatsel.monitoring._covariate_drift import _spread

    random, alarms = np.random.default_rng(0), 0
    for _ in range(400):
        before, now = random.gamma(2, size=800), random.gamma(2, size=400)
        known = BaselineColumn(
            name="x", kind="number", n=800, n_known_min=800, n_known_max=800, sd=before.std()
        )
        alarms += _spread(known, now, before.std(ddof=1), AlarmThresholds(), 0.95).p_value < 0.05
    assert alarms <= stats.binom.ppf(0.999, 400, 0.08)  # nominal .05; an F test would give .25


# --- the sequential test


def simulate(n_runs, n, shift, seed):
    random = np.random.default_rng(seed)
    p = special.expit(random.normal(-0.4, 1, size=(n_runs, n)))
    return (random.random((n_runs, n)) < np.clip(p + shift, 0, 1)).astype(float), p


@pytest.mark.parametrize("shift", [-0.02, 0.0, 0.02])
def test_false_alarms_of_the_sequential_test_stay_below_the_rate(shift):
    y, p = simulate(200, 1000, shift, seed=1)
    alarms = sum(
        sequential_calibration_test(*run, false_alarm_rate=0.1).alarm for run in zip(y, p, strict=True)
    )
    assert alarms <= stats.binom.ppf(0.999, 200, 0.1)


@pytest.mark.parametrize("shift", [-0.1, 0.1])
def test_ten_points_are_detected_within_a_few_hundred_patients(shift):
    y, p = simulate(40, 1500, shift, seed=2)
    found = [sequential_calibration_test(*run, false_alarm_rate=0.05 / 3) for run in zip(y, p, strict=True)]
    assert np.median([test.alarm_at for test in found if test.alarm]) < 600
    assert np.mean([test.alarm for test in found]) > 0.95
    assert {test.direction for test in found} == {"more" if shift > 0 else "fewer"}


def test_capital_of_a_bet_by_hand():
    test = sequential_calibration_test([1.0] * 10, [0.5] * 10, tolerance=0.0)
    odds = np.array([1.15, 1.3, 1.6, 2.2, 3.5])
    more = 0.5 + 0.5 * np.mean((odds / (0.5 + 0.5 * odds)) ** 10)
    fewer = 0.5 + 0.5 * np.mean((1 / (0.5 + 0.5 * odds)) ** 10)
    assert test.table["evidence"].iloc[0] == pytest.approx((more + fewer) / 2)


@pytest.mark.parametrize("error", [0.0, 0.02])
def test_expected_capital_is_at_most_one(error):
    """Over all outcomes of eight patients, with probabilities as wrong as the tolerance allows."""
    p = np.linspace(0.05, 0.95, 8)
    outcomes = (np.arange(2**8)[:, None] >> np.arange(8)) & 1
    chances = np.where(outcomes == 1, p + error, 1 - p - error).prod(axis=1)
    capital = np.array([_capital(y.astype(float), p, 0.02)[-1] for y in outcomes])
    assert chances.sum() == pytest.approx(1)
    assert 0.9 < chances @ capital <= 1 + 1e-12


def test_the_sequential_test_detects_a_change_after_a_long_time_without_one():
    y, p = simulate(1, 3000, 0.0, seed=3)
    late = np.where(np.arange(3000) >= 2000, 1.0, y[0])
    assert 2000 < sequential_calibration_test(late, p[0]).alarm_at < 2200


# --- output


def test_page_markdown_and_json(quiet, tmp_path):
    for name, write in (("a.html", quiet.to_html), ("a.md", quiet.to_markdown), ("a.json", quiet.to_json)):
        write(tmp_path / name)
        assert (tmp_path / name).stat().st_size > 1000
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["alarm"] is False
    assert len(content["figures"]) == len(quiet.to_frame())
    page = (tmp_path / "a.html").read_text()
    assert "NaN" not in page
    assert "Sequential monitoring of calibration" in page
    assert "<script" not in page


def test_plots_show_the_tables(quiet):
    rows = quiet.figures[quiet.figures["measure"].isin([MEAN, CATEGORIES])]
    assert len(quiet.plot().get_yticks()) == len(rows) == 15
    line = quiet.sequential_test.plot().lines[-1]
    assert 10 ** line.get_ydata() == pytest.approx(quiet.sequential_test.to_frame()["evidence"])


# --- bad input


def test_bad_input(selector, X, y):
    X, y = X[:40], y[:40]
    with pytest.raises(CohortError, match="'age' is missing"):
        monitor(selector, X.drop(columns="age"))
    with pytest.raises(InputError, match="neither 0 nor 1"):
        monitor(selector, X, y + 1)
    with pytest.raises(InputError, match="same patients as X in another order"):
        monitor(selector, X, y[::-1])
    with pytest.raises(InputError, match="no column 'arm'"):
        monitor(selector, X.drop(columns="arm"), y)
    with pytest.raises(InputError, match="arms unknown"):
        monitor(selector, X.assign(arm="hypnosis"), y)
    with pytest.raises(InputError, match="false_alarm_rate"):
        monitor(selector, X, false_alarm_rate=5)
    with pytest.raises(InputError, match="40 values not in the form of a date"):
        monitor(selector, X, y, dates=["soon"] * 40)
    with pytest.raises(InputError, match="outcome"):
        monitor(selector, X, y, outcome="height")
    with pytest.raises(InputError, match="standardized_difference is 2"):
        AlarmThresholds(standardized_difference=2.0)
    with pytest.raises(InputError, match="tolerance"):
        sequential_calibration_test([1.0], [0.5], tolerance=-1)
