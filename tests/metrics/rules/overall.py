"""Rules for discrimination, overall accuracy and policy value."""

import numpy as np
import pandas as pd
from tests.metrics.rules._reference import NO_LINE, AbsentError, Different, Rule, Within, has_line

from treatsel.metrics.calibration import calibration_in_the_large, calibration_slope, observed_expected_ratio
from treatsel.metrics.discrimination import (
    average_precision,
    model_based_concordance,
    roc_auc,
    roc_auc_difference,
)
from treatsel.metrics.overall import (
    brier_decomposition,
    brier_score,
    log_loss,
    nagelkerke_r2,
    prevalence,
    scaled_brier_score,
    spiegelhalter_z,
)
from treatsel.metrics.policy import (
    aipw_scores,
    arm_means,
    effective_sample_size,
    gain_over_best_arm,
    gain_over_received,
    naive_concordance_contrast,
    policy_value,
    policy_value_aipw,
    policy_value_direct,
    received_propensity,
)

SEPARATED = Different(
    "every event scores above every non-event (or below): DeLong's variance is 0 there and its interval a "
    "point; we give the exact binomial bound"
)

UNRESTRICTED = Different(
    "statsmodels writes count0 for n0 in Miettinen and Nurminen's cubic, so that its restricted estimate "
    "does not maximize the likelihood; test_policy.py compares ours with published limits"
)


def weighted(ref):
    return {"sample_weight": ref.weight}


def of_predictions(metric, **options):
    """The value of a function of outcomes and predictions."""
    return lambda ref: metric(ref.y, ref.p, **options, **weighted(ref)).value


def limits(estimate):
    return [estimate.lower, estimate.upper]


def with_interval(estimate):
    found = {"est": estimate.value, "se": estimate.se}
    return found | {"lower": estimate.lower, "upper": estimate.upper}


def is_separated(auc):
    return auc.value in (0, 1)


def counts(ref):
    """Counts of patients, or of rows if the check counts those."""
    base = prevalence(ref.y, **weighted(ref))
    expected = np.average(ref.p, weights=ref.weight)
    found = {"n": base.n, "events": base.n_events, "prevalence": base.value, "mean_p": expected}
    by_row = ref.value("counts")["n"] == len(ref.y)
    return found | ({"n": len(ref.y), "events": int(ref.y.sum())} if by_row else {})


def auc_of(ref, column):
    return roc_auc(ref.y, ref[column], **weighted(ref)).value


def auc_variance(ref):
    auc = roc_auc(ref.y, ref.p, **weighted(ref))
    return SEPARATED if is_separated(auc) else auc.se**2


def auc_limits(ref):
    auc = roc_auc(ref.y, ref.p, **weighted(ref))
    return SEPARATED if is_separated(auc) else limits(auc)


def auc_difference(ref, column):
    other = ref[column]
    found = roc_auc_difference(ref.y, ref.p, other, **weighted(ref))
    aucs = [roc_auc(ref.y, score, **weighted(ref)) for score in (ref.p, other)]
    variances = [0.0 if is_separated(auc) else auc.se**2 for auc in aucs]  # DeLong's, which is 0 there
    z = found.value / found.se if found.se else np.nan
    return {"z": z, "p": found.p_value, "cov": (sum(variances) - found.se**2) / 2}


def logarithmic(ref):
    """scikit-learn clips predictions of 0 and 1 at a limit other than ours."""
    wrong = ((ref.p == 0) & (ref.y == 1)) | ((ref.p == 1) & (ref.y == 0))
    if wrong.any():
        return Different("an outcome was predicted with 0: what that costs is a convention (ours: 1e-8)")
    found = log_loss(ref.y, ref.p, **weighted(ref)).value
    return Within(found, absolute=2e-8) if ref.has_extremes else found


def score(ref):
    given = weighted(ref)
    brier, scaled = brier_score(ref.y, ref.p, **given), scaled_brier_score(ref.y, ref.p, **given)
    auc, share = roc_auc(ref.y, ref.p, **given), prevalence(ref.y, **given).value
    found = {
        "brier": brier.value,
        "brier_se": brier.se,
        "brier_lower": brier.lower,
        "brier_upper": brier.upper,
        "null_brier": share * (1 - share),
        "ipa": scaled.value,
    }
    if is_separated(auc):
        return found | dict.fromkeys(("auc_se", "auc_lower", "auc_upper"), SEPARATED)
    return found | {"auc_se": auc.se, "auc_lower": auc.lower, "auc_upper": auc.upper}


def explained(ref):
    return {
        name: nagelkerke_r2(ref.y, ref.p, recalibrated=again, **weighted(ref)).value
        for name, again in (("as_is", False), ("recalibrated", True))
    }


def subgroup(ref, column):
    if column not in ref.table:
        raise AbsentError(f"the data set has no column {column}")
    found = {}
    for name, rows in ref.table.groupby(column):
        weight = None if ref.weight is None else ref.weight[rows.index]
        y, p, given = rows["y"], rows["p"], {"sample_weight": weight}
        auc = roc_auc(y, p, **given)
        found[str(name)] = {
            "n": auc.n,
            "events": auc.n_events,
            "auc": auc.value,
            "auc_ci": SEPARATED if is_separated(auc) else limits(auc),
            "intercept": NO_LINE if y.min() == y.max() else calibration_in_the_large(y, p, **given).value,
            "slope": calibration_slope(y, p, **given).value if has_line(y, p) else NO_LINE,
            "oe": observed_expected_ratio(y, p, **given).value,
            "brier": brier_score(y, p, **given).value,
        }
    return found


