"""Rules of the reference checks on the benefit of one arm over another."""

import warnings

from tests.metrics.rules._reference import Different, Reference, Within

from treatsel.errors import TreatselWarning
from treatsel.metrics.benefit import (
    Pairs,
    average_benefit,
    benefit_calibration_line,
    benefit_slope,
    brier_for_benefit,
    c_for_benefit,
    cross_entropy_for_benefit,
    e_for_benefit,
    match_pairs,
    model_based_c_for_benefit,
    population_average_value,
    population_benefit,
    prescription_effect,
    rate,
)

OTHER_SCALE = "{} normalises differently; we report grf's areas, which rest on doubly robust scores"


def arms_of(ref: Reference, arms: str) -> dict[str, str]:
    """Control and treated, from `<control>_<treated>`: the labels may hold underscores themselves."""
    possible = [(a, b) for a in ref.arms for b in ref.arms if a != b and f"{a}_{b}" == arms]
    named = ref.checks.get(f"benefit_{arms}.pair", {}).get("value")
    if len(possible) > 1 and named:
        possible = [pair for pair in possible if pair == (named["control"], named["treated"])]
    assert len(possible) == 1, f"{arms!r} is not one pair of the arms {ref.arms}"
    return dict(zip(("control", "treated"), possible[0], strict=True))


def of_pair(ref: Reference, arms: str) -> dict[str, object]:
    labels = arms_of(ref, arms)
    cohort = {"y_true": ref.y, "received": ref.table["arm"], "by_arm": ref.by_arm("p_")}
    return cohort | labels | {"sample_weight": ref.weight}


def with_extremes(ref: Reference, arms: str) -> bool:
    """Whether a logit is infinite: then the originals refuse, and we move predictions by 1e-8."""
    labels = arms_of(ref, arms)
    rows = ref.table["arm"].isin(list(labels.values()))
    values = ref.by_arm("p_").loc[rows, list(labels.values())]
    return bool(((values == 0) | (values == 1)).any(axis=None))


def refused(ref: Reference, arms: str, check: str) -> bool:
    """Whether the original gives no number because of a prediction of exactly 0 or 1."""
    return with_extremes(ref, arms) and ref.value(f"benefit_{arms}.{check}") is None


def quietly(function, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TreatselWarning)
        return function(*args, **kwargs)


def value_and_error(estimate):
    return {"est": estimate.value, "se": estimate.se}


def pair(ref, arms):
    labels = arms_of(ref, arms)
    counts = {arm: int((ref.table["arm"] == arm).sum()) for arm in labels.values()}  # rows
    return labels | {
        "n": sum(counts.values()),
        "n_treated": counts[labels["treated"]],
        "sign": "benefit of treated = p_treated - p_control (remission is good)",
    }


def errors(pairs, surface="interpolate"):
    found = e_for_benefit(pairs, predicted="own_arm", surface=surface, n_resamples=None)
    return {name: getattr(found, name).value for name in ("eavg", "e50", "e90")}


def losses(pairs):
    entropy = quietly(cross_entropy_for_benefit, pairs).value
    if ((pairs.p_treated % 1 == 0) | (pairs.p_control % 1 == 0)).any():
        entropy = Different("the original takes the logarithm of 0; we move predictions of 0 and 1 by 1e-8")
    return {"brier": brier_for_benefit(pairs).value, "cross_entropy": entropy}


def matched(ref, arms, what):
    """Match as the originals did: on covariates in row order, or by MatchIt's walk along the benefit."""
    if refused(ref, arms, f"matched_{what}"):
        return Different("the original stops at predictions of exactly 0")
    if ref.weight is not None and (ref.weight % 1 != 0).any():
        return Different("patients are matched whole: weights must be whole numbers")
    how = {"covariates": ref.table[ref.covariates]} if what == "covariates" else {"neighbor": "above"}
    pairs = match_pairs(**of_pair(ref, arms), **how)
    found = c_for_benefit(pairs, predicted="own_arm")
    c = {"c_for_benefit": found.value, "c_se_noether": found.se}
    return {"pairs": len(pairs)} | c | errors(pairs) | losses(pairs)


def pairs_of_file(ref, arms, what):
    table = ref.beside(f"pairs_{arms}_{what}")
    vectors = table["obs_benefit"], table["p_treated"], table["p_control"]
    return Pairs.of(*vectors, own_arm_benefit=table["pred_benefit"], mean_benefit=table["mean_benefit"])


