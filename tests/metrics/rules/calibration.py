"""Calibration: metamisc, glm, rms, CalibrationCurves, pmcalibration and Hmisc of R; pyexvalid, pycaleva."""

import numpy as np
from scipy.special import expit, logit, ndtri
from tests.metrics.rules._reference import (
    NO_LINE,
    AbsentError,
    Different,
    Within,
    only_theirs,
    put_reason,
)

from treatsel.metrics.calibration import (
    calibration_curve,
    calibration_groups,
    calibration_in_the_large,
    calibration_slope,
    hosmer_lemeshow,
    integrated_calibration_index,
    logistic_recalibration,
    observed_expected_ratio,
    weak_calibration_test,
)
from treatsel.metrics.discrimination import roc_auc
from treatsel.metrics.overall import brier_score, nagelkerke_r2, scaled_brier_score, spiegelhalter_z

NAMES = {"Eavg": "ici", "E50": "e50", "E90": "e90", "Emax": "emax", "ECI": "eci"}
PSEUDO_INVERSE = (
    "too few distinct predictions for a local regression: R goes on with a pseudo-inverse; we give no curve"
)
EQUAL = Different("for equal predictions val.prob has fixed answers, some of them under another's name")
IMPOSSIBLE = Different(
    "an event was predicted with 0: val.prob's U is infinite; ours leaves it out, as its D does"
)
TIES_SPLIT = "equal predictions are put in different groups by the order of the rows; ours stay together"


def with_line(compute, check):
    """A rule that gives the reason if there is no recalibration line."""

    def computed(ref, **groups):
        found = compute(ref, **groups)
        if ref.has_line:
            return found
        return put_reason(found, ref.expected(check.format(**groups)), only_theirs, NO_LINE.reason)

    return computed


def with_curve(compute, check):
    """A rule that gives the reason if there is no local regression."""

    def computed(ref, **groups):
        found = compute(ref, **groups)
        smoothers = ["loess", "lowess"] if has_whole_weights(ref) else ["loess"]
        if not any(_without_curve(ref, smooth) for smooth in smoothers):
            return found
        return put_reason(found, ref.expected(check.format(**groups)), only_theirs, PSEUDO_INVERSE)

    return computed


def has_whole_weights(ref):
    return ref.weight is None or bool((ref.weight % 1 == 0).all())


def _without_curve(ref, smooth):
    curve = calibration_curve(**vectors(ref), at=[0.5], smooth=smooth, smooth_on="probability")
    return curve.fits["smoother"].item().startswith("not estimable")


def vectors(ref):
    return {"y_true": ref.y, "y_prob": ref.p, "sample_weight": ref.weight}


def limits(estimate):
    return {"lower": estimate.lower, "upper": estimate.upper}


def ratio(ref):
    found = observed_expected_ratio(**vectors(ref), interval="natural")
    return {"oe": found.value, "se": found.se} | limits(found)


def log_ratio(ref):
    found = observed_expected_ratio(**vectors(ref))
    log = float(np.log(found.value)) if found.value > 0 else float("nan")
    return {"log_oe": log, "se": found.se, "oe_lower": found.lower, "oe_upper": found.upper}


def intercept(ref):
    found = calibration_in_the_large(**vectors(ref))
    return {"est": found.value, "se": found.se} | limits(found)


def slope(ref):
    line = logistic_recalibration(**vectors(ref))
    found = {"est": line.slope.value, "se": line.slope.se} | limits(line.slope)
    return found | {"intercept_at_fitted_slope": line.intercept.value, "se_intercept": line.intercept.se}


def recalibrated(ref, p):
    line = logistic_recalibration(**vectors(ref))
    p = np.clip(np.asarray(p, dtype=float), 1e-8, 1 - 1e-8)
    return expit(line.intercept.value + line.slope.value * logit(p))


def qin_interval(ref):
    """Its variance is that of DeLong plus the spread of ranks of equal predictions in a class."""
    if ref.weight is not None:
        return [Different("it knows no weights")] * 2
    auc, sizes, added = roc_auc(ref.y, ref.p), ref.y.value_counts(), 0.0
    if not 0 < auc.value < 1:
        return [Different("it gives no interval for an AUC of 0 or 1; ours is exact")] * 2
    for outcome, size in sizes.items():
        ties = ref.p[ref.y == outcome].value_counts()
        added += (ties * (ties**2 - 1)).sum() / 12 / ((size - 1) * size * sizes[1 - outcome] ** 2)
    se = np.sqrt(auc.se**2 + added) / (auc.value * (1 - auc.value))
    return expit(logit(auc.value) + ndtri([0.025, 0.975]) * se)


