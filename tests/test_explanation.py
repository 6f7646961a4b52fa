"""Explanations: exact on the logit scale, against brute force, and additive at every call."""

import itertools
import math
import subprocess
import sys

import lightgbm
import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

import treatsel as ts
from treatsel.additive._shapley import TreeGames
from treatsel.errors import AdditivityError, InputError, UnsupportedModelError
from treatsel.explanation import explain
from treatsel.models import ArmwiseClassifier, PooledClassifier

BOOSTED = lightgbm.LGBMClassifier(n_estimators=15, num_leaves=8, min_child_samples=10)
MODELS = {
    "armwise logistic": ArmwiseClassifier(LogisticRegression(max_iter=500)),
    "pooled logistic": PooledClassifier(LogisticRegression(max_iter=500)),
    "armwise boosted": ArmwiseClassifier(BOOSTED),
    "pooled boosted": PooledClassifier(BOOSTED),
}


def make_numbers(n=400):
    """Four numeric covariates with missing values, two arms."""
    rng = np.random.default_rng(5)
    X = pd.DataFrame(rng.normal(size=(n, 4)).round(2), columns=list("abcd"))
    X["arm"] = rng.choice(["CBT", "SSRI"], n)
    lift = np.where(X["arm"] == "CBT", X["a"] * X["b"], X["c"])
    y = (rng.random(n) < expit(lift)).astype(int)
    X.loc[rng.random(n) < 0.2, "b"] = np.nan
    return X, y


@pytest.fixture(scope="module")
def numbers():
    return make_numbers()


def brute_force(model, x, background, arm):
    """Shapley values by the definition: all coalitions, mean over the background (one patient)."""
    names = list(background.columns)

    def value(coalition):
        mixed = background.copy()
        for name in coalition:
            mixed[name] = x[name]
        return logit(model.predict_by_arm(mixed)[arm]).mean()

    values = {}
    for name in names:
        others, total = [other for other in names if other != name], 0.0
        for size in range(len(others) + 1):
            weight = math.factorial(size) * math.factorial(len(names) - size - 1) / math.factorial(len(names))
            for coalition in itertools.combinations(others, size):
                total += weight * (value((*coalition, name)) - value(coalition))
        values[name] = total
    return pd.Series(values)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
def test_values_equal_brute_force_also_with_missing_values(model, numbers):
    X, y = numbers
    fitted = model.fit(X, y)
    background = X.drop(columns="arm").head(150)
    new = X.iloc[200:206].copy()
    new.iloc[0, 1] = np.nan
    explained = explain(fitted, new, arm="SSRI", background=background)
    for patient in new.index:
        expected = brute_force(fitted, new.loc[patient], background, "SSRI")
        np.testing.assert_allclose(explained.values.loc[patient], expected, atol=1e-9)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
def test_shap_players_are_source_columns_also_with_categories(model):
    rng = np.random.default_rng(3)
    X = pd.DataFrame({"job": rng.choice(["a", "b", "c"], 400), "age": rng.normal(40, 9, 400).round(1)})
    X["arm"] = rng.choice(["CBT", "SSRI"], 400)
    lift = (X["job"] == "a") * (X["age"] - 40) / 6 - (X["job"] == "b") * (X["age"] > 45)
    y = (rng.random(400) < expit(lift)).astype(int)
    X.loc[rng.random(400) < 0.2, "age"] = np.nan
    X["job"] = X["job"].where(rng.random(400) > 0.1)
    fitted, background = model.fit(X, y), X.drop(columns="arm").head(80)
    explained = explain(fitted, X.tail(5), arm="CBT", background=background)
    for patient in X.index[-5:]:
        expected = brute_force(fitted, X.loc[patient], background, "CBT")
        np.testing.assert_allclose(explained.values.loc[patient], expected, atol=1e-9)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
@pytest.mark.parametrize("scale", ["logit", "probability"])
def test_base_and_values_add_up_to_the_prediction(model, scale, numbers):
    X, y = numbers
    fitted = model.fit(X, y)
    explained = explain(fitted, X, arm="CBT", background=X.head(60), scale=scale)
    table = fitted.predict_by_arm(X)["CBT"]
    prediction = logit(table) if scale == "logit" else table
    np.testing.assert_allclose(explained.base_value + explained.values.sum(axis=1), prediction, atol=1e-9)
    np.testing.assert_allclose(explained.prediction, prediction, atol=1e-9)