def from_file(ref, arms, what):
    """C-for-benefit, Brier and cross-entropy to 1e-9, E-for-benefit to the tolerance of the check."""
    pairs = pairs_of_file(ref, arms, what)
    exact = {"c_for_benefit": c_for_benefit(pairs, predicted="own_arm").value} | losses(pairs)
    exact = {k: v if isinstance(v, Different) else Within(v, absolute=1e-9) for k, v in exact.items()}
    return exact | errors(pairs)


def from_file_mean(ref, arms, what):
    found = c_for_benefit(pairs_of_file(ref, arms, what))
    return {"c_for_benefit": found.value, "c_se_noether": found.se}


def from_file_direct(ref, arms, what):
    return errors(pairs_of_file(ref, arms, what), surface="direct")


def line(ref, arms, among):
    if refused(ref, arms, f"itecal_{among}"):
        return Different("the logit of a prediction is infinite; we move predictions of 0 and 1 by 1e-8")
    found = quietly(benefit_calibration_line, **of_pair(ref, arms), among=among)
    names = {"intercept": found.intercept, "slope": found.slope}
    return {name: e.value for name, e in names.items()} | {f"{name}_se": e.se for name, e in names.items()}


def model_based(ref, arms):
    """Among the patients of the two arms."""
    labels = arms_of(ref, arms)
    rows = ref.table["arm"].isin(list(labels.values()))
    weight = None if ref.weight is None else ref.weight[rows]
    return model_based_c_for_benefit(ref.by_arm("p_")[rows], **labels, sample_weight=weight).value


def slope(ref, arms):
    if refused(ref, arms, "benefit_slope"):
        return Different("the logit of a prediction is infinite; we move predictions of 0 and 1 by 1e-8")
    return value_and_error(quietly(benefit_slope, **of_pair(ref, arms)))


def rule_value(ref, arms):
    cohort = of_pair(ref, arms)
    found = {
        "pav": population_average_value(**cohort),
        "pape": prescription_effect(**cohort, centered=False),
        "pape_centered": prescription_effect(**cohort),
    }
    return {name: e.value for name, e in found.items()} | {f"{name}_sd": e.se for name, e in found.items()}


def population(ref, arms):
    return {
        f"pb_vs_all_{over}": population_benefit(**of_pair(ref, arms), over=over).value
        for over in ("control", "treated")
    }


def ranked(ref, arms, target):
    if ref.weight is not None and (ref.weight != 1).any():
        return Different("grf's curve has a point a row, ours one a unit of weight: weights are counts")
    shares = ref.value(f"benefit_{arms}.rate_{target}")["q"]
    options = of_pair(ref, arms) | {"propensities": ref.by_arm("e_"), "at": shares}
    found = rate(**options, n_resamples=2000)
    area = getattr(found, target)
    return {
        "dr": area.value,
        "dr_se_halfsample": Within(area.se, relative=0.1),
        "ht": getattr(rate(**options, scores="ht", n_resamples=2), target).value,
        "q": found.toc["q"],
        "toc_dr": found.toc["value"],
    }


def average(ref, arms):
    return value_and_error(average_benefit(**of_pair(ref, arms), propensities=ref.by_arm("e_")))


PAIR = r"benefit_(?P<arms>.+)\."
WHAT = r"(?P<what>covariates|benefit)"
RULES = {
    rf"{PAIR}pair": pair,
    rf"{PAIR}matched_{WHAT}": matched,
    rf"{PAIR}from_pairs_file_{WHAT}": from_file,
    rf"{PAIR}from_pairs_file_{WHAT}_mean_benefit": from_file_mean,
    rf"{PAIR}from_pairs_file_{WHAT}_direct": from_file_direct,
    rf"{PAIR}itecal_(?P<among>both|treated|control)": line,
    rf"{PAIR}mbcb": model_based,
    rf"{PAIR}benefit_slope": slope,
    rf"{PAIR}evalitr": rule_value,
    rf"{PAIR}population_benefit": population,
    rf"{PAIR}rate_(?P<target>autoc|qini)": ranked,
    rf"{PAIR}ate_aipw": average,
    r"py\.benefit_(?P<arms>.+)\.sklift": lambda ref, arms: Different(OTHER_SCALE.format("scikit-uplift")),
    r"py\.benefit_(?P<arms>.+)\.causalml": lambda ref, arms: Different(OTHER_SCALE.format("causalml")),
}
