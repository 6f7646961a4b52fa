import logging
import math
from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from treatsel.errors import InputError, TreatselWarning
from treatsel.metrics.calibration import calibration_slope
from treatsel.metrics.discrimination import roc_auc, within_arm_auc
from treatsel.metrics.policy import aipw_scores, gain_over_best_arm
from treatsel.models import ArmwiseClassifier, HierarchicalClassifier, PooledClassifier
from treatsel.selector import TreatmentSelector
from treatsel.validation import studies

pytestmark = pytest.mark.one_version

MODEL = ArmwiseClassifier(LogisticRegression())
GAIN = "gain over the best single arm"
internal_external_cv = partial(studies.internal_external_cv, event_is_good=True)


def simulate(n=600, n_sites=5, *, modifier=1.0, seed=0):
    """Arms a and b at sites 1, 2, ...; b helps where x > 0."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame({"x": rng.normal(size=n), "z": rng.normal(size=n)})
    X["arm"] = rng.choice(["a", "b"], n)
    X.index = [f"patient {i}" for i in range(n)]
    p = expit(X["z"] + modifier * X["x"] * (X["arm"] == "b"))
    y = pd.Series((rng.random(n) < p).astype(float), index=X.index)
    sites = pd.Series(rng.integers(1, n_sites + 1, n), index=X.index)
    return X, y, sites, pd.DataFrame(0.5, index=X.index, columns=["a", "b"])


def figure(found, measure, site):
    rows = found.figures
    return rows[(rows["measure"] == measure) & (rows["site"] == site)].iloc[0]


@pytest.fixture(scope="module")
def run():
    X, y, sites, chance = simulate()
    return internal_external_cv(MODEL, X, y, sites, propensity=chance), X, y, sites, chance


def test_predictions_come_from_the_other_sites(run):
    found, X, y, sites, _ = run
    for site in (1, 4):
        here = sites == site
        fitted = MODEL.fit(X[~here], y[~here])
        pd.testing.assert_frame_equal(found.predictions[here], fitted.predict_by_arm(X[here]))
    own = found.predictions.to_numpy()[np.arange(len(X)), (X["arm"] == "b").astype(int)]
    assert (found.predicted == own).all()


def test_figures_are_those_of_the_metrics(run):
    found, X, y, sites, chance = run
    here = sites == 2
    mine, p, arm = y[here], found.predicted[here], X["arm"][here]
    auc = roc_auc(mine, p, interval="logit")
    row = figure(found, "AUC", 2)
    assert (row["value"], row["lower"], row["se"], row["n"]) == (auc.value, auc.lower, auc.se, auc.n)
    assert figure(found, "within-arm AUC", 2)["value"] == within_arm_auc(mine, p, arm).value
    assert figure(found, "calibration slope", 2)["value"] == calibration_slope(mine, p).value
    table = found.predictions[here]
    scores = aipw_scores(mine, arm, table, chance[here])
    best = found.sites.set_index("site").loc[2, "comparator"]
    gain = gain_over_best_arm(scores, table.idxmax(axis=1), comparator=best)
    assert figure(found, GAIN, 2)["value"] == pytest.approx(gain.value)


def test_the_best_arm_is_not_selected_at_the_held_out_site(run):
    found, X, y, sites, _ = run
    for site, best in zip(found.sites["site"], found.sites["comparator"], strict=True):
        rest = sites != site
        assert best == y[rest].groupby(X["arm"][rest]).mean().idxmax()


def test_a_true_gain_is_found_and_pooled(run):
    found = run[0]
    gain = found.pooled[GAIN]
    assert gain.n_sites == 5
    assert 0 < gain.lower < gain.upper < 0.3
    assert found.pooled["AUC"].scale == "logit"
    assert found.pooled["calibration slope"].value == pytest.approx(1, abs=0.3)
    table = found.to_frame()
    assert list(table.loc[table["kind"] == "pooled", "measure"]) == list(found.pooled)
    assert table.loc[table["kind"] == "pooled", "n"].tolist() == [600] * 6
    assert table["site"].tolist()[:5] == [1, 2, 3, 4, 5]
    assert found.plot(measure=GAIN).get_xlabel().startswith("Gain over")


def test_the_number_of_jobs_changes_nothing():
    X, y, sites, chance = simulate(200, 3)
    one, two = (internal_external_cv(MODEL, X, y, sites, propensity=chance, n_jobs=n) for n in (1, 2))
    pd.testing.assert_frame_equal(one.to_frame(), two.to_frame())


def test_order_and_weights_change_nothing(run):
    _, X, y, sites, chance = run
    exact = ArmwiseClassifier(LogisticRegression(C=1e12, solver="newton-cholesky", tol=1e-10))
    weight = np.arange(len(X)) % 3
    again = np.random.default_rng(0).permutation(np.repeat(np.arange(len(X)), weight))
    one = internal_external_cv(exact, X, y, sites, propensity=chance, sample_weight=weight).to_frame()
    rows = [part.iloc[again].reset_index(drop=True) for part in (X, y, sites, chance)]
    other = internal_external_cv(exact, *rows[:3], propensity=rows[3]).to_frame()
    pd.testing.assert_frame_equal(one, other, atol=1e-6, rtol=1e-6)


def test_progress_is_logged(caplog):
    with caplog.at_level(logging.INFO, logger="treatsel"):
        internal_external_cv(MODEL, *simulate(200, 3)[:3])
    reported = [record.message for record in caplog.records if "Refitted" in record.message]
    assert len(reported) == 3
    assert reported[-1].endswith("3 of 3")


def test_a_site_without_events_is_shown_and_not_pooled():
    X, y, sites, chance = simulate()
    y[sites == 3] = 0
    found = internal_external_cv(MODEL, X, y, sites, propensity=chance)
    for measure in ("AUC", "within-arm AUC", "calibration in the large", "calibration slope"):
        row = figure(found, measure, 3)
        assert math.isnan(row["value"])
        assert not row["pooled"]
        assert "not estimable" in row["method"]
        assert (found.pooled[measure].n_sites, found.pooled[measure].n_left_out) == (4, 1)
    ratio = figure(found, "observed / expected", 3)
    assert (ratio["value"], ratio["pooled"]) == (0, False)
    labels = [text.get_text() for text in found.plot().get_yticklabels()]
    assert "3 (not estimable)" in labels
    labels = [text.get_text() for text in found.plot(measure="observed / expected").get_yticklabels()]
    assert "3 (not pooled)" in labels
    assert found.to_frame().query("kind == 'pooled' and measure == 'AUC'")["n"].item() == (sites != 3).sum()


def test_small_sites_are_named():
    X, y, sites, chance = simulate()
    sites[:] = np.where(np.arange(len(X)) < 12, 9, sites)
    found = internal_external_cv(MODEL, X, y, sites, propensity=chance, min_events=10)
    assert "at least 10 of each" in figure(found, "AUC", 9)["method"]
    assert found.pooled["observed / expected"].n_left_out == 1


def test_an_arm_given_at_one_site_only():
    X, y, sites, _ = simulate()
    here = (sites == 2) & (np.arange(len(X)) % 3 == 0)
    X.loc[here, "arm"] = "c"
    chance = pd.DataFrame(1 / 3, index=X.index, columns=list("abc"))
    found = internal_external_cv(MODEL, X, y, sites, propensity=chance)
    assert found.predictions.loc[sites == 2, "c"].isna().all()
    assert found.predictions.loc[sites != 2, "c"].notna().all()
    about = found.sites.set_index("site").loc[2]
    assert (about["n_unpredicted"], about["arms"]) == (here.sum(), ("a", "b", "c"))
    assert figure(found, "AUC", 2)["n"] == (sites == 2).sum() - here.sum()
    assert math.isfinite(figure(found, GAIN, 1)["value"])


def test_a_site_with_one_arm_has_no_gain():
    X, y, sites, chance = simulate()
    X.loc[sites == 1, "arm"] = "b"
    found = internal_external_cv(MODEL, X, y, sites, propensity=chance, comparator="a")
    assert "every patient received 'b'" in figure(found, GAIN, 1)["method"]
    assert found.pooled[GAIN].n_sites == 4
    without = internal_external_cv(MODEL, X, y, sites)
    assert "propensity" in figure(without, GAIN, 2)["method"]
    assert math.isnan(without.pooled[GAIN].value)


def test_a_best_arm_that_no_patient_received():
    X, y, sites, _ = simulate(900)
    X.loc[(np.arange(len(X)) % 3 == 0) & (sites != 1), "arm"] = "c"
    chance = pd.DataFrame(1 / 3, index=X.index, columns=list("abc"))
    found = internal_external_cv(MODEL, X, y, sites, propensity=chance, comparator="c")
    assert "received the best single arm, 'c'" in figure(found, GAIN, 1)["method"]
    assert figure(found, GAIN, 2)["pooled"]


def test_a_failed_refit_is_reported():
    X, y, sites, chance = simulate()
    events = (X["arm"] == "b") & (sites != 4)
    y[events] = 0  # without site 4, arm b has no events
    with pytest.warns(TreatselWarning, match="1 of 5 refits"):
        found = internal_external_cv(MODEL, X, y, sites, propensity=chance)
    assert "not fitted" in found.sites.set_index("site").loc[4, "note"]
    assert "held-out prediction" in figure(found, "AUC", 4)["method"]
    assert found.pooled["AUC"].n_sites == 4
    with pytest.raises(InputError, match="No refit succeeded"):
        internal_external_cv(MODEL, X, np.zeros(len(X)), sites)


def test_missing_outcomes_are_neither_fitted_nor_evaluated():
    X, y, sites, chance = simulate()
    lost = np.arange(len(X)) % 5 == 0
    seen = internal_external_cv(MODEL, X[~lost], y[~lost], sites[~lost], propensity=chance[~lost])
    y[lost] = np.nan
    found = internal_external_cv(MODEL, X, y, sites, propensity=chance)
    pd.testing.assert_frame_equal(found.to_frame(), seen.to_frame())
    assert found.sites["n_unobserved"].sum() == lost.sum()
    assert found.predicted.notna().all()


def test_bad_outcomes_reverse_the_rule():
    X, y, sites, chance = simulate()
    good = internal_external_cv(MODEL, X, y, sites, propensity=chance)
    bad = internal_external_cv(MODEL, X, 1 - y, sites, propensity=chance, event_is_good=False)
    assert bad.pooled[GAIN].value == pytest.approx(good.pooled[GAIN].value, abs=1e-4)
    assert bad.pooled["AUC"].value == pytest.approx(good.pooled["AUC"].value, abs=1e-4)


@pytest.mark.parametrize(
    "model",
    [
        PooledClassifier(LogisticRegression()),
        HierarchicalClassifier(groups="site"),
        GridSearchCV(ArmwiseClassifier(LogisticRegression()), {"estimator__C": [0.1, 1.0]}, cv=2),
    ],
    ids=lambda model: type(model).__name__,
)
def test_any_model_with_the_site_as_a_column(model):
    X, y, sites, chance = simulate(400, 3)
    found = internal_external_cv(model, X.assign(site=sites.astype(str)), y, "site", propensity=chance)
    assert found.predictions.notna().all().all()
    assert found.pooled["AUC"].n_sites == 3


def test_the_site_column_is_not_a_predictor():
    X, y, sites, _ = simulate(400, 3)
    by_name = internal_external_cv(MODEL, X.assign(site=sites), y, "site")
    pd.testing.assert_frame_equal(by_name.predictions, internal_external_cv(MODEL, X, y, sites).predictions)


def test_a_selector_keeps_its_default_arm_and_data_checks():
    X, y, sites, chance = simulate(240, 2)
    y[::7] = np.nan
    selector = TreatmentSelector(
        estimator=ArmwiseClassifier(LogisticRegression()), random_state=0, event_is_good=True
    )
    with pytest.warns(TreatselWarning, match="refits warned"):
        found = internal_external_cv(selector, X, y, sites, propensity=chance)
    assert (found.sites["note"] != "").any()
    assert set(found.sites["comparator"]) <= {"a", "b"}
    assert found.pooled["AUC"].n_sites == 2


class NoWeights(BaseEstimator):
    def __init__(self, arm="arm"):
        self.arm = arm

    def fit(self, X, y):
        return self

    def predict_by_arm(self, X):
        return pd.DataFrame(0.5, index=X.index, columns=["a", "b"])


def test_a_constant_model_has_no_gain():
    X, y, sites, chance = simulate()
    found = internal_external_cv(NoWeights(), X, y, sites, propensity=chance)
    assert figure(found, "AUC", 1)["value"] == 0.5
    assert (figure(found, GAIN, 1)["value"], found.pooled[GAIN].n_left_out) == (0, 5)


def test_bad_input():
    X, y, sites, chance = simulate(100, 3)
    with pytest.raises(InputError, match="needs 2"):
        internal_external_cv(MODEL, X, y, ["one"] * 100)
    with pytest.raises(InputError, match="arm column"):
        internal_external_cv(MODEL, X.drop(columns="arm"), y, sites)
    with pytest.raises(InputError, match="DataFrame"):
        internal_external_cv(MODEL, X.to_numpy(), y, sites)
    with pytest.raises(InputError, match="no column 'place'"):
        internal_external_cv(MODEL, X, y, "place")
    with pytest.raises(InputError, match="takes no sample_weight"):
        internal_external_cv(NoWeights(), X, y, sites, sample_weight=np.ones(100))
    with pytest.raises(InputError, match="unfitted model"):
        internal_external_cv(object(), X, y, sites)
    with pytest.raises(InputError, match="measure"):
        internal_external_cv(MODEL, X, y, sites, propensity=chance).plot(measure="auc")


def test_without_a_direction_there_is_no_gain():
    X, y, sites, chance = simulate()
    found = studies.internal_external_cv(MODEL, X, y, sites, propensity=chance)
    assert "direction of the outcome is not stated" in figure(found, GAIN, 1)["method"]
    assert (
        figure(found, "AUC", 1)["value"]
        == figure(internal_external_cv(MODEL, X, y, sites, propensity=chance), "AUC", 1)["value"]
    )


def test_each_period_is_predicted_from_all_earlier_ones():
    X, y, years, chance = simulate()
    years = years + 2018
    found = internal_external_cv(MODEL, X, y, years, by="period", propensity=chance)
    assert found.sites["site"].tolist() == [2020, 2021, 2022, 2023]
    assert found.predictions[years == 2019].isna().all(axis=None)
    fitted = MODEL.fit(X[years < 2021], y[years < 2021])
    here = years == 2021
    pd.testing.assert_frame_equal(found.predictions[here], fitted.predict_by_arm(X[here]))
    trend = found.trend().set_index("measure")
    assert trend["n_periods"].tolist()[0] == 4
    assert trend.loc["AUC", "lower"] < 0 < trend.loc["AUC", "upper"]
    with pytest.raises(InputError, match="no order"):
        internal_external_cv(MODEL, X, y, years).trend()


def test_a_drift_of_calibration_is_found():
    """The rate of the outcome rises by .4 logits a period, so that predictions are ever lower than it."""
    rng = np.random.default_rng(3)
    n, period = 4800, np.repeat(np.arange(6), 800)
    X = pd.DataFrame({"x": rng.normal(size=n), "arm": rng.choice(["a", "b"], n)})
    y = pd.Series((rng.random(n) < expit(X["x"] + 0.2 * period**1.5)).astype(float))
    found = internal_external_cv(MODEL, X, y, period, by="period")
    row = found.trend().set_index("measure").loc["calibration in the large"]
    assert row["lower"] > 0
    assert row["p_value"] < 0.05


def test_a_drift_is_that_of_a_weighted_regression_and_its_interval_covers():
    rng, covered = np.random.default_rng(4), []
    for number in range(400):
        k = 6
        se, true = rng.uniform(0.05, 0.2, k), 0.03 * np.arange(k)
        values = true + rng.normal(0, 0.05, k) + rng.normal(0, se)
        figures = pd.DataFrame({"measure": "calibration slope", "value": values, "se": se})
        row = studies._site_figures.drift_of(figures, "calibration slope", 0.95)
        covered.append(row["lower"] < 0.03 < row["upper"])
        if number == 0:
            exact = figures.assign(value=true)
            slope = studies._site_figures.drift_of(exact, "calibration slope", 0.95)["slope"]
            assert slope == pytest.approx(0.03)
    assert 0.95 - 3 * 0.011 < np.mean(covered) <= 1
