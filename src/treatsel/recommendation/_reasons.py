"""Why a recommendation has its status: coded reasons, as data."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from treatsel.predictions import OUT_OF_SCOPE_CODES, plain
from treatsel.recommendation._decision import Decisions

# All codes of reasons, and their meaning. With status out_of_scope, the codes of the warnings that put the
# patient out of scope are given as well.
STATUS_REASONS = {
    "not_in_scope": "the caller stated that the model may not be used for this patient",
    "no_permitted_arm": "no arm is permitted for this patient",
    "only_permitted_arm": "this arm is the only one permitted, so there is nothing to compare",
    "few_events": "this arm had too few events or non-events in the development cohort to be compared",
    "no_interval": "no interval is available: there are no posterior draws (of this outcome)",
    "tied": "this arm has the highest utility, together with other arms (within 1e-12)",
    "not_clearly_worse": "this arm is not clearly worse than the top arm",
}
Reason = tuple[str, Any]


def reasons_by_patient(
    decisions: Decisions, arms: Sequence[Any], *, permitted: np.ndarray, enough: np.ndarray
) -> list[tuple[Reason, ...]]:
    """Return the reasons of each patient's status as pairs of code and arm (None: no arm in particular)."""
    found: list[tuple[Reason, ...]] = []
    for i, status in enumerate(decisions.status):
        if status in ("supported", "no_interval"):
            found.append((("no_interval", None),) if status == "no_interval" else ())
        elif not permitted[i].any():
            found.append((("no_permitted_arm", None),))
        elif status == "out_of_scope":
            found.append((("not_in_scope", None),))
        else:
            found.append(_about_arms(decisions, i, arms, enough, alone=status == "only_option"))
    return found


def _about_arms(
    decisions: Decisions, i: int, arms: Sequence[Any], enough: np.ndarray, *, alone: bool
) -> tuple[Reason, ...]:
    """Return a reason for every arm of the best set other than a top arm that is compared."""
    reasons: list[Reason] = []
    for j, arm in enumerate(arms):
        if not decisions.best_set[i, j]:
            continue
        if alone:
            reasons.append(("only_permitted_arm", arm))
        elif not enough[j]:
            reasons.append(("few_events", arm))
        elif decisions.tied[i, j]:
            reasons.append(("tied", arm))
        elif j != decisions.top[i]:
            reasons.append(("not_clearly_worse", arm))
    return tuple(reasons)


def with_causes(
    columns: Mapping[str, np.ndarray], flags: Mapping[str, Any], rows: Sequence[int], silent: Sequence[str]
) -> dict[str, np.ndarray]:
    """Return columns whose reasons name the warnings that put patients out of scope, and the outcomes.

    Parameters
    ----------
    columns : mapping of str to ndarray
        Columns of `Recommendations`.
    flags : mapping of str to sequence
        Warnings as in `Predictions.flags`.
    rows : sequence of int
        Position of the patient of each warning.
    silent : sequence of str
        Outcomes whose model gives no interval.
    """
    causes: dict[int, list[Reason]] = {}
    for row, code, column in zip(rows, flags["code"], flags["column"], strict=True):
        if code in OUT_OF_SCOPE_CODES:
            causes.setdefault(int(row), []).append((code, column))
    reasons = columns["status_reasons"].copy()
    for i in np.flatnonzero(columns["status"] == "no_interval").tolist():
        reasons[i] = tuple(("no_interval", name) for name in silent)
    for i, found in causes.items():
        reasons[i] = (*found, *(reason for reason in reasons[i] if reason[0] != "not_in_scope"))
    return {**columns, "status_reasons": reasons}


def plain_reasons(reasons: Sequence[Reason]) -> list[dict[str, Any]]:
    """Return the reasons of one patient in a form that JSON supports."""
    return [{"code": code, "about": plain(about)} for code, about in reasons]
