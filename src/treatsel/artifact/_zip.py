"""The structure of a zip as this library writes it, read by own checks: every Python decides alike.

Members follow one another from the first byte to the directory, each once, in the order of the directory;
both records of a member agree; and there is nothing else: no extra fields, comments, links, data descriptors
or bytes that no hash covers. A member is not decompressed beyond its stated size.
"""

import zlib
from dataclasses import dataclass

from treatsel.errors import ArtifactError

STORED, DEFLATED = 0, 8
_LOCAL, _CENTRAL, _END = 30, 46, 22  # bytes of the fixed part of each record
_VERSIONS = (10, 20)  # needed to extract; others need features that are not used


@dataclass(frozen=True)
class Member:
    """A member: its name, sizes before and after compression, and where its compressed bytes start."""

    name: str
    method: int
    checksum: int
    packed_size: int
    size: int
    start: int

    def unpacked(self, content: bytes) -> bytes:
        """Return the member, after checking its size and checksum; all of its bytes must be used."""
        packed = content[self.start : self.start + self.packed_size]
        if self.method == STORED:
            data, is_whole = packed, True
        else:
            stream = zlib.decompressobj(-zlib.MAX_WBITS)
            try:
                data = stream.decompress(packed, self.size + 1)
            except zlib.error:
                raise ArtifactError("It holds a member that cannot be decompressed.") from None
            is_whole = stream.eof and not stream.unused_data
        if len(data) != self.size or not is_whole:
            found = f"{len(data):,}" if len(data) < self.size else "more"
            raise ArtifactError(f"It holds a member that claims {self.size:,} bytes, but has {found}.")
        if zlib.crc32(data) != self.checksum:
            raise ArtifactError("It holds a member whose checksum is wrong.")
        return data


def directory_of(content: bytes, comment: int, *, most_members: int, most_bytes: int) -> list[Member]:
    """Return the members of a zip whose comment has `comment` bytes.

    Raises
    ------
    ArtifactError
        If the zip is not exactly as this library writes it.
    """
    place = len(content) - comment - _END
    end = content[max(place, 0) : place + _END]
    n, size, start, length = (_number(end, a, b) for a, b in ((10, 12), (12, 16), (16, 20), (20, 22)))
    if end[:4] != b"PK\x05\x06" or start + size != place or length != comment:
        raise ArtifactError("Its zip directory is not in the expected place.")
    if n > most_members or size > most_bytes:
        raise ArtifactError("Its zip directory has too many members.")
    if _number(end, 4, 8) or _number(end, 8, 10) != n:
        raise ArtifactError("Its zip directory is split.")
    members, at, next_start = [], start, 0
    for _ in range(n):
        member, at = _member(content, at, next_start, start)
        next_start = member.start + member.packed_size
        members.append(member)
    if at != place or next_start != start:
        raise ArtifactError("Its zip directory does not cover the whole file: it holds bytes of no member.")
    return members


def _member(content: bytes, at: int, expected: int, end: int) -> tuple[Member, int]:
    """Return the member at a place of the directory, and the place of the next one."""
    record = content[at : at + _CENTRAL]
    version, flags, method, checksum, packed_size, size, n_name = (
        _number(record, a, b) for a, b in ((6, 8), (8, 10), (10, 12), (16, 20), (20, 24), (24, 28), (28, 30))
    )
    if record[:4] != b"PK\x01\x02" or any(record[30:38]):  # extra field, comment, disk, internal attributes
        raise ArtifactError("Its zip directory is damaged, or has extra fields or comments.")
    if flags & 1 or method not in (STORED, DEFLATED):
        raise ArtifactError("It holds a member that is encrypted, or compressed by an unknown method.")
    if version not in _VERSIONS or flags or not _is_plain(_number(record, 38, 42)):
        raise ArtifactError("It holds a member that is not a plain file.")
    name, start = content[at + _CENTRAL : at + _CENTRAL + n_name], expected + _LOCAL + n_name
    local = content[expected:start]
    if _number(record, 42, 46) != expected or local[:4] != b"PK\x03\x04" or start + packed_size > end:
        raise ArtifactError("Its members do not follow one another, or claim more bytes than the file has.")
    if local[4:_LOCAL] != record[6:32] or local[_LOCAL:] != name:
        raise ArtifactError("Its zip directory and its members contradict each other.")
    try:
        text = name.decode("ascii")
    except UnicodeDecodeError:
        raise ArtifactError("It holds a member whose name is not allowed.") from None
    return Member(text, method, checksum, packed_size, size, start), at + _CENTRAL + n_name


def _is_plain(attributes: int) -> bool:
    """Whether attributes are those of a regular file, not of a folder, a link or a device."""
    return attributes >> 28 in (0, 8) and not attributes & 0x10


def _number(record: bytes, start: int, stop: int) -> int:
    return int.from_bytes(record[start:stop], "little")