@pytest.mark.parametrize("scale", ["logit", "probability"])
def test_a_contrast_is_the_difference_of_its_arms(scale, numbers):
    X, y = numbers
    fitted = MODELS["pooled boosted"].fit(X, y)
    options = {"background": X.head(60), "scale": scale}
    first, second = (explain(fitted, X.head(9), arm=arm, **options) for arm in ("CBT", "SSRI"))
    contrast = explain(fitted, X.head(9), contrast=("CBT", "SSRI"), **options)
    np.testing.assert_allclose(contrast.values, first.values - second.values, atol=1e-12)
    back = explain(fitted, X.head(9), contrast=("SSRI", "CBT"), **options)
    np.testing.assert_allclose(back.values, -contrast.values, atol=1e-12)


def test_one_hot_pieces_are_added_back_to_their_column():
    rng = np.random.default_rng(1)
    X = pd.DataFrame({"job": rng.choice(["a", "b", "c"], 300), "age": rng.normal(40, 9, 300)})
    X.loc[rng.random(300) < 0.2, "age"] = np.nan
    X["arm"] = rng.choice(["CBT", "SSRI"], 300)
    y = (rng.random(300) < np.where(X["job"] == "a", 0.7, 0.3)).astype(int)
    model = PooledClassifier(LogisticRegression()).fit(X, y)
    explained = explain(model, X, arm="CBT", background=X)
    assert list(explained.values.columns) == ["job", "age"]
    assert explained.values["job"][X["job"] == "a"].min() > explained.values["job"][X["job"] != "a"].max()


def test_a_common_background_keeps_the_sign_of_a_contrast_under_confounding():
    """Arms given to different populations: an arm-specific base value would invert the contrast."""
    rng = np.random.default_rng(2)
    n = 4000
    severity = rng.normal(size=n)
    arm = np.where(rng.random(n) < expit(2 * severity), "SSRI", "CBT")
    y = (rng.random(n) < expit(-severity - 0.5 * severity * (arm == "SSRI"))).astype(int)
    X = pd.DataFrame({"severity": severity, "arm": arm})
    model = ArmwiseClassifier(LogisticRegression()).fit(X, y)
    new = pd.DataFrame({"severity": [-1.5, 1.5]})
    contrast = explain(model, new, contrast=("SSRI", "CBT"), background=X)
    assert contrast.values["severity"].tolist()[0] > 0 > contrast.values["severity"].tolist()[1]


@pytest.fixture(scope="module")
def selector(trained):
    cohort = ts.Cohort.read_csv(trained / "cohort.csv", trained / "codebook.yaml")
    return ts.load_model(trained / "m.treatsel"), cohort


def test_a_selector_is_explained_from_a_record(selector):
    fitted, cohort = selector
    record = cohort.X.iloc[0].to_dict()
    one = explain(fitted, record, arm="cbt")
    table = explain(fitted, cohort.X.head(1), arm="cbt")
    np.testing.assert_allclose(one.values, table.values)
    assert one.outcome == "dropout"
    assert list(one.values.columns) == list(cohort.codebook.covariates)


def test_to_frame_and_text(selector):
    fitted, cohort = selector
    explained = explain(fitted, cohort.X.head(3), contrast=("cbt", "ipt"), scale="probability")
    frame = explained.to_frame()
    assert list(frame.columns) == [
        *("patient", "outcome", "arm", "contrast", "scale", "covariate", "value"),
        *("attribution", "base_value", "prediction", "in_scope", "reason", "reason_column"),
    ]
    assert frame[["outcome", "contrast", "scale"]].drop_duplicates().values.tolist() == [
        ["dropout", "cbt minus ipt", "probability"]
    ]
    assert frame["arm"].isna().all()
    sums = frame.groupby("patient", sort=False)["attribution"].sum() + explained.base_value
    probabilities = fitted.predict_by_arm(cohort.X.head(3))
    np.testing.assert_allclose(sums, probabilities["cbt"] - probabilities["ipt"], atol=1e-9)
    ages = frame[frame["covariate"] == "age"]["value"].astype(float)
    assert ages.tolist() == cohort.X["age"].head(3).tolist()
    assert frame["attribution"].to_numpy() == pytest.approx(explained.values.to_numpy().ravel())
    assert explained.subject == "the model's difference in probability of dropout, cbt minus ipt"


