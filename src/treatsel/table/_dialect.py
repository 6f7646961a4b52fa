"""Encoding, separator and decimal sign of a text file, as stated or as its first lines show."""

import contextlib
import csv
import gzip
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from treatsel._checks import look_alikes
from treatsel.errors import CohortError, warn

MOST_COLUMNS = 100_000  # bounds the time that reading takes; a codebook has fewer
SEPARATORS = (",", ";", "\t", "|", " ")
DECIMALS = (".", ",")
OPTIONS = {"separator": "--sep", "decimal": "--decimal", "encoding": "--encoding"}  # of the command line
_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "spaces"}
_SAMPLE = 1 << 18  # bytes that are looked at: some thousand lines
_LINES = 200
_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_COMMA_DECIMAL = re.compile(r"[+-]?\d+,\d+")
_POINT_DECIMAL = re.compile(r"[+-]?\d+\.\d+")


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """Encoding, separator and decimal sign of a text file.

    `skip`: lines before the header (Excel's ``sep=;``). `row_names`: whether lines have one cell more than
    the header names, as R's ``write.table`` writes them: the first holds the names of the rows.
    """

    encoding: str = "utf-8-sig"
    separator: str = ","
    decimal: str = "."
    skip: int = 0
    row_names: bool = False

    @property
    def is_usual(self) -> bool:
        """Whether the file is CSV in UTF-8 with decimal points."""
        return self.encoding.startswith("utf-8") and self.separator == "," and self.decimal == "."

    def layout(self, names: list[str]) -> dict[str, Any]:
        """Return pandas' options for header and row names; `names`: those in the file."""
        if not self.row_names:
            return {"skiprows": self.skip}
        return {"skiprows": self.skip + 1, "header": None, "names": ["Unnamed: 0", *names[1:]]}

    def __str__(self) -> str:
        return f"{self.encoding}, separated by {_NAMES[self.separator]}, decimal sign {self.decimal!r}"


def dialect_of(
    path: str | Path,
    known: Collection[str] | None,
    *,
    separator: str | None = None,
    decimal: str | None = None,
    encoding: str | None = None,
    content: bytes | None = None,
) -> Dialect:
    """Return the dialect of a file: what is stated, and what its first lines show; the latter with a warning.

    Parameters
    ----------
    path : path
        The file, perhaps compressed (``.gz``).
    known : collection of str, optional
        Names of columns that are expected, which decide between separators.
    separator, decimal, encoding : str, optional
        As stated by the user.
    content : bytes, optional
        The content of what can be read only once.

    Raises
    ------
    CohortError
        If a statement is not allowed, or the file is not text.
    """
    if separator is not None and separator not in SEPARATORS:
        raise CohortError(f"The separator is {separator!r}; it must be one of {list(SEPARATORS)}.")
    if decimal is not None and decimal not in DECIMALS:
        raise CohortError(f"The decimal sign is {decimal!r}; it must be '.' or ','.")
    head = _head(Path(path)) if content is None else content[:_SAMPLE]
    found = _encoding(path, head) if encoding is None else encoding
    try:
        text = head.decode(found, errors="ignore")
    except LookupError:
        raise CohortError(f"The encoding {found!r} is unknown. Name one such as utf-8 or cp1252.") from None
    lines = text.splitlines()[:_LINES]
    if len(head) == _SAMPLE and 1 < len(lines) < _LINES:
        lines = lines[:-1]  # the last line may be cut; a header that is longer still shows the separator
    skip, stated = 0, separator
    if lines and (match := re.fullmatch(r"sep=(.)\s*", lines[0])) and match[1] in SEPARATORS:
        skip, stated, lines = 1, separator or match[1], lines[1:]
    chosen = stated or _separator(lines, known)
    rows = _rows(lines, chosen)
    dialect = Dialect(
        encoding=found,
        separator=chosen,
        decimal=decimal or _decimal(rows, chosen),
        skip=skip,
        row_names=chosen != "," and _has_row_names(rows),
    )
    by_name = Path(path).name.lower().removesuffix(".gz").endswith((".tsv", ".tab")) and chosen == "\t"
    given = replace(
        dialect,
        encoding=dialect.encoding if encoding is None else "utf-8",
        separator="," if separator is not None or skip or by_name else dialect.separator,
        decimal="." if decimal is not None else dialect.decimal,
    )
    if not given.is_usual:
        warn(
            f"{path} is read as {dialect}. If this is wrong, state separator, decimal or encoding "
            f"({', '.join(OPTIONS.values())}).",
        )
    return dialect


