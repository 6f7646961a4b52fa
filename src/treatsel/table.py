"""Patient tables from CSV and Parquet files, or an error that says what is wrong with the file."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from treatsel.codebook import Codebook
from treatsel.errors import CohortError

__all__ = ["read_csv", "read_parquet", "read_table"]


def read_table(path: str | Path, codebook: Codebook | None = None) -> pd.DataFrame:
    """Read a Parquet file (by the ending ``.parquet``) or else a CSV file.

    Raises
    ------
    CohortError
        As `read_csv`.
    """
    return read_parquet(path) if Path(path).suffix.lower() == ".parquet" else read_csv(path, codebook)


def read_csv(path: str | Path, codebook: Codebook | None = None) -> pd.DataFrame:
    """Read a CSV file in UTF-8 with a header line; every cell is text, for a codebook to type.

    Parameters
    ----------
    path : path
        The file.
    codebook : Codebook, optional
        Columns expected; a file that has none of them is refused with what they are.

    Raises
    ------
    CohortError
        If the file cannot be read, is not text, is separated by something else than commas, or
        holds more cells than names.
    """
    frame = _read(path, lambda: _as_text(path))
    _check_layout(path, frame, codebook)
    return frame


def read_parquet(path: str | Path) -> pd.DataFrame:
    """Read a Parquet file. Needs pyarrow (``pip install 'treatsel[parquet]'``).

    Raises
    ------
    CohortError
        If the file cannot be read, or pyarrow is not installed.
    """
    return _read(path, lambda: pd.read_parquet(path))


def _read(path: str | Path, read: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    try:
        return read()
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


def _as_text(path: str | Path) -> pd.DataFrame:
    def read(**options: Any) -> pd.DataFrame:
        table: pd.DataFrame = pd.read_csv(
            path, dtype=str, keep_default_na=False, encoding="utf-8-sig", **options
        )
        return table

    header, frame = read(header=None, nrows=1).iloc[0], read()
    # the names as they are written: pandas renames a repeated one in silence
    names = [name or unnamed for name, unnamed in zip(header, frame.columns, strict=True)]
    return frame.set_axis(names, axis=1)


def _check_layout(path: str | Path, frame: pd.DataFrame, book: Codebook | None) -> None:
    """Raise if the cells of a CSV file are not where its header says."""
    if len(frame) and not isinstance(frame.index, pd.RangeIndex):
        raise CohortError(f"The lines of {path} hold more cells than its header names. Name every column.")
    if book is not None and any(name in book for name in frame.columns):
        return
    if len(frame.columns) == 1 and re.search("[;\t|]", frame.columns[0]):
        remedy = "Separate its cells by commas, not by semicolons, tabs or bars."
    elif book is not None:  # then the names may be the first patient's values, so they are not shown
        remedy = "Its first line must hold the names of the columns."
    else:
        return
    faults = [] if book is None else book.parse(frame)[1]
    raise CohortError(f"{path} has no column that can be recognized. {remedy}", faults)
