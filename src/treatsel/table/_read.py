"""Reading of patient tables from CSV, Parquet and Excel files, whole or in chunks."""

import gzip
import io
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from treatsel._checks import has_lost_header, look_alikes
from treatsel._files import is_stream, read_bytes
from treatsel.codebook import Codebook
from treatsel.errors import CohortError, TreatselError
from treatsel.table._bounded import BLOCK, Bounded
from treatsel.table._dialect import OPTIONS, Dialect, check_width, chosen_names, dialect_of, opened
from treatsel.table._parquet import dataset_of, parquet_chunks, schema_of

EXCEL = (".xlsx", ".xlsm")
MOST_PIPED = 2**30  # bytes from a pipe, which are kept in memory
_GZIP = b"\x1f\x8b"
MOST_HEADER = 2**26  # bytes of a header line that are looked at
UNNAMED = "Unnamed: 0"  # pandas' name of a first column without a name


def is_parquet(path: str | Path) -> bool:
    """Whether a file is read and written as Parquet, that is, has the file extension ``.parquet``."""
    return Path(path).suffix.lower() == ".parquet"


def read_table(path: str | Path, codebook: Codebook | None = None, **options: str | None) -> pd.DataFrame:
    """Read a Parquet file (``.parquet``), an Excel file (``.xlsx``) or, with any other extension, a CSV file.

    `options` are those of `read_csv`.

    Raises
    ------
    CohortError
        As `read_csv`.
    """
    if is_parquet(path):
        return read_parquet(path)
    if Path(path).suffix.lower() in EXCEL:
        return read_excel(path, codebook)
    return read_csv(path, codebook, **options)


def read_csv(
    path: str | Path,
    codebook: Codebook | None = None,
    *,
    separator: str | None = None,
    decimal: str | None = None,
    encoding: str | None = None,
) -> pd.DataFrame:
    r"""Read a text file with a header line; every cell is text, to be parsed by a codebook.

    CSV in UTF-8 is read as it is, also if it is compressed (``.gz``). Another separator (semicolon, tab, bar,
    blank), decimal commas, another encoding (UTF-16, Windows-1252) and Excel's line ``sep=;`` are recognized,
    with a warning unless they are stated. Decimal commas are replaced by points.

    Parameters
    ----------
    path : path
        The file.
    codebook : Codebook, optional
        Expected columns; a file with none of them raises an error.
    separator : {",", ";", "\t", "|", " "}, optional
        Sign between cells. None: recognized.
    decimal : {".", ","}, optional
        Decimal sign of numbers. None: recognized.
    encoding : str, optional
        Encoding of the text, such as "utf-8" or "cp1252". None: recognized.

    Raises
    ------
    CohortError
        If the file cannot be read, is not text, has no header line, has no column of the codebook, or has
        more cells than column names.
    """
    stated = {"separator": separator, "decimal": decimal, "encoding": encoding}
    with _readable(path):
        source = _Source(path)
        dialect = source.dialect(codebook, stated)
        frame = source.frame(dialect)
    _check_layout(path, frame, codebook)
    return frame


def read_parquet(path: str | Path) -> pd.DataFrame:
    """Read a Parquet file, or a folder of them. Needs pyarrow (``pip install 'treatsel[parquet]'``).

    Raises
    ------
    CohortError
        If the file cannot be read, or pyarrow is not installed.
    """
    with _readable(path):
        if is_stream(path):
            return pd.read_parquet(io.BytesIO(_content(path)))
        if Path(path).is_dir():
            joined: pd.DataFrame = dataset_of(path).to_table().to_pandas()
            return joined
        check_width(path, len(schema_of(path).names))
        return pd.read_parquet(path)