def opened(path: Path) -> Any:
    """Open a file for reading bytes, decompressed if its name ends in ``.gz``."""
    return gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")


def _head(path: Path) -> bytes:
    with opened(path) as file:
        return bytes(file.read(_SAMPLE))


def _encoding(path: str | Path, head: bytes) -> str:
    for mark, name in _MARKS.items():
        if head.startswith(mark):
            return name
    if b"\0" in head:
        raise CohortError(
            f"{path} is not text in UTF-8. Save it as CSV UTF-8, or state encoding ({OPTIONS['encoding']})."
        )
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # a character cut at the end of the sample is no fault
            return "cp1252"
    return "utf-8-sig"


def _rows(lines: list[str], separator: str) -> list[list[str]]:
    """Return the cells of each line, up to a cell that is too long for this parser (131,072 characters)."""
    rows: list[list[str]] = []
    with contextlib.suppress(csv.Error):
        rows += csv.reader(lines, delimiter=separator)
    return rows


def _separator(lines: list[str], known: Collection[str] | None) -> str:
    """Return the separator that gives the most expected names, or else equally many cells in most lines."""
    if not lines:
        return ","
    by_separator = {sep: _rows(lines, sep) for sep in SEPARATORS}
    if known:
        hits = {sep: len(set(rows[0]) & set(known)) for sep, rows in by_separator.items() if rows}
        best = max(hits, key=lambda sep: hits[sep], default=",")
        if hits.get(best, 0) > 0:
            return best
    widths = {sep: [len(row) for row in rows if row] for sep, rows in by_separator.items()}
    regular = {
        sep: sum(width in (found[0], found[0] + 1) for width in found) / len(found)
        for sep, found in widths.items()
        if found and found[0] > 1
    }
    # a comma unless the lines do not fit it: text with other signs in its cells is more common than they are
    return max(regular, key=lambda sep: (regular[sep] > 0.9, sep == ",", regular[sep]), default=",")


def _decimal(rows: list[list[str]], separator: str) -> str:
    if separator == ",":
        return "."
    cells = [cell.strip() for row in rows[1:] for cell in row]
    commas = sum(bool(_COMMA_DECIMAL.fullmatch(cell)) for cell in cells)
    points = sum(bool(_POINT_DECIMAL.fullmatch(cell)) for cell in cells)
    return "," if commas > 0 and not points else "."


def _has_row_names(rows: list[list[str]]) -> bool:
    body = [row for row in rows[1:] if row]
    return bool(body) and all(len(row) == len(rows[0]) + 1 for row in body)


def check_width(path: str | Path, n: int) -> None:
    """Raise if a table has too many columns.

    Raises
    ------
    CohortError
        If there are more than `MOST_COLUMNS`.
    """
    if n > MOST_COLUMNS:
        raise CohortError(
            f"{path} has {n:,} columns; at most {MOST_COLUMNS:,} can be read. Keep those of the codebook."
        )


def chosen_names(names: Iterable[Any], columns: Collection[str] | None) -> set[Any]:
    """Return which names of a file to read: the columns, or what differs from one in its normal form only."""
    given = list(names)
    if columns is None:
        return set(given)
    return (set(given) & set(columns)) | set(look_alikes(given, columns))
