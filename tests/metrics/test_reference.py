"""Values of R and Python packages on two fixed data sets; the folder's README states conventions."""

import numpy as np
import pytest
from scipy.special import logit

from treatsel.metrics import (
    aipw_scores,
    arm_means,
    brier_score,
    calibration_curve,
    calibration_errors,
    calibration_groups,
    calibration_in_the_large,
    calibration_line,
    calibration_slope,
    concordant_difference,
    effective_sample_size,
    gain_over_best_arm,
    gain_over_received,
    log_loss,
    nagelkerke_r2,
    observed_expected_ratio,
    policy_value,
    policy_value_aipw,
    received_propensity,
    roc_auc,
    roc_auc_difference,
    scaled_brier_score,
)

pytestmark = pytest.mark.real_data


def limits(estimate):
    return [estimate.lower, estimate.upper]


def interval(estimate):
    return {"lower": estimate.lower, "upper": estimate.upper}


def with_interval(estimate):
    return {"est": estimate.value, "se": estimate.se} | interval(estimate)


def counts(ref, y, p):
    auc = roc_auc(y, p)
    ratio = observed_expected_ratio(y, p)
    mean_p = auc.n_events / ratio.value / auc.n
    return {"n": auc.n, "events": auc.n_events, "prevalence": auc.n_events / auc.n, "mean_p": mean_p}


def auc_difference(ref, y, p):
    base = ref.table["p_base"]
    found = roc_auc_difference(y, p, base)
    covariance = (roc_auc(y, p).se ** 2 + roc_auc(y, base).se ** 2 - found.se**2) / 2
    return {"z": found.value / found.se, "p": found.p_value, "cov": covariance}


def score(ref, y, p):
    brier, scaled, auc = brier_score(y, p), scaled_brier_score(y, p), roc_auc(y, p)
    return {
        "brier": brier.value,
        "brier_se": brier.se,
        "brier_lower": brier.lower,
        "brier_upper": brier.upper,
        "null_brier": brier.value / (1 - scaled.value),
        "ipa": scaled.value,
        "auc_se": auc.se,
        "auc_lower": auc.lower,
        "auc_upper": auc.upper,
    }


def ratio(ref, y, p):
    found = observed_expected_ratio(y, p, interval="natural")
    return {"oe": found.value, "se": found.se} | interval(found)


def log_ratio(ref, y, p):
    found = observed_expected_ratio(y, p)
    log = float(np.log(found.value))
    return {"log_oe": log, "se": found.se, "oe_lower": found.lower, "oe_upper": found.upper}


def slope(ref, y, p):
    line = calibration_line(y, p)
    intercept = {"intercept_at_fitted_slope": line.intercept.value, "se_intercept": line.intercept.se}
    return with_interval(calibration_slope(y, p)) | intercept


def val_prob_ci(ref, y, p):
    intercept, found = calibration_in_the_large(y, p), calibration_slope(y, p)
    return {
        "intercept": intercept.value,
        "intercept_lower": intercept.lower,
        "intercept_upper": intercept.upper,
        "slope": found.value,
        "slope_lower": found.lower,
        "slope_upper": found.upper,
        "brier": brier_score(y, p).value,
        "brier_scaled": scaled_brier_score(y, p).value,
    }


def val_prob(ref, y, p):
    line = calibration_line(y, p)
    return {
        "r2_as_is": nagelkerke_r2(y, p).value,
        "brier": brier_score(y, p).value,
        "intercept_joint": line.intercept.value,
        "slope": line.slope.value,
    }


def errors(smooth_on):
    def compute(ref, y, p):
        found = calibration_errors(y, p, smooth_on=smooth_on)
        names = {"Eavg": "ici", "E50": "e50", "E90": "e90", "Emax": "emax", "ECI": "eci"}
        return {theirs: getattr(found, ours) for theirs, ours in names.items()}

    return compute


def spline(ref, y, p):
    grid = ref.checks["curve_rcs"]["value"]["grid"]
    curve = calibration_curve(y, p, at=grid)
    table = curve.to_frame()
    return {
        "grid": table["predicted"],
        "knots_logit": logit(curve.fits["knots"].item()),
        "fit": table["observed"],
        "lower": table["lower"],
        "upper": table["upper"],
    }


def deciles(ref, y, p):
    """R's binconf changes Wilson's limit for one event (or one non-event): those are left out."""
    theirs, ours = ref.checks["deciles"]["value"], calibration_groups(y, p)
    usual_lower, usual_upper = ours["n_events"] != 1, ours["n"] - ours["n_events"] != 1
    return {
        "n": ours["n"],
        "events": ours["n_events"],
        "mean_p": ours["predicted"],
        "obs": ours["observed"],
        "lower": ours["lower"].where(usual_lower, theirs["lower"]),
        "upper": ours["upper"].where(usual_upper, theirs["upper"]),
    }


