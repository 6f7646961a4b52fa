"""Part: validation patients against development patients, and estimates re-weighted to the latter."""

from typing import Any

import numpy as np
import pandas as pd

from treatsel._checks import FloatArray
from treatsel._measures import MEASURES, labels_of
from treatsel._reporting.format import with_p
from treatsel._stats.by_arm_tables import cells_of
from treatsel.cohort import Cohort
from treatsel.errors import InputError
from treatsel.metrics import gain_over_best_arm
from treatsel.predictions import fingerprint
from treatsel.validation._policies import Policies
from treatsel.validation._predicted import predicted
from treatsel.validation._small_groups import without_small_rows
from treatsel.validation._task import ValidationTask
from treatsel.validation.parts._part import MIN_REPORTED, Caution, PartResult, Severity, row, row_of
from treatsel.validation.studies import (
    OVERALL,
    BalancingWeights,
    CaseMix,
    balancing_weights,
    case_mix,
    columns_of,
    transport_performance,
)

SECTION = "development"
ARM, OUTCOME, PREDICTION = (
    " arm",
    " outcome",
    " prediction",
)  # a leading space keeps them apart from covariates
LABELS = labels_of(
    "auc",
    "within_arm_auc",
    "brier_score",
    "calibration_in_the_large",
    "calibration_slope",
    "observed_expected",
)


def development_of(given: Any, task: ValidationTask) -> Cohort:
    """Return the development cohort; a table is checked against the codebook of the validation cohort.

    Raises
    ------
    InputError
        If it is neither a cohort nor a table, or has no covariate in common with the validation cohort.
    CohortError
        If the table does not match the codebook.
    """
    if isinstance(given, pd.DataFrame):
        given = Cohort(given, task.cohort.codebook)
    if not isinstance(given, Cohort):
        raise InputError(f"development is a {type(given).__name__}; give a Cohort or a table of patients.")
    if not _shared(given, task):
        raise InputError(
            "development shares no covariate with the cohort; use the same column names in both."
        )
    return given


def development(task: ValidationTask, policies: Policies, model: Any, development: Cohort) -> PartResult:
    """Return case mix against the development cohort, and estimates re-weighted to that cohort."""
    names = _shared(development, task)
    linear, without = _predictions(model, development, task)
    old = _table(development, names, task.outcome, linear)
    new = task.cohort.frame.loc[task.seen, names].assign(**{ARM: task.arms, OUTCOME: task.observed})
    roles: dict[str, Any] = {"arm": ARM}
    if OUTCOME in old:
        roles["outcome"] = OUTCOME
    else:
        new = new.drop(columns=OUTCOME)
    if linear is not None:
        roles["prediction"], new = PREDICTION, new.assign(**{PREDICTION: task.own})
    old, new = _coarsened(old, new, names)
    mix = case_mix(old, new, **roles, level=task.level)
    weights = _weights(new[names], old[names])
    figures, table = _reweighted(task, policies, weights)
    lacking = [name for name in task.cohort.codebook.covariates if name not in names]
    left = [without] if without else []
    if lacking:
        left.append((f"Case mix by {lacking}", "the development cohort has no such covariate"))
    return PartResult(
        figures=[*_membership(mix), *_spread(mix), *figures],
        tables={
            f"{SECTION}: covariates": _disclosed(mix.covariates, old, new),
            f"{SECTION}: linear predictor": _groups_of(mix),
            f"{SECTION}: re-weighted": table,
        },
        cautions=_cautions(task, model, development),
        not_estimable=left,
    )


def _shared(development: Cohort, task: ValidationTask) -> list[str]:
    return [name for name in task.cohort.codebook.covariates if name in development.codebook.covariates]


def _predictions(
    model: Any, development: Cohort, task: ValidationTask
) -> tuple[FloatArray | None, tuple[str, str] | None]:
    """Return the development patients' predictions for their received arm, or why there are none."""
    what = "Linear predictor in the development cohort"
    if isinstance(model, pd.DataFrame):
        return None, (what, "predictions were given for the validation patients only, not a model")
    try:
        table = predicted(model, development, task.outcome)
        return cells_of("received", development.received.to_numpy(dtype=object), table), None
    except InputError as error:
        return None, (what, str(error))


def _table(development: Cohort, names: list[str], outcome: str, own: FloatArray | None) -> pd.DataFrame:
    """Return covariates, arm, prediction and outcome, as available; patients without outcome are dropped."""
    frame = development.frame
    table = frame[names].assign(**{ARM: development.received})
    if own is not None:
        table = table.assign(**{PREDICTION: own})
    if outcome in development.codebook.outcomes and frame[outcome].notna().any():
        seen = frame[outcome].notna()
        return table[seen].assign(**{OUTCOME: frame.loc[seen, outcome]})
    return table


