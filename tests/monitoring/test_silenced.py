"""A small count hides its number in a monitoring report, but never its alarm."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from tests.monitoring.test_monitoring import LASSO, LogisticRegression

import treatsel as ts
from treatsel.datasets import make_cohort
from treatsel.models import PooledClassifier
from treatsel.monitoring import AlarmThresholds, monitor
from treatsel.monitoring._calibration import GAP, LEVEL, calibration
from treatsel.monitoring._covariate_drift import MEAN, MISSING, OUTSIDE, proportion_tested
from treatsel.monitoring._finding import Finding, counts_for_test, with_alarms
from treatsel.monitoring._observed_outcomes import ObservedOutcomes

N = 600


@pytest.fixture(scope="module")
def simulated():
    return make_cohort(2 * N, missing=0.05, random_state=4)


@pytest.fixture(scope="module")
def selector(simulated):
    X, y = simulated.cohort.X[:N], simulated.cohort.y["dropout"][:N]
    plain = PooledClassifier(LogisticRegression(C=0.2, solver="liblinear", **LASSO))
    return ts.TreatmentSelector(event_is_good=False, estimator=plain, random_state=0).fit(X, y)


@pytest.fixture
def X(simulated):  # noqa: N802
    return simulated.cohort.X[N:].copy()


@pytest.mark.parametrize("kept", [0, 1, 2, 3, 4, 5])
def test_a_lost_covariate_gives_an_alarm_whatever_few_values_remain(selector, X, kept):
    X.iloc[kept:, X.columns.get_loc("wsas_start")] = np.nan
    report = monitor(selector, X)
    row = report.figures.set_index(["name", "measure"]).loc[("wsas_start", MISSING)]
    assert row["alarm"]
    assert report.headline.startswith("Alarm: wsas_start")
    assert np.isnan(row["observed"]) == (1 <= kept <= 4)


def test_an_alarm_discloses_no_small_count(selector, X):
    told = []
    for kept in (1, 2):
        changed = X.copy()
        changed.iloc[kept:, X.columns.get_loc("wsas_start")] = np.nan
        report = monitor(selector, changed)
        assert "wsas_start: proportion missing: suppressed (count below 5), but beyond" in report.summary()
        told.append([row for row in report.to_dict()["figures"] if row["section"] == "covariates"])
    assert json.dumps(told[0]) == json.dumps(told[1])


def test_invalid_values_in_all_patients_but_a_few_give_an_alarm(selector, X):
    X["gender"] = X["gender"].astype(object)
    X.iloc[3:, X.columns.get_loc("gender")] = "Female"
    figures = monitor(selector, X).figures.set_index("name")
    assert figures.loc["unseen_category", "alarm"]
    assert np.isnan(figures.loc["unseen_category", "observed"])


def test_an_answer_that_nearly_everyone_gives_now_gives_an_alarm(selector, X):
    X["living_alone"] = np.where(np.arange(N) < 2, 1.0, 0.0)
    row = monitor(selector, X).figures.set_index(["name", "measure"]).loc[("living_alone", MEAN)]
    assert row["alarm"]
    assert np.isnan(row[["value", "lower", "upper", "observed"]].astype(float)).all()


def test_fewer_missing_values_than_before_give_an_alarm(selector, X, simulated):
    before = simulated.cohort.X[:N].copy()
    before.iloc[:200, before.columns.get_loc("wsas_start")] = np.nan
    X["wsas_start"] = X["wsas_start"].fillna(20.0)
    X.iloc[:3, X.columns.get_loc("wsas_start")] = np.nan
    figures = monitor(selector, X, reference=before).figures.set_index(["name", "measure"])
    assert figures.loc[("wsas_start", MISSING), "alarm"]


@pytest.mark.parametrize(("k", "m", "tested"), [(1, 100, (1, 2)), (4, 100, (3, 4)), (97, 100, (97, 96))])
def test_a_small_count_is_tested_as_the_least_alarming_of_two(k, m, tested):
    assert counts_for_test(k, m) == tested
    found = proportion_tested("warnings", "c", OUTSIDE, k, m, most=0.01, level=0.95)
    assert found.p_value == pytest.approx(stats.binom.sf(min(tested) - 1, m, 0.01))
    assert counts_for_test(50, 100) == (50,)


def test_the_p_value_of_a_suppressed_figure_is_only_bounded():
    row = {"section": "covariates", "name": "a", "measure": "m", "value": np.nan, "n": 100}
    hidden = {**row, "method": "suppressed (count below 5)"}
    low, high = with_alarms(
        [Finding(**hidden, p_value=1e-9, exceeds_threshold=True), Finding(**hidden, p_value=0.4)], 0.05
    )
    assert (low.alarm, low.p_value, low.p_adjusted) == (True, 0.05, 0.05)
    assert (high.alarm, high.p_value) == (False, 1.0)


@pytest.mark.parametrize("n_events", [0, 3, 9])
def test_an_arm_whose_predicted_outcomes_do_not_occur_gives_an_alarm(n_events):
    n = 200
    p, y = np.full(2 * n, 0.4), np.tile([1.0, 1.0, 0.0, 0.0, 0.0], 2 * n // 5)
    y[:n] = np.arange(n) < n_events
    outcomes = ObservedOutcomes(
        y=y,
        p=p,
        received=np.repeat(np.array(["cbt", "ipt"], dtype=object), n),
        clusters=None,
        order=np.arange(2 * n),
        n_patients=2 * n,
        cautions=(),
    )
    found = calibration(outcomes, AlarmThresholds(), 0.95)
    rows = pd.DataFrame(with_alarms(found.findings, 0.05)).set_index(["name", "measure"])
    assert rows.loc[("cbt", LEVEL), "alarm"]
    assert not rows.loc[("ipt", LEVEL), "alarm"]
    shown = rows.loc[("cbt", GAP), "value"]
    assert np.isnan(shown) if n_events == 3 else shown == pytest.approx(n_events / n - 0.4)


def test_the_page_shows_an_arm_without_events(selector, X, simulated):
    y = simulated.cohort.y["dropout"][N:].where(X["arm"] != "cbt", 0.0)
    report = monitor(selector, X, y)
    assert "calibration (cbt)" in report.headline or "cbt" in report.headline
    assert "nan" not in report.summary().lower()