def model_based(ref):
    """Expected AUC in which each patient is also paired with itself, as in predtools."""
    weight = np.ones(len(ref.p)) if ref.weight is None else ref.weight.to_numpy()
    events, others = weight @ ref.p, weight @ (1 - ref.p)
    itself = weight @ (ref.p * (1 - ref.p)) / (events * others)
    value = model_based_concordance(ref.p, **weighted(ref)).value
    return value * (1 - itself) + itself / 2


def spiegelhalter(ref):
    found = spiegelhalter_z(ref.y, ref.p, **weighted(ref))
    return {"z": found.value, "p": found.p_value}


def decomposition(ref):
    found = brier_decomposition(ref.y, ref.p, n_resamples=0, **weighted(ref))
    parts = ("miscalibration", "discrimination", "uncertainty")
    return {name: getattr(found, name) for name in parts} | {"score": found.brier}


def base_rate_limits(ref):
    names = {"wilson": "wilson", "beta": "clopper-pearson"}
    return {
        theirs: limits(prevalence(ref.y, interval=ours, **weighted(ref))) for theirs, ours in names.items()
    }


def naive(ref, interval):
    arms = ref["arm"], ref["rec"]
    return naive_concordance_contrast(ref.y, *arms, interval=interval, **weighted(ref))


def naive_contrast(ref):
    found = naive(ref, "wald")
    return {
        "n_optimal": found.concordant.n,
        "y_optimal": found.concordant.n_events,
        "n_nonoptimal": found.discordant.n,
        "y_nonoptimal": found.discordant.n_events,
        "diff": found.difference.value,
        "wald_lower": found.difference.lower,
        "wald_upper": found.difference.upper,
        "chisq": found.chi_squared,
        "p": found.p_value_chi_squared,
        # R finds the root only to 1.22e-4, of the odds ratio or of its inverse, whichever is below 1
        "fisher_or": Within(found.odds_ratio, absolute=1.22e-4 * max(1, found.odds_ratio**2)),
        "fisher_p": found.p_value_fisher,
    }


def naive_limits(ref):
    names = {"newcomb": "newcombe", "agresti-caffo": "agresti-caffo", "wald": "wald"}
    found = {theirs: limits(naive(ref, ours).difference) for theirs, ours in names.items()}
    return found | {"score": UNRESTRICTED}


def scores_of(ref) -> pd.DataFrame:
    return aipw_scores(ref.y, ref["arm"], ref.by_arm("p_"), ref.by_arm("e_"))


def first_scores(ref, count):
    return scores_of(ref).head(int(count)).to_dict(orient="list")


def value_recommended(ref):
    return with_interval(policy_value_aipw(scores_of(ref), ref["rec"], **weighted(ref)))


def value_always(ref):
    means = arm_means(scores_of(ref), **weighted(ref)).rename(columns={"value": "est"})
    return means[["est", "se", "lower", "upper"]].to_dict(orient="index")


def over_best(ref):
    gain = gain_over_best_arm(scores_of(ref), ref["rec"], **weighted(ref))
    return {"best": gain.comparator_arm} | with_interval(gain)


def over_received(ref):
    arms = ref["arm"], scores_of(ref), ref["rec"]
    return with_interval(gain_over_received(ref.y, *arms, **weighted(ref)))


def weighted_value(ref, method):
    arms, propensity = (
        (ref["arm"], ref["rec"]),
        received_propensity(ref["arm"], ref.by_arm("e_")),
    )
    return policy_value(ref.y, *arms, propensity=propensity, method=method, **weighted(ref))


def effective(ref):
    concordant = ref["arm"] == ref["rec"]
    propensity = received_propensity(ref["arm"], ref.by_arm("e_"))
    matched = concordant.sum() if ref.weight is None else ref.weight[concordant].sum()
    return {"matched": matched, "ess": effective_sample_size(concordant / propensity, **weighted(ref))}


def off_policy(ref):
    return {
        "dr": value_recommended(ref)["est"],
        "ipw": weighted_value(ref, "ipw").value,
        "snipw": weighted_value(ref, "hajek").value,
        "dm": policy_value_direct(ref.by_arm("p_"), ref["rec"], **weighted(ref)).value,
    }


RULES: dict[str, Rule] = {
    r"counts": counts,
    r"(py\.)?auc": of_predictions(roc_auc),
    r"(py\.)?auc_var_delong": auc_variance,
    r"auc_ci95_delong|py\.auc_ci95": auc_limits,
    r"auc_(?P<column>p_\w+)": auc_of,
    r"auc_delong_test_vs_(?P<column>\w+)": auc_difference,
    r"(py\.)?brier": of_predictions(brier_score),
    r"brier_ipa_score": score,
    r"r2_nagelkerke": explained,
    r"subgroup_(?P<column>\w+)": subgroup,
    r"mroc_mauc": model_based,
    r"py\.average_precision": of_predictions(average_precision),
    r"py\.log_loss": logarithmic,
    r"py\.spiegelhalter": spiegelhalter,
    r"py\.brier_decomposition": decomposition,
    r"py\.prevalence_ci": base_rate_limits,
    r"py\.pai_diff_ci": naive_limits,
    r"pai_optimal_vs_nonoptimal": naive_contrast,
    r"policy\.aipw_scores_first(?P<count>\d+)": first_scores,
    r"policy\.aipw_value_rec": value_recommended,
    r"policy\.aipw_value_always": value_always,
    r"policy\.aipw_rec_minus_best_single": over_best,
    r"policy\.aipw_rec_minus_observed": over_received,
    r"policy\.ipw_value_rec": lambda ref: with_interval(weighted_value(ref, "ipw")),
    r"policy\.snipw_value_rec": lambda ref: with_interval(weighted_value(ref, "hajek")),
    r"policy\.effective_n": effective,
    r"py\.policy\.obp": off_policy,
}
