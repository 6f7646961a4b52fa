"""Content of a codebook file: reading it, and checks of its form."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from treatsel.errors import CodebookError


def check_keys(what: str, content: Any) -> None:
    """Raise if the content of a codebook, or of edits, has unknown keys."""
    if not isinstance(content, Mapping):
        raise CodebookError(f"{what} must be a mapping with a list named fields.")
    if unknown := [key for key in content if key not in ("fields", "missingValues")]:
        raise CodebookError(f"{what}: unknown keys {unknown}; allowed are fields and missingValues.")


def checked_texts(missing: Any) -> tuple[str, ...]:
    """Return the texts that represent a missing value, checked."""
    if not isinstance(missing, list | tuple) or not all(isinstance(value, str) for value in missing):
        raise CodebookError("missingValues must be a list of quoted strings, for example ['', 'NA', '-99'].")
    return tuple(missing)


def edits_by_name(entries: Any) -> dict[str, Mapping[str, Any]]:
    """Return the fields of edits by their names."""
    named: dict[str, Mapping[str, Any]] = {}
    for entry in entries if isinstance(entries, list) else [None]:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
            raise CodebookError("The edits must be a list of fields, each a mapping with a name.")
        if entry["name"] in named:
            raise CodebookError(f"The edits list {entry['name']!r} more than once.")
        named[entry["name"]] = entry
    return named


def load(path: Path) -> Any:
    """Return the content of a YAML or JSON file."""
    import yaml

    try:
        text = path.read_text(encoding="utf-8-sig")
        content = json.loads(text) if path.suffix.lower() == ".json" else yaml.safe_load(text)
    except OSError as error:
        raise CodebookError(f"Cannot read the codebook {path}: {error.strerror}.") from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise CodebookError(f"The codebook {path} is not valid YAML or JSON{where}.") from error
    return content
