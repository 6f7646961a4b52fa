"""Recompute what an audit record documents, or say what differs."""

from collections.abc import Mapping
from typing import Any

from treatsel._checks import check_choice
from treatsel._version import __version__
from treatsel.errors import InputError, UnsupportedModelError

COMMON = ("model_id", "library_version", "input_sha256", "on_invalid", "date", "service")
OPTIONS = {  # by the kind of the record: what it must hold beside the common keys
    "predictions": ("level",),
    "recommendations": (
        *("level", "preferences", "rule", "comparator", "margin", "p_switch", "excluded"),
        *("allowed_sha256", "valuation_sha256", "eligibility_sha256", "decisions"),
    ),
    "explanation": ("arm", "contrast", "outcome", "scale", "background_sha256"),
}

GIVEN = ("allowed", "eligibility", "preferences", "criteria", "measurements", "side_effects")
DIGESTS = {  # of what the audit record does not hold: its option, and what it is
    "allowed_sha256": ("allowed", "a table of permissions"),
    "eligibility_sha256": ("eligibility", "a set of rules"),
    "valuation_sha256": ("preferences", "a set of criteria"),
}


def reproduce(
    model: Any, audit: Mapping[str, Any], record: Mapping[str, Any], given: Mapping[str, Any]
) -> Any:
    """Return the predictions, recommendations or explanation of a record; see `FittedModel.reproduce`."""
    if not model.reads_records:
        raise UnsupportedModelError(
            "Only records predicted by models that are sums of terms can be reproduced."
        )
    kind = _check(model, audit)
    if not isinstance(record, Mapping):
        raise InputError(f"A record maps names to values; this is a {type(record).__name__}.")
    common = {key: audit[key] for key in ("on_invalid", "date", "service")}
    if kind == "predictions":
        found = model.predict(record, level=audit["level"], **common)
    elif kind == "recommendations":
        found = model.recommend(record, **_decided(model, audit, given), **common)
    else:
        found = model.explain(record, **_explained(model, audit), **common)
    _compare(audit, found.audit)
    return found


def _check(model: Any, audit: Mapping[str, Any]) -> str:
    """Return the kind of an audit record of this model and version."""
    if not isinstance(audit, Mapping):
        raise InputError("This is not the audit record of a prediction: it is not a mapping.")
    kind = audit.get("kind")
    wanted = ("kind", *COMMON, *(OPTIONS.get(kind, ()) if isinstance(kind, str) else ()))
    if lacking := [key for key in wanted if key not in audit]:
        raise InputError(f"This is not the audit record of a prediction: it lacks {lacking}.")
    check_choice("The kind of the audit record", kind, OPTIONS)
    if model.model_id is None:
        raise InputError("This model has no id to compare with: it is not from a file. Save and load it.")
    for key, mine in (("model_id", model.model_id), ("library_version", __version__)):
        if audit[key] != mine:
            raise InputError(f"The audit record has {key} {audit[key]!r}, but this is {mine!r}.")
    return str(kind)


def _decided(model: Any, audit: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of the recommendation that was made."""
    for name in given:
        check_choice("What the recommendation was made with", name, GIVEN)
    for digest, (name, what) in DIGESTS.items():
        if audit[digest] is not None and given.get(name) is None:
            raise InputError(
                f"The recommendation was made with {what}, which the audit record does not hold. Pass it as "
                f"{name}=."
            )
    excluded, comparator = audit["excluded"], audit["comparator"]
    labels = {str(arm): arm for arm in model.arms}  # JSON turned the arms into texts
    if isinstance(excluded, Mapping):
        excluded = {labels.get(str(arm), arm): reason for arm, reason in excluded.items()}
    return {
        "preferences": audit["preferences"],
        **given,
        "excluded": excluded,
        "comparator": None if comparator is None else labels.get(str(comparator), comparator),
        "rule": audit["rule"],
        "margin": audit["margin"],
        "p_switch": audit["p_switch"],
        "level": audit["level"],
    }


def _explained(model: Any, audit: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of the explanation that was given."""
    if audit["background_sha256"] is not None:
        raise InputError(
            "The explanation was given relative to a background that the audit record does not hold, so it "
            "cannot be reproduced. Explanations relative to the model's own background can."
        )
    labels = {str(arm): arm for arm in model.arms}
    contrast = audit["contrast"]
    if isinstance(contrast, list | tuple):
        contrast = tuple(labels.get(str(arm), arm) for arm in contrast)
    return {
        "arm": None if audit["arm"] is None else labels.get(str(audit["arm"]), audit["arm"]),
        "contrast": contrast,
        "outcome": audit["outcome"],
        "scale": audit["scale"],
    }


def _compare(audit: Mapping[str, Any], mine: Mapping[str, Any]) -> None:
    """Raise an error that names what differs between the audit record and the new one."""
    if mine["input_sha256"] != audit["input_sha256"]:
        raise InputError("The record is not the one that was predicted: its digest differs.")
    for digest, (name, what) in DIGESTS.items():
        if mine.get(digest) != audit.get(digest):
            raise InputError(
                f"{name} is not {what.replace('a ', 'the ', 1)} that was used: its digest differs."
            )
    if mine.get("preferences") != audit.get("preferences"):
        raise InputError("preferences are not the weights that were used.")
    if "decisions" not in mine or mine["decisions"] == audit["decisions"]:
        return
    (own,), before = mine["decisions"], audit["decisions"]
    if not isinstance(before, list | tuple) or len(before) != 1 or not isinstance(before[0], Mapping):
        raise InputError("The audit record documents the recommendations of several patients, not of one.")
    differ = ", ".join(
        f"{key} (recorded {before[0].get(key)!r}, now {own[key]!r})"
        for key in own
        if before[0].get(key) != own[key]
    )
    raise InputError(f"The recommendation is not the one in the audit record. It differs in {differ}.")
