"""Sampling weights (survey of R), Hmisc's C, predictions of 0 and 1, and separated classes."""

import inspect

import numpy as np
from tests.metrics.rules._reference import AbsentError, Rule

from treatsel.metrics.calibration import (
    calibration_in_the_large,
    calibration_slope,
    logistic_recalibration,
    observed_expected_ratio,
)
from treatsel.metrics.discrimination import roc_auc
from treatsel.metrics.overall import brier_score, log_loss, prevalence, scaled_brier_score

COPIES = 1e9  # of each patient, so that n - 1 is practically n


def sampling(metric, ref, *vectors, by_site=None, **options):
    """The metric with sampling weights; not applicable if the metric accepts counts only."""
    known = inspect.signature(metric).parameters
    if "weights_are" not in known:
        raise AbsentError(f"{metric.__name__} has no weights_are: its weights count patients")
    if ref.weight is None:
        raise AbsentError("the data set has no weights")
    if by_site:
        options["clusters"] = ref["site"]
    return metric(*vectors, sample_weight=ref.weight, weights_are="sampling", **options)


def described(estimate, *names):
    """An estimate under these names, with its standard error and limits."""
    found = dict.fromkeys(("est", *names), estimate.value) | {"se": estimate.se}
    return found | {"lower": estimate.lower, "upper": estimate.upper}


def of_predictions(metric, name):
    return lambda ref, by_site: described(sampling(metric, ref, ref.y, ref.p, by_site=by_site), name)


def slope(ref, by_site):
    line = sampling(logistic_recalibration, ref, ref.y, ref.p, by_site=by_site)
    intercept = {"intercept_at_fitted_slope": line.intercept.value, "se_intercept": line.intercept.se}
    return described(line.slope, "slope") | intercept | {"covariance": line.covariance}


def ratio(ref, by_site):
    return described(
        sampling(observed_expected_ratio, ref, ref.y, ref.p, by_site=by_site, interval="natural"), "oe"
    )


def log_ratio(ref, by_site):
    found = sampling(observed_expected_ratio, ref, ref.y, ref.p, by_site=by_site, interval="log")
    log = float(np.log(found.value))
    return {"log_oe": log, "se": found.se, "oe_lower": found.lower, "oe_upper": found.upper}


def base_rate(ref, by_site):
    return described(sampling(prevalence, ref, ref.y, by_site=by_site), "prevalence")


def counts(ref):
    """Number of patients, not the sum of the weights."""
    found = sampling(prevalence, ref, ref.y)
    return {"n": found.n, "events": found.n_events, "prevalence": found.value}


def c_index(y, p):
    """R's S.D. divides by the number of patients in a class, DeLong by that number minus 1.

    With many copies of each patient the two agree, and the standard error of one copy follows.
    """
    auc, many = roc_auc(y, p), roc_auc(y, p, sample_weight=np.full(len(y), COPIES))
    error = 0.0 if auc.value in (0, 1) else many.se * np.sqrt(COPIES)
    pairs = 2 * auc.n_events * (auc.n - auc.n_events)  # each pair counted in both directions
    return {
        "c": auc.value,
        "dxy": 2 * auc.value - 1,
        "sd_dxy": 2 * error,
        "se_c": error,
        "n": auc.n,
        "relevant_pairs": pairs,
        "concordant": pairs * auc.value,
    }


def calibrated(y, p):
    large, line, level = (
        calibration_in_the_large(y, p),
        logistic_recalibration(y, p),
        observed_expected_ratio(y, p),
    )
    return {
        "n": large.n,
        "events": large.n_events,
        "calibration_in_the_large": large.value,
        "calibration_in_the_large_se": large.se,
        "calibration_slope": line.slope.value,
        "calibration_slope_se": line.slope.se,
        "intercept_at_fitted_slope": line.intercept.value,
        "intercept_at_fitted_slope_se": line.intercept.se,
        "observed_expected": level.value,
        "log_oe_se": level.se,
    }


def clipped(ref, distance):
    return calibrated(ref.y, ref["p01"].clip(float(distance), 1 - float(distance)))


def dropped(ref):
    inside = ref["p01"].between(0, 1, inclusive="neither")
    return calibrated(ref.y[inside], ref["p01"][inside])


def of_separated(compute):
    """A rule for the small data set whose classes the predictions separate."""

    def computed(ref):
        table = ref.beside("separated")
        return compute(table["y"], table["p"])

    return computed


def no_slope(y, p):
    """A number would be wrong, and NaN without a reason would not be enough."""
    found, line = calibration_slope(y, p), logistic_recalibration(y, p)
    for estimate in (found, line.slope, line.intercept):
        assert estimate.method.startswith("not estimable: "), estimate.method
        assert "separate the classes" in estimate.method
    return described(found)


_SAMPLING: dict[str, Rule] = {
    "calibration_in_the_large|cal_intercept": of_predictions(calibration_in_the_large, "intercept"),
    "calibration_slope|cal_slope": slope,
    "observed_expected|oe": ratio,
    "observed_expected_log|oe_log": log_ratio,
    "auc": of_predictions(roc_auc, "auc"),
    "brier": of_predictions(brier_score, "brier"),
    "scaled_brier": of_predictions(scaled_brier_score, "ipa"),
    "log_loss": of_predictions(log_loss, "log_loss"),
    "base_rate|prevalence": base_rate,
}
RULES: dict[str, Rule] = {
    rf"weighted\.(?P<by_site>clusters\.)?({names})": rule for names, rule in _SAMPLING.items()
} | {
    r"weighted\.counts": counts,
    r"c_hmisc": lambda ref: c_index(ref.y, ref.p),
    r"calibration\.clipped_(?P<distance>1e-\d+)": clipped,
    r"calibration\.dropped_0_1": dropped,
    r"separated\.(calibration_|cal_)?slope": of_separated(no_slope),
    r"separated\.calibration_in_the_large": of_separated(
        lambda y, p: described(calibration_in_the_large(y, p))
    ),
    r"separated\.auc": of_separated(lambda y, p: roc_auc(y, p).value),
    r"separated\.c_hmisc": of_separated(c_index),
}
