"""Bootstrap of the whole procedure: invariances, known truths, and failed fits."""

import logging
from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from treatsel.errors import InputError
from treatsel.metrics import aipw_scores, brier_score, calibration_slope, roc_auc
from treatsel.models import ArmwiseClassifier, PooledClassifier
from treatsel.validation import studies
from treatsel.validation.studies._performance import Patients, doubly_robust, no_information

pytestmark = pytest.mark.one_version

MODEL = ArmwiseClassifier(LogisticRegression(C=1e12, solver="newton-cholesky", tol=1e-9))
RIDGE = PooledClassifier(LogisticRegression(C=0.1))
bootstrap_optimism = partial(studies.bootstrap_optimism, event_is_good=True)


def make(seed=0, n=150, n_noise=4):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 1 + n_noise)), columns=[f"x{j}" for j in range(1 + n_noise)])
    X["arm"] = rng.choice(["CBT", "SSRI"], n)
    y = (rng.random(n) < expit(X["x0"] + 0.3 * (X["arm"] == "CBT"))).astype(int).to_numpy()
    return X, y


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(1).integers(150, size=(12, 150))


def test_algorithm_is_that_of_harrell(rows):
    X, y = make()
    found = bootstrap_optimism(MODEL, X, y, resamples=rows)
    fitted = MODEL.fit(X, y)
    apparent = roc_auc(y, fitted.predict_proba(X)[:, 1]).value
    lost, slopes = [], []
    for drawn in rows:
        again = MODEL.fit(X.iloc[drawn].reset_index(drop=True), y[drawn])
        inside = roc_auc(y[drawn], again.predict_proba(X.iloc[drawn])[:, 1]).value
        outside = again.predict_proba(X)[:, 1]
        lost.append(inside - roc_auc(y, outside).value)
        slopes.append(calibration_slope(y, outside).value)
    row = found.table.loc["auc"]
    assert row["apparent"] == pytest.approx(apparent, abs=1e-12)
    assert row["optimism"] == pytest.approx(np.mean(lost), abs=1e-9)
    assert row["corrected"] == pytest.approx(apparent - np.mean(lost), abs=1e-9)
    assert found.table.loc["calibration_slope", "corrected"] == pytest.approx(np.mean(slopes), abs=1e-6)


def test_dot632plus_follows_its_formula(rows):
    X, y = make()
    table = bootstrap_optimism(MODEL, X, y, resamples=rows).table
    for name in ("auc", "brier_score"):
        apparent, outside = table.loc[name, ["apparent", "out_of_bag"]]
        p = MODEL.fit(X, y).predict_proba(X)[:, 1]
        gamma = 0.5 if name == "auc" else np.mean((y[:, None] - p[None, :]) ** 2)
        rate = (outside - apparent) / (gamma - apparent)
        weight = 0.632 / (1 - 0.368 * rate)
        expected = (1 - weight) * apparent + weight * outside
        assert table.loc[name, "corrected_632plus"] == pytest.approx(expected, abs=1e-9)
    gain = table.loc["gain"]
    assert gain["out_of_bag"] < gain["corrected_632plus"] < gain["apparent"]
    assert np.isnan(table.loc["calibration_slope", "corrected_632plus"])


def test_given_resamples_and_seeds_repeat_themselves(rows):
    X, y = make()
    a, b = (bootstrap_optimism(RIDGE, X, y, resamples=rows[:4]).table for _ in range(2))
    pd.testing.assert_frame_equal(a, b)
    c, d, e = (bootstrap_optimism(RIDGE, X, y, resamples=5, random_state=s).resamples for s in (0, 0, 1))
    pd.testing.assert_frame_equal(c, d)
    assert not np.allclose(c["test"], e["test"])


def test_parallel_gives_the_same(rows):
    X, y = make()
    one, two = (bootstrap_optimism(RIDGE, X, y, resamples=rows[:2], n_jobs=n).table for n in (1, 2))
    pd.testing.assert_frame_equal(one, two)


def test_index_of_the_patients_does_not_matter(rows):
    X, y = make()
    named = X.set_axis([f"p{i % 70}" for i in range(len(X))])  # some twice
    a = bootstrap_optimism(RIDGE, named, y, resamples=rows[:3]).table
    pd.testing.assert_frame_equal(a, bootstrap_optimism(RIDGE, X, y, resamples=rows[:3]).table)


def test_weights_count_as_rows():
    X, y = make()
    weights = np.random.default_rng(3).integers(0, 3, len(X))
    many = np.repeat(np.arange(len(X)), weights)
    once = bootstrap_optimism(MODEL, X, y, resamples=30, sample_weight=weights)
    repeated = bootstrap_optimism(MODEL, X.iloc[many].reset_index(drop=True), y[many], resamples=30)
    assert (once.n, once.n_events) == (repeated.n, repeated.n_events)
    close = {"rtol": 1e-6, "atol": 1e-9}
    np.testing.assert_allclose(once.table["apparent"], repeated.table["apparent"], **close)
    lost = [found.table.loc["auc", "optimism"] for found in (once, repeated)]
    assert lost[0] == pytest.approx(lost[1], abs=0.03)  # other resamples of the same


@pytest.mark.slow
def test_corrected_figures_are_those_of_new_patients():
    """Mean over cohorts: performance in many new patients, compared with apparent and corrected."""
    wide, y_wide = make(999, n=4000)
    rows = []
    for seed in range(8):
        X, y = make(seed)
        table = bootstrap_optimism(MODEL, X, y, resamples=10, random_state=seed).table
        p = MODEL.fit(X, y).predict_proba(wide)[:, 1]
        truth = {"auc": roc_auc(y_wide, p).value, "brier_score": brier_score(y_wide, p).value}
        truth["calibration_slope"] = calibration_slope(y_wide, p).value
        rows.append({m: table.loc[m, "corrected"] - truth[m] for m in truth} | {
            f"apparent {m}": table.loc[m, "apparent"] - truth[m] for m in truth
        })  # fmt: skip
    error = pd.DataFrame(rows).mean()
    for measure in ("auc", "brier_score", "calibration_slope"):
        assert abs(error[measure]) < 0.5 * abs(error[f"apparent {measure}"])


