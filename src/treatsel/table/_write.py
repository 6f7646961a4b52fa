"""Writing of tables in pieces; a file appears only when it is complete."""

import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

import pandas as pd

from treatsel.table._read import is_parquet


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
