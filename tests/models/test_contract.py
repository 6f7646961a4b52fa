"""Properties that every model of the library must have."""

import lightgbm
import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from treatsel.errors import CohortError, InputError, UnsupportedModelError
from treatsel.models import ArmwiseClassifier, HierarchicalClassifier, PooledClassifier, StackedClassifier

LOGISTIC = LogisticRegression(C=0.5, tol=1e-8, max_iter=1000)
BOOSTED = lightgbm.LGBMClassifier(n_estimators=12, num_leaves=6, min_child_samples=10)
MODELS = {
    "armwise logistic": ArmwiseClassifier(LOGISTIC),
    "armwise boosted": ArmwiseClassifier(BOOSTED),
    "pooled logistic": PooledClassifier(LOGISTIC, interaction_scale=0.5),
    "pooled boosted": PooledClassifier(BOOSTED),
    "hierarchical": HierarchicalClassifier(),
    "stacked": StackedClassifier(),
}
SEARCHED = {
    "armwise logistic": {"estimator__C": [3, 5]},
    "armwise boosted": {"estimator__num_leaves": [3, 5]},
    "pooled logistic": {"estimator__C": [3, 5]},
    "pooled boosted": {"estimator__num_leaves": [3, 5]},
    "hierarchical": {"groups": [None]},
    "stacked": {"n_splits": [2, 3]},
}
COUNTS_ROWS = {
    "armwise boosted": "histograms and leaf sizes of boosted trees count rows, not weights",
    "pooled boosted": "histograms and leaf sizes of boosted trees count rows, not weights",
    "stacked": "folds are dealt, and trees grown, row by row",
}


@pytest.fixture(params=MODELS, scope="module")
def name(request):
    return request.param


@pytest.fixture(scope="module")
def model(name):
    return MODELS[name]


@pytest.fixture(scope="module")
def fitted(model, patients):
    return clone(model).fit(*patients)


def test_by_arm_table_has_named_arms_and_patients(fitted, patients):
    X, _ = patients
    table = fitted.predict_by_arm(X)
    assert list(table.columns) == ["CBT", "SSRI", "TAU"]
    assert table.index.equals(X.index)
    assert table.to_numpy().min() > 0
    assert table.to_numpy().max() < 1


def test_predict_proba_is_for_the_received_arm(fitted, patients):
    X, _ = patients
    table, proba = fitted.predict_by_arm(X), fitted.predict_proba(X)
    expected = [table.loc[patient, arm] for patient, arm in X["arm"].items()]
    np.testing.assert_array_equal(proba[:, 1], expected)
    np.testing.assert_allclose(proba.sum(axis=1), 1)


def test_clone_and_refit_give_the_same_table(model, fitted, patients):
    again = clone(fitted).fit(*patients)
    pd.testing.assert_frame_equal(fitted.predict_by_arm(patients[0]), again.predict_by_arm(patients[0]))


def test_permuted_rows_permute_the_table(fitted, patients):
    X, _ = patients
    shuffled = X.sample(frac=1, random_state=3)
    expected = fitted.predict_by_arm(X).loc[shuffled.index]
    pd.testing.assert_frame_equal(fitted.predict_by_arm(shuffled), expected, check_exact=False, rtol=1e-12)


def test_predictions_do_not_depend_on_other_patients(fitted, patients):
    X, _ = patients
    alone = pd.concat([fitted.predict_by_arm(X.iloc[[i]]) for i in range(5)])
    pd.testing.assert_frame_equal(alone, fitted.predict_by_arm(X).head(5), rtol=1e-12)


def test_extra_and_permuted_columns_are_handled_by_name(fitted, patients):
    X, _ = patients
    other = X[["married", "job", "severity", "age"]].assign(extra="x")
    pd.testing.assert_frame_equal(fitted.predict_by_arm(other), fitted.predict_by_arm(X))


def test_arm_names_and_order_do_not_change_predictions(model, patients):
    X, y = patients
    new = {"CBT": "Z", "SSRI": "Y", "TAU": "X"}
    before = clone(model).fit(X, y).predict_by_arm(X)
    after = clone(model).fit(X.assign(arm=X["arm"].map(new)), y).predict_by_arm(X)
    renamed = before.rename(columns=new)[list(after.columns)]
    pd.testing.assert_frame_equal(renamed, after, rtol=1e-6)


def test_every_frame_dtype_gives_the_same_matrix(fitted, patients):
    X, _ = patients
    other = X.astype({"age": "Float64", "married": "boolean", "job": "category", "severity": "Float64"})
    pd.testing.assert_frame_equal(fitted.predict_by_arm(other), fitted.predict_by_arm(X))
    arrow = X.astype({"age": "double[pyarrow]", "job": "string[pyarrow]", "married": "bool[pyarrow]"})
    pd.testing.assert_frame_equal(fitted.predict_by_arm(arrow), fitted.predict_by_arm(X))


def test_training_on_arrow_columns_works(model, patients):
    X, y = patients
    arrow = X.convert_dtypes(dtype_backend="pyarrow")
    pd.testing.assert_frame_equal(
        clone(model).fit(arrow, y).predict_by_arm(X), clone(model).fit(X, y).predict_by_arm(X)
    )


def test_an_unseen_category_counts_as_none(fitted, patients):
    X, _ = patients
    table = fitted.predict_by_arm(X.head(3).assign(job="astronaut"))
    assert np.isfinite(table.to_numpy()).all()


def test_a_missing_value_never_seen_in_development_is_predicted(fitted, patients):
    X, _ = patients
    assert np.isfinite(fitted.predict_by_arm(X.head(3).assign(severity=np.nan)).to_numpy()).all()


