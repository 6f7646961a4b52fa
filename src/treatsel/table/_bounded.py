"""A text file as a stream of bytes that is refused where a line would fill the memory."""

import io
from pathlib import Path
from typing import Any

from treatsel.errors import CohortError

BLOCK = 2**20  # bytes that are read at once
MOST_UNBROKEN = 2**26  # bytes without a line break or without a separator; the parser keeps several copies


class Bounded(io.RawIOBase):
    """Bytes of a file, refused after 64 MB without a line break, or without a separator.

    A compressed file of two megabytes can hold one cell of several gigabytes. A separator is required too,
    because a cell in quotes may consist of line breaks.
    """

    def __init__(self, stream: Any, path: Path, separator: str) -> None:
        self._stream, self._path, self._separator = stream, path, separator.encode()
        self._unbroken = 0

    def readable(self) -> bool:
        """Whether bytes can be read: always."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Read the next bytes."""
        n = int(self._stream.readinto(buffer))
        part = bytes(memoryview(buffer)[:n])
        is_table = self._separator in part and (b"\n" in part or b"\r" in part)
        self._unbroken = 0 if is_table else self._unbroken + n
        if self._unbroken > MOST_UNBROKEN:
            raise CohortError(
                f"{self._path} has {MOST_UNBROKEN:,} bytes without a line break or a separator. A table has "
                "a line per patient; check the file, or state its separator (separator; --sep)."
            )
        return n

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
        super().close()
