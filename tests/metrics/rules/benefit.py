"""Rules of the reference checks on the benefit of one arm over another."""

from tests.metrics.rules._reference import (
    NO_LINE,
    Different,
    Reference,
    Within,
    has_line,
    only_theirs,
    put_reason,
)

from treatsel.metrics.benefit import (
    MatchedPairs,
    average_benefit,
    brier_for_benefit,
    c_for_benefit,
    cross_entropy_for_benefit,
    e_for_benefit,
    logit_benefit_recalibration,
    logit_benefit_slope,
    match_pairs,
    model_based_c_for_benefit,
    population_average_prescriptive_effect,
    population_average_value,
    population_benefit,
    rank_weighted_average_treatment_effect,
)

SINGULAR = Different(
    "too few distinct predictions for a local regression: R's pseudo-inverse gives a number, at times an "
    "absurd one, and we none"
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
    cohort = {"y_true": ref.y, "received": ref["arm"], "by_arm": ref.by_arm("p_")}
    return cohort | labels | {"sample_weight": ref.weight}


def value_and_error(estimate):
    return {"est": estimate.value, "se": estimate.se}


def pair(ref, arms):
    labels = arms_of(ref, arms)
    counts = {arm: int((ref["arm"] == arm).sum()) for arm in labels.values()}
    if ref.weight is not None and ref.value(f"benefit_{arms}.pair")["n"] != sum(counts.values()):  # no rows
        counts = {arm: int(ref.weight[ref["arm"] == arm].sum()) for arm in labels.values()}
    return labels | {
        "n": sum(counts.values()),
        "n_treated": counts[labels["treated"]],
        "sign": "benefit of treated = p_treated - p_control (remission is good)",
    }


def errors(pairs, surface="interpolate"):
    found = e_for_benefit(pairs, predicted="own_arm", surface=surface, n_resamples=None)
    return {name: getattr(found, name).value for name in ("eavg", "e50", "e90")}


def without_curve(found):
    """R goes on with a pseudo-inverse where there are too few distinct predictions."""
    return found | (dict.fromkeys(("eavg", "e50", "e90"), SINGULAR) if found["eavg"] != found["eavg"] else {})


def losses(pairs):
    entropy = cross_entropy_for_benefit(pairs).value
    if ((pairs.p_treated % 1 == 0) | (pairs.p_control % 1 == 0)).any():
        entropy = Different("the original takes the logarithm of 0; we move predictions of 0 and 1 by 1e-8")
    return {"brier": brier_for_benefit(pairs).value, "cross_entropy": entropy}


def matched(ref, arms, what):
    """Match as the originals did: on covariates in row order, or by MatchIt's walk along the benefit."""
    if ref.weight is not None and (ref.weight % 1 != 0).any():
        return Different("patients are matched whole: weights must be whole numbers")
    how = {"covariates": ref[ref.covariates]} if what == "covariates" else {"neighbor": "above"}
    pairs = match_pairs(**of_pair(ref, arms), **how)
    found = c_for_benefit(pairs, predicted="own_arm")
    c = {"c_for_benefit": found.value, "c_se_noether": found.se}
    return without_curve({"pairs": len(pairs)} | c | errors(pairs) | losses(pairs))


def pairs_of_file(ref, arms, what):
    table = ref.beside(f"pairs_{arms}_{what}")
    vectors = table["obs_benefit"], table["p_treated"], table["p_control"]
    return MatchedPairs.of(
        *vectors, own_arm_benefit=table["pred_benefit"], mean_benefit=table["mean_benefit"]
    )


def from_file(ref, arms, what):
    """C-for-benefit, Brier and cross-entropy to 1e-9, E-for-benefit to the tolerance of the check."""
    pairs = pairs_of_file(ref, arms, what)
    exact = {"c_for_benefit": c_for_benefit(pairs, predicted="own_arm").value} | losses(pairs)
    exact = {k: v if isinstance(v, Different) else Within(v, absolute=1e-9) for k, v in exact.items()}
    return without_curve(exact | errors(pairs))


def from_file_mean(ref, arms, what):
    found = c_for_benefit(pairs_of_file(ref, arms, what))
    return {"c_for_benefit": found.value, "c_se_noether": found.se}


def from_file_direct(ref, arms, what):
    return without_curve(errors(pairs_of_file(ref, arms, what), surface="direct"))


def explained(ref, arms, check, found):
    """Put the reason where the own-arm predictions of the pair separate the classes."""
    rows = ref["arm"].isin(list(arms_of(ref, arms).values()))
    if has_line(ref.y[rows], ref.p[rows]):
        return found
    return put_reason(found, ref.expected(f"benefit_{arms}.{check}"), only_theirs, NO_LINE.reason)


def line(ref, arms, among):
    found = logit_benefit_recalibration(**of_pair(ref, arms), among=among)
    names = {"intercept": found.intercept, "slope": found.slope}
    values = {name: e.value for name, e in names.items()}
    values |= {f"{name}_se": e.se for name, e in names.items()}
    return explained(ref, arms, f"itecal_{among}", values)


def model_based(ref, arms):
    """Among the patients of the two arms."""
    labels = arms_of(ref, arms)
    rows = ref["arm"].isin(list(labels.values()))
    weight = None if ref.weight is None else ref.weight[rows]
    return model_based_c_for_benefit(ref.by_arm("p_")[rows], **labels, sample_weight=weight).value


def slope(ref, arms):
    found = value_and_error(logit_benefit_slope(**of_pair(ref, arms)))
    return explained(ref, arms, "benefit_slope", found)


def rule_value(ref, arms):
    cohort = of_pair(ref, arms)
    found = {
        "pav": population_average_value(**cohort),
        "pape": population_average_prescriptive_effect(**cohort, centered=False),
        "pape_centered": population_average_prescriptive_effect(**cohort),
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
    options = of_pair(ref, arms) | {"propensity": ref.by_arm("e_"), "at": shares}
    found = rank_weighted_average_treatment_effect(**options, n_resamples=2000)
    area = getattr(found, target)
    return {
        "dr": area.value,
        "dr_se_halfsample": Within(area.se, relative=0.1),
        "ht": getattr(
            rank_weighted_average_treatment_effect(**options, scores="ht", n_resamples=2), target
        ).value,
        "q": found.table["q"],
        "toc_dr": found.table["value"],
    }


def average(ref, arms):
    return value_and_error(average_benefit(**of_pair(ref, arms), propensity=ref.by_arm("e_")))


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
