"""`update_closed_test`: invariances, known truths, and data without an estimate."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from tests.models.conftest import make_patients

from treatsel.errors import InputError, TreatselWarning
from treatsel.models import HierarchicalClassifier
from treatsel.validation.studies._updating import update_closed_test

CLASSIC = ("none", "intercept", "slope", "refit")
ARMS = ["CBT", "IPT", "SSRI"]


def make(seed=0, n=300, shift=0.0, slope=1.0, by_arm=0.0):
    """Covariates, a linear model's by-arm table, and outcomes from that model with shifted logits."""
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.normal(size=(n, 2)), columns=["a", "b"]).assign(arm=rng.choice(ARMS, n))
    logits = pd.DataFrame({arm: 0.3 * k + X["a"] - 0.2 * k * X["b"] for k, arm in enumerate(ARMS)})
    codes = pd.Index(ARMS).get_indexer(X["arm"])
    own = logits.to_numpy()[np.arange(n), codes]
    y = (rng.random(n) < expit(shift + slope * own + by_arm * (codes - 1))).astype(int)
    return expit(logits), X, y


def test_log_likelihoods_are_those_of_statsmodels():
    import statsmodels.api as sm

    table, X, y = make(shift=0.5, slope=0.6, by_arm=0.4)
    found = update_closed_test(table, X, y).table["log_likelihood"]
    codes = pd.Index(ARMS).get_indexer(X["arm"])
    own, arms = logit(table.to_numpy()[np.arange(len(X)), codes]), np.eye(3)[codes]
    refit = np.column_stack([arms, *(arms * X[[name]].to_numpy() for name in "ab")])
    designs = {
        "intercept": (np.ones((len(X), 1)), own),
        "slope": (np.column_stack([np.ones(len(X)), own]), None),
        "per_arm": (np.column_stack([arms, own]), None),
        "refit": (refit, None),
    }
    for method, (design, offset) in designs.items():
        fit = sm.GLM(y, design, family=sm.families.Binomial(), offset=offset).fit(tol=1e-12)
        assert found[method] == pytest.approx(fit.llf, abs=1e-8), method


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), shift=st.floats(-1, 1), slope=st.floats(0.2, 1.5))
def test_richer_methods_fit_better_and_order_does_not_matter(seed, shift, slope):
    table, X, y = make(seed, n=120, shift=shift, slope=slope)
    found = update_closed_test(table, X, y)
    heights = found.table["log_likelihood"]
    assert (np.diff(heights) >= -1e-9).all()  # the model itself is linear, so "refit" includes it
    rows = np.random.default_rng(seed).permutation(len(y))
    again = update_closed_test(table.iloc[rows], X.iloc[rows], y[rows])
    np.testing.assert_allclose(again.table["log_likelihood"], heights, atol=1e-8)
    assert again.chosen == found.chosen


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_weights_equal_repeated_rows(seed):
    table, X, y = make(seed, n=200, shift=0.4)
    weights = np.random.default_rng(seed).integers(0, 4, len(y))
    rows = np.repeat(np.arange(len(y)), weights)
    once = update_closed_test(table, X, y, sample_weight=weights)
    many = update_closed_test(table.iloc[rows], X.iloc[rows], y[rows])
    assert (once.n, once.n_events, once.chosen) == (many.n, many.n_events, many.chosen)
    np.testing.assert_allclose(once.tests["statistic"], many.tests["statistic"], atol=1e-6)
    np.testing.assert_allclose(once.predictions.to_numpy()[rows], many.predictions, atol=1e-6)


def test_a_model_that_is_right_is_rarely_changed():
    kept = [
        update_closed_test(*make(seed, n=500), methods=methods).chosen == "none"
        for seed in range(50)
        for methods in [("none", "slope", "refit")]
    ]
    assert np.mean(kept) > 0.87  # 95 % expected


@pytest.mark.parametrize(
    ("change", "chosen"),
    [
        ({"shift": 0.7}, "intercept"),
        ({"shift": 0.3, "slope": 0.4}, "slope"),
        ({"by_arm": 0.8}, "per_arm"),
    ],
)
def test_the_smallest_change_that_is_enough_is_chosen(change, chosen):
    found = [update_closed_test(*make(seed, n=1500, **change)).chosen for seed in range(6)]
    assert found.count(chosen) >= 5


def test_a_model_of_the_wrong_shape_is_refitted():
    table, X, y = make(n=1500)
    wrong = table.assign(CBT=table["CBT"].to_numpy()[::-1])
    assert update_closed_test(wrong, X, y).chosen == "refit"
    assert update_closed_test(wrong, X, y, methods=CLASSIC).chosen == "refit"


