"""Reading of patient tables from CSV, Parquet and Excel files, whole or in chunks."""

import io
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from treatsel.codebook import Codebook
from treatsel.errors import CohortError, TreatselError
from treatsel.table._dialect import OPTIONS, Dialect, dialect_of

EXCEL = (".xlsx", ".xlsm")
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
        return read_excel(path)
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
        If the file cannot be read, is not text, has no column of the codebook, or has more cells than column
        names.
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
        if Path(path).is_dir():
            joined: pd.DataFrame = _dataset(path).to_table().to_pandas()
            return joined
        return pd.read_parquet(path)


def read_excel(path: str | Path) -> pd.DataFrame:
    """Read the first sheet of an Excel file. Needs openpyxl.

    Raises
    ------
    CohortError
        If the file cannot be read, or openpyxl is not installed.
    """
    try:
        import openpyxl  # type: ignore[import-untyped,unused-ignore] # noqa: F401 # pandas needs it, and its own message does not say what to do
    except ImportError:
        raise CohortError(
            "Excel files need openpyxl: pip install openpyxl, or save the table as CSV."
        ) from None
    with _readable(path):
        return pd.read_excel(path, keep_default_na=False, na_values=[""])


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
        if is_parquet(path):
            yield from _parquet_chunks(path, rows, columns)
        elif Path(path).suffix.lower() in EXCEL:
            whole = read_excel(path)
            kept = [name for name in whole.columns if columns is None or name in columns] or whole.columns[:1]
            yield from (whole.loc[:, kept].iloc[i : i + rows] for i in range(0, len(whole), rows))
        else:
            yield from _csv_chunks(path, codebook, rows, columns, options)


@contextmanager
def _readable(path: str | Path) -> Iterator[None]:
    """Convert exceptions of the reader into messages about the file."""
    try:
        yield
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
        ) from error
    except (ValueError, NotImplementedError) as error:  # parser errors of pandas and of pyarrow
        found = re.search(r"Expected \d+ fields in line \d+, saw \d+|EOF inside string", str(error))
        where = f" ({found[0]})" if found else ""
        remedy = "" if not found else f" If its separator is another one, state it ({OPTIONS['separator']})."
        kind = Path(path).suffix or "table"
        raise CohortError(f"{path} is not a readable {kind} file{where}.{remedy}") from error


# --- CSV


class _Source:
    """A text file that is read several times; what can be read only once (a pipe) is kept in memory."""

    def __init__(self, path: str | Path, *, whole: bool = True) -> None:
        self.path = Path(path)
        self._content: bytes | None = None
        if self.path.exists() and not self.path.is_file() and not self.path.is_dir():
            if not whole:
                raise CohortError(f"{path} can be read only once. Write it to a file first.")
            self._content = self.path.read_bytes()

    def dialect(self, book: Codebook | None, stated: dict[str, str | None]) -> Dialect:
        """Return encoding, separator and decimal sign."""
        return dialect_of(self.path, None if book is None else book.names(), content=self._content, **stated)

    def texts(self, dialect: Dialect, **options: Any) -> Any:
        """Read cells as text with pandas."""
        source: Any = self.path if self._content is None else io.BytesIO(self._content)
        return pd.read_csv(
            source,
            dtype=str,
            keep_default_na=False,
            encoding=dialect.encoding,
            sep=dialect.separator,
            **options,
        )

    def frame(self, dialect: Dialect, **options: Any) -> pd.DataFrame:
        """Return the whole table, or its first rows, with the names as they are in the file."""
        names = self.names(dialect)
        table = self.texts(dialect, **dialect.layout(names), **options)
        return _with_points(_named(table, names), dialect)

    def names(self, dialect: Dialect) -> list[str]:
        """Return the names in the header; pandas itself silently renames repeated ones."""
        header = self.texts(dialect, header=None, nrows=1, skiprows=dialect.skip).iloc[0]
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
    source = _Source(path, whole=False)
    dialect = source.dialect(book, stated)
    head = source.frame(dialect, nrows=1)
    _check_layout(path, head, book)
    wanted = [i for i, name in enumerate(head.columns) if columns is None or name in columns] or [0]
    layout = dialect.layout(source.names(dialect))
    with source.texts(
        dialect, chunksize=rows, **layout
    ) as reader:  # usecols would hide lines that are too long
        for chunk in reader:
            yield _with_points(chunk.set_axis(head.columns, axis=1).iloc[:, wanted], dialect)


