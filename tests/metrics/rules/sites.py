"""Sites, refits without each site, and imputations: ids ``sites.*``, ``iecv_refit.*`` and ``mi.*``."""

import re
from functools import cache, wraps

import numpy as np
from scipy.special import logit
from sklearn.linear_model import LogisticRegression
from tests.metrics.rules._reference import (
    NO_LINE,
    AbsentError,
    Different,
    Rule,
    Within,
    has_line,
    only_theirs,
    put_reason,
)

from treatsel.metrics.calibration import calibration_in_the_large, calibration_slope, observed_expected_ratio
from treatsel.metrics.discrimination import roc_auc
from treatsel.metrics.overall import brier_score
from treatsel.metrics.pooling import pool_rubin, random_effects_meta_analysis
from treatsel.models import ArmwiseClassifier
from treatsel.validation.studies._internal_external import internal_external_cv

ODD_SITE = (
    "a site with one class, or a separated one, counts in one of the two; ours leaves it out and says so"
)
ONE_SITE = "with one site there are no degrees of freedom; metafor falls back to the ordinary interval"
NO_MAXIMUM = "an arm has one class of outcome without some site: the regression has no maximum"


def fitted(rule):
    """A rule that gives the reason if the model cannot be fitted without some site."""

    @wraps(rule)
    def compute(ref, **groups):
        if groups["source"] == "iecv_refit" and refits(ref).predicted.isna().any():
            return Different(NO_MAXIMUM)
        return rule(ref, **groups)

    return compute


@cache
def refits(ref):
    """Unpenalized arm-wise regressions: the full interaction model, without each site in turn."""
    exact = LogisticRegression(C=1e12, solver="newton-cholesky", tol=1e-12)
    X = ref[[*ref.covariates, "arm"]]
    if ref["site"].nunique() == 1:
        raise AbsentError("the data set has one site only")
    model = ArmwiseClassifier(exact)
    return internal_external_cv(model, X, ref.y, ref["site"], sample_weight=ref.weight)


def predictions(ref, source):
    return ref.p if source == "sites" else refits(ref).predicted


def order_of_sites(ref, source):
    """In the order of the other package, which sorts labels by its locale."""
    checks = [ref.checks.get(f"{name}.by_site", {}).get("value") or {} for name in (source, "sites")]
    ours = set(ref["site"].astype(str))
    listed = [check["site"] for check in checks if set(map(str, check.get("site", ["?"]))) <= ours]
    return listed[0] if listed else sorted(ref["site"].unique())


def by_site(ref, source):
    rows, predicted = [], predictions(ref, source)
    for site in order_of_sites(ref, source):
        part = ref.table[ref["site"].astype(str) == str(site)]
        mine = {"sample_weight": None if ref.weight is None else ref.weight[part.index]}
        y, p = part["y"], predicted[part.index]
        auc, on_logit = roc_auc(y, p, **mine), roc_auc(y, p, interval="logit", **mine)
        large, slope = calibration_in_the_large(y, p, **mine), calibration_slope(y, p, **mine)
        no_level, no_slope = y.min() == y.max(), not has_line(y, p)
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
                "intercept": NO_LINE if no_level else large.value,
                "intercept_se": NO_LINE if no_level else large.se,
                "slope": NO_LINE if no_slope else slope.value,
                "slope_se": NO_LINE if no_slope else slope.se,
                "log_oe": np.log(ratio.value) if ratio.value > 0 else np.nan,
                "log_oe_se": 0.0 if y.all() else ratio.se,  # by the formula
            }
        )
    return {name: [row[name] for row in rows] for name in rows[0]}


def estimates(ref, source, measure):
    """Values, standard errors and scale of one measure at each site."""
    sites = by_site(ref, source)
    numbers = {name: [np.nan if v is NO_LINE else v for v in column] for name, column in sites.items()}
    if measure == "auc_logit":
        with np.errstate(divide="ignore"):
            return logit(numbers["auc"]), numbers["logit_auc_se"], "logit"
    if measure == "auc_raw":
        return numbers["auc"], np.sqrt(numbers["auc_var"]), "identity"
    scale = "log" if measure == "log_oe" else "identity"
    return numbers[measure], numbers[measure + "_se"], scale


