"""Sampling weights in curves, tests, resampled estimates and benefits: see `test_sampling_weights.py`."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from treatsel._stats.intervals import wilson
from treatsel.errors import InputError
from treatsel.metrics import (
    benefit_calibration,
    calibration_curve,
    calibration_groups,
    calibration_in_the_large,
    calibration_slope,
    decision_curve,
    logistic_recalibration,
    logit_benefit_recalibration,
    naive_concordance_contrast,
    rank_weighted_average_treatment_effect,
    spiegelhalter_z,
    weak_calibration_test,
)
from treatsel.metrics.calibration import integrated_calibration_index
from treatsel.metrics.sensitivity import policy_sensitivity

N, STEP = 50, 1e-4
ARMS = ["a", "b"]


def cohort(seed=5, n=N):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    arm = rng.choice(ARMS, n)
    table = pd.DataFrame({"a": expit(x - 0.2), "b": expit(0.5 * x + rng.normal(0, 0.2, n))})
    p = np.where(arm == "a", table["a"], table["b"])
    return {
        "y": rng.binomial(1, p).astype(float),
        "p": np.clip(p + rng.normal(0, 0.05, n), 0.02, 0.98),
        "arm": arm,
        "table": table,
        "even": pd.DataFrame(0.5, index=table.index, columns=ARMS),
        "best": table.idxmax(axis=1).to_numpy(),
        "weight": rng.uniform(0.3, 3, n),
    }


DATA = cohort()
PAIR = (DATA["y"], DATA["arm"], DATA["table"])
LABELS = {"control": "a", "treated": "b"}
FEW = {"n_resamples": 40, "random_state": 1}
# estimates with a linearized standard error, and the number of coefficients in its finite-sample factor
LINEARIZED = {
    "naive": (
        lambda **k: naive_concordance_contrast(DATA["y"], DATA["arm"], DATA["best"], **k).difference,
        1,
    ),
    "slope": (lambda **k: benefit_calibration(*PAIR, DATA["even"], **LABELS, **k).slope, 2),
    "logit": (lambda **k: logit_benefit_recalibration(*PAIR, **LABELS, **k).slope, 2),
}
RESAMPLED = {
    "ici": lambda **k: integrated_calibration_index(DATA["y"], DATA["p"], n_simulations=20, **FEW, **k).table,
    "decision": lambda **k: decision_curve(
        DATA["y"], DATA["p"], thresholds=[0.3, 0.5], **FEW, **k
    ).table.drop(columns="strategy"),
    "confounding": lambda **k: policy_sensitivity(
        DATA["y"], DATA["arm"], DATA["best"], propensity=DATA["even"], comparator="a", **FEW, **k
    ).table.drop(columns="measure"),
    "ranks": lambda **k: (
        rank_weighted_average_treatment_effect(*PAIR, DATA["even"], **LABELS, **FEW, **k).table
    ),
    "curve": lambda **k: calibration_curve(DATA["y"], DATA["p"], at=[0.3, 0.6], **k).table.drop(
        columns="arm"
    ),
}


def sampling(weight):
    return {"sample_weight": weight, "weights_are": "sampling"}


@pytest.mark.parametrize("name", LINEARIZED)
def test_standard_error_is_that_of_the_derivatives(name):
    metric, k = LINEARIZED[name]
    parts = []
    for patient in range(N):
        ends = []
        for step in (STEP, -STEP):
            moved = DATA["weight"].copy()
            moved[patient] += step
            ends.append(metric(**sampling(moved)).value)
        parts.append(DATA["weight"][patient] * (ends[0] - ends[1]) / (2 * STEP))
    found = metric(**sampling(DATA["weight"]))
    factor = N / (N - 1) * (N - 1) / (N - k)
    assert found.se == pytest.approx(np.sqrt(factor * np.square(parts).sum()), rel=1e-3)
    assert (found.n, found.n_events) == (N, DATA["y"].sum())
    assert "linearized for sampling weights" in found.method


@pytest.mark.parametrize("name", RESAMPLED)
def test_unit_of_weights_does_not_matter_and_equal_weights_change_no_value(name):
    metric = RESAMPLED[name]
    found, again = (metric(**sampling(scale * DATA["weight"])) for scale in (1, 1e3))
    pd.testing.assert_frame_equal(found, again)
    plain, equal = metric(), metric(**sampling(np.full(N, 7.0)))
    values = [name for name in ("value", "observed", "lowest", "true_positive") if name in plain]
    pd.testing.assert_frame_equal(plain[values], equal[values])
    assert not np.allclose(found[values], plain[values], equal_nan=True)


def test_weak_calibration_is_tested_by_the_linearized_covariance():
    patients, weights = (DATA["y"], DATA["p"]), sampling(DATA["weight"])
    found, line = weak_calibration_test(*patients, **weights), logistic_recalibration(*patients, **weights)
    away = np.array([line.intercept.value, line.slope.value - 1])
    covariance = np.array([[line.intercept.se**2, line.covariance], [line.covariance, line.slope.se**2]])
    assert found.weak.statistic == pytest.approx(away @ np.linalg.solve(covariance, away))
    slope = calibration_slope(*patients, **weights)
    assert found.slope.statistic == pytest.approx(((slope.value - 1) / slope.se) ** 2)
    level = calibration_in_the_large(*patients, **weights)
    assert found.in_the_large.statistic == pytest.approx((level.value / level.se) ** 2)
    assert np.isnan([found.discrimination, found.unreliability, found.quality]).all()


@pytest.mark.slow
def test_tests_of_calibration_keep_their_level_with_sampling_weights():
    rng, rejected = np.random.default_rng(3), np.zeros(2)
    times = 200
    for _ in range(times):
        p = rng.uniform(0.1, 0.9, 400)
        y, weight = rng.binomial(1, p), rng.lognormal(0, 0.7, 400)
        found = (
            weak_calibration_test(y, p, **sampling(weight)).weak,
            spiegelhalter_z(y, p, **sampling(weight)),
        )
        rejected += [each.p_value < 0.05 for each in found]
    assert (rejected / times < 0.09).all()  # three standard errors above .05
    assert (rejected / times > 0.01).all()


def test_groups_count_patients_and_their_intervals_are_of_the_effective_size():
    groups = calibration_groups(DATA["y"], DATA["p"], n_bins=2, **sampling(DATA["weight"]))
    assert groups["n"].sum() == N
    assert groups["n_events"].sum() == DATA["y"].sum()
    first = DATA["p"] <= np.sort(DATA["p"])[groups["n"].iloc[0] - 1]
    weight, y = DATA["weight"][first], DATA["y"][first]
    share, size = weight @ y / weight.sum(), weight.sum() ** 2 / (weight**2).sum()
    lower, upper = wilson(np.array([share * size]), np.array([size]), 0.95)
    assert groups.iloc[0][["observed", "lower", "upper"]].to_list() == pytest.approx(
        [share, lower[0], upper[0]]
    )


def test_the_band_of_a_curve_is_linearized():
    """As the derivatives of the curve's logit for the weights."""
    at, parts = [0.4], []
    options = {"at": at, "n_knots": 3}
    patients = DATA["y"], DATA["p"]
    for patient in range(N):
        ends = []
        for step in (STEP, -STEP):
            moved = DATA["weight"].copy()
            moved[patient] += step
            ends.append(calibration_curve(*patients, **options, **sampling(moved)).table["observed"].item())
        parts.append(DATA["weight"][patient] * (logit(ends[0]) - logit(ends[1])) / (2 * STEP))
    row = calibration_curve(*patients, **options, **sampling(DATA["weight"])).table.iloc[0]
    half = (logit(row["upper"]) - logit(row["lower"])) / 2 / 1.959964
    # the knots depend on the weights as well, which the band takes as fixed
    assert half == pytest.approx(np.sqrt(N / (N - 1) * np.square(parts).sum()), rel=0.15)
    with pytest.raises(InputError, match="smooth='loess' is not available with sampling weights"):
        calibration_curve(*patients, smooth="loess", **sampling(DATA["weight"]))