def _check_layout(path: str | Path, frame: pd.DataFrame, book: Codebook | None) -> None:
    """Raise if the cells of a CSV file do not match its header."""
    if len(frame) and not isinstance(frame.index, pd.RangeIndex):
        raise CohortError(f"The rows of {path} have more cells than the header has names. Name every column.")
    if book is None or any(name in book for name in frame.columns):
        return
    # the header may hold the first patient's values, so it is not shown
    remedy = (
        "Its first line must hold the names of the columns, separated by the recognized or stated sign "
        f"(separator; {OPTIONS['separator']})."
    )
    raise CohortError(f"{path} has no recognizable column. {remedy}", book.parse(frame)[1])


# --- Parquet


def _dataset(path: str | Path) -> Any:
    """Return the dataset of a file or folder, with a schema that fits all of its files.

    A column without any value in one file, or of whole numbers in one and fractions in another, has the more
    general type.

    Raises
    ------
    CohortError
        If a column has types that do not fit each other.
    """
    import pyarrow as pa
    from pyarrow import dataset

    data = dataset.dataset(path, format="parquet", partitioning="hive")
    schemas = [data.schema, *(fragment.physical_schema for fragment in data.get_fragments())]
    fields: dict[str, Any] = {}
    for name in dict.fromkeys(name for schema in schemas for name in schema.names):
        parts = [
            pa.schema([schema.field(name).with_nullable(True)]) for schema in schemas if name in schema.names
        ]
        try:
            fields[name] = pa.unify_schemas(parts, promote_options="permissive").field(name)
        except (pa.ArrowTypeError, pa.ArrowInvalid):
            types = sorted({str(part.field(name).type) for part in parts})
            raise CohortError(
                f"Column {name!r} of {path} has different types in different files: {types}. Write it with "
                "one type."
            ) from None
    unified = pa.schema(list(fields.values()), metadata=data.schema.metadata)
    if unified.equals(data.schema):
        return data
    return dataset.dataset(path, schema=unified, format="parquet", partitioning="hive")


def _parquet_chunks(path: str | Path, rows: int, columns: Collection[str] | None) -> Iterator[pd.DataFrame]:
    from pyarrow import dataset

    data = _dataset(path)
    stored = (data.schema.pandas_metadata or {}).get("index_columns", [])
    kept = [name for name in data.schema.names if columns is None or name in columns or name in stored]
    options = dataset.ParquetFragmentScanOptions(pre_buffer=False)
    batches = data.to_batches(
        columns=kept or data.schema.names[:1],
        batch_size=rows,
        batch_readahead=1,
        fragment_readahead=1,
        fragment_scan_options=options,
    )
    index = pd.RangeIndex(data.count_rows())
    if stored and isinstance(stored[0], dict):  # how pandas stores a RangeIndex
        index = pd.RangeIndex(stored[0]["start"], stored[0]["stop"], stored[0]["step"])
    start = 0
    for table in _of_size(batches, rows):
        frame = table.to_pandas()
        if isinstance(frame.index, pd.RangeIndex):
            frame.index = index[start : start + len(frame)]
        start += len(frame)
        yield frame


def _of_size(batches: Iterable[Any], rows: int) -> Iterator[Any]:
    """Split and join record batches, which end at row groups, into tables of `rows` rows."""
    import pyarrow as pa

    held: list[Any] = []
    n = 0
    for batch in batches:
        held.append(batch)
        n += len(batch)
        if n < rows:
            continue
        table = pa.Table.from_batches(held)
        whole = n - n % rows
        yield from (table.slice(i, rows) for i in range(0, whole, rows))
        held, n = table.slice(whole).to_batches(), n - whole
    if n:
        yield pa.Table.from_batches(held)