def _coarsened(old: pd.DataFrame, new: pd.DataFrame, names: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return both tables; categories with fewer than ten patients in either cohort are merged."""
    old, new = old.copy(), new.copy()
    for name in names:
        if pd.api.types.is_numeric_dtype(new[name].dtype):
            continue
        counts = pd.DataFrame({"old": old[name].value_counts(), "new": new[name].value_counts()}).fillna(0)
        counts = counts.loc[counts.sum(axis=1).sort_values(kind="stable").index]
        small = ((counts > 0) & (counts < MIN_REPORTED)).any(axis=1)
        if not small.any():
            continue
        together, called = list(counts.index[small]), "small groups"
        for level in counts.index[~small]:  # the rarest first, until the merged category is large enough
            if (counts.loc[together].sum() >= MIN_REPORTED).all():
                break
            together, called = [*together, level], f"{level} and others"
        old[name], new[name] = (
            table[name].astype(object).mask(table[name].isin(together), called) for table in (old, new)
        )
    return old, new


def _disclosed(covariates: pd.DataFrame, old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Return the table of covariates without means that would disclose fewer than ten patients."""
    table = covariates.copy()
    for name, columns in zip(("development", "validation"), (old, new), strict=True):
        for covariate in [key for key in table.index if key in columns]:
            counts = columns[covariate].value_counts()
            if len(counts) == 2 and counts.min() < MIN_REPORTED:
                table.loc[covariate, [f"{name}_mean", f"{name}_sd", "standardized_difference"]] = np.nan
    return table.rename_axis("covariate").reset_index()


def _weights(new: pd.DataFrame, old: pd.DataFrame) -> BalancingWeights:
    """Return weights under which the validation patients have the means of the development patients."""
    tables = [table.fillna(table.mean()) for table in columns_of([new, old])]
    return balancing_weights(tables[0], tables[1])


def _groups_of(mix: CaseMix) -> pd.DataFrame:
    table = mix.linear_predictor.rename_axis("group").reset_index()
    return without_small_rows(table) if len(table) else table


def _membership(mix: CaseMix) -> list[dict[str, Any]]:
    found = {"with outcome": mix.membership, "case mix only": mix.membership_without_outcome}
    rows = []
    for name, auc in found.items():
        method = f"{auc.method}, apparent (not cross-validated); likelihood ratio test {with_p(auc.p_value)}"
        rows.append(row_of(SECTION, f"membership AUC, {name}", auc) | {"method": method})
    return rows


def _spread(mix: CaseMix) -> list[dict[str, Any]]:
    """Return the difference of means and the ratio of SDs of the linear predictor, if available."""
    if OVERALL not in mix.linear_predictor.index:
        return []
    line: dict[Any, Any] = mix.linear_predictor.loc[OVERALL].to_dict()
    about = f"validation against {line['development_n']:,.0f} development patients"
    names = {
        "difference": ("linear predictor, difference of means", f"Wald; {about}"),
        "ratio": ("linear predictor, ratio of SDs", f"delta method on the log; {about}"),
    }
    return [
        row(
            SECTION,
            measure,
            *(line[f"{key}{end}"] for end in ("", "_lower", "_upper")),
            n=line["validation_n"],
            method=method,
        )
        for key, (measure, method) in names.items()
    ]


def _reweighted(
    task: ValidationTask, policies: Policies, weights: BalancingWeights
) -> tuple[list[dict[str, Any]], pd.DataFrame]:
    """Return the estimates re-weighted to the development patients, and a table with those of this cohort."""
    found = transport_performance(task.observed, task.own, weights, received=task.arms, level=task.level)
    pairs: dict[str, Any] = {
        label: (found.observed[key], found.expected[key]) for key, label in LABELS.items()
    }
    if policies.problem is None and np.isfinite(weights.effective_n):
        again = gain_over_best_arm(
            policies.scores,
            policies.recommended,
            comparator=policies.best_single_arm(task.seen),
            sample_weight=weights.sample_weight,
            clusters=policies.options["clusters"],
            level=task.level,
        )
        pairs[MEASURES["gain"].label] = (policies.gain, again)
    rows, table = [], []
    for label, (here, there) in pairs.items():
        method = there.method
        if there.value == there.value:
            method += f"; {weights.method}, {weights.effective_n:,.0f} effective of {weights.n:,} patients"
        rows.append(row_of(SECTION, f"{label}, re-weighted", there) | {"method": method})
        table.append(
            {
                "measure": label,
                **{f"here{end}": getattr(here, key) for end, key in ENDS.items()},
                **{f"reweighted{end}": getattr(there, key) for end, key in ENDS.items()},
                "n": weights.n,
                "effective_n": weights.effective_n,
                "largest_share": weights.largest_share,
                "method": method,
            }
        )
    return rows, pd.DataFrame(table)


ENDS = {"": "value", "_lower": "lower", "_upper": "upper"}


def _cautions(task: ValidationTask, model: Any, development: Cohort) -> list[Caution]:
    mine = fingerprint(development.X)
    if mine == fingerprint(task.cohort.X):
        text = "The development cohort given is the validation cohort itself, so the two cannot differ."
        return [Caution(Severity.NO_VALIDATION, text)]
    fitted = getattr(model, "fingerprint_", None)
    if fitted is not None and fitted != mine:
        text = (
            "The development cohort given is not identical to the data the model was fitted to: rows, "
            "columns or values differ."
        )
        return [Caution(Severity.MILD, text)]
    return []
