"""Writing of tables in pieces; a file appears only when it is complete."""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Protocol, Self

import pandas as pd

from treatsel._files import whole_file
from treatsel._reporting.text import in_cells
from treatsel.table._read import is_parquet


class SupportsText(Protocol):
    """A stream to which text can be written."""

    def write(self, text: str, /) -> Any:
        """Write a text."""


class TableWriter:
    """Writer of a table in pieces to a CSV or Parquet file that appears only when it is complete.

    The pieces are written to a temporary file with a unique name in the folder of `out`, which replaces `out`
    at the end and is removed after an error. A stream, a pipe or a device receives the pieces directly.

    Parameters
    ----------
    out : path or text stream
        Where to write; Parquet by the file extension ``.parquet``, else CSV.
    """

    def __init__(self, out: str | Path | SupportsText) -> None:
        self._path = Path(out) if isinstance(out, str | Path) else None
        self.parquet = self._path is not None and is_parquet(self._path)
        self._stream: Any = out
        self._file: BinaryIO | None = None
        self._open = ExitStack()
        self._started = False

    def __enter__(self) -> Self:
        if self._path is not None:
            self._file = self._open.enter_context(whole_file(self._path))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def write(self, piece: Any) -> None:
        """Add a piece in the form returned by `packed`."""
        if self.parquet:
            if not self._started:
                from pyarrow.parquet import ParquetWriter

                sink = _Counted(self._file)
                self._stream = self._open.enter_context(
                    ParquetWriter(sink, piece.schema, compression="snappy")
                )
            self._stream.write_table(piece.cast(self._stream.schema))
        else:
            text = piece.partition("\n")[2] if self._started else piece
            if self._file is None:
                self._stream.write(text)
            else:
                self._file.write(text.encode())
        self._started = True


class _Counted:
    """A binary stream that knows its position, as Parquet needs it, also where a pipe does not."""

    closed = False

    def __init__(self, stream: Any) -> None:
        self._stream, self._n = stream, 0

    def write(self, content: Any) -> int:
        self._stream.write(content)
        self._n += len(content)
        return len(content)

    def tell(self) -> int:
        return self._n

    def flush(self) -> None:
        self._stream.flush()

    def close(self) -> None:
        """Leave the stream open: whoever opened it closes it."""


def write_table(
    table: pd.DataFrame, out: str | Path | SupportsText, *, float_format: str | None = None
) -> None:
    """Write a table without its index to a CSV or Parquet file (by its extension) or to a text stream.

    `float_format`, such as ``"%.6f"``, is the form of numbers in CSV (None: all digits).
    """
    with TableWriter(out) as writer:
        writer.write(packed(table, parquet=writer.parquet, float_format=float_format))


def packed(table: pd.DataFrame, *, parquet: bool, float_format: str | None = None) -> Any:
    """Return a table without its index as CSV text with its header line, or as an Arrow table.

    In CSV, texts that a spreadsheet would calculate start with an apostrophe; hidden characters are codes.
    """
    if not parquet:
        return in_cells(table).to_csv(index=False, lineterminator="\n", float_format=float_format)
    import pyarrow as pa

    return pa.Table.from_pandas(table, preserve_index=False)