def val_prob_ci(ref):
    large, found = calibration_in_the_large(**vectors(ref)), calibration_slope(**vectors(ref))
    grid = np.arange(2001) / 2000
    c_lower, c_upper = qin_interval(ref)
    better = recalibrated(ref, ref.p)
    r2 = (
        nagelkerke_r2(ref.y, better, sample_weight=ref.weight).value if found.value == found.value else np.nan
    )
    smooth = errors_of(ref, smooth="loess", smooth_on="probability")
    return {
        "intercept": large.value,
        "intercept_lower": large.lower,
        "intercept_upper": large.upper,
        "slope": found.value,
        "slope_lower": found.lower,
        "slope_upper": found.upper,
        "c_lower_logit_mw": c_lower,
        "c_upper_logit_mw": c_upper,
        "r2_recalibrated": r2,
        "brier": brier_score(**vectors(ref)).value,
        "brier_scaled": scaled_brier_score(**vectors(ref)).value,
        "emax_logistic": np.abs(recalibrated(ref, grid) - grid).max(),
        "eavg_loess": smooth["Eavg"],
        "eci_loess": smooth["ECI"],
    }


def val_prob(ref):
    """It leaves predictions of 0 and 1 out of all measures that need a logit."""
    if ref.p.min() == ref.p.max():
        return EQUAL
    inside = (ref.p > 0) & (ref.p < 1)
    inside |= not inside.any()
    kept = {name: None if v is None else v[inside] for name, v in vectors(ref).items()}
    line, test = logistic_recalibration(**kept), weak_calibration_test(**kept)
    smooth, z = errors_of(ref, smooth="lowess", smooth_on="probability"), spiegelhalter_z(**vectors(ref))
    found = {
        "r2_as_is": nagelkerke_r2(**kept).value,
        "brier": brier_score(**vectors(ref)).value,
        "d": test.discrimination,
        "u": test.unreliability,
        "u_chisq": test.weak.statistic,
        "u_p": test.weak.p_value,
        "q": test.quality,
        "intercept_joint": line.intercept.value,
        "slope": line.slope.value,
        "emax_lowess": smooth["Emax"],
        "e90_lowess": smooth["E90"],
        "eavg_lowess": smooth["Eavg"],
        "spiegelhalter_z": z.value,
        "spiegelhalter_p": z.p_value,
    }
    if ((ref.p == 0) & (ref.y == 1)).any():
        found |= dict.fromkeys(("u", "u_chisq", "u_p", "q"), IMPOSSIBLE)
    return found


def logistic_cal(ref):
    large = calibration_in_the_large(**vectors(ref), interval="profile")
    found = calibration_slope(**vectors(ref), interval="profile")
    test = weak_calibration_test(**vectors(ref))
    tests = {"lr_weak": test.weak, "lr_in_large": test.in_the_large, "lr_slope": test.slope}
    profiles = {"intercept_profile": list(limits(large).values())}
    profiles["slope_profile"] = list(limits(found).values())
    return profiles | {name: [one.statistic, one.df, one.p_value] for name, one in tests.items()}


def _only_whole(ref, smooth):
    if smooth == "lowess" and not has_whole_weights(ref):
        raise AbsentError("our lowess takes whole-number weights only, which repeat rows")


def errors_of(ref, **options):
    _only_whole(ref, options["smooth"])
    found = integrated_calibration_index(**vectors(ref), **options, n_resamples=0, n_simulations=0)
    return {theirs: getattr(found, ours) for theirs, ours in NAMES.items()}


SCALES = {"none": "probability", "logit": "logit"}


def flexible(ref, smoother, scale):
    smooth = {"rcs": "spline"}.get(smoother, smoother)
    return errors_of(ref, smooth=smooth, smooth_on=SCALES[scale])


def flexible_or_reason(ref, smoother, scale):
    """R continues without a maximum of the likelihood, or with a singular local regression."""
    explained = with_line if smoother == "rcs" else with_curve
    return explained(flexible, "flex_{smoother}_{scale}")(ref, smoother=smoother, scale=scale)


def flexible_direct(ref, scale):
    """The other package limits the curve to 0 to 1; we do not."""
    table = calibration_curve(
        **vectors(ref), at=ref.p, smooth="loess", smooth_on=SCALES[scale], exact=True
    ).to_frame()
    distance = np.abs(table["observed"].clip(0, 1) - table["predicted"])
    if not has_whole_weights(ref):
        raise AbsentError("quantiles of the rows of a weight with fractions are a convention")
    if ref.weight is not None:
        distance = distance.repeat(ref.weight.astype(int))
    return {
        "Eavg": distance.mean(),
        "E50": distance.median(),
        "E90": distance.quantile(0.9),
        "Emax": distance.max(),
        "ECI": 100 * (distance**2).mean(),
    }


