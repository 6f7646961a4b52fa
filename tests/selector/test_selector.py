"""The selector: its contract, errors for bad input, and recovery of known truths."""

import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import lightgbm
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joblib import parallel_config
from scipy.special import expit
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import GridSearchCV
from tests.conftest import LASSO

from treatsel import Codebook, TreatmentSelector
from treatsel.errors import (
    CodebookError,
    CohortError,
    InputError,
    TreatselError,
    TreatselWarning,
    UnsupportedModelError,
)
from treatsel.models import ArmwiseClassifier, HierarchicalClassifier, PooledClassifier
from treatsel.predictions import WARNING_CODES
from treatsel.selector import MIN_EVENTS

SECRET = "SECRET-7261"  # in some patient's row; no message may contain it
RIDGE = PooledClassifier(LogisticRegression(C=1.0, solver="newton-cholesky"))
GOOD = {"remission": True, "dropout": False}


def simulate(n, seed, *, k=3, modifier=0.0, arms=0.0, prognosis=0.6, confounding=0.0):
    """Three numbers, k arms, a logistic truth: X, y and the true probabilities by arm."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 3))
    slope = np.linspace(-1, 1, k)
    truth = expit(-0.2 + prognosis * z[:, [0]] + arms * slope + modifier * slope * z[:, [1]])
    chance = np.exp(confounding * slope * z[:, [0]])
    chance /= chance.sum(axis=1, keepdims=True)
    arm = (chance.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    names = list("ABCDEF"[:k])
    X = pd.DataFrame(z, columns=["age", "severity", "wait"]).assign(arm=np.array(names)[arm])
    y = pd.Series((rng.random(n) < truth[np.arange(n), arm]).astype(float), name="remission")
    return X, y, pd.DataFrame(truth, columns=names)


def patients(n=400, seed=0):
    """Mixed columns, missing values, two outcomes."""
    X, y, _ = simulate(n, seed, modifier=0.5, arms=0.3)
    rng = np.random.default_rng(seed + 100)
    X.insert(0, "job", rng.choice(["none", "part", "full"], n))
    X["married"] = rng.random(n) < 0.5
    X["wait"] = X["wait"].where(rng.random(n) > 0.1)
    X.index = pd.Index([f"p{i:05d}" for i in range(n)], name="patient")
    outcomes = pd.DataFrame({"remission": y.to_numpy(), "dropout": rng.random(n) < 0.3}, index=X.index)
    return X, outcomes.astype(float)


@pytest.fixture(scope="module")
def data():
    return patients()


@pytest.fixture(scope="module")
def fitted(data):
    return TreatmentSelector(random_state=0, event_is_good={"dropout": False}).fit(*data)


def quick(**options):
    return TreatmentSelector(**{"estimator": RIDGE, "random_state": 0, **options})


# --- the contract


def test_parameters_are_stored_untouched_and_cloned(data):
    X, y = data
    book = Codebook.infer(X, arm="arm", outcomes=[])
    given = {"estimator": RIDGE, "codebook": book, "event_is_good": GOOD, "groups": None}
    selector = TreatmentSelector(**given, random_state=np.random.RandomState(0))
    selector.fit(X, y)
    assert all(selector.get_params(deep=False)[name] is value for name, value in given.items())
    assert not hasattr(RIDGE, "arms_")
    copy = clone(selector)
    assert not hasattr(copy, "models_")
    assert copy.set_params(estimator__interaction_scale=0.1).estimator.interaction_scale == 0.1
    assert RIDGE.interaction_scale == 1.0


def test_fit_learns_names_that_end_in_an_underscore(fitted, data):
    assert fitted.arms_ == ["A", "B", "C"]
    assert fitted.outcomes_ == ["remission", "dropout"]
    assert fitted.event_is_good_ == GOOD
    assert fitted.codebook_.covariates == ("job", "age", "severity", "wait", "married")
    assert set(fitted.models_) == set(fitted.additive_) == {"remission", "dropout"}
    assert fitted.default_arm_ == fitted.arm_means_["value"].idxmax()
    counts = fitted.training_.query("outcome == 'remission'").set_index("arm")
    assert counts["n"].to_dict() == data[0]["arm"].value_counts().to_dict()
    assert counts["n_events"].sum() == data[1]["remission"].sum()


def test_fit_and_predict_change_neither_x_nor_y(data):
    X, y = data
    X_before, y_before = X.copy(deep=True), y.copy(deep=True)
    selector = quick(event_is_good=GOOD).fit(X, y)
    selector.predict(X, on_invalid="flag")
    selector.recommend(X)
    pd.testing.assert_frame_equal(X, X_before)
    pd.testing.assert_frame_equal(y, y_before)


def test_an_unfitted_selector_raises(data):
    for method in ("predict", "predict_by_arm", "predict_draws", "recommend"):
        with pytest.raises(NotFittedError):
            getattr(TreatmentSelector(), method)(data[0])


def test_the_same_seed_gives_the_same_selector_and_jobs_do_not_matter(data):
    X, y = data[0], data[1]["remission"]
    search = GridSearchCV(RIDGE, {"interaction_scale": [0.1, 1.0]}, cv=3)
    with parallel_config(backend="threading"):
        one, again = (quick(estimator=search, n_jobs=jobs).fit(X, y) for jobs in (None, 2))
    pd.testing.assert_frame_equal(one.predict_by_arm(X), again.predict_by_arm(X))
    pd.testing.assert_frame_equal(one.arm_means_, again.arm_means_)
    legacy = [quick(random_state=np.random.RandomState(5)).fit(X, y).arm_means_ for _ in range(2)]
    pd.testing.assert_frame_equal(*legacy)


def test_a_pickled_selector_in_memory_predicts_the_same(fitted, data):
    again = pickle.loads(pickle.dumps(fitted))
    pd.testing.assert_frame_equal(again.predict(data[0]).to_frame(), fitted.predict(data[0]).to_frame())


def test_threads_do_not_disturb_each_other(fitted, data):
    X = data[0].head(16)
    expected = fitted.predict(X).to_frame()

    def alone(i):
        return fitted.predict(X.iloc[[i]]).to_frame(), fitted.recommend(X.iloc[[i]]).to_frame()

    with ThreadPoolExecutor(8) as pool:
        parts = [frame for frame, _ in pool.map(alone, range(16))]
    together = pd.concat(parts).set_index(["patient", "outcome", "arm"]).sort_index()
    pd.testing.assert_frame_equal(
        together, expected.set_index(["patient", "outcome", "arm"]).sort_index(), rtol=1e-12
    )


def test_integer_arms_stay_integers_and_sort_as_text(data):
    X, y = data
    numbered = X.assign(arm=X["arm"].map({"A": 1, "B": 2, "C": 10}))
    selector = quick().fit(numbered, y["remission"])
    assert selector.arms_ == [1, 10, 2]
    plain = quick().fit(X, y["remission"]).predict_by_arm(X)
    renamed = selector.predict_by_arm(numbered)[[1, 2, 10]].set_axis(plain.columns, axis=1)
    pd.testing.assert_frame_equal(renamed, plain, rtol=1e-6)
    with pytest.raises(InputError, match="it must be 1, 10 or 2"):
        selector.recommend(numbered, excluded={3: "not offered here"})


def test_time_zones_in_the_index_survive(data):
    X, y = data
    when = pd.date_range("2024-03-30", periods=len(X), freq="h", tz="Europe/London")
    selector = quick().fit(X.set_axis(when), y["remission"].set_axis(when))
    predictions = selector.predict(X.set_axis(when).head(3))
    assert predictions.by_arm().index.equals(when[:3])
    json.loads(predictions.to_json())


# --- input


def test_a_record_records_and_a_frame_agree(fitted, data):
    X = data[0].head(5)
    records = X.drop(columns="arm").to_dict(orient="records")
    table = fitted.predict_by_arm(X).to_numpy()
    np.testing.assert_allclose(fitted.predict_by_arm(records).to_numpy(), table, rtol=1e-12)
    np.testing.assert_allclose(fitted.predict_by_arm(records[2]).to_numpy(), table[[2]], rtol=1e-12)
    mixed = X[["wait", "arm", "job", "married", "severity", "age"]].assign(extra=SECRET)
    np.testing.assert_allclose(fitted.predict_by_arm(mixed).to_numpy(), table, rtol=1e-12)


def test_a_column_of_ids_becomes_the_index_and_must_be_unique(data):
    X, y = data
    table = X.reset_index()
    book = Codebook.infer(table.rename(columns={"patient": "id"}), arm="arm", outcomes=[])
    table = table.rename(columns={"patient": "id"})
    selector = quick(codebook=book).fit(table, y["remission"].set_axis(table.index))
    assert "id" not in selector.codebook_.covariates
    assert selector.predict_by_arm(table.head(2)).index.tolist() == ["p00000", "p00001"]
    twice = table.head(2).assign(id=SECRET)
    with pytest.raises(InputError, match=r"column 'id'.* hold 1 duplicate") as caught:
        selector.predict(twice)
    assert SECRET not in str(caught.value)
    with pytest.raises(InputError, match="1 duplicate"):
        quick(codebook=book).fit(table.replace({"id": {"p00001": "p00000"}}), y["remission"].to_numpy())


def test_groups_stay_together_in_folds_and_are_not_predictors(data):
    X, y = data
    sites = X.assign(site=np.resize(["s1", "s2", "s3", "s4"], len(X)))
    selector = quick(groups="site").fit(sites, y["remission"])
    assert "site" not in selector.codebook_.covariates
    assert selector.predict_by_arm(X.head(2)).shape == (2, 3)  # the site may be absent
    assert selector.predict_by_arm(X.head(2).assign(site="new")).shape == (2, 3)


def test_a_given_codebook_rules_and_a_draft_has_no_ranges(data, fitted):
    X, y = data
    book = Codebook.infer(X, arm="arm", outcomes=[])
    strict = quick(codebook=book).fit(X, y["remission"])
    old = X.head(1).assign(age=99.0)
    with pytest.raises(CohortError, match=r"'age' holds 1 value out of range\. Allowed: a number from"):
        strict.predict(old)
    codes = set(strict.predict(old, on_invalid="flag").warnings["code"])
    assert codes - {"low_propensity"} == {"out_of_range", "outside_training_range"}
    assert set(fitted.predict(old).warnings["code"]) - {"low_propensity"} == {"outside_training_range"}


def test_missing_outcomes_are_weighted_for_in_means_of_arms_with_a_warning(data):
    X, y = data
    partly = y["remission"].astype("boolean").mask(np.arange(len(y)) < 100)
    with pytest.warns(TreatselWarning, match=r"'remission' was not observed in 100 of 400 patients \(25%\)"):
        selector = quick().fit(X, partly)
    assert selector.training_["n_observed"].sum() == 300
    observation = selector.observation_["remission"]
    assert (observation.weights[:100] == 0).all()
    assert observation.weights[100:].min() > 0
    assert (selector.arm_means_["n"] == 400).all()
    rest = quick().fit(X.iloc[100:], y["remission"].iloc[100:])
    assert rest.observation_ == {}
    # without a column observed after the start, the model is that of the observed patients
    pd.testing.assert_frame_equal(selector.predict_by_arm(X), rest.predict_by_arm(X))
    assert (selector.arm_means_["value"] - rest.arm_means_["value"]).abs().max() > 1e-4


def test_a_tiny_cohort_gives_wide_intervals_and_no_clear_gain():
    X, y, _ = simulate(40, 1, k=2)
    selector = TreatmentSelector(random_state=0).fit(X, y)
    lower, upper = selector.predict(X).interval()
    assert (upper - lower).to_numpy().mean() > 0.15
    status = selector.recommend(X).to_frame()["status"]
    assert (status != "clear_gain").all()
    assert status.isin(["undecided", "insufficient_evidence"]).mean() > 0.8


def test_one_arm_is_predicted_but_not_ranked(data):
    X, y = data
    selector = quick().fit(X.assign(arm="CBT"), y["remission"])
    assert selector.default_arm_ == "CBT"
    assert list(selector.predict(X.head(2)).by_arm().columns) == ["CBT"]
    with pytest.raises(InputError, match=r"one arm, 'CBT'; with one arm, only predictions"):
        selector.recommend(X)


# --- output


def test_intervals_are_quantiles_of_the_draws_block_by_block():
    X, y, _ = simulate(700, 2)
    selector = quick().fit(X, y)
    draws = selector.predict_draws(X)
    assert draws.shape == (1000, 700, 3)
    lower, upper = selector.predict(X, level=0.8).interval()
    expected = np.quantile(draws, [0.1, 0.9], axis=0)
    np.testing.assert_allclose(np.stack([lower, upper]), expected, rtol=1e-9)
    np.testing.assert_allclose(np.median(draws, axis=0), selector.predict_by_arm(X), atol=0.02)
    whole, first = selector.recommend(X).to_frame(), selector.recommend(X.head(600)).to_frame()
    pd.testing.assert_frame_equal(whole.head(600), first)


def test_preferences_weigh_outcomes_by_their_direction(fitted, data):
    X = data[0]
    weights = {"remission": 3, "dropout": 1}
    utility = fitted.recommend(X, preferences=weights).utility
    expected = 0.75 * fitted.predict_by_arm(X) + 0.25 * (1 - fitted.predict_by_arm(X, "dropout"))
    pd.testing.assert_frame_equal(utility, expected, check_names=False)
    alone = fitted.recommend(X, preferences={"remission": 1, "dropout": 0}).to_frame()
    pd.testing.assert_frame_equal(alone, fitted.recommend(X).to_frame())


def test_an_unstated_direction_is_refused(data):
    with pytest.raises(InputError, match="direction of 'dropout' is not specified"):
        quick(event_is_good=None).fit(*data)
    with pytest.raises(InputError, match="direction of 'outcome' is not specified"):
        quick(event_is_good=None).fit(data[0], data[1]["remission"].to_numpy())


def test_directions_that_contradict_each_other_are_refused(data):
    with pytest.raises(InputError, match="contradictory: 1 is bad by event_is_good, but good by"):
        quick(event_is_good={"remission": False, "dropout": False}).fit(*data)


def test_a_bad_first_outcome_makes_the_lowest_rate_best():
    X, y, _ = simulate(1500, 3, arms=0.5)
    y = y.rename("event")
    good, bad = (quick(event_is_good=flag).fit(X, y) for flag in (True, False))
    assert (good.default_arm_, bad.default_arm_) == ("C", "A")
    np.testing.assert_allclose(bad.arm_means_["value"], 1 - good.arm_means_["value"], rtol=1e-9)
    new = X.head(200)
    np.testing.assert_allclose(bad.recommend(new).utility, 1 - good.recommend(new).utility, rtol=1e-9)
    top = good.recommend(new).to_frame()["arm"]
    assert (top == "C").mean() > 0.8
    assert (bad.recommend(new).to_frame()["arm"] == "A").mean() > 0.8


def test_flagged_patients_are_out_of_scope(fitted, data):
    X = data[0].head(3).copy()
    X.loc["p00001", "job"] = SECRET
    X.loc["p00002", "severity"] = np.inf
    with pytest.raises(CohortError) as caught:
        fitted.recommend(X)
    assert SECRET not in str(caught.value)
    assert [fault.column for fault in caught.value.faults] == ["job", "severity"]
    table = fitted.recommend(X, on_invalid="flag").to_frame()
    assert (table["status"] == "out_of_scope").tolist() == [False, True, True]
    warnings = fitted.predict(X, on_invalid="flag").warnings
    found = warnings.loc[warnings["code"] != "missing_covariate", ["patient", "code", "column"]]
    assert found.to_numpy().tolist() == [
        ["p00001", "unseen_category", "job"],
        ["p00002", "infinite", "severity"],
    ]


def test_trees_give_no_intervals_and_support_nothing(data):
    boosted = ArmwiseClassifier(lightgbm.LGBMClassifier(n_estimators=5))
    selector = quick(estimator=boosted).fit(data[0], data[1]["remission"])
    X = data[0].head(3)
    predictions = selector.predict(X)
    assert predictions.interval()[0].isna().all(axis=None)
    assert set(predictions.warnings.query("column.isna()")["code"]) == {"no_interval"}
    assert not predictions.out_of_scope.any()
    assert json.loads(predictions.to_json())["predictions"][0]["lower"] is None
    assert not selector.has_posterior_draws()
    assert set(selector.recommend(X).to_frame()["status"]) == {"no_interval"}
    with pytest.raises(UnsupportedModelError, match="no posterior draws"):
        selector.predict_draws(X)


def test_an_arm_with_few_events_is_not_compared():
    X, y, _ = simulate(900, 4, arms=1.0)
    rare = X["arm"] == "B"
    y[rare] = 0.0
    y[y.index[rare][: MIN_EVENTS - 1]] = 1.0
    table = quick().fit(X, y).recommend(X).to_frame()
    assert (table["status"] == "insufficient_evidence").equals(table["top"] == "B")
    named = quick().fit(X, y).recommend(X, comparator="B").to_frame()
    assert set(named["status"]) == {"insufficient_evidence"}
    other = quick().fit(X, y).recommend(X, comparator="A").to_frame()
    assert (other["status"] == "clear_gain").mean() > 0.5


def test_a_grid_search_gets_the_arm_column_and_gives_its_best_model(data):
    X, y = data[0].rename(columns={"arm": "therapy"}), data[1]["remission"]
    search = GridSearchCV(RIDGE, {"interaction_scale": [0.1, 1.0]}, cv=3)
    selector = quick(arm="therapy", estimator=search).fit(X, y)
    assert isinstance(selector.models_["remission"], PooledClassifier)
    assert selector.models_["remission"].arm == "therapy"
    assert search.estimator.arm == "arm"
    assert selector.has_posterior_draws()


def test_cross_validated_ridge_has_the_posterior_of_the_penalty_it_chose(data):
    X, y = data[0].drop(columns=["job", "married"]), data[1]["remission"]
    current = {"l1_ratios": (0.0,), "use_legacy_attributes": False} if "l1_ratio" in LASSO else {}
    searched = LogisticRegressionCV(Cs=[0.01], cv=3, tol=1e-6, scoring="neg_log_loss", **current)
    plain = LogisticRegression(C=0.01, tol=1e-6)
    one, other = (quick(estimator=PooledClassifier(e)).fit(X, y).predict_draws(X) for e in (searched, plain))
    np.testing.assert_allclose(one, other, atol=1e-3)


# --- errors for bad input

FIT_FAULTS = {
    "no arm column": (lambda X, y: (X.drop(columns="arm"), y), InputError, "no column 'arm'"),
    "missing arm": (
        lambda X, y: (X.assign(arm=X["arm"].where(X.index > "p00002")), y),
        CohortError,
        r"'arm' holds 3 values missing.* Allowed: one of A, B, C",
    ),
    "outcome not 0/1": (
        lambda X, y: (X, y + 1),
        InputError,
        r"'remission' holds \d+ values that are neither",
    ),
    "outcome is text": (lambda X, y: (X, y.astype(object).map(lambda v: SECRET)), InputError, "numbers only"),
    "no outcome": (lambda X, y: (X, None), InputError, "y is None"),
    "two-dimensional outcome": (lambda X, y: (X, y.to_numpy()[:, None]), InputError, "y has 2 dimensions"),
    "other patients": (lambda X, y: (X, y[::-1]), InputError, "in another order"),
    "lengths": (lambda X, y: (X, y.to_numpy()[:3]), InputError, "Lengths differ: X 400, y 3"),
    "an arm without events": (
        lambda X, y: (X, y.where(X["arm"] != "B", 0)),
        InputError,
        r"too few patients in 1 arm \('B': \d+ observed, fewer than 2 events\).*merge",
    ),
    "an arm with one event": (
        lambda X, y: (X, y.where(X["arm"] != "B", 0).mask(X.index == X.index[X["arm"] == "B"][0], 1)),
        InputError,
        "fewer than 2 events",
    ),
    "an arm never observed": (
        lambda X, y: (X, y.where(X["arm"] != "B")),
        InputError,
        "'B': 0 observed",
    ),
    "no outcome observed": (lambda X, y: (X, y * np.nan), InputError, "not observed in any patient"),
    "all-missing column": (lambda X, y: (X.assign(age=np.nan), y), TreatselError, "'age' holds 0 values"),
    "one value": (
        lambda X, y: (X.assign(age=X["age"].where(X.index == "p00009")), y),
        CohortError,
        "'age' holds fewer than 5 values, all in one fold",
    ),
    "infinite": (lambda X, y: (X.assign(age=np.inf), y), CohortError, "'age' holds 400 values that are inf"),
    "enormous": (lambda X, y: (X.assign(age=X["age"] * 1e300), y), CohortError, "too large"),
    "dates": (
        lambda X, y: (X.assign(start=pd.Timestamp("2024-01-01", tz="UTC")), y),
        CohortError,
        "'start' holds dates",
    ),
    "free text": (
        lambda X, y: (X.assign(note=[SECRET + str(i) for i in range(len(X))]), y),
        CohortError,
        "'note' holds too many different texts",
    ),
    "session scores": (lambda X, y: (X.assign(phq9_last=1.0), y), CohortError, "'phq9_last' looks as if"),
    "a leak": (lambda X, y: (X.assign(remission=y), y), CohortError, "'remission' looks as if"),
    "duplicate patients": (
        lambda X, y: (pd.concat([X, X]), pd.concat([y, y])),
        InputError,
        r"index\) of X hold 400 duplicates",
    ),
    "duplicate columns": (
        lambda X, y: (pd.concat([X, X[["age"]]], axis=1), y),
        InputError,
        "columns of X hold 1 duplicate",
    ),
    "unnamed columns": (
        lambda X, y: (X.rename(columns={"age": 3}), y),
        InputError,
        "a name that is not text",
    ),
    "an array": (lambda X, y: (X.to_numpy(), y), InputError, "not ndarray"),
    "no rows": (lambda X, y: (X.head(0), y.head(0)), InputError, "no rows"),
    "no covariates": (lambda X, y: (X[["arm"]], y), InputError, "no covariates"),
}


@pytest.mark.parametrize("name", FIT_FAULTS)
@pytest.mark.filterwarnings("ignore:Outcome 'remission' was not observed")
def test_bad_input_to_fit_is_refused(name, data):
    change, error, message = FIT_FAULTS[name]
    with pytest.raises(error, match=message) as caught:
        quick().fit(*change(data[0].copy(), data[1]["remission"].copy()))
    assert SECRET not in str(caught.value)
    assert isinstance(caught.value, TreatselError)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"estimator": "lasso"}, InputError, "estimator is 'lasso'; it must be 'auto'"),
        ({"estimator": LogisticRegression()}, InputError, "no predict_by_arm. Wrap it"),
        (
            {"estimator": GridSearchCV(LogisticRegression(), {"C": [1]})},
            InputError,
            "is a LogisticRegression",
        ),
        ({"estimator": PooledClassifier}, InputError, "is the class PooledClassifier"),
        (
            {"estimator": GridSearchCV(RIDGE, {"interaction_scale": [1.0]}, refit=False)},
            InputError,
            "refit=False",
        ),
        ({"arm": "therapy"}, InputError, "no column 'therapy', which was given as arm"),
        ({"groups": "site"}, InputError, "no column 'site', which was given as groups"),
        (
            {"estimator": HierarchicalClassifier(groups="site")},
            InputError,
            "give the selector itself groups='site'",
        ),
        ({"groups": "arm"}, InputError, "are the same column, 'arm'"),
        ({"event_is_good": {"cure": True}}, InputError, "unknown key 'cure'"),
        ({"event_is_good": "yes"}, InputError, "must be True or False"),
        ({"random_state": "seed"}, InputError, "random_state is 'seed'"),
        ({"random_state": -1}, InputError, "random_state is -1"),
        ({"codebook": 3}, InputError, "not a int"),
    ],
)
def test_bad_options_are_refused(options, error, message, data):
    with pytest.raises(error, match=message):
        quick(**options).fit(data[0], data[1]["remission"])


def test_a_codebook_that_does_not_fit_is_refused(data):
    X, y = data[0], data[1]["remission"]
    book = Codebook.infer(X, arm="arm", outcomes=[])
    with pytest.raises(CodebookError, match="groups is 'job', which is a covariate in the codebook"):
        quick(codebook=book, groups="job").fit(X, y)
    with pytest.raises(CodebookError, match="arm column is 'arm', but the selector's is 'job'"):
        quick(codebook=book, arm="job").fit(X, y)
    with pytest.raises(CohortError) as caught:
        quick(codebook=book).fit(X.drop(columns="age").assign(wait=SECRET), y)
    assert [fault.column for fault in caught.value.faults] == ["age", "wait"]
    with pytest.raises(CohortError, match="'shoe' is not in the codebook"):
        quick(codebook=book).fit(X.assign(shoe=1), y)


def test_missing_sites_are_refused(data):
    X = data[0].assign(site=np.resize(["s1", "s2", "s3", None], len(data[0])))
    with pytest.raises(InputError, match="'site' has no group for 100 patients"):
        quick(groups="site").fit(X, data[1]["remission"])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda X: X.drop(columns="age"), CohortError, "'age' is missing. The model needs"),
        (lambda X: X.assign(age=SECRET), CohortError, "'age' holds 3 values that are not a number"),
        (lambda X: X.assign(job=SECRET), CohortError, "'job' holds 3 values that the codebook does not list"),
        (lambda X: X.assign(age=-np.inf), CohortError, "'age' holds 3 values that are infinite"),
        (lambda X: X.assign(married=SECRET), CohortError, "'married' holds 3 values that are not true or"),
        (lambda X: X.assign(age=1e101), CohortError, "'age' holds 3 values that are too large"),
        (lambda X: pd.concat([X, X]), InputError, "3 duplicates"),
        (lambda X: X.head(0), InputError, "no rows"),
        (lambda X: [], InputError, "no rows"),
        (lambda X: X.to_numpy(), InputError, "not ndarray"),
        (lambda X: X.iloc[0], InputError, "not Series"),
        (lambda X: {"age": SECRET}, CohortError, "'job' is missing"),
        (lambda X: [X.iloc[0].to_dict(), {"age": 3}], InputError, "1 record lacks the key"),
    ],
)
def test_bad_input_to_predict_is_refused(change, error, message, fitted, data):
    for method in (fitted.predict, fitted.predict_by_arm, fitted.predict_draws, fitted.recommend):
        with pytest.raises(error, match=message) as caught:
            method(change(data[0].head(3)))
        assert SECRET not in str(caught.value)


def test_bad_options_of_predict_are_refused(fitted, data):
    X = data[0].head(2)
    with pytest.raises(InputError, match=r"level is 95; it must lie between 0 and 1"):
        fitted.predict(X, level=95)
    with pytest.raises(InputError, match=r"on_invalid is 'ignore'; it must be 'raise' or 'flag'"):
        fitted.predict(X, on_invalid="ignore")
    with pytest.raises(InputError, match=r"outcome is 'remision'.* Did you mean 'remission'"):
        fitted.predict_by_arm(X, outcome="remision")


ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from([10**400, -(10**400), SECRET, pd.NA, pd.NaT, b"x", "", " 12 ", "1e999", 1j, np.nan]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=1), st.integers(), max_size=1),
)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(record=st.fixed_dictionaries(dict.fromkeys(["job", "age", "severity", "wait", "married"], ANYTHING)))
def test_odd_records_never_cause_a_crash_or_a_silent_guess(fitted, record):
    with suppress(TreatselError):
        fitted.predict(record)
    flagged = fitted.predict(record, on_invalid="flag")
    assert np.isfinite(flagged.by_arm().to_numpy()).all()
    assert set(flagged.warnings["code"]) <= set(WARNING_CODES)
    assert SECRET not in flagged.to_json()
    pairs = flagged.warnings[["column", "code"]]
    assert not pairs.duplicated().any()
    if not (isinstance(record["job"], str) and record["job"] in ("none", "part", "full")):
        assert "job" in set(flagged.warnings["column"])


# --- recovery of known truths


@pytest.mark.slow
def test_intervals_cover_the_truth():
    inside, contrast = [], []
    for seed in range(6):
        X, y, _ = simulate(900, seed, arms=0.3, modifier=0.3)
        selector = quick().fit(X, y)
        new, _, truth = simulate(300, 100 + seed, arms=0.3, modifier=0.3)
        lower, upper = selector.predict(new, level=0.9).interval()
        inside.append(((lower <= truth) & (truth <= upper)).to_numpy().mean())
        draws = selector.predict_draws(new)
        low, high = np.quantile(draws[:, :, 0] - draws[:, :, 2], [0.05, 0.95], axis=0)
        true = (truth["A"] - truth["C"]).to_numpy()
        contrast.append(((low <= true) & (true <= high)).mean())
    assert 0.82 <= np.mean(inside) <= 0.97
    assert 0.82 <= np.mean(contrast) <= 0.97


@pytest.mark.slow
def test_without_differences_hardly_any_gain_is_clear():
    shares = []
    for seed in range(3):
        X, y, _ = simulate(600, seed)
        table = TreatmentSelector(random_state=0).fit(X, y).recommend(X).to_frame()
        shares.append((table["status"] == "clear_gain").mean())
    assert np.mean(shares) <= 0.025


@pytest.mark.slow
def test_a_strong_modifier_is_found():
    X, y, _ = simulate(4000, 7, k=2, modifier=1.0)
    selector = TreatmentSelector(random_state=0).fit(X, y)
    new, _, truth = simulate(1000, 8, k=2, modifier=1.0)
    table = selector.recommend(new).to_frame()
    clear = table["status"] == "clear_gain"
    assert clear.mean() > 0.3
    gain = truth.to_numpy()[np.arange(1000), truth.columns.get_indexer(table["arm"])]
    gain -= truth[selector.default_arm_].to_numpy()
    assert (gain > 0)[clear].mean() > 0.98
    assert (gain[clear].mean() - table["difference"][clear].mean()) > -0.03


@pytest.mark.slow
@pytest.mark.parametrize("penalty", [1.0, 1e-6], ids=["good outcome model", "useless outcome model"])
def test_the_best_single_arm_is_doubly_robust(penalty):
    """Patients with a good prognosis receive arm C; no arm is better than another."""
    covered, raw = [], []
    for seed in range(5):
        X, y, truth = simulate(2500, seed, prognosis=1.2, confounding=1.0)
        model = PooledClassifier(LogisticRegression(C=penalty, solver="newton-cholesky"))
        means, true = quick(estimator=model).fit(X, y).arm_means_, truth.mean()
        covered.append(((means["lower"] <= true) & (true <= means["upper"])).to_numpy())
        rates = y.groupby(X["arm"]).agg(["mean", "size"])
        half = 1.96 * np.sqrt(rates["mean"] * (1 - rates["mean"]) / rates["size"])
        raw.append(((rates["mean"] - true).abs() <= half).loc[["A", "C"]].to_numpy())
    assert np.mean(covered) >= 0.8
    assert not np.any(raw)


def test_n_jobs_of_zero_is_refused():
    X, y, _ = simulate(200, 4)
    with pytest.raises(InputError, match="n_jobs is 0"):
        TreatmentSelector(n_jobs=0).fit(X, y)


def test_representations_are_short_and_show_no_patient():
    X, y, _ = simulate(300, 4)
    X.index = y.index = [f"patient-{i}" for i in range(300)]
    fitted = quick().fit(X, y)
    texts = [repr(part) for part in (fitted.codebook_, fitted.predict(X), fitted.recommend(X))]
    assert all(len(text) < 200 and "patient-" not in text for text in texts)
