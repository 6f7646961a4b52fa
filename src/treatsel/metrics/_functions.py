"""The functions that compute the measures of `treatsel._measures`, by key."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from treatsel._measures import MEASURES, Measure
from treatsel.metrics.benefit import (
    average_benefit,
    benefit_calibration,
    brier_for_benefit,
    c_for_benefit,
    cross_entropy_for_benefit,
    e_for_benefit,
    effect_by_risk,
    effect_modification_test,
    logit_benefit_recalibration,
    logit_benefit_slope,
    model_based_c_for_benefit,
    rank_weighted_average_treatment_effect,
)
from treatsel.metrics.calibration import (
    calibration_in_the_large,
    calibration_slope,
    integrated_calibration_index,
    logistic_recalibration,
    observed_expected_ratio,
    weak_calibration_test,
)
from treatsel.metrics.discrimination import (
    average_precision,
    balanced_accuracy,
    model_based_concordance,
    roc_auc,
    within_arm_auc,
)
from treatsel.metrics.overall import (
    brier_score,
    log_loss,
    nagelkerke_r2,
    prevalence,
    scaled_brier_score,
    spiegelhalter_z,
)
from treatsel.metrics.policy import (
    arm_means,
    gain_over_best_arm,
    gain_over_each_arm,
    gain_over_random,
    gain_over_received,
    naive_concordance_contrast,
    policy_value,
    policy_value_aipw,
)
from treatsel.metrics.utility import net_benefit, treatment_choice_net_benefit

# Keys whose function returns several values, with the attribute that holds this one.
FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "accuracy": "accuracy",
        "balanced_accuracy": "balanced_accuracy",
        "calibration_intercept": "intercept",
        "ici": "ici",
        "e50": "e50",
        "e90": "e90",
        "emax": "emax",
        "eci": "eci",
        "weak_calibration": "weak.statistic",
        "naive_concordance_contrast": "difference",
        "naive_concordance_contrast_without_gain": "without_gain",
        "benefit_in_the_large": "in_the_large",
        "effect_risk_trend": "trend",
        "effect_modification_slope": "slope",
        "benefit_slope": "slope",
        "autoc": "autoc",
        "qini": "qini",
        "logit_benefit_intercept": "intercept",
        "eavg_for_benefit": "eavg",
        "e50_for_benefit": "e50",
        "e90_for_benefit": "e90",
    }
)
FUNCTIONS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "base_rate": prevalence,
        "no_information_rate": prevalence,  # of the more frequent outcome
        "mean_prediction": arm_means,  # of a table with one column, the predictions
        "recommended": prevalence,  # of the indicator of an arm
        "moved_from_default": prevalence,  # of another recommended arm than the default
        "concordant": prevalence,  # of the recommended arm as the received one
        "auc": roc_auc,
        "within_arm_auc": within_arm_auc,
        "average_precision": average_precision,
        "accuracy": balanced_accuracy,
        "balanced_accuracy": balanced_accuracy,
        "model_based_concordance": model_based_concordance,
        "within_arm_model_based_concordance": model_based_concordance,
        "calibration_in_the_large": calibration_in_the_large,
        "calibration_intercept": logistic_recalibration,
        "calibration_slope": calibration_slope,
        "observed_expected": observed_expected_ratio,
        "ici": integrated_calibration_index,
        "e50": integrated_calibration_index,
        "e90": integrated_calibration_index,
        "emax": integrated_calibration_index,
        "eci": integrated_calibration_index,
        "weak_calibration": weak_calibration_test,
        "spiegelhalter_z": spiegelhalter_z,
        "brier_score": brier_score,
        "scaled_brier_score": scaled_brier_score,
        "log_loss": log_loss,
        "nagelkerke_r2": nagelkerke_r2,
        "nagelkerke_r2_recalibrated": partial(nagelkerke_r2, recalibrated=True),
        "net_benefit": net_benefit,
        "treatment_choice_net_benefit": treatment_choice_net_benefit,
        "policy_value": policy_value_aipw,
        "policy_value_weighted": policy_value,
        "arm_mean": arm_means,
        "gain": gain_over_best_arm,
        "gain_over_each_arm": gain_over_each_arm,
        "gain_over_received": gain_over_received,
        "gain_over_random": gain_over_random,
        "naive_concordance_contrast": naive_concordance_contrast,
        "naive_concordance_contrast_without_gain": naive_concordance_contrast,
        "average_benefit": average_benefit,
        "benefit_in_the_large": benefit_calibration,
        "effect_risk_trend": effect_by_risk,
        "effect_modification_slope": effect_modification_test,
        "benefit_slope": benefit_calibration,
        "autoc": rank_weighted_average_treatment_effect,
        "qini": rank_weighted_average_treatment_effect,
        "c_for_benefit": c_for_benefit,
        "model_based_c_for_benefit": model_based_c_for_benefit,
        "logit_benefit_intercept": logit_benefit_recalibration,
        "logit_benefit_slope": logit_benefit_slope,
        "eavg_for_benefit": e_for_benefit,
        "e50_for_benefit": e_for_benefit,
        "e90_for_benefit": e_for_benefit,
        "brier_for_benefit": brier_for_benefit,
        "cross_entropy_for_benefit": cross_entropy_for_benefit,
        "membership_auc": roc_auc,  # of membership in the validation cohort
    }
)
# Computed by `treatsel.validation.case_mix` from the linear predictors of two cohorts.
OF_TWO_COHORTS = ("linear_predictor_difference", "linear_predictor_sd_ratio")
# Computed by `treatsel.validation.instability` from the predictions of a model and of its refits.
OF_REFITS = ("mape", "recommendation_agreement")


def measures() -> dict[str, Measure]:
    """Return the measures by key, with label, range, direction, ideal and useless value.

    Returns
    -------
    dict of str to Measure
        In the order of the reports.

    Examples
    --------
    >>> auc = measures()["auc"]
    >>> auc.label, auc.direction, auc.ideal, auc.useless
    ('AUC', 'higher', 1.0, 0.5)
    """
    return dict(MEASURES)


def value_of(key: str, found: Any) -> float:
    """Return the value of one measure from the result of its function."""
    for name in FIELDS.get(key, "value").split("."):
        found = getattr(found, name)
    return float(getattr(found, "value", found))
