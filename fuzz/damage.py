"""Mutants of a file's bytes, as after a disk error, an interrupted transfer or careless editing."""

import hashlib
import io
import random
import zipfile
import zlib
from collections.abc import Mapping

SEAL = 64
SIGNATURES = (b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06")
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


def damaged(content: bytes, other: bytes, source: random.Random) -> tuple[str, bytes]:
    """Return the name of a way of damaging, and its result; the seal is not updated."""
    way = source.choice(WAYS if other != content else WAYS[:-1])  # no second file to mix with
    return way.__name__, way(content, other, source)


def sealed(content: bytes) -> bytes:
    """Return the content with a correct seal."""
    body = content[:-SEAL]
    return body + hashlib.sha256(body).hexdigest().encode()


def flip_bits(content: bytes, _: bytes, source: random.Random) -> bytes:
    changed = bytearray(content)
    for _i in range(source.choice((1, 1, 1, 2, 8, 64))):
        changed[source.randrange(len(changed))] ^= 1 << source.randrange(8)
    return bytes(changed)


def truncate(content: bytes, _: bytes, source: random.Random) -> bytes:
    return content[: source.randrange(len(content))]


def cut_start(content: bytes, _: bytes, source: random.Random) -> bytes:
    return content[source.randrange(1, len(content)) :]


def append(content: bytes, other: bytes, source: random.Random) -> bytes:
    return content + source.choice((b"\0", b"PK\x05\x06", source.randbytes(100), other))


def splice(content: bytes, other: bytes, source: random.Random) -> bytes:
    place = source.randrange(min(len(content), len(other)))
    start = source.choice((place, source.randrange(len(other))))
    return content[:place] + other[start:]


def overwrite(content: bytes, other: bytes, source: random.Random) -> bytes:
    place, length = source.randrange(len(content)), source.choice((1, 4, 16, 256))
    start = source.randrange(len(other))
    fill = source.choice((bytes(length), b"\xff" * length, source.randbytes(length), other[start:][:length]))
    return content[:place] + fill + content[place + len(fill) :]


def drop_block(content: bytes, _: bytes, source: random.Random) -> bytes:
    place, length = source.randrange(len(content)), source.choice((1, 4, 64, 1024))
    return content[:place] + content[place + length :]


def repeat_block(content: bytes, _: bytes, source: random.Random) -> bytes:
    place, length = source.randrange(len(content)), source.choice((1, 4, 64, 1024))
    return content[: place + length] + content[place:]


def change_header(content: bytes, _: bytes, source: random.Random) -> bytes:
    """Set a field of any zip header to an extreme, an adjacent or a random value."""
    signature = source.choice(SIGNATURES)
    places = [i for i in range(len(content) - 30) if content[i : i + 4] == signature]
    place = source.choice(places) + source.randrange(4, 46)
    size = source.choice((1, 2, 4))
    old = int.from_bytes(content[place : place + size], "little")
    value: int = source.choice((*EXTREMES, old + 1, old - 1, source.getrandbits(32))) % 256**size
    return content[:place] + value.to_bytes(size, "little") + content[place + size :]


def swap_members(content: bytes, _: bytes, source: random.Random) -> bytes:
    """Exchange the contents of two members."""
    members = _members(content)
    i, j = source.sample(range(len(members)), 2)
    members[i], members[j] = (members[i][0], members[j][1]), (members[j][0], members[i][1])
    return _zipped(members, content[-SEAL:])


def repeat_member(content: bytes, _: bytes, source: random.Random) -> bytes:
    """Add a copy of one member, under its own name or that of another."""
    members = _members(content)
    name, data = source.choice(members)
    members.insert(source.randrange(len(members)), (source.choice((name, source.choice(members)[0])), data))
    return _zipped(members, content[-SEAL:])


def mix_members(content: bytes, other: bytes, source: random.Random) -> bytes:
    """Take one member from another file."""
    members, strange = _members(content), dict(_members(other))
    shared = [i for i, (name, _) in enumerate(members) if name in strange]
    for i in source.sample(shared, min(len(shared), source.choice((1, 3)))):
        members[i] = (members[i][0], strange[members[i][0]])
    return _zipped(members, content[-SEAL:])


def swell_member(content: bytes, _: bytes, source: random.Random) -> bytes:
    """Make one member decompress to gigabytes, whatever size it states."""
    body = swollen(2500 * 2**20)
    members = _members(content)
    place, claim = source.randrange(len(members)), source.choice((16, 4096, len(body)))
    members[place] = (members[place][0], body)
    return _zipped(members, content[-SEAL:], {members[place][0]: claim})


def swollen(size: int) -> bytes:
    """Return about `size` zeros in deflated form, without creating them."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return block * (size // 2**20) + packer.flush()


def _members(content: bytes) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def _zipped(
    members: list[tuple[str, bytes]], comment: bytes, claims: Mapping[str, int] | None = None
) -> bytes:
    """Return a zip archive; members in `claims` are deflated zeros of the size stated in the directory."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data)
        for name, claim in (claims or {}).items():
            entry = archive.getinfo(name)
            entry.compress_type, entry.file_size = zipfile.ZIP_DEFLATED, claim
            entry.CRC = zlib.crc32(bytes(claim))
        archive.comment = comment
    return stream.getvalue()


WAYS = (
    flip_bits,
    truncate,
    cut_start,
    append,
    splice,
    overwrite,
    drop_block,
    repeat_block,
    change_header,
    swap_members,
    repeat_member,
    swell_member,
    mix_members,
)