def flexible_interval(ref, smoother, scale):
    """Limits of 1,000 resamples are random: four standard deviations of our four runs, at least 0.01."""
    smooth = {"rcs": "spline"}.get(smoother, smoother)
    options = {"smooth": smooth, "smooth_on": SCALES[scale], "n_resamples": 1000, "n_simulations": 0}
    options |= {"interval": "percentile"}
    runs = [
        integrated_calibration_index(**vectors(ref), **options, random_state=seed).to_frame()
        for seed in range(4)
    ]
    found = {}
    for theirs, ours in NAMES.items():
        limit = np.array([run.loc[ours, ["lower", "upper"]].to_numpy(dtype=float) for run in runs])
        spread = np.maximum(4 * limit.std(axis=0, ddof=1), 0.01)
        found[theirs] = [Within(v, absolute=s) for v, s in zip(limit.mean(axis=0), spread, strict=True)]
    return found


def gam(ref, scale):
    return Different("a penalised thin-plate spline of mgcv; we offer no smoother with a fitted penalty")


def local_curve(check, smooth, exact):
    def compute(ref):
        _only_whole(ref, smooth)
        options = {"smooth": smooth, "smooth_on": "probability", "exact": exact}
        table = calibration_curve(**vectors(ref), at=ref.value(check)["grid"], **options).to_frame()
        se = (table["upper"] - table["lower"]) / 2 / ndtri(0.975)
        return {"grid": table["predicted"], "fit": table["observed"], "se": se}

    return with_curve(compute, check)


def spline_curve(ref):
    if not ref.has_line:
        return NO_LINE
    curve = calibration_curve(**vectors(ref), at=ref.value("curve_rcs")["grid"])
    table, knots = curve.to_frame(), logit(np.array(curve.fits["knots"].item()))
    return {
        "grid": table["predicted"],
        "knots_logit": knots,
        "fit": table["observed"],
        "lower": table["lower"],
        "upper": table["upper"],
    }


def deciles(ref):
    """For one event, or one non-event, R's binconf uses a limit other than Wilson's."""
    table = calibration_groups(**vectors(ref))
    other = Different("for a single event (or non-event) binconf leaves Wilson's formula")
    one, all_but_one = table["n_events"] == 1, table["n"] - table["n_events"] == 1
    return {
        "n": table["n"],
        "events": table["n_events"],
        "mean_p": table["predicted"],
        "obs": table["observed"],
        "lower": [other if single else low for low, single in zip(table["lower"], one, strict=True)],
        "upper": [other if single else up for up, single in zip(table["upper"], all_but_one, strict=True)],
    }


def pyexvalid(ref):
    found = {
        "citl": calibration_in_the_large(**vectors(ref)),
        "cal_slope": calibration_slope(**vectors(ref)),
        "auc": roc_auc(ref.y, ref.p, sample_weight=ref.weight),
    }
    return {
        name: {name: e.value, f"{name}_se": e.se, f"{name}_lower": e.lower, f"{name}_upper": e.upper}
        for name, e in found.items()
    }


def hosmer(ref, n_groups):
    """Groups of equal size; ties at the boundaries are split."""
    edges = np.quantile(ref.p, np.arange(int(n_groups) + 1) / int(n_groups))
    if (np.diff(edges) <= 0).any():
        return Different(TIES_SPLIT)
    test = hosmer_lemeshow(**vectors(ref), n_bins=int(n_groups))
    return {"chisq": test.statistic, "p": test.p_value, "df": test.df}


_RULES = {
    "oe": ratio,
    "oe_log": log_ratio,
    "cal_intercept": intercept,
    "logistic_cal": with_line(logistic_cal, "logistic_cal"),
    "cal_slope": with_line(slope, "cal_slope"),
    "val_prob_ci_2": with_line(with_curve(val_prob_ci, "val_prob_ci_2"), "val_prob_ci_2"),
    "val_prob": with_line(with_curve(val_prob, "val_prob"), "val_prob"),
    "flex_{smoother}_{scale}": flexible_or_reason,
    "flex_loess_direct_{scale}": with_curve(flexible_direct, "flex_loess_direct_{scale}"),
    "flex_gam_{scale}": gam,
    "flex_{smoother}_{scale}_boot_ci": flexible_interval,
    "curve_loess": local_curve("curve_loess", "loess", False),
    "curve_loess_direct": local_curve("curve_loess_direct", "loess", True),
    "curve_lowess": local_curve("curve_lowess", "lowess", False),
    "curve_lowess_delta0": local_curve("curve_lowess_delta0", "lowess", True),
    "curve_rcs": spline_curve,
    "deciles": deciles,
    "py.pyexvalid": with_line(pyexvalid, "py.pyexvalid"),
    "py.hosmer_lemeshow_g{n_groups}": hosmer,
}
_PARTS = {
    "{smoother}": "(?P<smoother>loess|lowess|rcs)",
    "{scale}": "(?P<scale>none|logit)",
    "{n_groups}": r"(?P<n_groups>\d+)",
}


def _pattern(check):
    pattern = check.replace(".", r"\.")
    for part, expression in _PARTS.items():
        pattern = pattern.replace(part, expression)
    return pattern


RULES = {_pattern(check): compute for check, compute in _RULES.items()}
