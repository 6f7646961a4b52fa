"""Texts from files and tables in what is shown: one rule for names, and one for each kind of output.

A text can hold characters that a terminal acts on, that change the order in which it is read, or that are not
seen at all, so that two names look the same; a spreadsheet calculates a cell that starts like a formula; and
Markdown has its own signs. Names with such characters are refused (`hidden_in`), other texts are shown with
them made visible (`visible`), and cells and signs of markup are written as plain text.

References
----------
Unicode Technical Report 36: Unicode Security Considerations. OWASP: CSV Injection.
"""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    import pandas as pd

# Written as ranges, not as categories of the Unicode database, which differs between versions of Python.
_RANGES = (
    *("\x00-\x1f", "\x7f-\x9f"),  # control characters, among them line breaks and escape
    *("\xad", "\u034f", "\u061c", "\u115f\u1160", "\u17b4\u17b5", "\u180b-\u180f"),
    *("\u2800", "\u3164", "\uffa0"),  # blanks that are letters or signs
    *("\u200b-\u200f", "\u2028-\u202e", "\u2060-\u206f"),  # zero width, line separators, direction
    *("\ufe00-\ufe0f", "\ufeff", "\ufff0-\ufffb"),  # variants, byte order mark, annotations
    *("\ud800-\udfff", "\ufdd0-\ufdef", "\ufffe\uffff"),  # half characters, no characters
    *("\U0001bca0-\U0001bca3", "\U0001d173-\U0001d17a", "\U000e0000-\U000e0fff"),  # shorthand, music, tags
    *("\ue000-\uf8ff", "\U000f0000-\U0010ffff"),  # private use
)
_HIDDEN = re.compile(f"[{''.join(_RANGES)}]")
_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]\s*\S")  # a sign alone often stands for missing
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*%?|\s*[+-]?(inf|nan)", re.IGNORECASE)
_SIGNS = re.compile(r"[\\`*\[\]|]|(?<![^\W_])_|_(?![^\W_])|<(?=[A-Za-z/!?])|&(?=#?\w+;)")
_START = re.compile(r">|#{1,6}(?=\s|$)|[+\-](?=\s|$)|[-=]{2}|=+$|~{3}|\d{1,9}(?=[.)](?:\s|$))")


def hidden_in(text: str) -> list[str]:
    """Return the codes (such as U+202E) of characters that are not seen, or act on what is seen."""
    return [_code(character) for character in dict.fromkeys(_HIDDEN.findall(text))]


def visible(text: str, *, keep: str = "") -> str:
    """Return a text with hidden characters, except those in `keep`, as codes: ``<U+202E>``."""
    return _HIDDEN.sub(lambda found: found[0] if found[0] in keep else f"<{_code(found[0])}>", text)


def in_one_line(text: str) -> str:
    """Return a text in one line: line breaks and tabs as a blank, other hidden characters as codes."""
    return visible(" ".join(visible(text, keep="\t\n\r\v\f").split()))


def check_names(what: str, names: Iterable[Any], error: type[Exception]) -> None:
    """Raise `error` if a name has hidden characters; the message shows their codes only."""
    codes = {code for name in names if isinstance(name, str) for code in hidden_in(name)}
    if codes:
        raise error(
            f"{what}: a name with characters that are not seen, or change how it is read "
            f"({', '.join(sorted(codes)[:10])}). Rename it."
        )


def in_markdown(text: str) -> str:
    """Return a text in one line that Markdown shows as it is: no markup, link, picture, HTML or heading."""
    plain = _SIGNS.sub(lambda found: f"\\{found[0]}", in_one_line(text))
    return _START.sub(_escaped_start, plain, count=1) if _START.match(plain) else plain


def _escaped_start(found: re.Match[str]) -> str:
    return f"{found[0]}\\" if found[0].isdigit() else f"\\{found[0]}"


def in_cell(text: str) -> str:
    """Return a text as a cell of CSV: hidden characters as codes, and a formula as text (after ``'``)."""
    if _FORMULA.match(text) and not _NUMBER.fullmatch(text):
        text = f"'{text}"
    return visible(text)


def in_cells(table: "pd.DataFrame") -> "pd.DataFrame":
    """Return a table whose names and texts are cells of CSV; numbers are unchanged."""
    import pandas as pd

    found = table.copy(deep=False)
    for j, dtype in enumerate(table.dtypes):
        if getattr(dtype, "kind", "O") in "biufcmM":  # numbers and times
            continue
        column = table.iloc[:, j]
        texts = [value for value in pd.unique(column.astype("object")) if isinstance(value, str)]
        changed = {text: cell for text in texts if (cell := in_cell(text)) != text}
        if changed:
            found.isetitem(j, [_replaced(value, changed) for value in column])
    names = [in_cell(name) if isinstance(name, str) else name for name in table.columns]
    return found if names == list(table.columns) else found.set_axis(names, axis=1)


def _replaced(value: Any, new: dict[str, str]) -> Any:
    return new.get(value, value) if isinstance(value, str) else value


class VisibleStream:
    """A text stream, such as that of a terminal, to which hidden characters are written as codes.

    Parameters
    ----------
    stream : text stream
        Where to write.
    starts : tuple of str
        Texts that are written as they are at the start of a piece, such as the sign that begins a line anew.
    """

    def __init__(self, stream: TextIO, starts: tuple[str, ...] = ()) -> None:
        self._stream, self._starts = stream, starts

    def write(self, text: str) -> int:
        """Write a text; return its length."""
        start = next((sign for sign in self._starts if text.startswith(sign)), "")
        self._stream.write(start + visible(text[len(start) :], keep="\n\t"))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _code(character: str) -> str:
    return f"U+{ord(character):04X}"
