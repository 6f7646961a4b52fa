"""Instability: known spreads, invariances, and what is shown of patients."""

import warnings
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from matplotlib import pyplot as plt
from scipy.special import expit
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier

from treatsel import Codebook, Cohort, TreatmentSelector
from treatsel.codebook import Field
from treatsel.datasets import make_cohort
from treatsel.errors import InputError
from treatsel.metrics import calibration_slope
from treatsel.models import PooledClassifier, StackedClassifier
from treatsel.validation import bootstrap_optimism, instability

RIDGE = PooledClassifier(LogisticRegression(C=0.1, solver="newton-cholesky", tol=1e-10))
CONSTANT = PooledClassifier(DummyClassifier(strategy="prior"))
ARMS = ["CBT", "IPT", "SSRI"]
BOOK = Codebook(
    (
        Field(name="id", role="id"),
        Field(name="ward", role="site"),
        Field(name="x0", type="number", role="covariate"),
        Field(name="x1", type="number", role="covariate"),
        Field(name="arm", type="string", role="arm"),
        Field(name="remission", type="integer", role="outcome", event_is_good=True),
    )
)
DROPPED = Codebook(tuple(field for field in BOOK.fields if field.name != "ward"))


def make(n=200, strength=1.0, seed=0, sites=None, lost=0.0):
    """Patients whose best arm depends on x0 (with `strength` 0: on nothing)."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(n, 2)), columns=["x0", "x1"])
    arm = rng.integers(3, size=n)
    logit = 0.5 * frame["x1"] + strength * np.array([-1, 0, 1])[arm] * frame["x0"]
    frame["remission"] = (rng.random(n) < expit(logit)).astype(float)
    frame.loc[rng.random(n) < lost, "remission"] = np.nan
    frame["arm"], frame["id"] = np.array(ARMS)[arm], [f"p{i}" for i in range(n)]
    if sites is None:
        return Cohort(frame, DROPPED)
    return Cohort(frame.assign(ward=[f"w{k}" for k in rng.integers(sites, size=n)]), BOOK)


def value(found, measure, group="overall"):
    return found.estimate(measure, group).value


@pytest.fixture(scope="module")
def cohort():
    return make()


@pytest.fixture(scope="module")
def found(cohort):
    return instability(RIDGE, cohort, n_boot=25)


def test_figures_are_those_of_the_refits(cohort, found):
    X, y = cohort.X, cohort.frame["remission"].to_numpy()
    original = clone(RIDGE).fit(X, y).predict_by_arm(X).to_numpy()
    received = cohort.received.map(ARMS.index).to_numpy()
    errors, agreement, slopes = [], [], []
    for counts in found.refits.counts:
        rows = np.repeat(np.arange(len(X)), counts)
        table = clone(RIDGE).fit(X.iloc[rows].reset_index(drop=True), y[rows]).predict_by_arm(X).to_numpy()
        errors.append(np.abs(table - original).mean())
        agreement.append((table.argmax(axis=1) == original.argmax(axis=1)).mean())
        slopes.append(calibration_slope(y, table[np.arange(len(y)), received]).value)
    for measure, values in (
        ("mape", errors),
        ("recommendation_agreement", agreement),
        ("calibration_slope", slopes),
    ):
        mine = (found.table["measure"] == measure) & (found.table["group"] == "overall")
        row = found.table[mine].iloc[0]
        assert row["value"] == pytest.approx(np.mean(values), abs=1e-5)
        limits = np.quantile(values, [0.025, 0.975])
        assert row[["lower", "upper"]].astype(float).tolist() == pytest.approx(limits, abs=1e-5)
        assert row["mc_error"] == pytest.approx(np.std(values, ddof=1) / 5, rel=1e-3)


def test_constant_model_has_the_error_of_a_proportion():
    cohort = make(n=400)
    found = instability(CONSTANT, cohort, n_boot=60)
    p = cohort.frame["remission"].mean()
    # mean absolute deviation of a normal variable with the standard error of a proportion
    expected = np.sqrt(2 / np.pi * p * (1 - p) / 400)
    row = found.table.iloc[0]
    assert abs(row["value"] - expected) < 4 * row["mc_error"] < 0.01
    assert (found.table.query("measure == 'recommendation_agreement'")[["value", "lower"]] == 1).all(
        axis=None
    )
    assert value(found, "gain") == pytest.approx(0, abs=1e-6)


def test_more_patients_and_stronger_truth_are_more_stable(found):
    large, null = (instability(RIDGE, each, n_boot=25) for each in (make(n=1600), make(strength=0.0)))
    assert value(large, "mape") < 0.65 * value(found, "mape")
    assert value(large, "recommendation_agreement") > value(found, "recommendation_agreement") + 0.05
    assert value(null, "recommendation_agreement") < value(found, "recommendation_agreement") - 0.1
    assert value(null, "gain_out_of_bag") < 0.03 < value(large, "gain_out_of_bag")
    # evaluated in patients to whom most of each refit was fitted
    assert value(null, "gain") > value(null, "gain_out_of_bag")


def test_same_seed_same_result_with_any_number_of_processes(cohort):
    with parallel_config(backend="threading"):  # processes start slowly, and draw and order as threads do
        one, two, other = (
            instability(RIDGE, cohort, n_boot=6, n_jobs=n_jobs, random_state=seed)
            for n_jobs, seed in ((1, 3), (2, 3), (1, 4))
        )
    pd.testing.assert_frame_equal(one.table, two.table)
    pd.testing.assert_frame_equal(one.curves, two.curves)
    assert not one.table["value"].equals(other.table["value"])


class Watched(StackedClassifier):
    """A stack that notes the rows and weights to which it was fitted."""

    seen: ClassVar[list] = []

    def fit(self, X, y, sample_weight=None):
        self.seen.append((X.index.is_unique, len(X), sample_weight.sum(), sample_weight.max()))
        raise InputError("noted")


def test_copies_of_a_patient_are_one_row_and_thus_in_one_fold(cohort):
    with pytest.raises(InputError, match="noted"):
        instability(Watched(), cohort, n_boot=2)
    procedure = TreatmentSelector(estimator=Watched()).procedure(cohort)
    counts = np.bincount(np.random.default_rng(0).integers(200, size=200), minlength=200)
    with pytest.raises(InputError, match="noted"):
        procedure.fit(counts)
    unique, n, total, most = Watched.seen[-1]
    assert unique
    assert n == (counts > 0).sum()
    assert total == 200
    assert most > 1


def test_a_search_over_a_model_without_weights_is_refused(cohort):
    search = GridSearchCV(PooledClassifier(KNeighborsClassifier()), {"interaction_scale": [1.0]}, cv=2)
    with pytest.raises(InputError, match="divide the copies"):
        instability(search, cohort, n_boot=2)
    alone = instability(PooledClassifier(KNeighborsClassifier(20)), cohort, n_boot=2)
    assert value(alone, "mape") > 0


def test_selector_is_refitted_as_it_is_served():
    cohort = make(n=150, lost=0.2)
    selector = TreatmentSelector(estimator=RIDGE, random_state=0)
    fitted = TreatmentSelector(estimator=RIDGE, random_state=0)
    with pytest.warns(UserWarning, match="not observed"):
        fitted.fit(cohort)
    found = instability(selector, cohort, n_boot=3)
    pd.testing.assert_frame_equal(found.refits.original, fitted.predict_by_arm(cohort.X), check_names=False)
    again = instability(fitted, cohort, n_boot=3)
    assert again.comparator == str(fitted.default_arm_)
    assert value(again, "mape") == value(found, "mape")
    with pytest.raises(InputError, match="on which it was developed"):
        instability(fitted, make(n=150, seed=9), n_boot=3)


def test_optimism_takes_the_refits(cohort, found):
    X, y = cohort.X, cohort.frame["remission"].to_numpy()
    rows = [np.repeat(np.arange(len(y)), counts) for counts in found.refits.counts]
    options = {"event_is_good": True}
    again = bootstrap_optimism(RIDGE, X, y, resamples=found.refits, **options)
    own = bootstrap_optimism(RIDGE, X, y, resamples=np.array(rows), **options)
    columns = ["apparent", "optimism", "corrected", "out_of_bag"]
    pd.testing.assert_frame_equal(again.table[columns], own.table[columns], atol=1e-5)
    with pytest.raises(InputError, match="refits for 200 patients"):
        bootstrap_optimism(RIDGE, X.head(150), y[:150], resamples=found.refits, **options)
    with pytest.raises(InputError, match="count each patient once"):
        bootstrap_optimism(RIDGE, X, y, resamples=found.refits, sample_weight=np.ones(200), **options)


def test_whole_sites_are_drawn_if_there_are_enough():
    many, few = (instability(RIDGE, make(sites=k), n_boot=3) for k in (14, 5))
    assert many.resampled == "whole sites"
    assert few.resampled == "patients"
    wards = make(sites=14).frame["ward"].to_numpy()
    for counts in many.refits.counts:
        spread = pd.Series(counts.astype(int)).groupby(wards).agg(np.ptp)
        assert (spread == 0).all()


def test_nothing_shown_is_of_one_patient(cohort, found):
    text = repr(found) + found._repr_html_() + found.to_frame().to_csv() + found.predictions.to_csv()
    assert not any(f"p{i}" in text.split(",") for i in range(200))
    assert found.predictions["n"].min() >= 10
    shown = found.table.query("measure == 'recommendation_agreement' and group != 'overall'")
    assert (shown["n"] >= 10).all()
    for kind in ("predictions", "recommendations", "calibration"):
        figure = found.plot(kind=kind).figure
        for ax in figure.axes:
            assert all(len(line.get_xdata()) <= 41 for line in ax.lines)
            assert all(len(each.get_offsets()) <= 3 for each in ax.collections)
        plt.close("all")
    with pytest.raises(InputError, match="kind"):
        found.plot(kind="patients")


def test_progress_is_told_and_failures_are_counted(cohort):
    calls = []
    instability(CONSTANT, cohort, n_boot=4, progress=lambda *call: calls.append(call))
    assert calls == [(k, 4) for k in range(1, 5)]
    frame = cohort.frame.reset_index()
    frame["arm"] = np.where(np.arange(200) < 2, "CBT", np.where(frame["arm"] == "CBT", "IPT", frame["arm"]))
    frame.loc[:1, "remission"] = [0.0, 1.0]
    with pytest.raises(InputError, match="could be fitted in"):
        instability(RIDGE, Cohort(frame, DROPPED), n_boot=20)


@pytest.mark.slow
@pytest.mark.parametrize("missing", [None, {"interim": ["phq9_w4", "phq9_w8"]}], ids=["mixture", "imputed"])
def test_default_models_of_lost_outcomes_are_refitted_as_they_are_served(missing):
    cohort = make_cohort(220, random_state=2, weekly_scores=True).cohort
    selector = TreatmentSelector(estimator="hierarchical", missing=missing, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        selector.fit(cohort, cohort.frame[["recovery"]])
    found = instability(selector, cohort, n_boot=2)  # raises if the model is not that of its parameters
    assert 0 < value(found, "mape") < 0.3
    assert found.refits.counts.sum(axis=1).tolist() == [220, 220]
