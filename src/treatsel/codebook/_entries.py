"""The entries of a codebook, or of edits."""

from collections.abc import Mapping
from typing import Any

from treatsel._checks import listed
from treatsel.errors import CodebookError


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