def read_excel(path: str | Path, codebook: Codebook | None = None) -> pd.DataFrame:
    """Read the first sheet of an Excel file, with the expected columns of a codebook. Needs openpyxl.

    Raises
    ------
    CohortError
        If the file cannot be read, has no header line, has no column of the codebook, or openpyxl is not
        installed.
    """
    try:
        import openpyxl  # type: ignore[import-untyped,unused-ignore] # noqa: F401 # pandas needs it, and its own message does not say what to do
    except ImportError:
        raise CohortError(
            "Excel files need openpyxl: pip install openpyxl, or save the table as CSV."
        ) from None
    with _readable(path):
        source: Any = io.BytesIO(_content(path)) if is_stream(path) else path
        frame = pd.read_excel(source, keep_default_na=False, na_values=[""])
    _check_layout(path, frame, codebook)
    return frame


def read_chunks(
    path: str | Path,
    codebook: Codebook | None = None,
    *,
    rows: int,
    columns: Collection[str] | None = None,
    **options: str | None,
) -> Iterator[pd.DataFrame]:
    """Read a file in chunks; together they equal the result of `read_table`.

    Parameters
    ----------
    path : path
        Parquet (a file, or a folder of them) or CSV.
    codebook : Codebook, optional
        As in `read_csv`.
    rows : int
        Rows per chunk; the last may have fewer. Reading Parquet needs memory for one more row group.
    columns : collection of str, optional
        Columns to read, if present; None: all. If the file has none of them, its first column is read.
    **options
        Those of `read_csv`: separator, decimal, encoding.

    Yields
    ------
    DataFrame of shape (rows, n_columns)
        The index continues from chunk to chunk.

    Raises
    ------
    CohortError
        As `read_csv`, when a chunk cannot be read.
    """
    with _readable(path):
        if is_stream(path):
            raise CohortError(f"{path} can be read only once. Write it to a file first.")
        if is_parquet(path):
            yield from parquet_chunks(path, rows, columns)
        elif Path(path).suffix.lower() in EXCEL:
            whole = read_excel(path, codebook)
            chosen = chosen_names(whole.columns, columns)
            kept = [name for name in whole.columns if name in chosen] or whole.columns[:1]
            yield from (whole.loc[:, kept].iloc[i : i + rows] for i in range(0, len(whole), rows))
        else:
            yield from _csv_chunks(path, codebook, rows, columns, options)


@contextmanager
def _readable(path: str | Path) -> Iterator[None]:
    """Convert exceptions of the reader into messages about the file."""
    memory = f"{path} needs more memory than is available. Read fewer patients at once."
    try:
        yield
    except MemoryError as error:
        raise CohortError(memory) from error
    except TreatselError:
        raise
    except OSError as error:
        raise CohortError(f"Cannot read {path}: {error.strerror or 'not a file of this kind'}.") from error
    except ImportError as error:
        raise CohortError("Parquet files need pyarrow: pip install 'treatsel[parquet]'.") from error
    except UnicodeDecodeError as error:
        name = {"utf-8-sig": "UTF-8"}.get(error.encoding, error.encoding)
        raise CohortError(
            f"{path} is not text in {name}. Save it as CSV UTF-8, or state encoding ({OPTIONS['encoding']})."
        ) from None
    except Exception as error:  # the parsers of other libraries raise errors of all kinds
        if "out of memory" in str(error):  # pandas' C parser
            raise CohortError(memory) from error
        found = re.search(r"Expected \d+ fields in line \d+, saw \d+|EOF inside string", str(error))
        where = f" ({found[0]})" if found else ""
        remedy = "" if not found else f" If its separator is another one, state it ({OPTIONS['separator']})."
        kind = Path(path).suffix or "table"
        raise CohortError(f"{path} is not a readable {kind} file{where}.{remedy}") from None


def _content(path: str | Path) -> bytes:
    """Return what a pipe delivers, uncompressed: its name does not tell whether it is compressed."""
    content = read_bytes(path, most=MOST_PIPED)
    if not content.startswith(_GZIP):
        return content
    with gzip.open(io.BytesIO(content)) as stream:
        content = stream.read(MOST_PIPED + 1)
    if len(content) > MOST_PIPED:
        raise CohortError(f"{path} delivers more than {MOST_PIPED:,} bytes. Write it to a file first.")
    return content


# --- CSV


