"""How the model is used: which warnings it gives, what it predicts, what it recommends."""

import numpy as np
import pandas as pd

from treatsel._stats.intervals import quantile_of, wilson
from treatsel.models import low_propensity
from treatsel.monitoring._covariate_drift import HIDDEN, counted
from treatsel.monitoring._finding import FEWEST, NAN, Finding, Part, is_small
from treatsel.monitoring._thresholds import AlarmThresholds
from treatsel.predictions import WARNING_CODES, Predictions
from treatsel.recommendation import STATUSES, Recommendations
from treatsel.selector import TreatmentSelector

NEVER_BEFORE = (  # the development cohort was refused as long as it held one of these
    "wrong_type",
    "infinite",
    "out_of_range",
    "not_integer",
    "unseen_category",
    "missing_required",
)
MOST_RECOMMENDED = 2000  # recommendations take draws, and time
WITH_CODE, OUT_OF_SCOPE = "share of patients with the warning", "out of scope"


def predictions_of(
    selector: TreatmentSelector, clean: pd.DataFrame, found: pd.DataFrame, level: float
) -> Predictions:
    """Return predictions with their warnings, but without intervals, which take most of the time."""
    rows = [found]
    if not all(selector.has_posterior_draws(name) for name in selector.outcomes_):
        patients = clean.index.astype(object)
        rows.append(pd.DataFrame({"patient": patients, "code": "no_interval", "column": None}))
    if selector.assignment != "randomised":
        rows.append(low_propensity(selector.assignment_, clean))
    return Predictions.from_tables(
        {name: selector.models_[name].predict_by_arm(clean) for name in selector.outcomes_},
        lower={},
        upper={},
        level=level,
        warnings=pd.concat([part for part in rows if len(part)] or rows[:1], ignore_index=True),
    )


def warnings_of(
    selector: TreatmentSelector, predictions: Predictions, sizes: AlarmThresholds, level: float
) -> Part:
    """Return the share of patients with each warning.

    Codes that no development patient could have are tested against the share tolerated, `sizes.fault`.
    ``low_propensity`` is told by arm beside its (cross-fitted) share in the development cohort; no
    test, as that was another model's.
    """
    m, found, part = len(predictions.by_arm()), predictions.warnings, Part()
    if m < FEWEST:
        return Part(not_estimable=[("Warnings", f"{m} patients; shares are told from {FEWEST} on")])
    by_code = found.groupby("code")["patient"].nunique() if len(found) else pd.Series(dtype=int)
    for code in WARNING_CODES:
        k = int(by_code.get(code, 0))
        if code in NEVER_BEFORE:
            part.findings.append(counted("warnings", code, WITH_CODE, k, m, most=sizes.fault, level=level))
        elif code == "low_propensity":
            part.findings.extend(_rarely_given(selector, found, m, level))
        else:
            part.findings.append(share("warnings", code, WITH_CODE, k, m, level=level))
    outside = int(predictions.out_of_scope.sum())
    part.findings.append(share("warnings", OUT_OF_SCOPE, "share of patients", outside, m, level=level))
    return part


def _rarely_given(selector: TreatmentSelector, found: pd.DataFrame, m: int, level: float) -> list[Finding]:
    if selector.assignment == "randomised":
        return []
    mine = found[found["code"] == "low_propensity"]
    return [
        share(
            "warnings",
            f"low_propensity: {arm}",
            WITH_CODE,
            int((mine["column"] == arm).sum()),
            m,
            level=level,
            expected=float(selector.assignment_.table.loc[arm, "share_low_propensity"]),
        )
        for arm in selector.arms_
    ]


def predicted(selector: TreatmentSelector, predictions: Predictions, outcome: str, level: float) -> Part:
    """Return the mean predicted probability of each arm.

    Of the main outcome beside the rate that everybody would have had in the development cohort (doubly
    robust): equal case mix and a calibrated model give the same, within the error of both.
    """
    table = predictions.by_arm(outcome)
    m = len(table)
    if m < FEWEST:
        return Part(not_estimable=[("Predictions", f"{m} patients; means are told from {FEWEST} on")])
    before = pd.Series(NAN, index=table.columns)
    if outcome == selector.outcomes_[0]:
        means = selector.arm_means_["value"].reindex(table.columns)
        before = means if selector.event_is_good_[outcome] else 1 - means
    half = quantile_of(level) * table.std(ddof=1) / np.sqrt(m)
    return Part(
        findings=[
            Finding(
                section="predictions",
                name=str(arm),
                measure=f"mean probability of {outcome}",
                value=float(table[arm].mean()),
                lower=float(table[arm].mean() - half[arm]),
                upper=float(table[arm].mean() + half[arm]),
                expected=float(before[arm]),
                found=float(table[arm].mean()),
                n=m,
                method="Wald, sd / sqrt(n); expected: doubly robust rate in the development cohort",
            )
            for arm in table.columns
        ]
    )


def recommended(recommendations: Recommendations, level: float) -> Part:
    """Return the share of patients to whom each arm is recommended, and of each status."""
    table = recommendations.table
    m = len(table)
    if m < FEWEST:
        return Part(not_estimable=[("Recommendations", f"{m} patients; shares are told from {FEWEST} on")])
    arms, statuses = table["arm"].value_counts(), table["status"].value_counts()
    counts = [(str(arm), "share recommended", int(arms.get(arm, 0))) for arm in recommendations.utility]
    counts += [(status, "share of this status", int(statuses.get(status, 0))) for status in STATUSES]
    return Part(findings=[share("predictions", name, what, k, m, level=level) for name, what, k in counts])


def share(
    section: str, name: str, measure: str, k: int, m: int, *, level: float, expected: float = NAN
) -> Finding:
    """Return a share with its Wilson interval, or none if it is too small to be told."""
    told = {"section": section, "name": name, "measure": measure, "n": m, "expected": expected}
    if is_small(k, m):
        return Finding(value=NAN, method=HIDDEN, **told)  # type: ignore[arg-type]
    lower, upper = wilson(np.array([float(k)]), np.array([float(m)]), level)
    return Finding(
        value=k / m,
        lower=float(lower[0]),
        upper=float(upper[0]),
        found=k / m,
        method="Wilson",
        **told,  # type: ignore[arg-type]
    )