def test_a_model_and_its_table_are_updated_alike():
    model = HierarchicalClassifier().fit(*make_patients())
    X, _ = make_patients(900, random_state=9)
    y = (np.random.default_rng(0).random(900) < expit(0.8 + logit(model.predict_proba(X)[:, 1]))).astype(int)
    found, of_table = update_closed_test(model, X, y), update_closed_test(model.predict_by_arm(X), X, y)
    pd.testing.assert_frame_equal(found.predictions, of_table.predictions, rtol=1e-6)
    assert found.chosen == of_table.chosen == "intercept"
    assert of_table.classifier is None
    served = found.classifier.predict_by_arm(X)
    pd.testing.assert_frame_equal(served, found.by_arm[found.chosen], check_names=False, rtol=1e-9)


def test_to_frame_and_plot_show_the_methods():
    found = update_closed_test(*make(shift=0.7))
    frame = found.to_frame()
    assert frame.index[frame["chosen"]].tolist() == [found.chosen]
    assert [label.get_text() for label in found.plot().get_yticklabels()][::-1] == list(frame.index)


def test_with_one_arm_a_shift_for_each_arm_equals_one_shift():
    table, X, y = make()
    found = update_closed_test(table[["CBT"]].set_axis(["all"], axis=1), X[["a", "b"]], y, arm=None)
    assert "per_arm" not in found.table.index
    assert found.table.loc["refit", "n_parameters"] == 3


def test_predictions_of_0_and_1_count_as_nearly_so():
    table, X, y = make()
    table = table.where(X["a"].abs() < 1, table.round(), axis=0)
    with pytest.warns(TreatselWarning, match="probabilities are 0 or 1"):
        found = update_closed_test(table, X, y)
    assert np.isfinite(found.table["log_likelihood"]).all()
    own = found.predictions["none"]
    p = own.clip(1e-8, 1 - 1e-8)
    direct = float(np.log(np.where(y == 1, p, 1 - p)).sum())
    assert found.table.loc["none", "log_likelihood"] == pytest.approx(direct, rel=1e-6)


def test_without_a_refit_the_richest_recalibration_is_the_reference():
    methods = ("none", "intercept", "slope", "per_arm")
    kept = [update_closed_test(*make(seed, n=300), methods=methods).chosen == "none" for seed in range(60)]
    assert np.mean(kept) > 0.85  # 95 % expected; 3 SE below
    found = update_closed_test(*make(n=1500, by_arm=0.8), methods=methods)
    assert (found.chosen, list(found.tests.index)) == ("per_arm", ["none", "intercept", "slope"])
    assert found.tests["df"].tolist() == [4, 3, 2]


def test_perfect_predictions_have_no_slope_with_a_reason():
    _, X, y = make(n=60)
    perfect = pd.DataFrame(dict.fromkeys(ARMS, np.where(y == 1, 0.8, 0.2)))
    found = update_closed_test(perfect, X, y)
    assert found.table.loc["slope", "log_likelihood"] == pytest.approx(0, abs=1e-8)  # its least upper bound
    assert "separate" in found.table.loc["slope", "problem"]
    assert np.isfinite(found.predictions.to_numpy()).all()
    assert found.chosen in ("none", "intercept")


def test_one_class_and_an_arm_that_no_patient_received():
    table, X, y = make()
    found = update_closed_test(table, X, np.zeros(len(X)))
    assert found.chosen == "intercept"
    assert "one class" in found.table.loc["intercept", "problem"]
    few = (X["arm"] != "SSRI").to_numpy()
    found = update_closed_test(table[few], X[few], y[few])
    assert "an arm has no patients" in found.table.loc["refit", "problem"]
    assert found.by_arm["refit"]["SSRI"].isna().all()
    assert found.predictions.notna().all(axis=None)
    assert found.table.loc["refit", "n_parameters"] == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods": ("none", "tilt", "refit")}, "A method is 'tilt'"),
        ({"methods": ("none", "none")}, "needs two methods or more"),
        ({"alpha": 1.5}, "must lie between 0 and 1"),
        ({"arm": "treatment"}, "no arm column 'treatment'"),
        ({"sample_weight": [1.0]}, "Lengths differ"),
    ],
)
def test_bad_options_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        update_closed_test(*make(), **change)


def test_bad_data_are_refused():
    table, X, y = make()
    with pytest.raises(InputError, match="Lengths differ"):
        update_closed_test(table.head(5), X, y)
    with pytest.raises(InputError, match="neither 0 nor 1"):
        update_closed_test(table, X, y + 1)
    with pytest.raises(InputError, match="arms unknown"):
        update_closed_test(table[["CBT", "IPT"]], X, y)
    with pytest.raises(InputError, match="must be a DataFrame"):
        update_closed_test(table, X.to_numpy(), y)
