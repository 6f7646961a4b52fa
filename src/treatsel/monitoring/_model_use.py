"""Model use: warnings given, probabilities predicted and arms recommended."""

import numpy as np
import pandas as pd

from treatsel._checks import count_of
from treatsel._disclosure import SUPPRESSED, is_disclosive
from treatsel._stats.intervals import quantile_of, wilson
from treatsel.codebook import SAFETY_CODES
from treatsel.models import low_propensity
from treatsel.monitoring._baseline import development_size
from treatsel.monitoring._covariate_drift import proportion_tested
from treatsel.monitoring._finding import MIN_PATIENTS, NAN, Finding, PartResult
from treatsel.monitoring._thresholds import AlarmThresholds
from treatsel.predictions import WARNING_CODES, Predictions
from treatsel.recommendation import STATUSES, Recommendations
from treatsel.selector import TreatmentSelector

IMPOSSIBLE_AT_DEVELOPMENT = (  # fitting refuses a cohort with one of these
    "wrong_type",
    "infinite",
    "out_of_range",
    "not_integer",
    "unseen_category",
    "missing_required",
)
# about the model and a date, about single patients, or seen in the drift of covariates
NOT_COUNTED = ("model_expired", *SAFETY_CODES, "many_missing", "far_from_development")
MAX_RECOMMENDED = 2000  # patients; recommendations need posterior draws, which take most of the time
WITH_CODE, OUT_OF_SCOPE = "proportion with the warning", "out of scope"


def predictions_of(
    selector: TreatmentSelector, clean: pd.DataFrame, found: pd.DataFrame, level: float
) -> Predictions:
    """Return predictions with their warnings; intervals are omitted, as they would take most of the time."""
    rows = [found]
    if not all(selector.has_posterior_draws(name) for name in selector.outcomes_):
        patients = clean.index.astype(object)
        rows.append(pd.DataFrame({"patient": patients, "code": "no_interval", "column": None}))
    if selector.model_.assignment != "randomised":
        rows.append(low_propensity(selector.assignment_, clean))
    return Predictions.from_tables(
        {name: selector.models_[name].predict_by_arm(clean) for name in selector.outcomes_},
        lower={},
        upper={},
        level=level,
        warnings=pd.concat([part for part in rows if len(part)] or rows[:1], ignore_index=True),
    )


def warnings_of(
    selector: TreatmentSelector, predictions: Predictions, thresholds: AlarmThresholds, level: float
) -> PartResult:
    """Return the proportion of patients with each warning.

    Codes that no development patient could have are tested against `thresholds.invalid_proportion`.
    ``low_propensity`` is reported by arm, with its cross-fitted proportion in the development cohort. It is
    not tested, since that proportion comes from models other than the final one.
    """
    m, found, part = len(predictions.by_arm()), predictions.warnings, PartResult()
    if m < MIN_PATIENTS:
        return PartResult(
            not_estimable=[("Warnings", f"{count_of(m, 'patient')}; proportions need {MIN_PATIENTS}")]
        )
    by_code = found.groupby("code")["patient"].nunique() if len(found) else pd.Series(dtype=int)
    for code in WARNING_CODES:
        if code in NOT_COUNTED:
            continue
        k = int(by_code.get(code, 0))
        if code in IMPOSSIBLE_AT_DEVELOPMENT:
            part.findings.append(
                proportion_tested(
                    "warnings", code, WITH_CODE, k, m, most=thresholds.invalid_proportion, level=level
                )
            )
        elif code == "low_propensity":
            part.findings.extend(_low_propensity(selector, found, m, level))
        else:
            part.findings.append(proportion("warnings", code, WITH_CODE, k, m, level=level))
    outside = int(predictions.out_of_scope.sum())
    part.findings.append(
        proportion("warnings", OUT_OF_SCOPE, "proportion of patients", outside, m, level=level)
    )
    return part


def _low_propensity(selector: TreatmentSelector, found: pd.DataFrame, m: int, level: float) -> list[Finding]:
    if selector.assignment == "randomised":
        return []
    mine, n = found[found["code"] == "low_propensity"], development_size(selector)
    expected = selector.assignment_.table["share_low_propensity"].astype(float)
    expected = expected.mask(is_disclosive(np.round(expected * n), n))
    return [
        proportion(
            "warnings",
            f"low_propensity: {arm}",
            WITH_CODE,
            int((mine["column"] == arm).sum()),
            m,
            level=level,
            expected=float(expected[arm]),
        )
        for arm in selector.arms_
    ]


def predicted(
    selector: TreatmentSelector, predictions: Predictions, outcome: str, level: float
) -> PartResult:
    """Return the mean predicted probability of each arm.

    For the main outcome it is compared with the doubly robust rate in the development cohort under that arm:
    with the same case mix and a calibrated model both estimate the same quantity.
    """
    table = predictions.by_arm(outcome)
    m = len(table)
    if m < MIN_PATIENTS:
        return PartResult(
            not_estimable=[("Predictions", f"{count_of(m, 'patient')}; means need {MIN_PATIENTS}")]
        )
    before = pd.Series(NAN, index=table.columns)
    if outcome == selector.outcomes_[0]:
        means = selector.arm_means_["value"].reindex(table.columns)
        before = means if selector.event_is_good_[outcome] else 1 - means
    half = quantile_of(level) * table.std(ddof=1) / np.sqrt(m)
    return PartResult(
        findings=[
            Finding(
                section="predictions",
                name=str(arm),
                measure=f"mean probability of {outcome}",
                value=float(table[arm].mean()),
                lower=float(table[arm].mean() - half[arm]),
                upper=float(table[arm].mean() + half[arm]),
                expected=float(before[arm]),
                observed=float(table[arm].mean()),
                n=m,
                method="Wald, sd / sqrt(n); expected: doubly robust rate in the development cohort",
            )
            for arm in table.columns
        ]
    )


def recommended(recommendations: Recommendations, level: float) -> PartResult:
    """Return the proportions of recommended arms and of statuses."""
    table = recommendations.table
    m = len(table)
    if m < MIN_PATIENTS:
        return PartResult(
            not_estimable=[("Recommendations", f"{count_of(m, 'patient')}; proportions need {MIN_PATIENTS}")]
        )
    arms, statuses = table["arm"].value_counts(), table["status"].value_counts()
    counts = [(str(arm), "proportion recommended", int(arms.get(arm, 0))) for arm in recommendations.utility]
    counts += [(status, "proportion with this status", int(statuses.get(status, 0))) for status in STATUSES]
    return PartResult(
        findings=[proportion("predictions", name, what, k, m, level=level) for name, what, k in counts]
    )


def proportion(
    section: str, name: str, measure: str, k: int, m: int, *, level: float, expected: float = NAN
) -> Finding:
    """Return a proportion with its Wilson interval, suppressed if it stands for few patients."""
    common = {"section": section, "name": name, "measure": measure, "n": m, "expected": expected}
    if is_disclosive(k, m):
        return Finding(value=NAN, method=SUPPRESSED, **common)  # type: ignore[arg-type]
    lower, upper = wilson(np.array([float(k)]), np.array([float(m)]), level)
    return Finding(
        value=k / m,
        lower=float(lower[0]),
        upper=float(upper[0]),
        observed=k / m,
        method="Wilson",
        **common,  # type: ignore[arg-type]
    )
