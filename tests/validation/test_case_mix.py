"""Case mix and transport: invariances, known truths, summaries, and what cannot be estimated."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from treatsel.errors import InputError
from treatsel.metrics import roc_auc
from treatsel.validation.studies._case_mix import case_mix
from treatsel.validation.studies._transport import balancing_weights, transport_performance


def make(seed=0, n=300, shift=0.0, scale=1.0):
    rng = np.random.default_rng(seed)
    age = 40 + 12 * (shift + scale * rng.normal(size=n))
    frame = pd.DataFrame(
        {
            "age": age,
            "job": rng.choice(["employed", "student", "other"], n),
            "married": rng.random(n) < 0.5,
            "arm": rng.choice(["CBT", "SSRI"], n),
        }
    )
    frame["p"] = expit((age - 40) / 12 + 0.3 * (frame["arm"] == "CBT"))
    frame["y"] = (rng.random(n) < frame["p"]).astype(int)
    return frame


ROLES = {"outcome": "y", "prediction": "p"}


def test_membership_model_is_that_of_statsmodels():
    import statsmodels.api as sm

    old, new = make(0), make(1, shift=0.4)
    found = case_mix(old, new, **ROLES)
    both = pd.concat([old, new], ignore_index=True)
    design = pd.DataFrame({"intercept": 1.0, "age": both["age"]})
    for level in ("other", "student"):
        design[f"job={level}"] = (both["job"] == level).astype(float)
    design["married"] = both["married"].astype(float)
    design["arm=SSRI"] = (both["arm"] == "SSRI").astype(float)
    design["outcome"] = both["y"].astype(float)
    member = np.repeat([0, 1], 300)
    fit = sm.GLM(member, design, family=sm.families.Binomial()).fit(tol=1e-12)
    assert found.membership.value == pytest.approx(roc_auc(member, fit.fittedvalues).value, abs=1e-12)
    null = -len(member) * np.log(2)
    from scipy.stats import chi2

    assert found.membership.p_value == pytest.approx(chi2.sf(2 * (fit.llf - null), 6), rel=1e-6)
    for name in ("age", "married", "arm=SSRI", "outcome"):
        assert found.coefficients[name] == pytest.approx(fit.params[name], abs=1e-7)
    without = sm.GLM(member, design.drop(columns="outcome"), family=sm.families.Binomial()).fit(tol=1e-12)
    expected = roc_auc(member, without.fittedvalues).value
    assert found.membership_without_outcome.value == pytest.approx(expected, abs=1e-12)


def test_a_cohort_does_not_differ_from_itself():
    found = case_mix(make(), make(), **ROLES)
    assert found.membership.value == pytest.approx(0.5, abs=1e-9)
    assert found.membership.p_value == pytest.approx(1)
    table = found.linear_predictor
    assert list(table.index) == ["overall", "CBT", "SSRI"]
    np.testing.assert_allclose(table["difference"], 0)
    np.testing.assert_allclose(table["ratio"], 1)
    np.testing.assert_allclose(found.covariates["standardized_difference"], 0)


def test_a_shift_and_a_stretch_are_found():
    found = case_mix(make(0, n=4000), make(1, n=4000, shift=0.5, scale=1.5), **ROLES)
    assert found.membership.value > 0.6
    row = found.linear_predictor.loc["overall"]
    assert row["difference_lower"] < 0.5 < row["difference_upper"]
    assert row["ratio_lower"] < row["ratio"] < row["ratio_upper"]
    by_hand = logit(make(1, n=4000, shift=0.5, scale=1.5)["p"])
    assert (row["validation_mean"], row["validation_sd"]) == pytest.approx((by_hand.mean(), by_hand.std()))


def test_intervals_of_the_linear_predictor_cover():
    rows = [
        case_mix(
            make(seed, n=120), make(1000 + seed, n=150, shift=0.3, scale=1.3), prediction="p", outcome="y"
        )
        for seed in range(60)
    ]
    lines = [row.linear_predictor.loc["CBT"] for row in rows]
    mean = [line["difference_lower"] <= 0.3 <= line["difference_upper"] for line in lines]
    spread = [line["ratio_lower"] <= 1.3 <= line["ratio_upper"] for line in lines]
    assert np.mean(mean) > 0.87
    assert np.mean(spread) > 0.85


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_order_and_weights(seed):
    rng = np.random.default_rng(seed)
    old, new = make(seed, n=120), make(seed + 1, n=100, shift=0.2)
    new["w"] = rng.integers(1, 4, len(new))
    once = case_mix(old, new, weight="w", **ROLES)
    many = new.loc[np.repeat(new.index, new["w"])].drop(columns="w").sample(frac=1, random_state=seed)
    again = case_mix(old.sample(frac=1, random_state=seed), many, **ROLES)
    a, b = once.membership, again.membership
    np.testing.assert_allclose([a.value, a.lower, a.upper, a.n], [b.value, b.lower, b.upper, b.n], atol=1e-9)
    pd.testing.assert_frame_equal(once.linear_predictor, again.linear_predictor, rtol=1e-9)
    pd.testing.assert_frame_equal(once.covariates, again.covariates, rtol=1e-9, atol=1e-12)


def test_summaries_can_replace_patients():
    old, new = make(0), make(1, shift=0.4)
    whole = case_mix(old, new, **ROLES)
    moments = {
        name: (row["development_mean"], row["development_sd"]) for name, row in whole.covariates.iterrows()
    }
    linear = whole.linear_predictor.loc["overall"]
    moments["linear predictor"] = (linear["development_mean"], linear["development_sd"], 300)
    found = case_mix(moments, new, **ROLES)
    pd.testing.assert_frame_equal(found.covariates, whole.covariates)
    row = found.linear_predictor.loc["overall"]
    assert row["difference_lower"] == pytest.approx(linear["difference_lower"])
    assert row["ratio"] == pytest.approx(linear["ratio"])
    assert np.isnan(found.membership.value)
    assert "summaries" in found.membership.method


def test_missing_and_useless_columns():
    old, new = make(0).assign(constant=1.0, twin=lambda f: 2 * f["age"]), make(1)
    new = new.assign(constant=1.0, twin=2 * new["age"])
    new.loc[:20, "age"] = np.nan
    new.loc[5:9, "job"] = None
    found = case_mix(old, new, **ROLES)
    assert np.isfinite(found.membership.value)
    assert np.isnan(found.coefficients["constant"])
    assert found.coefficients["age missing"] > 0  # never missing in the old cohort: no finite estimate
    assert "separate the cohorts completely" in found.membership.method


def test_perfectly_separable_cohorts():
    found = case_mix(make(0)[["age", "arm"]], make(1, shift=30)[["age", "arm"]])
    assert found.membership.value == 1
    assert found.membership.lower > 0.98
    assert "separate the cohorts completely" in found.membership.method
    assert found.membership.p_value < 1e-6


def test_predictions_of_0_and_1_keep_a_finite_spread():
    new = make(1)
    new.loc[:3, "p"] = [0.0, 1.0, 0.0, 1.0]
    with pytest.warns(UserWarning, match="probabilities are 0 or 1"):
        found = case_mix(make(0), new, **ROLES)
    assert np.isfinite(found.linear_predictor["validation_sd"]).all()


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda f: f.drop(columns="arm"), {}, "no column 'arm'"),
        (lambda f: f.head(0), {}, "no patients"),
        (lambda f: f.assign(y=2), {"outcome": "y"}, "neither 0 nor 1"),
        (lambda f: f.assign(p=2.0), {"prediction": "p"}, "outside 0 to 1"),
        (lambda f: f.assign(note=[f"note {i}" for i in range(len(f))]), {}, "different texts"),
        (lambda f: f.assign(arm=None), {}, "missing arms"),
    ],
)
def test_bad_input_to_case_mix_is_refused(change, options, message):
    with pytest.raises(InputError, match=message):
        case_mix(change(make(0)), change(make(1)), **options)


def test_columns_that_the_development_table_lacks():
    with pytest.raises(InputError, match=r"lacks columns that validation has: \['age'\]"):
        case_mix(make().drop(columns="age"), make())


COVARIATES = ["age", "job", "married"]


def test_weights_reach_the_target():
    new, target = make(0, n=800)[COVARIATES], make(1, n=500, shift=0.4, scale=0.8)[COVARIATES]
    found = balancing_weights(new, target, spread=True)
    assert found.sample_weight.sum() == pytest.approx(found.effective_n)
    assert found.sample_weight.sum() ** 2 / (found.sample_weight**2).sum() == pytest.approx(found.effective_n)
    np.testing.assert_allclose(found.balance["after"], found.balance["target"], rtol=1e-5)
    mean = np.average(new["age"], weights=found.sample_weight)
    assert mean == pytest.approx(target["age"].mean(), abs=1e-4)
    spread = np.sqrt(np.average((new["age"] - mean) ** 2, weights=found.sample_weight))
    assert spread == pytest.approx(target["age"].std(ddof=0), abs=1e-3)
    assert found.effective_n < 800


def test_a_population_like_the_cohort_needs_no_weights():
    new = make(0)[COVARIATES]
    found = balancing_weights(new, new)
    np.testing.assert_allclose(found.sample_weight, 1, atol=1e-6)
    assert found.effective_n == pytest.approx(len(new))
    p = make(0)["p"]
    moved = transport_performance(make(0)["y"], p, found)
    for name, estimate in moved.observed.items():
        assert moved.expected[name].value == pytest.approx(estimate.value, abs=1e-5)
        assert moved.expected[name].lower == pytest.approx(estimate.lower, abs=1e-4)


def test_figures_are_those_of_the_target_population():
    new, target = make(0, n=6000), make(1, n=6000, shift=0.5, scale=0.6)
    weights = balancing_weights(new[["age"]], target[["age"]], spread=True)
    found = transport_performance(new["y"], new["p"], weights, received=new["arm"])
    truth = roc_auc(target["y"], target["p"])
    assert found.observed["auc"].value > truth.value + 0.05
    assert found.expected["auc"].value == pytest.approx(truth.value, abs=0.04)
    assert found.expected["auc"].n < 6000
    frame = found.to_frame()
    assert set(frame["population"]) == {"validation", "target"}
    assert "within_arm_auc" in set(frame["measure"])
    assert len(found.plot().get_yticklabels()) == len(frame)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_weights_of_patients_are_counts(seed):
    new = make(seed, n=80)[["age", "job"]]
    counts = np.random.default_rng(seed).integers(0, 4, len(new))
    rows = np.repeat(np.arange(len(new)), counts)
    target = {"age": 43.0, "job=student": 0.4}
    once = balancing_weights(new, target, sample_weight=counts)
    many = balancing_weights(new.iloc[rows], target)
    assert once.effective_n == pytest.approx(many.effective_n, rel=1e-5)
    sums = np.bincount(rows, weights=many.sample_weight, minlength=len(new))
    np.testing.assert_allclose(once.sample_weight, sums, atol=1e-4)


def test_a_target_out_of_reach_has_no_weights():
    new = make(0)
    found = balancing_weights(new[["age"]], {"age": 200.0})
    assert np.isnan(found.effective_n)
    assert "outside" in found.method
    moved = transport_performance(new["y"], new["p"], found)
    assert np.isnan(moved.expected["auc"].value)
    assert "outside" in moved.expected["auc"].method


def test_a_small_effective_sample_size_is_reported():
    found = balancing_weights(make(0)[["age"]], {"age": 75.0})
    assert found.effective_n < 50
    assert "imprecise" in found.method


@pytest.mark.parametrize(
    ("target", "message"),
    [({"weight": 3.0}, r"names \['weight'\]"), (pd.DataFrame({"x": [1.0]}), "lacks the columns")],
)
def test_unknown_targets_are_refused(target, message):
    with pytest.raises(InputError, match=message):
        balancing_weights(make(0)[["age"]], target)


def test_missing_covariates_are_refused():
    new = make(0)[["age"]].mask(make(0)["age"] > 60)
    with pytest.raises(InputError, match="holds missing values"):
        balancing_weights(new, {"age": 40.0})
