"""Effects of therapists in a model file: under keyed labels, and only if asked for."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from treatsel._disclosure import FEWEST_CASES
from treatsel.artifact._values import (
    check_number,
    is_count,
    is_hash,
    is_label,
    records_of,
    require,
)
from treatsel.errors import InputError
from treatsel.fitted import Development, TherapistEffects

MOST_ROWS = 5000
MOST_LOGITS = 100.0
ROW = ("label", "arm", "n", "effect", "sd")
KEYS = ("site", "therapist", "key_check", "rows")


def pack_therapists(
    development: Development,
    outcomes: Sequence[dict[str, Any]],
    training: Sequence[Mapping[str, Any]],
    key: str | Path | bytes,
) -> None:
    """Add the effects of therapists to the outcomes of a manifest.

    `training`: counts by outcome and arm as they are in the file.

    Raises
    ------
    InputError
        If the model has none, or the key is too short or another one than that of its file.
    """
    if not development.therapists:
        raise InputError(
            "therapist_key was given, but the model has no effects of therapists: fit it with "
            "keep_therapists=True, or leave therapist_key out."
        )
    # caseloads would add up to a count that the file does not tell
    hidden = {(row["outcome"], row["arm"]) for row in training if None in (row["n"], row["n_observed"])}
    for outcome in outcomes:
        if (kept := development.therapists.get(outcome["name"])) is None:
            continue
        kept = kept.keyed(key)
        columns = zip(kept.labels, kept.arms, kept.n, kept.effect, kept.sd, strict=True)
        rows = [dict(zip(ROW, row, strict=True)) for row in columns]
        for row in rows:
            if (outcome["name"], row["arm"]) in hidden:
                row["n"] = None
        outcome["therapists"] = {
            "site": kept.site,
            "therapist": kept.therapist,
            "key_check": kept.key_check,
            "rows": rows,
        }


def check_therapists(therapists: Any, arms: list[Any], book: Mapping[str, Any]) -> None:
    """Check the effects of therapists of one outcome; None: there are none.

    Raises
    ------
    ArtifactError
        If a part is invalid.
    """
    if therapists is None:
        return
    require(isinstance(therapists, dict) and set(therapists) == set(KEYS), "therapists have other keys")
    roles = {field["name"]: field.get("role") for field in book["fields"]}
    for name in (therapists["site"], therapists["therapist"]):
        require(
            name is None or is_label(name), "a column of therapists or their sites has no name to be shown"
        )
        own = roles.get(name)
        require(own not in ("covariate", "arm", "outcome", "id"), "the therapist column has another role")
    columns = therapists["site"], therapists["therapist"]
    require(columns[1] is not None and columns[0] != columns[1], "therapists have no column of their own")
    require(is_hash(therapists["key_check"]), "the key of the therapists cannot be recognized")
    rows = records_of(therapists["rows"], "effects of therapists")
    require(len(rows) <= MOST_ROWS, f"there are {len(rows):,} effects of therapists")
    for row in rows:
        require(set(row) == set(ROW), "an effect of a therapist has other keys")
        require(is_hash(row["label"]), "a label of a therapist is not a keyed one")
        fits = type(row["arm"]) is type(arms[0]) and row["arm"] in arms
        require(fits, "an effect of a therapist is of an unknown arm")
        fits = row["n"] is None or (is_count(row["n"]) and row["n"] >= FEWEST_CASES)
        require(fits, f"an effect of a therapist is of fewer than {FEWEST_CASES} patients")
        check_number(row["effect"], "an effect of a therapist", -MOST_LOGITS, MOST_LOGITS)
        check_number(row["sd"], "the SD of a therapist's effect", 0.0, MOST_LOGITS)
    order = [(row["label"], str(row["arm"])) for row in rows]
    require(order == sorted(set(order)), "effects of therapists are not in order, or not distinct")


def unpack_therapists(outcomes: Sequence[Mapping[str, Any]]) -> dict[str, TherapistEffects]:
    """Return the effects of therapists of the outcomes in a checked manifest."""
    found = {}
    for outcome in outcomes:
        if (kept := outcome.get("therapists")) is None:
            continue
        label, arms, n, effect, sd = (tuple(row[name] for row in kept["rows"]) for name in ROW)
        found[outcome["name"]] = TherapistEffects(
            site=kept["site"],
            therapist=kept["therapist"],
            labels=label,
            arms=arms,
            n=n,
            effect=tuple(map(float, effect)),
            sd=tuple(map(float, sd)),
            key_check=kept["key_check"],
        )
    return found