def test_location_shifted_intervals_lie_around_the_corrected_value():
    found = bootstrap_optimism(MODEL, *make(), resamples=20)
    row = found.table.loc["auc"]
    runs = found.resamples.query("measure == 'auc'")["bootstrap"]
    low, high = np.quantile(runs - runs.mean(), [0.025, 0.975])
    assert row["lower"] == pytest.approx(row["corrected"] + low)
    assert row["upper"] == pytest.approx(row["corrected"] + high)
    estimate = found.estimate("auc")
    assert (estimate.value, estimate.n) == (row["corrected"], 150)
    assert "location-shifted" in estimate.method
    assert np.isnan(found.estimate("calibration_slope").lower)


def test_two_stage_intervals(monkeypatch):
    monkeypatch.setattr("treatsel.validation.studies._bootstrap_refits.INNER", 4)
    table = bootstrap_optimism(RIDGE, *make(), resamples=6, two_stage=6).table
    assert (table["method"].str.startswith("two-stage")).all()
    assert (table["lower"] < table["upper"]).all()
    assert table.loc["calibration_slope", ["lower", "upper"]].notna().all()


def test_whole_groups_are_resampled():
    X, y = make()
    sites = np.repeat(np.arange(15), 10)
    found = bootstrap_optimism(RIDGE, X, y, resamples=6, clusters=sites)
    assert found.n_failed == 0
    alone = bootstrap_optimism(RIDGE, X, y, resamples=6)
    assert not np.allclose(found.resamples["test"], alone.resamples["test"], equal_nan=True)


def test_gain_scores_are_the_doubly_robust_ones():
    X, y = make()
    table = RIDGE.fit(X, y).predict_by_arm(X)
    chances = pd.DataFrame({"CBT": 0.4, "SSRI": 0.6}, index=X.index)
    codes = table.columns.get_indexer(X["arm"])
    patients = Patients(X=X, y=y.astype(float), codes=codes, weight=None, propensity=chances)
    expected = aipw_scores(y, X["arm"], table, chances)
    np.testing.assert_allclose(doubly_robust(patients, table), expected, atol=1e-12)
    assert no_information(patients, table)["auc"] == 0.5


def test_resamples_that_cannot_be_fitted_are_counted():
    X, y = make(n=60)
    rare = X.assign(arm=np.where(np.arange(60) < 3, "CBT", "SSRI"))
    y = y.copy()
    y[:3] = [0, 1, 1]
    found = bootstrap_optimism(RIDGE, rare, y, resamples=20)
    assert 0 < found.n_failed < 20
    assert set(found.failures) <= {"an arm without patients", "InputError"}
    assert found.resamples["resample"].nunique() == 20 - found.n_failed
    assert np.isnan(found.table.loc["auc", "corrected"])
    assert "resamples give an estimate" in found.table.loc["auc", "method"]


def test_progress_is_logged(caplog):
    with caplog.at_level(logging.INFO, logger="treatsel.validation"):
        bootstrap_optimism(RIDGE, *make(), resamples=4)
    assert [record.getMessage() for record in caplog.records][-1] == "Optimism: 4 of 4 resamples"


def test_to_frame_and_plot():
    found = bootstrap_optimism(RIDGE, *make(), resamples=4)
    assert set(found.to_frame().index) == {text.get_text() for text in found.plot().get_yticklabels()}


def test_a_single_arm_has_no_gain():
    X, y = make()
    model = PooledClassifier(LogisticRegression(), arm=None)
    found = bootstrap_optimism(model, X.drop(columns="arm"), y, arm=None, resamples=4)
    assert np.isnan(found.table.loc["gain", "apparent"])
    assert np.isfinite(found.table.loc["auc", "corrected"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resamples": 1}, "n_resamples is 1"),
        ({"resamples": np.array([[0, 150]])}, "rows outside 0 to 149"),
        ({"resamples": np.array([0.5])}, "must be a number, or"),
        ({"arm": "treatment"}, "no arm column 'treatment'"),
        ({"level": 2}, "must lie between 0 and 1"),
        ({"clusters": np.zeros(150)}, "fewer than 2 clusters"),
        ({"propensity": pd.DataFrame({"CBT": np.full(150, 0.5)})}, "Give both a column for each arm"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        bootstrap_optimism(RIDGE, *make(), **options)


def test_the_gain_is_that_of_the_good_outcome_and_needs_a_direction(rows):
    X, y = make()
    as_good = bootstrap_optimism(MODEL, X, y, resamples=rows).table
    as_bad = bootstrap_optimism(MODEL, X, 1 - y, event_is_good=False, resamples=rows).table
    for measure in ("auc", "gain"):
        np.testing.assert_allclose(
            as_bad.loc[measure, ["apparent", "corrected"]].astype(float),
            as_good.loc[measure, ["apparent", "corrected"]].astype(float),
            atol=1e-8,
        )
    silent = studies.bootstrap_optimism(MODEL, X, y, resamples=rows).table
    assert np.isnan(silent.loc["gain", "corrected"])
    assert "direction of the outcome is not stated" in silent.loc["gain", "method"]
    assert silent.loc["auc", "corrected"] == as_good.loc["auc", "corrected"]