class _Source:
    """A text file that is read several times; what can be read only once (a pipe) is kept in memory."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._content: bytes | None = _content(path) if is_stream(path) else None

    def dialect(self, book: Codebook | None, stated: dict[str, str | None]) -> Dialect:
        """Return encoding, separator and decimal sign."""
        found = dialect_of(self.path, None if book is None else book.names(), content=self._content, **stated)
        with io.BytesIO(self._content) if self._content is not None else opened(self.path) as stream:
            for _ in range(found.skip):
                stream.readline(MOST_HEADER)
            check_width(self.path, stream.readline(MOST_HEADER).count(found.separator.encode()) + 1)
        return found

    @contextmanager
    def texts(self, dialect: Dialect, **options: Any) -> Iterator[Any]:
        """Read cells as text with pandas, in a file that is open meanwhile."""
        source = opened(self.path) if self._content is None else io.BytesIO(self._content)
        with io.BufferedReader(Bounded(source, self.path, dialect.separator), BLOCK) as stream:
            yield pd.read_csv(
                stream,
                dtype=str,
                keep_default_na=False,
                encoding=dialect.encoding,
                sep=dialect.separator,
                **options,
            )

    def frame(self, dialect: Dialect, **options: Any) -> pd.DataFrame:
        """Return the whole table, or its first rows, with the names as they are in the file."""
        names = self.names(dialect)
        with self.texts(dialect, **dialect.layout(names), **options) as table:
            return _with_points(_named(table, names), dialect)

    def names(self, dialect: Dialect) -> list[str]:
        """Return the names in the header; pandas itself silently renames repeated ones."""
        with self.texts(dialect, header=None, nrows=1, skiprows=dialect.skip) as first:
            header = first.iloc[0]
        return [*([""] if dialect.row_names else []), *header]


def _named(table: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    found = [name or unnamed for name, unnamed in zip(names, table.columns, strict=True)]
    return table.set_axis(found, axis=1)


def _with_points(table: pd.DataFrame, dialect: Dialect) -> pd.DataFrame:
    if dialect.decimal == ".":
        return table
    pattern = re.compile(r"^(\s*[+-]?\d+),(\d+\s*)$")
    pointed: pd.DataFrame = table.apply(lambda column: column.str.replace(pattern, r"\1.\2", regex=True))
    return pointed


def _csv_chunks(
    path: str | Path,
    book: Codebook | None,
    rows: int,
    columns: Collection[str] | None,
    stated: dict[str, str | None],
) -> Iterator[pd.DataFrame]:
    source = _Source(path)
    dialect = source.dialect(book, stated)
    head = source.frame(dialect, nrows=1)
    _check_layout(path, head, book)
    chosen = chosen_names(head.columns, columns)
    wanted = [i for i, name in enumerate(head.columns) if name in chosen] or [0]
    layout = dialect.layout(source.names(dialect))
    # usecols would hide lines that are too long
    with source.texts(dialect, chunksize=rows, **layout) as reader, reader:
        for chunk in reader:
            yield _with_points(chunk.set_axis(head.columns, axis=1).iloc[:, wanted], dialect)


def _check_layout(path: str | Path, frame: pd.DataFrame, book: Codebook | None) -> None:
    """Raise if the cells of a file do not match its header, or the header is lost.

    It may then hold the first patient's values, so it is not shown.
    """
    if len(frame) and not isinstance(frame.index, pd.RangeIndex):
        raise CohortError(f"The rows of {path} have more cells than the header has names. Name every column.")
    named = [] if book is None else [name for name in frame.columns if name in book]
    known = book is None or bool(named) or bool(look_alikes(frame.columns, book.names()))
    if known and not has_lost_header(frame.drop(columns=named)):
        return
    problem = "has numbers, dates or cells as names of columns" if known else "has no recognizable column"
    raise CohortError(
        f"{path} {problem}. Its first line must hold the names of the columns, separated by the recognized "
        f"or stated sign (separator; {OPTIONS['separator']}).",
        () if known or book is None else book.parse(frame)[1],
    )