def test_additive_form_equals_the_model(fitted, patients):
    X, _ = patients
    pd.testing.assert_frame_equal(
        fitted.additive().predict_by_arm(X), fitted.predict_by_arm(X), rtol=1e-11, check_names=False
    )


def test_weights_equal_repeated_rows(name, model, patients):
    if name in COUNTS_ROWS:
        pytest.skip(COUNTS_ROWS[name])
    X, y = patients
    weights = np.tile([1, 2, 3], len(X))[: len(X)]
    repeated = np.repeat(np.arange(len(X)), weights)
    once = clone(model).fit(X, y, sample_weight=weights).predict_by_arm(X)
    many = clone(model).fit(X.iloc[repeated], y.iloc[repeated]).predict_by_arm(X)
    pd.testing.assert_frame_equal(once, many, rtol=1e-6)


@pytest.mark.slow
def test_cross_validation_and_grid_search_run_with_groups(name, model, patients):
    X, y = patients
    sites = np.arange(len(X)) % 4
    proba = cross_val_predict(model, X, y, groups=sites, cv=GroupKFold(4), method="predict_proba")
    assert proba.shape == (len(X), 2)
    search = GridSearchCV(model, SEARCHED[name], cv=GroupKFold(2), scoring="neg_log_loss")
    search.fit(X, y, groups=sites)
    assert list(search.best_estimator_.predict_by_arm(X).columns) == ["CBT", "SSRI", "TAU"]


def test_works_inside_a_pipeline(model, patients):
    X, y = patients
    pipeline = make_pipeline(FunctionTransformer(lambda frame: frame.drop(columns="married")), model)
    assert pipeline.fit(X, y).predict(X).shape == (len(X),)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda X, y: (X.drop(columns="arm"), y), InputError, "no arm column 'arm'"),
        (lambda X, y: (X.to_numpy(), y), InputError, "must be a DataFrame"),
        (lambda X, y: (X, y.where(X["arm"] != "TAU", 0)), InputError, "'TAU' has .* only one class"),
        (lambda X, y: (X, y + 1), InputError, "neither 0 nor 1"),
        (lambda X, y: (X, y.mask(y.index == "p0000")), InputError, "1 missing value"),
        (lambda X, y: (X, y.head(3)), InputError, "Lengths differ"),
        (lambda X, y: (X.assign(arm=X["arm"].mask(X["arm"] == "TAU", None)), y), InputError, "missing arms"),
        (lambda X, y: (X.assign(age=np.inf), y), CohortError, "infinite"),
        (lambda X, y: (X.assign(age=np.nan), y), CohortError, "no value at all"),
        (lambda X, y: (X.assign(start=pd.Timestamp("2024-01-01")), y), CohortError, "dates"),
        (lambda X, y: (X.head(0), y.head(0)), InputError, "no rows"),
        (lambda X, y: (X[["arm"]], y), InputError, "no covariates"),
    ],
)
def test_bad_input_to_fit_is_refused(model, patients, change, error, message):
    with pytest.raises(error, match=message):
        clone(model).fit(*change(*patients))


def test_an_arm_whose_patients_have_zero_weight_is_refused(model, patients):
    X, y = patients
    with pytest.raises(InputError, match="'TAU' has 0 patients with a weight above 0"):
        clone(model).fit(X, y, sample_weight=(X["arm"] != "TAU").astype(float))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda X: X.drop(columns="severity"), CohortError, "'severity' is missing"),
        (lambda X: X.assign(severity="high"), CohortError, "'severity' holds text"),
        (lambda X: X.assign(severity=-np.inf), CohortError, "'severity' holds 240 infinite values"),
    ],
)
def test_bad_input_to_predict_is_refused(fitted, patients, change, error, message):
    with pytest.raises(error, match=message):
        fitted.predict_by_arm(change(patients[0]))


def test_an_unseen_arm_is_refused(fitted, patients):
    with pytest.raises(InputError, match=r"'arm' holds 240 patients of arms unknown .* \['yoga'\]"):
        fitted.predict_proba(patients[0].assign(arm="yoga"))


def test_messages_never_show_a_patients_value(fitted, patients):
    with pytest.raises(CohortError) as caught:
        fitted.predict_by_arm(patients[0].assign(severity="SECRET"))
    assert "SECRET" not in str(caught.value)


def test_a_classifier_without_probabilities_is_refused(patients):
    from sklearn.svm import LinearSVC

    with pytest.raises(UnsupportedModelError, match="does not predict probabilities"):
        ArmwiseClassifier(LinearSVC()).fit(*patients)


def test_other_classifiers_predict_but_are_not_additive(patients):
    from sklearn.ensemble import RandomForestClassifier

    model = PooledClassifier(RandomForestClassifier(n_estimators=5, random_state=0)).fit(*patients)
    assert model.predict_by_arm(patients[0]).shape == (240, 3)
    with pytest.raises(UnsupportedModelError, match="RandomForestClassifier cannot be written"):
        model.additive()


SINGLE_ARM_MODELS = {name: clone(model).set_params(arm=None) for name, model in MODELS.items()}


def checks_that_fail(estimator):
    name = next(name for name, model in SINGLE_ARM_MODELS.items() if model is estimator)
    reason = COUNTS_ROWS.get(name)
    if reason is None and sklearn.__version__.startswith("1.6."):
        reason = "in scikit-learn 1.6 the first row decides which class is which, and one side is shuffled"
    return {"check_sample_weight_equivalence_on_dense_data": reason} if reason else {}


@parametrize_with_checks(list(SINGLE_ARM_MODELS.values()), expected_failed_checks=checks_that_fail)
def test_scikit_learn_contract_with_a_single_arm(estimator, check):
    check(estimator)
