"""Reading of codebook files: YAML or JSON, bounded in size, depth and values.

Aliases of YAML are allowed, but what they repeat counts each time, so that a short file cannot unfold to an
enormous codebook.
"""

import json
from pathlib import Path
from typing import Any

from treatsel import _files
from treatsel.errors import CodebookError

MAX_BYTES = 8 * 2**20
MAX_DEPTH = 32
MAX_VALUES = 500_000
MOST_FIELDS = 20_000  # bounds the time that drafting and checking take


def check_number_of_fields(n: int) -> None:
    """Raise if there are more columns than a codebook can have.

    Raises
    ------
    CodebookError
        If there are more than `MOST_FIELDS`.
    """
    if n > MOST_FIELDS:
        raise CodebookError(
            f"A codebook has at most {MOST_FIELDS:,} fields; this one would have {n:,}. Drop columns of the "
            "table that are not needed."
        )


def read_text(path: Path) -> str:
    """Return the text of a codebook file.

    Raises
    ------
    CodebookError
        If the file cannot be read, is too large, or is not text in UTF-8.
    """
    try:
        return _files.read_text(path, most=MAX_BYTES)
    except UnicodeDecodeError as error:
        raise CodebookError(f"The codebook {path} is not valid YAML or JSON: not text in UTF-8.") from error
    except (OSError, ValueError) as error:  # ValueError: a zero byte in its name
        reason = getattr(error, "strerror", None) or "its name is not a valid file name"
        raise CodebookError(f"Cannot read the codebook {path}: {reason}.") from error


def content_of(text: str, path: Path) -> Any:
    """Return the content of a YAML text (JSON if the name of the file ends in ``.json``).

    Raises
    ------
    CodebookError
        If the text is neither, is nested too deeply, or unfolds to too many values.
    """
    import yaml

    try:
        return json.loads(text) if path.suffix.lower() == ".json" else _yaml_of(text)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        if isinstance(error, CodebookError):
            raise CodebookError(f"The codebook {path} {error}") from None
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise CodebookError(f"The codebook {path} is not valid YAML or JSON{where}.") from error


def _yaml_of(text: str) -> Any:
    import yaml

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same in C: ten times faster
    _check_events(yaml.parse(text, Loader=loader))
    return yaml.load(text, Loader=loader)  # a safe loader


def _check_events(events: Any) -> None:
    """Raise if a text is nested too deeply, or has too many values when its aliases are unfolded."""
    import yaml

    n, sizes = 0, dict[str, int]()
    waiting: list[tuple[str | None, int]] = []  # anchors of open lists and mappings, and `n` before each
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in sizes:
                raise CodebookError("has an alias inside of what it stands for.")
            n += sizes[event.anchor]
        elif isinstance(event, yaml.CollectionStartEvent):
            waiting.append((event.anchor, n))
            n += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = waiting.pop()
            sizes |= {} if anchor is None else {anchor: n - before}
        elif isinstance(event, yaml.ScalarEvent):
            n += 1
            sizes |= {} if event.anchor is None else {event.anchor: 1}
        if len(waiting) > MAX_DEPTH or n > MAX_VALUES:
            raise CodebookError(
                f"is nested too deeply or too long: at most {MAX_DEPTH} levels and {MAX_VALUES:,} values are "
                "allowed, counting what aliases repeat."
            )
