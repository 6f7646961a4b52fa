"""Sampling weights: linearized standard errors, whatever the unit of the weights; n counts patients.

Values of R's survey are in `tests/reference/validation/ref3_expected.json`, which `test_reference.py` runs.
"""

import numpy as np
import pandas as pd
import pytest

from treatsel.errors import InputError
from treatsel.metrics import (
    aipw_scores,
    arm_means,
    average_benefit,
    average_precision,
    balanced_accuracy,
    brier_score,
    calibration_in_the_large,
    calibration_slope,
    gain_over_best_arm,
    gain_over_each_arm,
    gain_over_random,
    gain_over_received,
    log_loss,
    logistic_recalibration,
    nagelkerke_r2,
    net_benefit,
    observed_expected_ratio,
    policy_value,
    policy_value_aipw,
    policy_value_direct,
    prevalence,
    roc_auc,
    roc_auc_difference,
    scaled_brier_score,
    treatment_choice_net_benefit,
    within_arm_auc,
)

STEP = 1e-5  # in a weight of about 1, for numerical derivatives


@pytest.fixture(scope="module")
def cohort():
    rng = np.random.default_rng(20240501)
    n = 60
    severity = rng.normal(size=n)
    arm = rng.choice(["a", "b"], n)
    by_arm = pd.DataFrame({"a": 1 / (1 + np.exp(severity)), "b": 1 / (1 + np.exp(0.6 * severity - 0.4))})
    own = np.where(arm == "a", by_arm["a"], by_arm["b"])
    patients = pd.DataFrame(
        {
            "y": rng.binomial(1, own),
            "p": np.round(np.clip(own + rng.normal(0, 0.15, n), 0.02, 0.98), 2),
            "other": rng.uniform(0, 1, n),
            "arm": arm,
            "recommended": np.where(by_arm["b"] > by_arm["a"] + 0.02, "b", "a"),
            "propensity": np.where(arm == "a", 0.4, 0.6),
            "site": rng.integers(0, 12, n),
            "weight": rng.uniform(0.3, 3, n),
            "p_a": by_arm["a"],
            "p_b": by_arm["b"],
        }
    )
    chances = pd.DataFrame({"a": 0.4, "b": 0.6}, index=patients.index)
    scores = aipw_scores(patients["y"], patients["arm"], by_arm, chances)
    return patients.assign(score_a=scores["a"], score_b=scores["b"])


def tables(cohort):
    """By-arm tables of predictions, of propensities and of doubly robust scores."""
    by_arm = cohort[["p_a", "p_b"]].set_axis(["a", "b"], axis=1)
    chances = pd.DataFrame({"a": 0.4, "b": 0.6}, index=cohort.index)
    return by_arm, chances, cohort[["score_a", "score_b"]].set_axis(["a", "b"], axis=1)


