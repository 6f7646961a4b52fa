"""Parse untrusted JSON with limits on depth, size and values."""

import json
import re
from typing import Any

import numpy as np

from treatsel.errors import ArtifactError

MAX_DEPTH = 32
MAX_VALUES = 500_000
MAX_TEXT = 20_000
MAX_WHOLE = 2**53
_TEXT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)  # linear time: it does not backtrack
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")  # and lone surrogates


def read_json(content: bytes) -> Any:
    """Return the content of a UTF-8 text; NaN, infinity, duplicate keys and very large values are rejected.

    Depth and the number of values are counted before the text is parsed, so that recursion and memory are
    bounded independently of the interpreter's limits.

    Raises
    ------
    ArtifactError
        If the text breaks one of these limits.
    """
    bare = np.frombuffer(_TEXT.sub(b"", content), dtype=np.uint8)
    opens, closes = (np.isin(bare, list(brackets)) for brackets in (b"[{", b"]}"))
    depth = np.cumsum(opens.astype(np.int32) - closes).max(initial=0)
    if depth > MAX_DEPTH or opens.sum() + (bare == ord(",")).sum() > MAX_VALUES:
        raise ArtifactError(
            f"Its manifest is nested {depth} levels deep, or too long; at most {MAX_DEPTH} levels and "
            f"{MAX_VALUES:,} values are allowed."
        )
    try:
        value = json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_mapping,
            parse_int=_whole,
            parse_float=_real,
            parse_constant=_no_number,
        )
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ArtifactError("Its manifest is not JSON in UTF-8.") from error
    _check_texts(value)
    return value


def _whole(text: str) -> int:
    if len(text) > 17 or abs(int(text)) > MAX_WHOLE:
        raise ArtifactError("Its manifest holds a whole number that is too large.")
    return int(text)


def _real(text: str) -> float:
    value = float(text)
    return value if np.isfinite(value) else _no_number(text)


def _no_number(_: str) -> float:
    raise ArtifactError("Its manifest holds a number that is not finite.")


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ArtifactError("Its manifest holds a duplicate key.")
    return content


def _check_texts(value: Any) -> None:
    """Reject texts that are too long or contain control characters."""
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            waiting += [*part.keys(), *part.values()]
        elif isinstance(part, list):
            waiting += part
        elif isinstance(part, str) and (len(part) > MAX_TEXT or _UNPRINTABLE.search(part)):
            raise ArtifactError(
                f"Its manifest holds a text of more than {MAX_TEXT:,} characters, or with control characters."
            )
