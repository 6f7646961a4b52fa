"""Why a recommendation has its status: coded reasons, as data."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from treatsel.predictions import OUT_OF_SCOPE_CODES, plain
from treatsel.recommendation._decision import RULED_OUT, Decisions

# All codes of reasons, and their meaning. With status out_of_scope, the codes of the warnings that put the
# patient out of scope are given as well.
STATUS_REASONS = {
    "not_in_scope": "the caller stated that the model may not be used for this patient",
    "no_permitted_arm": "no arm is permitted for this patient",
    "only_permitted_arm": "this arm is the only one permitted, so there is nothing to compare",
    "few_events": "this arm had too few events or non-events in the development cohort to be compared",
    "no_interval": "no interval is available: there are no posterior draws (of this outcome)",
    "tied": "this arm has the highest utility, together with other arms (within 1e-12)",
    "about_equal": "this arm is in the best set: it will do about as well as the top arm",
    "may_be_better": "this arm is, with a probability of 20 % or more, relevantly better than the top arm",
    "not_likely_better": "the top arm is better than this comparator with a probability below 80 %",
    "no_comparator": "the comparator is not permitted for this patient, so that nothing is compared with it",
}
Reason = tuple[str, Any]


def reasons_by_patient(
    decisions: Decisions, arms: Sequence[Any], *, permitted: np.ndarray, enough: np.ndarray, comparator: Any
) -> list[tuple[Reason, ...]]:
    """Return the reasons of each patient's status as pairs of code and arm (None: no arm in particular).

    `comparator`: the arm with which the others are compared, None if there is none.
    """
    found: list[tuple[Reason, ...]] = []
    for i, status in enumerate(decisions.status):
        if not permitted[i].any():
            reasons: list[Reason] = [("no_permitted_arm", None)]
        elif status == "out_of_scope":
            reasons = [("not_in_scope", None)]
        elif status == "only_option":
            reasons = [("only_permitted_arm", arms[int(permitted[i].argmax())])]
        elif status == "no_interval":
            reasons = [("no_interval", None)]
        else:
            reasons = _about_arms(decisions, i, arms, enough, status)
            if status == "undecided" and not reasons and decisions.comparator[i] >= 0:
                reasons = [("not_likely_better", comparator)]
            if comparator is not None and decisions.comparator[i] < 0:
                reasons.append(("no_comparator", comparator))
        found.append(tuple(reasons))
    return found


def _about_arms(
    decisions: Decisions, i: int, arms: Sequence[Any], enough: np.ndarray, status: str
) -> list[Reason]:
    """Return a reason for every arm on which the status of a patient rests."""
    leading = {int(decisions.top[i]), *np.flatnonzero(decisions.tied[i]).tolist()}
    reasons: list[Reason] = []
    for j, arm in enumerate(arms):
        if status == "insufficient_evidence":
            if not enough[j] and j in leading | {int(decisions.comparator[i])}:
                reasons.append(("few_events", arm))
        elif decisions.tied[i, j]:
            reasons.append(("tied", arm))
        elif status == "equivalent" and decisions.best_set[i, j] and j not in leading:
            reasons.append(("about_equal", arm))
        elif status == "undecided" and decisions.comparisons.p_above_top[i, j] >= RULED_OUT:
            reasons.append(("may_be_better", arm))
    return reasons


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
