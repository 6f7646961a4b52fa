"""Sites, refits without each site, and imputations: ids ``sites.*``, ``iecv_refit.*`` and ``mi.*``."""

import re
import warnings
from functools import cache, wraps

import numpy as np
from scipy.special import logit
from sklearn.linear_model import LogisticRegression
from tests.metrics.rules._reference import WEIGHTS, Different, Rule, Within

from treatsel.errors import TreatselWarning
from treatsel.metrics.calibration import (
    calibration_in_the_large,
    calibration_slope,
    observed_expected_ratio,
)
from treatsel.metrics.discrimination import roc_auc
from treatsel.metrics.overall import brier_score
from treatsel.metrics.pooling import pool, pool_imputations
from treatsel.models import ArmwiseClassifier
from treatsel.validation._internal_external import internal_external

NO_MAXIMUM = "an arm has one class of outcome without some site: the regression has no maximum"


def quietly(rule):
    """Predictions of exactly 0 or 1 are part of some data sets; that we warn of them is tested elsewhere."""

    @wraps(rule)
    def compute(ref, **groups):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TreatselWarning)
            if groups.get("source") == "iecv_refit" and refits(ref).predicted.isna().any():
                return Different(NO_MAXIMUM)
            return rule(ref, **groups)

    return compute


@cache
def refits(ref):
    """Unpenalised arm-wise regressions: the full interaction model, without each site in turn."""
    exact = LogisticRegression(C=1e12, solver="newton-cholesky", tol=1e-12)
    table = ref.table
    X = table[[*ref.covariates, "arm"]]
    model = ArmwiseClassifier(exact)
    return internal_external(model, X, table["y"], table["site"], sample_weight=ref.weight)


def predictions(ref, source):
    return ref.p if source == "sites" else refits(ref).predicted


def by_site(ref, source):
    rows, predicted = [], predictions(ref, source)
    for site, part in ref.table.groupby("site"):
        mine = {"sample_weight": None if ref.weight is None else ref.weight[part.index]}
        y, p = part["y"], predicted[part.index]
        auc, on_logit = roc_auc(y, p, **mine), roc_auc(y, p, interval="logit", **mine)
        large, slope = calibration_in_the_large(y, p, **mine), calibration_slope(y, p, **mine)
        ratio = observed_expected_ratio(y, p, **mine)
        expected = float((p if ref.weight is None else p * ref.weight[part.index]).sum())
        rows.append(
            {
                "site": site,
                "n": auc.n,
                "events": auc.n_events,
                "expected": expected,
                "auc": auc.value,
                "auc_var": 0.0 if auc.value in (0, 1) else auc.se**2,
                "logit_auc_se": on_logit.se,
                "intercept": large.value,
                "intercept_se": large.se,
                "slope": slope.value,
                "slope_se": slope.se,
                "log_oe": np.log(ratio.value) if ratio.value > 0 else np.nan,
                "log_oe_se": ratio.se,
            }
        )
    return {name: [row[name] for row in rows] for name in rows[0]}


def estimates(ref, source, measure):
    """Values, standard errors and scale of one measure at each site."""
    sites = by_site(ref, source)
    if measure == "auc_logit":
        with np.errstate(divide="ignore"):
            return logit(sites["auc"]), sites["logit_auc_se"], "logit"
    if measure == "auc_raw":
        return sites["auc"], np.sqrt(sites["auc_var"]), "identity"
    return sites[measure], sites[measure + "_se"], "log" if measure == "log_oe" else "identity"


@quietly
def pooled(ref, source, measure):
    values, se, scale = estimates(ref, source, measure)

    def run(**options):
        return pool(values, se, scale=scale, **options)

    found = {kind: run(interval=kind) for kind in ("hk", "hk_adhoc", "z")}
    main, moments, narrow = found["hk"], run(estimator="dl"), run(prediction_df="k-1")
    if not main.n_sites:
        return None
    return {
        "k": main.n_sites,
        "est": main.value,
        "se_hk": main.se,
        **{f"ci_{kind}": [one.lower, one.upper] for kind, one in found.items()},
        "tau2": main.tau2,
        # R's glm stops with standard errors some 1e-8 off, which these two magnify
        "i2": Within(100 * main.i2, absolute=1e-6, relative=1e-6),
        "q": Within(main.q, absolute=1e-6, relative=1e-6),
        "q_p": main.q_p_value,
        "pi_k_minus_1": [narrow.prediction_lower, narrow.prediction_upper],
        "pi_k_minus_2": [main.prediction_lower, main.prediction_upper],
        "tau2_dl": moments.tau2,
        "est_dl": moments.value,
    }


@quietly
def valmeta(ref, source):
    values, se, scale = estimates(ref, source, "auc_logit")
    found = pool(values, se, scale=scale)
    if not found.n_sites:
        return None
    limits = {"lower": found.lower, "upper": found.upper}
    return {
        "est": found.value,
        **limits,
        "pi_lower": found.prediction_lower,
        "pi_upper": found.prediction_upper,
    }


@quietly
def first_predictions(ref, source):
    return predictions(ref, source).head(10).tolist()


def imputed(ref):
    """Outcomes, the predictions of each imputation, weights."""
    table = ref.beside("imputed")
    columns = sorted((c for c in table if re.fullmatch(r"p_imp\d+", c)), key=lambda c: int(c[5:]))
    weight = next((table[name] for name in WEIGHTS if name in table), ref.weight)
    return table["y"], [table[column] for column in columns], weight


@quietly
def imputations(ref, measure):
    y, sets, weight = imputed(ref)
    if measure == "auc_logit":
        found = [roc_auc(y, p, interval="logit", sample_weight=weight) for p in sets]
        with np.errstate(divide="ignore"):
            values, scale = logit([one.value for one in found]), "logit"
    else:
        function = {"intercept": calibration_in_the_large, "slope": calibration_slope}[measure]
        found = [function(y, p, sample_weight=weight) for p in sets]
        values, scale = [one.value for one in found], "identity"
    errors = [one.se for one in found]
    small = pool_imputations(values, errors, n=found[0].n, scale=scale)
    large = pool_imputations(values, errors, scale=scale)
    if np.isnan(small.value):
        return None
    return {
        "est": small.value,
        "within": small.within,
        "between": small.between,
        "total": small.total,
        "df_barnard_rubin": small.df,
        "ci_barnard_rubin": [small.lower, small.upper],
        "df_rubin87": large.df,
        "ci_rubin87": [large.lower, large.upper],
        "fmi": small.fmi,
    }


@quietly
def mean_brier(ref):
    y, sets, weight = imputed(ref)
    return float(np.mean([brier_score(y, p, sample_weight=weight).value for p in sets]))


RULES: dict[str, Rule] = {
    r"(?P<source>sites|iecv_refit)\.by_site": quietly(by_site),
    r"(?P<source>sites|iecv_refit)\.pooled_(?P<measure>auc_logit|auc_raw|intercept|slope|log_oe)": pooled,
    r"(?P<source>sites|iecv_refit)\.valmeta_cstat": valmeta,
    r"(?P<source>iecv_refit)\.p_first10": first_predictions,
    r"mi\.(?P<measure>auc_logit|intercept|slope)": imputations,
    r"mi\.brier_mean": mean_brier,
}
