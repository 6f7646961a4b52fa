"""Explanations of models that are not sums of terms: by predictions alone, exact or with standard errors."""

import itertools

import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier
from scipy.special import expit, logit
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier

import treatsel as ts
from treatsel.errors import InputError, UnsupportedModelError
from treatsel.explanation import explain
from treatsel.models import ArmwiseClassifier, PooledClassifier

FOREST = RandomForestClassifier(20, min_samples_leaf=20, random_state=0)


def make_numbers(n=400):
    """Four numeric covariates with missing values, two arms."""
    rng = np.random.default_rng(5)
    X = pd.DataFrame(rng.normal(size=(n, 4)).round(2), columns=list("abcd"))
    X["arm"] = rng.choice(["CBT", "SSRI"], n)
    lift = np.where(X["arm"] == "CBT", X["a"] * X["b"], X["c"])
    y = (rng.random(n) < expit(lift)).astype(int)
    X.loc[rng.random(n) < 0.2, "b"] = np.nan
    return X, y


def brute_force(model, x, background, arm):
    """Shapley values as the mean gain of a covariate over all orders in which covariates can join."""
    total = dict.fromkeys(background.columns, 0.0)
    orders = list(itertools.permutations(background.columns))
    for order in orders:
        mixed = background.copy()
        before = logit(model.predict_by_arm(mixed)[arm]).mean()
        for name in order:
            mixed[name] = x[name]
            after = logit(model.predict_by_arm(mixed)[arm]).mean()
            total[name] += (after - before) / len(orders)
            before = after
    return pd.Series(total)


class Opaque:
    """A fitted model that hides its sum of terms."""

    def __init__(self, model):
        self.fitted_, self.arms_, self.arm = model, model.arms_, "arm"
        self.predict_by_arm = model.predict_by_arm


@pytest.fixture(scope="module")
def numbers():
    return make_numbers()


@pytest.fixture(scope="module")
def forest(numbers):
    return PooledClassifier(FOREST).fit(*numbers)


def test_few_covariates_are_explained_by_all_coalitions(forest, numbers):
    X, _ = numbers
    background = X.drop(columns="arm").head(50)
    new = X.iloc[200:203]
    explained = explain(forest, new, arm="SSRI", background=background)
    assert explained.method == "enumeration"
    assert explained.exact
    for patient in new.index:
        expected = brute_force(forest, new.loc[patient], background, "SSRI")
        np.testing.assert_allclose(explained.values.loc[patient], expected, atol=1e-9)


@pytest.mark.parametrize("scale", ["logit", "probability"])
def test_values_add_up_and_a_contrast_is_the_difference_of_its_arms(forest, numbers, scale):
    X, _ = numbers
    options = {"background": X.head(40), "scale": scale}
    first, second = (explain(forest, X.head(5), arm=arm, **options) for arm in ("CBT", "SSRI"))
    table = forest.predict_by_arm(X.head(5))["CBT"]
    expected = logit(table) if scale == "logit" else table
    np.testing.assert_allclose(first.base_value + first.values.sum(axis=1), expected, atol=1e-9)
    np.testing.assert_allclose(first.prediction, expected, atol=1e-9)
    contrast = explain(forest, X.head(5), contrast=("CBT", "SSRI"), **options)
    np.testing.assert_allclose(contrast.values, first.values - second.values, atol=1e-12)


def make_many(n=300, p=12):
    rng = np.random.default_rng(2)
    X = pd.DataFrame(rng.normal(size=(n, p)), columns=[f"x{j}" for j in range(p)])
    X["arm"] = rng.choice(["CBT", "SSRI"], n)
    lift = X["x0"] * X["x1"] + np.where(X["arm"] == "CBT", X["x2"], -X["x3"])
    return X, (rng.random(n) < expit(lift)).astype(int)


def test_permutations_give_the_exact_values_of_a_linear_model():
    X, y = make_many()
    model = ArmwiseClassifier(LogisticRegression()).fit(X, y)
    options = {"arm": "CBT", "background": X.head(100)}
    exact, sampled = explain(model, X.tail(4), **options), explain(Opaque(model), X.tail(4), **options)
    assert (exact.method, sampled.method) == ("additive", "permutation")
    assert not sampled.exact
    np.testing.assert_allclose(sampled.values, exact.values, atol=1e-9)
    assert sampled.standard_errors.max() < 1e-9


