"""Parquet files and folders: one schema that fits all files, and rows in chunks."""

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from treatsel.errors import CohortError
from treatsel.table._dialect import check_width, chosen_names


def schema_of(path: str | Path) -> Any:
    """Return the schema of a Parquet file, without reading its rows."""
    from pyarrow import parquet

    return parquet.read_schema(path)


def dataset_of(path: str | Path) -> Any:
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
    check_width(path, len(data.schema.names))
    schemas = [data.schema, *(fragment.physical_schema for fragment in data.get_fragments())]
    known = [set(schema.names) for schema in schemas]
    fields: dict[str, Any] = {}
    for name in dict.fromkeys(name for schema in schemas for name in schema.names):
        parts = [
            pa.schema([schema.field(name).with_nullable(True)])
            for schema, names in zip(schemas, known, strict=True)
            if name in names
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


def parquet_chunks(path: str | Path, rows: int, columns: Collection[str] | None) -> Iterator[pd.DataFrame]:
    from pyarrow import dataset

    data = dataset_of(path)
    stored = (data.schema.pandas_metadata or {}).get("index_columns", [])
    chosen = chosen_names(data.schema.names, columns)
    kept = [name for name in data.schema.names if name in chosen or name in stored]
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
