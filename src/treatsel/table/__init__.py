"""Reading and writing patient tables as CSV, Parquet and Excel files.

Files are read whole, or in chunks if they are larger than memory; tables are written in pieces, and a file
appears only when it is complete. Errors say what is wrong with the file.
"""

from treatsel.table._read import is_parquet, read_chunks, read_csv, read_parquet, read_table
from treatsel.table._write import SupportsText, TableWriter, packed, write_table

__all__ = [
    "SupportsText",
    "TableWriter",
    "is_parquet",
    "packed",
    "read_chunks",
    "read_csv",
    "read_parquet",
    "read_table",
    "write_table",
]
