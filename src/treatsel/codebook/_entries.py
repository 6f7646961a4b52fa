"""The entries of a codebook, or of edits."""

from collections.abc import Mapping, Sequence
from typing import Any

from treatsel._checks import check_mapping_keys, listed
from treatsel._reporting.text import check_names
from treatsel.errors import CodebookError, InputError

KEYS = (
    *("name", "type", "role", "title", "description", "unit", "event_is_good"),
    *("score", "start", "target", "definition", "flag", "trueValues", "falseValues", "constraints"),
)
ATTRIBUTES = {"trueValues": "true_values", "falseValues": "false_values"}  # keys of a file by another name
CONSTRAINTS = ("minimum", "maximum", "enum", "required", "unique")


def check_keys(what: str, content: Any) -> None:
    """Raise if the content of a codebook, or of edits, has other keys than a codebook."""
    if not isinstance(content, Mapping):
        raise CodebookError(f"{what} must be a mapping with a list named fields.")
    if unknown := [key for key in content if key not in ("fields", "missingValues")]:
        raise CodebookError(f"{what}: unknown keys {listed(unknown)}; allowed are fields and missingValues.")


def checked_texts(missing: Any) -> tuple[str, ...]:
    """Return the texts that stand for missing."""
    if not isinstance(missing, list | tuple) or not all(isinstance(value, str) for value in missing):
        raise CodebookError("missingValues must be a list of quoted strings, for example ['', 'NA', '-99'].")
    check_names("missingValues", missing, CodebookError)
    return tuple(missing)


def by_name(entries: Any) -> dict[str, Mapping[str, Any]]:
    """Return the entries of fields by their names."""
    named: dict[str, Mapping[str, Any]] = {}
    for entry in entries if isinstance(entries, list) else [None]:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
            raise CodebookError("The edits must be a list of fields, each a mapping with a name.")
        if entry["name"] in named:
            raise CodebookError(f"The edits list {entry['name']!r} more than once.")
        named[entry["name"]] = entry
    return named


def attributes_of(entry: Any) -> dict[str, Any]:
    """Return one entry of ``fields`` as the attributes of a field."""
    if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str) or not entry["name"]:
        raise CodebookError("Each entry of fields needs a name (put quotes around yes, no and numbers).")
    where = f"Codebook field {entry['name']!r}"
    constraints = {} if entry.get("constraints") is None else entry["constraints"]
    if not isinstance(constraints, Mapping):
        raise CodebookError(f"{where}: constraints must be a mapping, for example {{minimum: 0}}.")
    try:
        check_mapping_keys(where, {str(key): None for key in entry}, KEYS)
        check_mapping_keys(f"{where}: constraints", {str(key): None for key in constraints}, CONSTRAINTS)
    except InputError as error:
        raise CodebookError(str(error)) from None
    values = {key: value for key, value in {**entry, **constraints}.items() if key != "constraints"}
    if values.get("enum") is not None:
        if not isinstance(values["enum"], Sequence) or isinstance(values["enum"], str):
            raise CodebookError(f"{where}: enum must be a list.")
        values["enum"] = tuple(values["enum"])
    if any(values.get(key) is not None for key in ("score", "start", "target", "definition")):
        values.setdefault("type", "integer")  # a derived outcome is 0 or 1
    for key, attribute in ATTRIBUTES.items():
        found = values.pop(key, None) or ()
        if isinstance(found, str) or not isinstance(found, Sequence):
            raise CodebookError(f"{where}: {key} must be a list.")
        values[attribute] = tuple(found)
    for key in ("title", "description", "unit"):
        values[key] = str(values.get(key) or "")
    return values