def subgroup(column):
    def compute(ref, y, p):
        found = {}
        for name, rows in ref.table.groupby(column):
            auc = roc_auc(rows["y"], rows["p"])
            found[name] = {
                "n": auc.n,
                "events": auc.n_events,
                "auc": auc.value,
                "auc_ci": limits(auc),
                "intercept": calibration_in_the_large(rows["y"], rows["p"]).value,
                "slope": calibration_slope(rows["y"], rows["p"]).value,
                "oe": observed_expected_ratio(rows["y"], rows["p"]).value,
                "brier": brier_score(rows["y"], rows["p"]).value,
            }
        return found

    return compute


def sites(ref, y, p):
    rows = []
    for site, part in ref.table.groupby("site"):
        auc, large = roc_auc(part["y"], part["p"]), calibration_in_the_large(part["y"], part["p"])
        tilt, ratio = (f(part["y"], part["p"]) for f in (calibration_slope, observed_expected_ratio))
        rows.append(
            {
                "n": auc.n,
                "events": auc.n_events,
                "expected": auc.n_events / ratio.value,
                "auc": auc.value,
                "auc_var": auc.se**2,
                "intercept": large.value,
                "intercept_se": large.se,
                "slope": tilt.value,
                "slope_se": tilt.se,
                "log_oe": np.log(ratio.value),
                "log_oe_se": ratio.se,
                "site": site,
            }
        )
    return {name: [row[name] for row in rows] for name in rows[0]}


def scores_of(ref):
    table = ref.table
    return aipw_scores(table["y"], table["arm"], ref.by_arm("p_"), ref.by_arm("e_"))


def first_scores(ref, y, p):
    return scores_of(ref).head(5).to_dict(orient="list")


def value_recommended(ref, y, p):
    return with_interval(policy_value_aipw(scores_of(ref), ref.table["rec"]))


def value_always(ref, y, p):
    means = arm_means(scores_of(ref)).rename(columns={"value": "est"})
    return means[["est", "se", "lower", "upper"]].to_dict(orient="index")


def over_best(ref, y, p):
    gain = gain_over_best_arm(scores_of(ref), ref.table["rec"])
    assert gain.chosen == "picked on this data"
    return {"best": gain.best_arm} | with_interval(gain)


def over_received(ref, y, p):
    return with_interval(gain_over_received(y, ref.table["arm"], scores_of(ref), ref.table["rec"]))


def threshold_curve(ref, y, p):
    """The cost of an arm other than the reference is a fall of its scores by the threshold."""
    expected, predicted = ref.checks["policy.net_benefit_threshold"]["value"], ref.by_arm("p_")
    named, curve = expected["reference"], []
    for threshold in [point["threshold"] for point in expected["curve"]]:
        cost = {arm: 0 if arm == named else threshold for arm in ref.arms}
        rule = (predicted.sub(predicted[named], axis=0) - cost).idxmax(axis=1)
        paid = scores_of(ref) - cost
        always = {
            arm: with_interval(gain_over_best_arm(paid, [arm] * len(y), best_arm=named)) for arm in ref.arms
        }
        share = {arm: float((rule == arm).mean()) for arm in ref.arms}
        model = with_interval(gain_over_best_arm(paid, rule, best_arm=named))
        curve.append({"threshold": threshold, "share": share, "model": model, "always": always})
    return {"reference": named, "curve": curve}


def propensity(ref):
    return received_propensity(ref.table["arm"], ref.by_arm("e_"))


def weighted_value(method):
    def compute(ref, y, p):
        table = ref.table
        found = policy_value(y, table["arm"], table["rec"], propensity=propensity(ref), method=method)
        return with_interval(found) if method == "ipw" else {"est": found.value, "se": found.se}

    return compute


def effective(ref, y, p):
    concordant = ref.table["arm"] == ref.table["rec"]
    return {"matched": concordant.sum(), "ess": effective_sample_size(concordant / propensity(ref))}


def naive(ref, y, p):
    found = concordant_difference(y, ref.table["arm"], ref.table["rec"])
    return {"diff": found.value, "wald_lower": found.lower, "wald_upper": found.upper}


def naive_intervals(ref, y, p):
    methods = {"newcomb": "newcombe", "wald": "wald"}
    arms = ref.table["arm"], ref.table["rec"]
    return {
        theirs: limits(concordant_difference(y, *arms, interval=ours)) for theirs, ours in methods.items()
    }