def test_standard_errors_cover_the_exact_values_of_trees():
    X, y = make_many()
    model = ArmwiseClassifier(LGBMClassifier(n_estimators=20, num_leaves=6)).fit(X, y)
    options = {"contrast": ("CBT", "SSRI"), "background": X.head(100)}
    exact, sampled = explain(model, X.tail(20), **options), explain(Opaque(model), X.tail(20), **options)
    off = (sampled.values - exact.values).to_numpy()
    covered = (np.abs(off) <= 2.13 * sampled.standard_errors).mean()  # t with 15 degrees of freedom
    assert 0.85 < covered < 1.0
    np.testing.assert_allclose(sampled.base_value + sampled.values.sum(axis=1), exact.prediction, atol=1e-9)


def test_an_approximate_explanation_says_so_everywhere():
    X, y = make_many()
    model = PooledClassifier(FOREST).fit(X, y)
    found = explain(model, X.head(2), arm="CBT", background=X.head(30))
    again = explain(model, X.head(2), arm="CBT", background=X.head(30))
    np.testing.assert_array_equal(found.values, again.values)
    assert "approximate (sampled permutations), standard error at most 0." in repr(found)
    content = found.to_dict()
    assert (content["method"], content["exact"]) == ("permutation", False)
    assert set(content["explanations"][0]["standard_errors"]) == set(X.columns) - {"arm"}
    assert (found.to_frame()["standard_error"] >= 0).all()
    assert "approximate" in found.plot(patient=X.index[0]).get_xlabel()


def test_an_exact_explanation_has_no_standard_errors(numbers):
    X, y = numbers
    found = explain(PooledClassifier(LogisticRegression()).fit(X, y), X.head(2), arm="CBT", background=X)
    content = found.to_dict()
    assert (content["method"], content["exact"]) == ("additive", True)
    assert content["explanations"][0]["standard_errors"] is None
    assert "standard_error" not in found.to_frame()


def test_a_prediction_of_0_or_1_has_no_logit(numbers):
    X, y = numbers
    model = PooledClassifier(KNeighborsClassifier(3)).fit(X.fillna(0), y)
    with pytest.raises(InputError, match='scale="probability"'):
        explain(model, X.head(2), arm="CBT", background=X.fillna(0))
    found = explain(model, X.fillna(0).head(2), arm="CBT", background=X.fillna(0), scale="probability")
    expected = model.predict_by_arm(X.fillna(0).head(2))["CBT"]
    np.testing.assert_allclose(found.base_value + found.values.sum(axis=1), expected, atol=1e-12)


def test_the_number_of_patients_is_limited(forest, numbers):
    X, _ = numbers
    with pytest.raises(InputError, match="limited to 200 patients"):
        explain(forest, X, arm="CBT", background=X)


def test_a_selector_and_a_search_are_explained_too(numbers):
    X, y = numbers
    y = pd.Series(y, X.index, name="remission")
    selector = ts.TreatmentSelector(estimator=PooledClassifier(FOREST), event_is_good=True, random_state=0)
    selector = selector.fit(X, y)
    record = X.drop(columns="arm").iloc[0].to_dict()
    for patient in (X.head(1), record):
        found = explain(selector, patient, arm="CBT")
        expected = logit(selector.predict_by_arm(patient)["CBT"].iloc[0])
        assert found.base_value + found.attributions.sum() == pytest.approx(expected, abs=1e-9)
        assert found.outcome == "remission"
    search = GridSearchCV(PooledClassifier(LogisticRegression()), {"interaction_scale": [0.1, 1.0]}, cv=2)
    search.fit(X, y)
    assert explain(search, X.head(2), arm="CBT", background=X).method == "additive"


def test_a_forest_cannot_be_saved(numbers, tmp_path):
    X, y = numbers
    y = pd.Series(y, X.index, name="remission")
    selector = ts.TreatmentSelector(estimator=PooledClassifier(FOREST), event_is_good=True, random_state=0)
    selector.fit(X, y)
    with pytest.raises(UnsupportedModelError, match="Use logistic regression or LightGBM"):
        ts.save_model(selector, tmp_path / "m.treatsel", intended_use="test")
    assert not list(tmp_path.iterdir())
