"""The words of the page: read from one file, and checked when a service gives its own."""

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from treatsel._checks import did_you_mean, listed
from treatsel._content import content_of
from treatsel.errors import InputError

Strings = Mapping[str, Any]
OPEN: dict[str, dict[str, type]] = {  # parts in which a service may add entries, and what an entry may hold
    "outcomes": {"event": str, "no_event": str},
    "arms": {"title": str, "description": str, "for": list, "against": list},
}
_PLACE = re.compile(r"\{(\w+)\}")
_MOST_BYTES = 2**20


def strings_of(given: Mapping[str, Any] | str | Path | None) -> Strings:
    """Return the English words with those of a service in their place.

    Parameters
    ----------
    given : mapping, path of a YAML or JSON file, or None
        Some or all entries of `strings.yaml`.

    Raises
    ------
    InputError
        If an entry is unknown, is not of the same kind as the English one, or has another word in braces.
    """
    if given is None:
        return _english()
    if isinstance(given, str | Path):
        given = content_of(Path(given), "strings of the page", most=_MOST_BYTES)
    return _merged(_english(), given, "")


def fill(text: str, /, **values: Any) -> str:
    """Return a text with the words in braces replaced; a word without a value stays as it is.

    The script of the page does the same, which is why `str.format` is not used.
    """
    return _PLACE.sub(lambda found: str(values.get(found[1], found[0])), text)


def joined(strings: Strings, texts: list[str]) -> str:
    """Return a list in words: "a, b and c"."""
    if len(texts) < 2:
        return "".join(texts)
    return f"{strings['list_comma'].join(texts[:-1])}{strings['list_and']}{texts[-1]}"


@cache
def _english() -> Strings:
    with resources.as_file(resources.files("treatsel.page").joinpath("strings.yaml")) as path:
        found: Strings = content_of(path, "strings of the page", most=_MOST_BYTES)
        return found


def _merged(base: Mapping[str, Any], given: Any, where: str) -> Strings:
    """Return `base` with the entries of `given`, which must fit it."""
    if not isinstance(given, Mapping):
        raise InputError(f"strings{where} must be a mapping of names to texts, not a {type(given).__name__}.")
    found = dict(base)
    for name, value in given.items():
        place = f"{where} {name!r}"
        if not where and name in OPEN:
            found[name] = {**base[name], **_entries(value, OPEN[name], place)}
        elif name not in base:
            raise InputError(f"strings have no entry{place}.{did_you_mean(name, base)}")
        elif isinstance(base[name], Mapping):
            found[name] = _merged(base[name], value, place)
        else:
            found[name] = _fitting(value, base[name], place)
    return found


def _fitting(value: Any, base: Any, place: str) -> Any:
    """Return a text, or a list of texts, that has no other places to fill than the English one."""
    _check_kind(value, type(base), place)
    if isinstance(base, str):
        allowed = set(_PLACE.findall(base))
        if other := set(_PLACE.findall(value)) - allowed:
            known = f"can be filled are {listed(allowed)}" if allowed else "can be filled: none"
            raise InputError(f"strings{place} has {listed(other)} in braces; the words that {known}.")
    return value


def _entries(given: Any, kinds: Mapping[str, type], place: str) -> dict[str, Any]:
    """Return added entries of an open part, whose parts are known."""
    if not isinstance(given, Mapping):
        raise InputError(f"strings{place} must be a mapping, not a {type(given).__name__}.")
    for name, entry in given.items():
        whole = place == " 'outcomes'"  # half a sentence cannot be shown; an arm may lack any part
        if not isinstance(entry, Mapping) or not set(entry) <= set(kinds) or (whole and len(entry) < 2):
            raise InputError(f"strings{place} {name!r} must be a mapping with {listed(kinds)}.")
        for part, value in entry.items():
            _check_kind(value, kinds[part], f"{place} {name!r} {part!r}")
    return {str(name): dict(entry) for name, entry in given.items()}


def _check_kind(value: Any, kind: type, place: str) -> None:
    is_list = kind is list
    texts = value if isinstance(value, list) else [value]
    if isinstance(value, list) != is_list or not all(isinstance(text, str) for text in texts):
        what = "a list of texts" if is_list else "a text"
        raise InputError(f"strings{place} must be {what}.")
