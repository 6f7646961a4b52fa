"""Codebooks as YAML with comments: what a draft guessed, and why."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from treatsel.codebook._field import Field

HEADER = """\
# Draft of a codebook: types and roles were guessed from the table. Review every entry and its comment.
# Columns with the role undecided must be given another role, or none, before a model can be trained.
"""
# Notes on covariates; the second one is completed
NO_VALUE = "Holds no value in this table, and no model can use it: usually no role."
ONE_VALUE = "Holds a single value"


def commented_yaml(entries: Sequence[tuple[str, Mapping[str, Any]]], whole: Mapping[str, Any]) -> str:
    """Return a codebook as YAML, with the note of each entry as a comment above it."""
    if not any(note for note, _ in entries):
        return _dumped(whole)
    lines = [HEADER, "fields:\n"]
    for note, entry in entries:
        lines += [f"# {line}\n" for line in textwrap.wrap(note, 96)]
        lines.append(_dumped([entry]))
    return "".join([*lines, _dumped({key: value for key, value in whole.items() if key != "fields"})])


def _dumped(content: Any) -> str:
    import yaml

    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
    if re.search("[\x85\u2028\u2029]", text):  # YAML reads these as line breaks unless they are escaped
        return yaml.safe_dump(content, sort_keys=False, width=100)
    return text


def notes_of(text: str) -> dict[str, str]:
    """Return the comment above each entry of a codebook in YAML, by the name of its column."""
    import yaml

    notes: dict[str, str] = {}
    comment: list[str] = []
    for line in text.splitlines():
        if line.startswith("# "):
            comment.append(line[2:].strip())
            continue
        if comment and line.startswith("- name:"):
            # a line that is not an entry is part of a text
            with suppress(yaml.YAMLError, ValueError, LookupError, TypeError, RecursionError):
                notes[str(yaml.safe_load(line[2:])["name"])] = " ".join(comment)
        comment = []
    return notes


def noted(field: Field, texts: Mapping[str, Sequence[str]]) -> Field:
    """Return the field with a note on the texts of its column that are taken as missing."""
    held = [repr(text) for text, columns in texts.items() if field.name in columns]
    if not held:
        return field
    return replace(field, note=f"{field.note} {', '.join(held)} is taken as missing.".strip())