def test_to_shap_works_with_the_plots_of_shap(selector):
    fitted, cohort = selector
    explained = explain(fitted, cohort.X.head(20), arm="cbt")
    as_shap = explained.to_shap()
    assert as_shap.shape == explained.values.shape
    np.testing.assert_allclose(as_shap.base_values + as_shap.values.sum(axis=1), explained.prediction)
    assert as_shap.abs.mean(0).values == pytest.approx(explained.values.abs().mean().to_numpy())


@pytest.mark.parametrize("patient", [None, "first"])
def test_plot_returns_axes_and_shows_the_largest_first(selector, patient):
    fitted, cohort = selector
    explained = explain(fitted, cohort.X.head(20), arm="cbt")
    patient = patient and explained.values.index[0]
    axes = explained.plot(patient=patient)
    widths = [abs(bar.get_width()) for bar in axes.patches][1:]
    assert widths == sorted(widths)
    assert "the model's" in " ".join(axes.get_xlabel().split())


def test_a_dollar_sign_is_not_a_formula(tmp_path):
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"income": rng.choice(["$10_{k-$20", "$20k-$30k"], 80), "age": rng.normal(40, 9, 80)})
    X["arm"] = rng.choice(["CBT", "SSRI"], 80)
    model = PooledClassifier(LogisticRegression()).fit(X, rng.integers(0, 2, 80))
    axes = explain(model, X.head(1), arm="CBT", background=X).plot()
    axes.figure.savefig(tmp_path / "plot.png")
    assert any("income = " in label.get_text() for label in axes.get_yticklabels())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, InputError, "either arm="),
        ({"arm": "cbt", "contrast": ("cbt", "ipt")}, InputError, "either arm="),
        ({"arm": "CBT"}, InputError, "Did you mean 'cbt'"),
        ({"contrast": ("cbt", "cbt")}, InputError, "two different arms"),
        ({"contrast": ("cbt",)}, InputError, "two different arms"),
        ({"contrast": "AB"}, InputError, "two different arms"),
        ({"arm": "cbt", "scale": "odds"}, InputError, "'logit' or 'probability'"),
        ({"arm": "cbt", "outcome": "remission"}, InputError, "outcome is 'remission'"),
    ],
)
def test_bad_options_are_refused(selector, options, error, message):
    fitted, cohort = selector
    with pytest.raises(error, match=message):
        explain(fitted, cohort.X.head(1), **options)


def test_a_model_without_background_or_form_is_refused(numbers):
    X, y = numbers
    with pytest.raises(InputError, match="Pass background="):
        explain(MODELS["pooled logistic"].fit(X, y), X, arm="CBT")
    with pytest.raises(UnsupportedModelError, match="is not a model of treatsel"):
        explain(LogisticRegression(), X, arm="CBT", background=X)


def test_values_that_do_not_add_up_are_never_returned(numbers, monkeypatch):
    X, y = numbers
    model = MODELS["armwise boosted"].fit(X, y)

    def wrong(games, matrix, weights, **options):
        return np.full((len(matrix), games.paths.n_columns), 0.1)

    monkeypatch.setattr(TreeGames, "values", wrong)
    with pytest.raises(AdditivityError, match="do not add up"):
        explain(model, X, arm="CBT", background=X)


def test_a_new_plot_belongs_to_pyplot_only_where_the_user_has_it():
    """In a separate process, because the import of pyplot is tested."""
    code = (
        "import sys, pandas as pd; from treatsel._reporting import plots;"
        "ax = plots.new_axes(None); assert 'matplotlib.pyplot' not in sys.modules;"
        "import matplotlib.pyplot as plt; assert plt.get_fignums() == [];"
        "ax = plots.new_axes(None); assert plt.get_fignums() == [1] and ax.figure is plt.gcf();"
        "print('shown')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "shown\n", done.stderr


def test_an_unfitted_selector_or_an_empty_background_is_refused(selector):
    fitted, cohort = selector
    with pytest.raises(NotFittedError):
        explain(ts.TreatmentSelector(), cohort.X.head(1), arm="cbt")
    with pytest.raises(InputError, match="background has no rows"):
        explain(fitted, cohort.X.head(1), arm="cbt", background=cohort.X.head(0))
