"""The record of an update, as the model file keeps it, and its words."""

from collections.abc import Mapping, Sequence
from typing import Any

from treatsel._disclosure import is_disclosive, rounded_down
from treatsel._reporting.format import number, percent, with_p
from treatsel.updating._result import OutcomeUpdate

WORDS = {
    "none": "not changed",
    "intercept": "a new intercept",
    "slope": "a new intercept and slope",
    "per_arm": "a new intercept for each arm, and a slope",
}


def record_of(
    updates: Mapping[str, OutcomeUpdate],
    *,
    parent_id: str | None,
    date: str | None,
    fingerprint: str,
    n_all: int,
) -> dict[str, Any]:
    """Return the record of an update as plain lists and mappings; small counts are not told."""
    return {
        "parent_id": parent_id,
        "date": date,
        "fingerprint": fingerprint,
        "outcomes": [_outcome(each, n_all) for each in updates.values()],
    }


def _outcome(update: OutcomeUpdate, n_all: int) -> dict[str, Any]:
    moved = update.share_moved
    if is_disclosive(round(moved * n_all), n_all):
        moved = float(round(moved))  # a share that a few patients make is told as none, or all
    tests = update.tests.rename_axis("method").reset_index().to_dict(orient="records")
    return {
        "name": update.outcome,
        "method": update.method,
        "chosen_by": update.chosen_by,
        "reference": update.reference,
        "alpha": float(update.alpha),
        "tests": [
            {
                "method": str(row["method"]),
                "statistic": float(row["statistic"]),
                "df": int(row["df"]),
                "p_value": _or_none(row["p_value"]),
                "rejected": bool(row["rejected"]),
            }
            for row in tests
        ],
        "shift": [float(value) for value in update.shift],
        "slope": float(update.slope),
        "calibration": [
            {
                "predictions": str(row["predictions"]),
                "measure": str(row["measure"]),
                **{key: _or_none(row[key]) for key in ("value", "lower", "upper")},
            }
            for row in update.calibration.to_dict(orient="records")
        ],
        "share_moved": moved,
        "best_arm": update.best_arm,
        "n": rounded_down(update.n, n_all),
        "n_events": update.n_events,
    }


def _or_none(value: Any) -> float | None:
    return None if value is None or value != value else float(value)


def changes_of(outcome: Mapping[str, Any], arms: Sequence[Any], default_arm: Any) -> list[str]:
    """Return what an update changed in the model of an outcome, as sentences, from its part of the record."""
    name, method = outcome["name"], outcome["method"]
    if outcome["chosen_by"] == "name":
        why = "the method was named"
    else:
        why = f"closed test against {outcome['reference']!r}, level {outcome['alpha']:g}: {_tested(outcome)}"
    found = [
        f"{name}: {WORDS[method]} ({why}); {outcome['n']:,} patients, {outcome['n_events']:,} with outcome 1."
    ]
    if method == "none":
        return found
    shifts = dict(zip(map(str, arms), outcome["shift"], strict=True))
    shown = [f"{arm} {value:+.2f}" for arm, value in shifts.items()]
    moved = f"{outcome['shift'][0]:+.2f}" if method != "per_arm" else ", ".join(shown)
    found.append(f"Logits of {name}: slope {number(outcome['slope'])}, then shift {moved}.")
    if method == "per_arm":
        found.append(
            "A shift for each arm changes which arm has the best prediction: in "
            f"{percent(outcome['share_moved'], 0)} of these patients it is another one than before."
        )
    else:
        found.append("The order of the arms of a patient is unchanged; differences between them are not.")
    found.append(
        f"Best single arm: {default_arm}, as in the development cohort (not estimated again); the best mean "
        f"prediction in the patients of the update is that of {outcome['best_arm']}."
    )
    found.append(
        "Known services with fewer than 10 patients in the update are predicted as new ones; expected "
        "scores, effects of therapists and joint draws with other outcomes, if there were any, are dropped."
    )
    return found


def _tested(outcome: Mapping[str, Any]) -> str:
    texts = []
    for row in outcome["tests"]:
        verdict = "rejected" if row["rejected"] else "not rejected"
        p = "" if row["p_value"] is None else f", {with_p(row['p_value'])}"
        texts.append(f"{row['method']} {verdict}{p}")
    return "; ".join(texts)