def pyexvalid(ref, y, p):
    large, tilt, auc = calibration_in_the_large(y, p), calibration_slope(y, p), roc_auc(y, p)
    found = {"citl": large, "cal_slope": tilt, "auc": auc}
    return {
        name: {name: e.value, f"{name}_se": e.se, f"{name}_lower": e.lower, f"{name}_upper": e.upper}
        for name, e in found.items()
    }


def obp(ref, y, p):
    return {
        "dr": value_recommended(ref, y, p)["est"],
        "ipw": weighted_value("ipw")(ref, y, p)["est"],
        "snipw": weighted_value("hajek")(ref, y, p)["est"],
    }


def wilson(ref, y, p):
    group = calibration_groups(y, p, n_groups=1).iloc[0]
    return {"wilson": [group["lower"], group["upper"]]}


COMPUTED = {
    "counts": counts,
    "auc": lambda ref, y, p: roc_auc(y, p).value,
    "auc_var_delong": lambda ref, y, p: roc_auc(y, p).se ** 2,
    "auc_ci95_delong": lambda ref, y, p: limits(roc_auc(y, p)),
    "auc_p_base": lambda ref, y, p: roc_auc(y, ref.table["p_base"]).value,
    "auc_delong_test_vs_p_base": auc_difference,
    "brier": lambda ref, y, p: brier_score(y, p).value,
    "brier_ipa_score": score,
    "oe": ratio,
    "oe_log": log_ratio,
    "cal_intercept": lambda ref, y, p: with_interval(calibration_in_the_large(y, p)),
    "cal_slope": slope,
    "val_prob_ci_2": val_prob_ci,
    "val_prob": val_prob,
    "r2_nagelkerke": lambda ref, y, p: {"as_is": nagelkerke_r2(y, p).value},
    "flex_rcs_logit": errors("logit"),
    "flex_rcs_none": errors("probability"),
    "curve_rcs": spline,
    "deciles": deciles,
    "subgroup_arm": subgroup("arm"),
    "subgroup_sex": subgroup("sex"),
    "sites.by_site": sites,
    "policy.aipw_scores_first5": first_scores,
    "policy.aipw_value_rec": value_recommended,
    "policy.aipw_value_always": value_always,
    "policy.aipw_rec_minus_best_single": over_best,
    "policy.aipw_rec_minus_observed": over_received,
    "policy.net_benefit_threshold": threshold_curve,
    "policy.ipw_value_rec": weighted_value("ipw"),
    "policy.snipw_value_rec": weighted_value("hajek"),
    "policy.effective_n": effective,
    "pai_optimal_vs_nonoptimal": naive,
    "py.auc": lambda ref, y, p: roc_auc(y, p).value,
    "py.auc_ci95": lambda ref, y, p: limits(roc_auc(y, p)),
    "py.auc_var_delong": lambda ref, y, p: roc_auc(y, p).se ** 2,
    "py.brier": lambda ref, y, p: brier_score(y, p).value,
    "py.log_loss": lambda ref, y, p: log_loss(y, p).value,
    "py.pyexvalid": pyexvalid,
    "py.pai_diff_ci": naive_intervals,
    "py.prevalence_ci": wilson,
    "py.policy.obp": obp,
}
ONLY_REF1 = {"auc_p_base", "auc_delong_test_vs_p_base", "subgroup_arm", "subgroup_sex", "sites.by_site"}
CASES = [("ref1", name) for name in COMPUTED] + [("ref2", name) for name in COMPUTED if name not in ONLY_REF1]


def assert_close(found, expected, tol, where):
    """Compare all that we compute; a part of theirs that we do not compute is left out."""
    if isinstance(found, dict):
        for name, value in found.items():
            assert_close(value, expected[name], tol, f"{where}.{name}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for position, (a, b) in enumerate(zip(found, expected, strict=True)):
            assert_close(a, b, tol, f"{where}[{position}]")
    elif isinstance(expected, str):
        assert found == expected, where
    else:
        assert found == pytest.approx(expected, abs=tol, rel=0), where


@pytest.mark.parametrize(("name", "check"), CASES, ids=[f"{name}-{check}" for name, check in CASES])
def test_value_of_another_package(reference, name, check):
    ref = reference(name)
    entry = ref.checks[check]
    found = COMPUTED[check](ref, ref.table["y"], ref.table["p"])
    assert_close(found, entry["value"], entry["tol"], check)


def test_every_known_name_is_in_the_files(reference):
    known = set(reference("ref1").checks) | set(reference("ref2").checks)
    assert set(COMPUTED) <= known