METRICS = {
    "prevalence": lambda c, **k: prevalence(c["y"], **k),
    "brier": lambda c, **k: brier_score(c["y"], c["p"], **k),
    "scaled_brier": lambda c, **k: scaled_brier_score(c["y"], c["p"], **k),
    "log_loss": lambda c, **k: log_loss(c["y"], c["p"], **k),
    "nagelkerke": lambda c, **k: nagelkerke_r2(c["y"], c["p"], **k),
    "nagelkerke_recalibrated": lambda c, **k: nagelkerke_r2(c["y"], c["p"], recalibrated=True, **k),
    "in_the_large": lambda c, **k: calibration_in_the_large(c["y"], c["p"], **k),
    "slope": lambda c, **k: calibration_slope(c["y"], c["p"], **k),
    "intercept": lambda c, **k: logistic_recalibration(c["y"], c["p"], **k).intercept,
    "observed_expected": lambda c, **k: observed_expected_ratio(c["y"], c["p"], interval="natural", **k),
    "auc": lambda c, **k: roc_auc(c["y"], c["p"], **k),
    "auc_difference": lambda c, **k: roc_auc_difference(c["y"], c["p"], c["other"], **k),
    "within_arm_auc": lambda c, **k: within_arm_auc(c["y"], c["p"], c["arm"], **k),
    "balanced_accuracy": lambda c, **k: balanced_accuracy(c["y"], c["p"], **k).balanced_accuracy,
    "sensitivity": lambda c, **k: balanced_accuracy(c["y"], c["p"], **k).sensitivity,
    "specificity": lambda c, **k: balanced_accuracy(c["y"], c["p"], **k).specificity,
    "net_benefit": lambda c, **k: net_benefit(c["y"], c["p"], 0.4, **k),
    "net_benefit_known": lambda c, **k: net_benefit(c["y"], c["p"], 0.4, prevalence=0.3, **k),
    "choice": lambda c, **k: treatment_choice_net_benefit(
        tables(c)[2], tables(c)[0], thresholds=[0.02], **k
    ).table.loc[0],
    "arm_mean": lambda c, **k: arm_means(tables(c)[2], **k).loc["b"],
    "value_aipw": lambda c, **k: policy_value_aipw(tables(c)[2], c["recommended"], **k),
    "value_direct": lambda c, **k: policy_value_direct(tables(c)[0], c["recommended"], **k),
    "value_hajek": lambda c, **k: policy_value(
        c["y"], c["arm"], c["recommended"], propensity=c["propensity"], **k
    ),
    "value_ipw": lambda c, **k: policy_value(
        c["y"], c["arm"], c["recommended"], propensity=c["propensity"], method="ipw", **k
    ),
    "gain_best": lambda c, **k: gain_over_best_arm(tables(c)[2], c["recommended"], comparator="a", **k),
    "gain_each": lambda c, **k: gain_over_each_arm(tables(c)[2], c["recommended"], **k).table.loc["b"],
    "gain_random": lambda c, **k: gain_over_random(tables(c)[2], c["recommended"], **k),
    "gain_received": lambda c, **k: gain_over_received(c["y"], c["arm"], tables(c)[2], c["recommended"], **k),
    "average_benefit": lambda c, **k: average_benefit(
        c["y"], c["arm"], *tables(c)[:2], control="a", treated="b", **k
    ),
}
LOGIT = {  # whose standard error is that of the logit
    "auc_logit": lambda c, **k: roc_auc(c["y"], c["p"], interval="logit", **k),
    "average_precision": lambda c, **k: average_precision(c["y"], c["p"], **k),
}
EVERY = METRICS | LOGIT


def sampling(metric, cohort, weight, **options):
    return metric(cohort, sample_weight=weight, weights_are="sampling", **options)


def derivatives(metric, cohort):
    """Derivative of the value with respect to each patient's weight."""
    weight, found = cohort["weight"].to_numpy(), []
    for patient in range(len(cohort)):
        sides = []
        for step in (STEP, -STEP):
            moved = weight.copy()
            moved[patient] += step
            sides.append(metric(cohort, sample_weight=moved).value)
        found.append((sides[0] - sides[1]) / (2 * STEP))
    return np.array(found)


@pytest.mark.parametrize("name", EVERY)
def test_standard_error_is_that_of_the_derivatives(cohort, name):
    """Linearization: the variance of sum(w z), z the derivative of the value for the patient's weight."""
    metric, weight = EVERY[name], cohort["weight"]
    parts = weight * derivatives(metric, cohort)
    n, sites = len(cohort), cohort["site"].nunique()
    single = np.sqrt(n / (n - 1) * (parts**2).sum())
    clustered = np.sqrt(sites / (sites - 1) * (parts.groupby(cohort["site"]).sum() ** 2).sum())
    found = sampling(metric, cohort, weight)
    scale = 1 / (found.value * (1 - found.value)) if name in LOGIT else 1.0
    assert found.se == pytest.approx(single * scale, rel=1e-5)
    by_site = sampling(metric, cohort, weight, clusters=cohort["site"])
    assert by_site.se == pytest.approx(clustered * scale, rel=1e-5)
    assert "linearized" in getattr(found, "method", "linearized")


@pytest.mark.parametrize("name", EVERY)
def test_unit_of_weights_does_not_matter_and_n_is_the_number_of_patients(cohort, name):
    metric, weight = EVERY[name], cohort["weight"]
    found = sampling(metric, cohort, weight)
    for factor in (1e-9, 1000):
        again = sampling(metric, cohort, factor * weight)
        for part in ("value", "lower", "upper", "se"):
            assert getattr(again, part) == pytest.approx(getattr(found, part), rel=1e-9)
    as_counts = metric(cohort, sample_weight=weight)
    assert found.value == pytest.approx(as_counts.value, rel=1e-9)
    if name not in ("choice", "sensitivity", "specificity"):
        assert found.n == len(cohort)
    if getattr(found, "n_events", None) and name not in ("sensitivity", "specificity"):
        assert found.n_events == cohort["y"].sum()


