"""Reading and writing patient tables as CSV and Parquet files.

Files are read whole, or in chunks if they are larger than memory; tables are written in pieces, and a file
appears only when it is complete. Error messages state what is wrong with the file.
"""

import re
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

import pandas as pd

from treatsel.codebook import Codebook
from treatsel.errors import CohortError, TreatselError

__all__ = ["TableWriter", "is_parquet", "packed", "read_chunks", "read_csv", "read_parquet", "read_table"]


def is_parquet(path: str | Path) -> bool:
    """Whether a file is read and written as Parquet, that is, has the file extension ``.parquet``."""
    return Path(path).suffix.lower() == ".parquet"


def read_table(path: str | Path, codebook: Codebook | None = None) -> pd.DataFrame:
    """Read a Parquet file (file extension ``.parquet``) or, with any other extension, a CSV file.

    Raises
    ------
    CohortError
        As `read_csv`.
    """
    return read_parquet(path) if is_parquet(path) else read_csv(path, codebook)


def read_csv(path: str | Path, codebook: Codebook | None = None) -> pd.DataFrame:
    """Read a CSV file in UTF-8 with a header line; every cell is text, to be parsed by a codebook.

    Parameters
    ----------
    path : path
        The file.
    codebook : Codebook, optional
        Expected columns; a file with none of them raises an error.

    Raises
    ------
    CohortError
        If the file cannot be read, is not text, is not separated by commas, or has more cells than column
        names.
    """
    with _readable(path):
        frame = _as_text(path)
    _check_layout(path, frame, codebook)
    return frame


def read_parquet(path: str | Path) -> pd.DataFrame:
    """Read a Parquet file. Needs pyarrow (``pip install 'treatsel[parquet]'``).

    Raises
    ------
    CohortError
        If the file cannot be read, or pyarrow is not installed.
    """
    with _readable(path):
        return pd.read_parquet(path)


def read_chunks(
    path: str | Path,
    codebook: Codebook | None = None,
    *,
    rows: int,
    columns: Collection[str] | None = None,
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
        else:
            yield from _csv_chunks(path, codebook, rows, columns)


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
        raise CohortError(f"{path} is not text in UTF-8. Save it as CSV UTF-8.") from error
    except (ValueError, NotImplementedError) as error:  # parser errors of pandas and of pyarrow
        found = re.search(r"Expected \d+ fields in line \d+, saw \d+|EOF inside string", str(error))
        where = f" ({found[0]})" if found else ""
        raise CohortError(f"{path} is not a readable {Path(path).suffix or 'table'} file{where}.") from error


# --- CSV


def _texts(path: str | Path, **options: Any) -> Any:
    return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", **options)


def _as_text(path: str | Path, **options: Any) -> pd.DataFrame:
    header, frame = _texts(path, header=None, nrows=1).iloc[0], _texts(path, **options)
    # the names as they are in the file: pandas silently renames repeated ones
    names = [name or unnamed for name, unnamed in zip(header, frame.columns, strict=True)]
    table: pd.DataFrame = frame.set_axis(names, axis=1)
    return table


def _csv_chunks(
    path: str | Path, book: Codebook | None, rows: int, columns: Collection[str] | None
) -> Iterator[pd.DataFrame]:
    head = _as_text(path, nrows=1)
    _check_layout(path, head, book)
    wanted = [i for i, name in enumerate(head.columns) if columns is None or name in columns] or [0]
    # with usecols, rows with too many cells would not raise an error
    with _texts(path, chunksize=rows) as reader:
        for chunk in reader:
            yield chunk.set_axis(head.columns, axis=1).iloc[:, wanted]


def _check_layout(path: str | Path, frame: pd.DataFrame, book: Codebook | None) -> None:
    """Raise if the cells of a CSV file do not match its header."""
    if len(frame) and not isinstance(frame.index, pd.RangeIndex):
        raise CohortError(f"The rows of {path} have more cells than the header has names. Name every column.")
    if book is not None and any(name in book for name in frame.columns):
        return
    if len(frame.columns) == 1 and re.search("[;\t|]", frame.columns[0]):
        remedy = "Separate its cells by commas, not by semicolons, tabs or bars."
    elif book is not None:  # the header may hold the first patient's values, so it is not shown
        remedy = "Its first line must hold the names of the columns."
    else:
        return
    faults = [] if book is None else book.parse(frame)[1]
    raise CohortError(f"{path} has no recognizable column. {remedy}", faults)


# --- Parquet


def _parquet_chunks(path: str | Path, rows: int, columns: Collection[str] | None) -> Iterator[pd.DataFrame]:
    from pyarrow import dataset

    data = dataset.dataset(path, format="parquet", partitioning="hive")
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


# --- writing


class TableWriter:
    """Writer of a table in pieces to a CSV or Parquet file that appears only when it is complete.

    The pieces are written to a temporary file in the folder of `out`, which replaces `out` at the end and is
    removed after an error. A stream (or a device) receives the pieces directly.

    Parameters
    ----------
    out : path or text stream
        Where to write; Parquet by the file extension ``.parquet``, else CSV.
    """

    def __init__(self, out: str | Path | TextIO) -> None:
        self._path = Path(out).resolve() if isinstance(out, str | Path) else None
        self._part = self._path
        if self._path is not None and (self._path.is_file() or not self._path.exists()):
            self._part = self._path.with_name(f".{self._path.name}.part")
        self.parquet = self._path is not None and is_parquet(self._path)
        self._stream: Any = out
        self._file: Any = None  # file of a Parquet writer
        self._started = False

    def __enter__(self) -> Self:
        if self._part is not None and not self.parquet:
            self._stream = self._opened(encoding="utf-8", newline="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._path is None or self._part is None:
            return
        if self._started or not self.parquet:
            self._stream.close()
        if self._file is not None:
            self._file.close()
        if self._part == self._path:
            return
        if kind is not None:
            self._part.unlink(missing_ok=True)
            return
        if self._path.exists():
            shutil.copymode(self._path, self._part)
        self._part.replace(self._path)

    def write(self, piece: Any) -> None:
        """Add a piece in the form returned by `packed`."""
        if not self.parquet:
            self._stream.write(piece.partition("\n")[2] if self._started else piece)
        else:
            if not self._started:
                from pyarrow.parquet import ParquetWriter

                self._file = self._opened("b")
                self._stream = ParquetWriter(self._file, piece.schema, compression="snappy")
            self._stream.write_table(piece.cast(self._stream.schema))
        self._started = True

    def _opened(self, kind: str = "", **options: Any) -> Any:
        """Create the temporary file: an existing one is removed, and links are not followed."""
        assert self._part is not None
        if self._part == self._path:
            return self._part.open(f"w{kind}", **options)
        self._part.unlink(missing_ok=True)
        return self._part.open(f"x{kind}", **options)


def packed(table: pd.DataFrame, *, parquet: bool) -> Any:
    """Return a table without its index as CSV text with its header line, or as an Arrow table."""
    if not parquet:
        return table.to_csv(index=False, lineterminator="\n")
    import pyarrow as pa

    return pa.Table.from_pandas(table, preserve_index=False)
