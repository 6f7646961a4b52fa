"""A recalibrated model is the original with shifted and scaled logits; it must work in the same way."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from tests.models.conftest import ARMS, make_patients
from tests.models.test_contract import BOOSTED, LOGISTIC

from treatsel import TreatmentSelector, explain, load_model, save_model
from treatsel.errors import InputError, TreatselWarning, UnsupportedModelError
from treatsel.metrics import calibration_in_the_large, logistic_recalibration
from treatsel.models import (
    ArmwiseClassifier,
    HierarchicalClassifier,
    PooledClassifier,
    RecalibratedClassifier,
)

MODELS = {
    "armwise logistic": ArmwiseClassifier(LOGISTIC),
    "armwise boosted": ArmwiseClassifier(BOOSTED),
    "pooled logistic": PooledClassifier(LOGISTIC),
    "hierarchical": HierarchicalClassifier(),
}
METHODS = ["none", "intercept", "slope", "per_arm", "refit"]
SHIFT = pd.Series({"CBT": 0.8, "SSRI": -0.5, "TAU": 0.2})


@pytest.fixture(params=MODELS, scope="module")
def model(request):
    return clone(MODELS[request.param]).fit(*make_patients())


@pytest.fixture(scope="module")
def hierarchical():
    return HierarchicalClassifier().fit(*make_patients())


@pytest.fixture(scope="module")
def new():
    """New patients for whom the model is recalibrated."""
    X, y = make_patients(400, random_state=5)
    return X, y.where(np.random.default_rng(0).random(400) < 0.7, 1)


def received(table, X):
    return table.to_numpy()[np.arange(len(X)), table.columns.get_indexer(X["arm"])]


@pytest.mark.parametrize("method", METHODS)
def test_additive_form_equals_the_model(model, new, method):
    fitted = RecalibratedClassifier(model, method=method).fit(*new)
    table = fitted.predict_by_arm(new[0])
    assert list(table.columns) == ARMS
    assert table.index.equals(new[0].index)
    pd.testing.assert_frame_equal(fitted.additive().predict_by_arm(new[0]), table, check_names=False)
    proba = fitted.predict_proba(new[0])
    np.testing.assert_array_equal(proba[:, 1], received(table, new[0]))


@pytest.mark.parametrize("method", ["none", "intercept", "slope", "per_arm"])
def test_logits_are_moved_and_stretched(model, new, method):
    fitted = RecalibratedClassifier(model, method=method).fit(*new)
    before, after = (logit(m.predict_by_arm(new[0])) for m in (model, fitted))
    expected = fitted.shift_.to_numpy() + fitted.slope_ * before
    np.testing.assert_allclose(after, expected, atol=1e-8)
    assert (fitted.slope_ == 1) == (method in ("none", "intercept"))


def test_method_none_is_the_model_itself(hierarchical, new):
    fitted = RecalibratedClassifier(hierarchical, method="none").fit(*new)
    pd.testing.assert_frame_equal(fitted.predict_by_arm(new[0]), hierarchical.predict_by_arm(new[0]))
    draws = fitted.predict_draws(new[0].head(3))
    np.testing.assert_array_equal(draws, hierarchical.predict_draws(new[0].head(3)))


def test_the_new_patients_find_it_calibrated(model, new):
    X, y = new
    moved = RecalibratedClassifier(model, method="intercept").fit(X, y)
    assert calibration_in_the_large(y, moved.predict_proba(X)[:, 1]).value == pytest.approx(0, abs=1e-8)
    stretched = RecalibratedClassifier(model).fit(X, y)
    line = logistic_recalibration(y, stretched.predict_proba(X)[:, 1])
    assert (line.intercept.value, line.slope.value) == pytest.approx((0, 1), abs=1e-7)
    by_arm = RecalibratedClassifier(model, method="per_arm").fit(X, y).predict_proba(X)[:, 1]
    np.testing.assert_allclose(pd.Series(by_arm - y, index=X.index).groupby(X["arm"]).sum(), 0, atol=1e-7)


def test_the_truth_is_found_within_its_standard_errors(hierarchical):
    X, _ = make_patients(20_000, random_state=2)
    linear = SHIFT[X["arm"]].to_numpy() + 0.7 * logit(received(hierarchical.predict_by_arm(X), X))
    y = np.random.default_rng(1).random(len(X)) < expit(linear)
    fitted = RecalibratedClassifier(hierarchical, method="per_arm").fit(X, y)
    errors = np.append(fitted.shift_ - SHIFT[fitted.shift_.index], fitted.slope_ - 0.7)
    assert np.abs(errors / np.sqrt(np.diag(fitted.covariance_))).max() < 3.5
    assert np.abs(errors).max() < 0.15


@pytest.mark.parametrize("method", METHODS)
def test_weights_equal_repeated_rows(hierarchical, method):
    X, y = make_patients(900, random_state=6)
    weights = np.tile([1, 2, 0, 3], len(X))[: len(X)]
    rows = np.repeat(np.arange(len(X)), weights)
    recalibrated = RecalibratedClassifier(hierarchical, method=method)
    once = clone(recalibrated).fit(X, y, sample_weight=weights)
    many = clone(recalibrated).fit(X.iloc[rows].reset_index(drop=True), y.iloc[rows].to_numpy())
    pd.testing.assert_frame_equal(once.predict_by_arm(X), many.predict_by_arm(X), rtol=1e-7)
    assert once.log_likelihood_ == pytest.approx(many.log_likelihood_, rel=1e-9)
    np.testing.assert_allclose(once.predict_draws(X.head(2)), many.predict_draws(X.head(2)), atol=1e-5)


def test_the_order_of_the_rows_changes_nothing(hierarchical, new):
    X, y = new
    shuffled = X.sample(frac=1, random_state=1)
    a = RecalibratedClassifier(hierarchical, method="per_arm").fit(X, y)
    b = RecalibratedClassifier(hierarchical, method="per_arm").fit(shuffled, y[shuffled.index])
    np.testing.assert_allclose(a.shift_, b.shift_, rtol=1e-9)


def test_draws_include_the_uncertainty_of_recalibration():
    """The level among the new patients has the uncertainty of their data, not that of the original model."""
    small, y_small = make_patients(90, random_state=3)
    model = ArmwiseClassifier(LOGISTIC).fit(small.drop(columns="job"), y_small)
    X, y = make_patients(3000, random_state=4)
    X = X.drop(columns="job").dropna()
    y = y[X.index]
    before = logit(model.additive().predict_draws(X))
    fitted = RecalibratedClassifier(model, method="slope").fit(X, y)
    after = logit(fitted.predict_draws(X))
    codes = pd.Index(ARMS).get_indexer(X["arm"])
    own = np.arange(len(X)), codes
    p = fitted.predict_proba(X)[:, 1]
    weight = p * (1 - p)
    level_before = np.average(before[:, *own], axis=1, weights=weight).std()
    level_after = np.average(after[:, *own], axis=1, weights=weight).std()
    assert level_after == pytest.approx(weight.sum() ** -0.5, rel=0.1)
    assert level_after < 0.5 * level_before
    center = logit(fitted.predict_by_arm(X).to_numpy())
    assert np.abs(after.mean(axis=0) - center).max() < 0.1
    # differences between patients still vary with the original's draws, scaled like all logits
    spread = [(d - d.mean(axis=1, keepdims=True)).std(axis=0).mean() for d in (before, after)]
    assert spread[1] == pytest.approx(fitted.slope_ * spread[0], rel=0.25)


def test_intervals_cover_the_recalibrated_truth():
    """Truth: a model of the same form whose level and spread differ; 95 % intervals of P(outcome)."""
    covered = []
    for seed in range(40):
        rng = np.random.default_rng(seed)

        def make(n, shift, slope, rng=rng):
            X = pd.DataFrame(rng.normal(size=(n, 2)), columns=["a", "b"]).assign(
                arm=rng.choice(["A", "B"], n)
            )
            truth = pd.DataFrame({"A": X["a"] - 0.5 * X["b"], "B": 0.3 + X["a"]}) * slope + shift
            y = rng.random(n) < expit(np.where(X["arm"] == "A", truth["A"], truth["B"]))
            return X, y.astype(int), expit(truth.to_numpy())

        X, y, _ = make(300, 0, 1)
        model = ArmwiseClassifier(LogisticRegression(C=1e12)).fit(X, y)
        X, y, truth = make(300, 0.8, 0.7)
        draws = RecalibratedClassifier(model).fit(X, y).predict_draws(X)
        lower, upper = np.quantile(draws, [0.025, 0.975], axis=0)
        covered.append(((lower <= truth) & (truth <= upper)).mean())
    assert 0.91 < np.mean(covered) < 0.99


def test_clone_and_pickle_keep_the_model_fitted(hierarchical, new):
    X, y = new
    fitted = RecalibratedClassifier(hierarchical, method="slope").fit(X, y)
    again = clone(fitted)
    assert not hasattr(again, "slope_")
    pd.testing.assert_frame_equal(again.fit(X, y).predict_by_arm(X), fitted.predict_by_arm(X))
    restored = pickle.loads(pickle.dumps(fitted))
    pd.testing.assert_frame_equal(restored.predict_by_arm(X), fitted.predict_by_arm(X))
    clone(fitted).set_params(model__arm="treatment")
    assert hierarchical.arm == "arm"


def test_cross_validation_recalibrates_in_each_fold(hierarchical, new):
    X, y = new
    proba = cross_val_predict(RecalibratedClassifier(hierarchical), X, y, method="predict_proba")
    inside = RecalibratedClassifier(hierarchical).fit(X, y).predict_proba(X)
    assert proba.shape == inside.shape
    assert 0 < np.abs(proba - inside).max() < 0.1


def test_a_model_out_of_a_file_can_be_recalibrated(hierarchical, new):
    a = RecalibratedClassifier(hierarchical.additive()).fit(*new)
    b = RecalibratedClassifier(hierarchical).fit(*new)
    pd.testing.assert_frame_equal(a.predict_by_arm(new[0]), b.predict_by_arm(new[0]), check_names=False)


def test_a_selector_with_recalibrated_models_is_saved_explained_and_served(new, tmp_path):
    X, y = new
    development, outcome = make_patients()
    selector = TreatmentSelector(arm="arm", estimator=PooledClassifier(LOGISTIC), random_state=0)
    selector.fit(development, outcome)
    (name,) = selector.models_
    updated = RecalibratedClassifier(selector.models_[name], method="per_arm").fit(X, y)
    with pytest.raises(TypeError, match="does not support item assignment"):
        selector.models_[name] = updated
    selector = selector.with_models({name: updated})
    save_model(selector, tmp_path / "model.treatsel", intended_use="A test.")
    loaded = load_model(tmp_path / "model.treatsel")
    rows = X.head(20)
    pd.testing.assert_frame_equal(
        loaded.predict_by_arm(rows), updated.predict_by_arm(rows), check_names=False, rtol=1e-9
    )
    np.testing.assert_allclose(loaded.predict_draws(rows), updated.predict_draws(rows), atol=1e-6)
    explained = explain(loaded, rows, arm="CBT")
    total = explained.values.sum(axis=1) + explained.base_value
    np.testing.assert_allclose(total, logit(updated.predict_by_arm(rows)["CBT"]), atol=1e-8)


def test_other_classifiers_are_recalibrated_but_not_additive(new):
    X, y = new
    forest = PooledClassifier(RandomForestClassifier(n_estimators=5, random_state=0)).fit(*make_patients())
    with pytest.warns(TreatselWarning, match="probabilities are 0 or 1"):
        fitted = RecalibratedClassifier(forest).fit(X, y)
    with pytest.warns(TreatselWarning, match="probabilities are 0 or 1"):
        line = logistic_recalibration(y, fitted.predict_proba(X)[:, 1])
    assert line.slope.value == pytest.approx(1, abs=1e-6)
    with pytest.raises(UnsupportedModelError, match="RandomForestClassifier cannot be written"):
        fitted.additive()


def test_a_single_arm(new):
    X, y = new
    X = X.drop(columns="arm")
    model = ArmwiseClassifier(LOGISTIC, arm=None).fit(X, y)
    fitted = RecalibratedClassifier(model, arm=None).fit(X, 1 - y)
    assert fitted.slope_ < 0
    assert list(fitted.predict_by_arm(X).columns) == ["all"]


@pytest.mark.parametrize(
    ("method", "change", "message"),
    [
        ("slope", lambda X, y: (X.drop(columns="arm"), y), "no arm column 'arm'"),
        ("slope", lambda X, y: (X.assign(arm="yoga"), y), "arms unknown to this model"),
        ("slope", lambda X, y: (X, y + 1), "neither 0 nor 1"),
        ("slope", lambda X, y: (X, y.head(3)), "Lengths differ"),
        ("slope", lambda X, y: (X.head(0), y.head(0)), "no rows"),
        ("intercept", lambda X, y: (X, y * 0), "one class only"),
        ("slope", lambda X, y: (X.iloc[[0] * 9], y.iloc[[0] * 8 + [1]]), "predictions are all equal"),
        ("per_arm", lambda X, y: (X, y.where(X["arm"] != "TAU", 0)), "arm 'TAU' has .* one class"),
        ("refit", lambda X, y: (X[X["arm"] != "TAU"], y[X["arm"] != "TAU"]), "arm 'TAU' has 0 patients"),
        ("tilt", lambda X, y: (X, y), "method is 'tilt'"),
    ],
)
def test_bad_input_is_refused(hierarchical, new, method, change, message):
    with pytest.raises(InputError, match=message):
        RecalibratedClassifier(hierarchical, method=method).fit(*change(*new))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (HierarchicalClassifier(), "not fitted"),
        (LogisticRegression(), "no predict_by_arm"),
        (type("Selector", (), {"models_": {"remission": 1}})(), "selector.models_"),
    ],
)
def test_unfitted_models_are_refused(new, model, message):
    with pytest.raises(InputError, match=message):
        RecalibratedClassifier(model).fit(*new)