@pytest.mark.parametrize("name", ["brier", "log_loss", "net_benefit", "value_aipw", "gain_best", "arm_mean"])
def test_equal_weights_give_the_interval_of_a_mean(cohort, name):
    metric = EVERY[name]
    found, plain = sampling(metric, cohort, np.full(len(cohort), 7.0)), metric(cohort)
    for part in ("value", "lower", "upper", "se"):
        assert getattr(found, part) == pytest.approx(getattr(plain, part), rel=1e-12)


@pytest.mark.parametrize("name", ["in_the_large", "slope", "observed_expected", "scaled_brier", "auc"])
def test_patients_of_weight_0_are_ignored(cohort, name):
    metric, weight = EVERY[name], cohort["weight"].where(cohort["site"] > 1, 0.0)
    kept = cohort[weight > 0]
    found, without = sampling(metric, cohort, weight), sampling(metric, kept, kept["weight"])
    assert (found.n, found.se) == (len(kept), pytest.approx(without.se, rel=1e-12))


def test_equal_weights_equal_one_cluster_per_patient(cohort):
    """The sandwich variance of a recalibration is that of one cluster per patient; the quantile is normal."""
    ones, patients = np.ones(len(cohort)), np.arange(len(cohort))
    found = sampling(calibrated := METRICS["slope"], cohort, ones)
    assert found.se == pytest.approx(calibrated(cohort, clusters=patients).se, rel=1e-12)
    assert found.upper - found.value == pytest.approx(1.959964 * found.se, rel=1e-6)


def test_one_arm_gives_the_auc(cohort):
    one = cohort.assign(arm="a")
    names = ("value", "lower", "upper", "se")
    auc, within = (sampling(METRICS[name], one, one["weight"]) for name in ("auc", "within_arm_auc"))
    assert [getattr(auc, name) for name in names] == pytest.approx([getattr(within, name) for name in names])


def test_intervals_not_available_with_sampling_weights(cohort):
    known = {"sample_weight": [1.0, 2, 3, 4], "weights_are": "sampling"}
    separated = roc_auc([0, 0, 1, 1], [0.1, 0.2, 0.7, 0.8], **known)
    by_arm = within_arm_auc([0, 0, 1, 1], [0.1, 0.2, 0.7, 0.8], ["a", "a", "a", "a"], **known)
    one_class = observed_expected_ratio([1, 1, 1, 1], [0.1, 0.2, 0.7, 0.8], **known)
    for found in (separated, by_arm, one_class):
        assert found.method.startswith("no interval: ")
        assert np.isnan([found.lower, found.upper, found.se]).all()
        assert found.n == 4
    for metric in (calibration_in_the_large, calibration_slope):
        with pytest.raises(InputError, match=r"sampling weights.*Use interval='wald'"):
            metric(
                cohort["y"], cohort["p"], interval="profile", **known | {"sample_weight": cohort["weight"]}
            )
    with pytest.raises(InputError, match=r"weights_are is 'count'.*'counts' or 'sampling'.*Did you mean"):
        brier_score(cohort["y"], cohort["p"], weights_are="count")


@pytest.mark.slow
def test_intervals_cover_the_population():
    """Patients drawn with unequal probabilities from a population whose value is known."""
    rng = np.random.default_rng(11)
    x = rng.normal(size=40_000)
    y = rng.binomial(1, 1 / (1 + np.exp(0.3 - x)))
    p = 1 / (1 + np.exp(-1.4 * x))
    chance = 0.012 * np.exp(0.5 * x - 0.4 * y)
    metrics = [brier_score, scaled_brier_score, calibration_slope, calibration_in_the_large, roc_auc]
    truth, times = [metric(y, p).value for metric in metrics], 300
    covered = np.zeros(len(metrics))
    for _ in range(times):
        drawn = rng.random(len(x)) < chance
        for number, metric in enumerate(metrics):
            found = metric(y[drawn], p[drawn], sample_weight=1 / chance[drawn], weights_are="sampling")
            covered[number] += found.lower <= truth[number] <= found.upper
    assert (covered / times > 0.91).all()
    assert (covered / times < 0.985).all()
