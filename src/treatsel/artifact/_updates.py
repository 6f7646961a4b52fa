"""Checks of what a manifest tells of updates: parent, method, test, recalibration, calibration."""

from typing import Any

from treatsel.artifact._values import (
    LARGEST,
    check_number,
    check_numbers,
    is_count,
    is_hash,
    records_of,
    require,
)
from treatsel.errors import InputError
from treatsel.manifest import date_of

MOST_UPDATES = 100
METHODS = ("none", "intercept", "slope", "per_arm")
TESTED = {"method", "statistic", "df", "p_value", "rejected"}
PREDICTIONS = ("before", "after", "cross-validated")
MEASURES = ("calibration in the large", "calibration slope", "observed / expected")
CALIBRATION = {"predictions", "measure", "value", "lower", "upper"}
KEYS = {
    *("name", "method", "chosen_by", "reference", "alpha", "tests", "shift", "slope", "calibration"),
    *("share_moved", "best_arm", "n", "n_events"),
}


def check_updates(updates: Any, arms: list[Any], names: list[str]) -> None:
    """Check the records of updates; arms and names of outcomes are checked already.

    Raises
    ------
    ArtifactError
        If a record is not of the form that `save_model` writes.
    """
    found = records_of(updates, "updates")
    require(len(found) <= MOST_UPDATES, f"there are {len(found):,} updates")
    for update in found:
        require(set(update) == {"parent_id", "date", "fingerprint", "outcomes"}, "an update has other keys")
        parent = update["parent_id"]
        require(parent is None or is_hash(parent), "the parent of an update is not a model id")
        require(is_hash(update["fingerprint"]), "the fingerprint of an update is not a hash")
        require(update["date"] is None or _is_date(update["date"]), "the date of an update is not a date")
        outcomes = records_of(update["outcomes"], "outcomes of an update")
        own = [outcome.get("name") for outcome in outcomes]
        fits = own and all(name in names for name in own) and len(set(own)) == len(own)
        require(fits, "an update has other outcomes")
        for outcome in outcomes:
            _check_outcome(outcome, arms)


def _check_outcome(outcome: dict[str, Any], arms: list[Any]) -> None:
    require(set(outcome) == KEYS, "the update of an outcome has other keys")
    require(outcome["method"] in METHODS, "the method of an update is unknown")
    named = outcome["chosen_by"] == "name"
    require(named or outcome["chosen_by"] == "closed test", "it is unknown who chose an update")
    fits = outcome["reference"] is None if named else outcome["reference"] in (*METHODS, "refit")
    require(fits, "the reference of a closed test is unknown")
    check_number(outcome["alpha"], "the level of a closed test", 0, 1)
    check_numbers(outcome["shift"], len(arms), "shifts of an update", -LARGEST, LARGEST)
    check_number(outcome["slope"], "the slope of an update", 0, LARGEST)
    check_number(outcome["share_moved"], "the share of patients with another best arm", 0, 1)
    require(outcome["best_arm"] in arms, "the best arm of an update is not an arm")
    counts = outcome["n"], outcome["n_events"]
    require(all(map(is_count, counts)) and counts[1] <= counts[0], "a count of an update is not a count")
    tests = records_of(outcome["tests"], "tests of an update")
    require(len(tests) < len(METHODS) + 1 and bool(tests) is not named, "an update has other tests")
    for row in tests:
        require(set(row) == TESTED and row["method"] in METHODS, "a test of an update has other keys")
        require(is_count(row["df"]) and isinstance(row["rejected"], bool), "a test of an update does not fit")
        check_number(row["statistic"], "a statistic of an update", -LARGEST, LARGEST)
        check_number(row["p_value"], "a p value of an update", 0, 1, absent=True)
    _check_calibration(records_of(outcome["calibration"], "calibration of an update"))


def _check_calibration(rows: list[dict[str, Any]]) -> None:
    fits = all(set(row) == CALIBRATION for row in rows)
    require(fits, "the calibration of an update has other keys")
    wanted = [(kind, measure) for kind in PREDICTIONS for measure in MEASURES]
    found = [(row["predictions"], row["measure"]) for row in rows]
    require(found == wanted, "the calibration of an update has other measures")
    for row in rows:
        for key in ("value", "lower", "upper"):
            check_number(row[key], "calibration of an update", -LARGEST, LARGEST, absent=True)


def _is_date(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        return date_of("date", value).isoformat() == value
    except InputError:
        return False