def has_odd_site(ref, source):
    """Whether some site has one class, or is separated: packages differ in the weight of such a site."""
    predicted, site = predictions(ref, source), ref["site"]
    return not all(has_line(ref.y[site == name], predicted[site == name]) for name in site.unique())


@fitted
def pooled(ref, source, measure):
    values, se, scale = estimates(ref, source, measure)

    def run(**options):
        return random_effects_meta_analysis(values, se, scale=scale, **options)

    found = {kind: run(interval=kind, prediction="k-2") for kind in ("hk", "hk_adhoc", "z")}
    main, moments, narrow = found["hk"], run(estimator="dl"), run(prediction="k-1")
    expected = ref.expected(f"{source}.pooled_{measure}")
    if expected and main.n_sites != expected["k"] and has_odd_site(ref, source):
        return Different(ODD_SITE)
    answer = {
        "k": main.n_sites,
        "est": main.value,
        "se_hk": main.se,
        **{f"ci_{kind}": [one.lower, one.upper] for kind, one in found.items()},
        "tau2": main.tau2,
        # R's glm stops with an error of about 1e-8 in the standard errors, which these two magnify
        "i2": Within(100 * main.i2, absolute=1e-6, relative=1e-6),
        "q": Within(main.q, absolute=1e-6, relative=1e-6),
        "q_p": main.p_value_q,
        "pi_k_minus_1": [narrow.prediction_lower, narrow.prediction_upper],
        "pi_k_minus_2": [main.prediction_lower, main.prediction_upper],
        "tau2_dl": moments.tau2,
        "est_dl": moments.value,
    }
    return put_reason(answer, expected, only_theirs, ONE_SITE) if main.n_sites == 1 else answer


@fitted
def valmeta(ref, source):
    values, se, scale = estimates(ref, source, "auc_logit")
    found = random_effects_meta_analysis(values, se, scale=scale, prediction="k-2")
    answer = {
        "est": found.value,
        "lower": found.lower,
        "upper": found.upper,
        "pi_lower": found.prediction_lower,
        "pi_upper": found.prediction_upper,
    }
    if found.n_sites > 1:
        return answer
    return put_reason(answer, ref.expected(f"{source}.valmeta_cstat"), only_theirs, ONE_SITE)


@fitted
def first_predictions(ref, source):
    return predictions(ref, source).head(10).tolist()


def imputed(ref):
    """Outcomes, the predictions of each imputation, weights."""
    table = ref.beside("imputed")
    columns = sorted((c for c in table if re.fullmatch(r"p_imp\d+", c)), key=lambda c: int(c[5:]))
    weight = next((table[name] for name in ref.names_of_weights if name in table), ref.weight)
    return table["y"], [table[column] for column in columns], weight


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
    small = pool_rubin(values, errors, n=found[0].n, scale=scale)
    large = pool_rubin(values, errors, scale=scale)
    return {
        "est": small.value,
        "within": small.within,
        "between": small.between,
        "total": small.total,
        # R's glm stops with an error of about 1e-10 in standard errors, which the degrees of freedom magnify
        "df_barnard_rubin": Within(small.df, absolute=1e-6, relative=1e-6),
        "ci_barnard_rubin": [small.lower, small.upper],
        "df_rubin87": Within(large.df, absolute=1e-6, relative=1e-6),
        "ci_rubin87": [large.lower, large.upper],
        "fmi": small.fmi,
    }


def mean_brier(ref):
    y, sets, weight = imputed(ref)
    return float(np.mean([brier_score(y, p, sample_weight=weight).value for p in sets]))


RULES: dict[str, Rule] = {
    r"(?P<source>sites|iecv_refit)\.by_site": fitted(by_site),
    r"(?P<source>sites|iecv_refit)\.pooled_(?P<measure>auc_logit|auc_raw|intercept|slope|log_oe)": pooled,
    r"(?P<source>sites|iecv_refit)\.valmeta_cstat": valmeta,
    r"(?P<source>iecv_refit)\.p_first10": first_predictions,
    r"mi\.(?P<measure>auc_logit|intercept|slope)": imputations,
    r"mi\.brier_mean": mean_brier,
}
