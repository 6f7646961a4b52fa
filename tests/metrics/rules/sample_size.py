"""Rules for the sample-size calculators: the checks contain their inputs; there is no data file."""

import math
from itertools import product

from scipy.special import logit, ndtr, ndtri
from tests.metrics.rules._reference import Different, Within

from treatsel.errors import InputError
from treatsel.metrics.sample_size import (
    LinearPredictorDistribution,
    development_sample_size,
    validation_sample_size,
)

LEVEL = 2 * float(ndtr(1.96)) - 1  # the other packages round the normal quantile
STOPS = Different("the original stops here and gives no inputs; the other calculator's check has them")
PRINTED = 5.01e-4  # three digits are printed


def development(ref, check):
    if ref.expected(check) is None:
        return STOPS
    given = ref.value(check)["input"]
    names = {"csrsquared": "cox_snell_r2", "nagrsquared": "nagelkerke_r2", "cstatistic": "auc"}
    options = {names[name]: given[name] for name in names if given.get(name) is not None}
    options |= {"shrinkage": given["shrinkage"]} if given.get("shrinkage") is not None else {}
    study = {"prevalence": given["prevalence"], "parameters": given["parameters"]}
    try:
        size = development_sample_size(**study, **options, level=LEVEL)
        if "nagelkerke_r2" in options:  # the other packages round the result to three digits
            del options["nagelkerke_r2"]
            options["cox_snell_r2"] = round(size.assumptions["Cox-Snell R2"], 3)
            size = development_sample_size(**study, **options, level=LEVEL)
    except InputError:
        return refused(ref, check)
    relative = 0.03 if "auc" in options else 0  # the other packages simulate the R2 of an AUC
    needed = [criterion.n for criterion in size.criteria[:3]]  # the other packages lack the fourth
    events = max(needed) * given["prevalence"]
    return {
        "input": given,
        "sample_size": Within(max(needed), relative=relative),
        "events": Within(events, relative=relative or 1e-9),
        "epp": Within(events / given["parameters"], absolute=0.00501, relative=relative),
        "criteria_n": Within(needed, relative=relative),
        "max_r2cs": size.assumptions["largest Cox-Snell R2"],
    }


def validation(ref, check):
    if ref.expected(check) is None:
        return STOPS
    original = check.removeprefix("py.")
    given = ref.value(check)["input"]
    study = {"prevalence": given["prevalence"], "auc": given["cstatistic"], "level": LEVEL}
    study |= {"predictor": predictor(given), "oe": given.get("oe", 1.0)}
    threshold, targets = given.get("threshold"), widths(given)
    digits = 2 if original == check else 3
    try:
        sizes = [
            validation_sample_size(**study, widths=targets, threshold=threshold, **accuracy)
            for accuracy in accuracies(given, study["predictor"], digits)
        ]
    except InputError:
        return refused(ref, check)
    size = sizes[0]
    needed = [Within(size["observed / expected"].n, absolute=1)]
    needed += [Within(size["calibration slope"].n, relative=0.02), Within(size["AUC"].n, absolute=1)]
    names = ["Criteria 1 - O/E", "Criteria 2 - C-slope", "Criteria 3 - C statistic"]
    performance = [given.get("oe", 1.0), given.get("cslope", 1.0), given["cstatistic"]]
    errors = [c.se for c in size.criteria]
    whole = max(c.se / (2 * c.n) for c in size.criteria)  # effect of one patient more or less
    asked = [given.get("oeciwidth", 0.2), given.get("csciwidth", 0.2), given.get("cstatciwidth", 0.1)]
    if threshold is not None:
        all_n = [s["net benefit"].n for s in sizes]
        middle, half = (max(all_n) + min(all_n)) / 2, (max(all_n) - min(all_n)) / 2
        needed.append(Within(middle, absolute=half + 1))
        names.append("Criteria 4 - St Net Benefit")
        benefits = [s["net benefit"].expected for s in sizes]
        performance.append((max(benefits) + min(benefits)) / 2)
        asked.append(given.get("nbciwidth", 0.2))
        spread = (max(benefits) - min(benefits)) / 2
    else:
        spread = 0
    decides = max(range(len(needed)), key=lambda place: needed[place].value)
    needed.append(Within(needed[decides].value, needed[decides].absolute, needed[decides].relative))
    largest = needed[-1]
    share = given["prevalence"]
    return {
        "input": given,
        "sample_size": largest if original == check else Within(largest.value, relative=0.02),
        "events": Within(share * largest.value, share * largest.absolute + 1e-9, largest.relative),
        "criteria": [*names, "Final SS"],
        "n": needed,
        "performance": rounded([*performance, performance[decides]], spread),
        "se": rounded([*errors, errors[decides]], whole),
        "ci_width": rounded([*asked, asked[decides]]),
    }


def rounded(values, spread=0.0):
    return [Within(value, absolute=PRINTED + spread) for value in values]


def refused(ref, check):
    """If we refuse, the other package must not give a number either."""
    return dict.fromkeys(ref.value(check)) | {"input": ref.value(check)["input"]}


def predictor(given):
    if given.get("lpnormal") is not None:
        return LinearPredictorDistribution.normal(*given["lpnormal"])
    if given.get("lpbeta") is not None:
        return LinearPredictorDistribution.beta(*given["lpbeta"])
    # The other package approaches the mean that gives the prevalence in steps; we solve for it.
    start, step = float(first(given["lpcstat"])), given.get("increment", 0.1)
    solved = logit(given["prevalence"]) - float(ndtri(given["cstatistic"])) ** 2
    mean = start + step * round((solved - start) / step)
    return LinearPredictorDistribution.binormal(given["prevalence"], given["cstatistic"], nonevent_mean=mean)


def first(value):
    return value[0] if isinstance(value, list) else value


def widths(given):
    """Widths of the other packages: they search standard errors in steps, and round one of them."""
    oe = given.get("oe", 1.0)
    ratio = stepped(
        lambda se: 2 * oe * math.sinh(1.96 * se),
        given.get("oeciwidth", 0.2),
        given.get("oeseincrement", 1e-4),
    )
    benefit = stepped(lambda se: 2 * 1.96 * se, given.get("nbciwidth", 0.2), given.get("nbseincrement", 1e-4))
    return {
        "observed / expected": 2 * oe * math.sinh(1.96 * ratio),
        "calibration slope": given.get("csciwidth", 0.2),
        "AUC": given.get("cstatciwidth", 0.1),
        "net benefit": 2 * 1.96 * round(benefit, 3),
    }


def stepped(width, target, step):
    se = 0.0
    while width(se) < target:
        se += step
    return se


def accuracies(given, distribution, digits):
    """Sensitivity and specificity as given, or all values that rounding of a simulation may give."""
    if given.get("threshold") is None:
        return [{}]
    if given.get("sensitivity") is not None and given.get("specificity") is not None:
        return [{"sensitivity": given["sensitivity"], "specificity": given["specificity"]}]
    pairs = [
        sorted({round(value + shift, digits) for shift in (-0.0015, 0, 0.0015)})
        for value in distribution.accuracy_at(given["threshold"])
    ]
    return [{"sensitivity": hit, "specificity": spared} for hit, spared in product(*pairs)]


RULES = {
    r"(?P<check>(py\.)?pmsampsize_\d+)": development,
    r"(?P<check>(py\.)?pmvalsampsize_\d+)": validation,
}
