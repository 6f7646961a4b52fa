"""A sealed zip of JSON and `.npy` arrays: written reproducibly, read as untrusted input.

Sizes are checked before memory is allocated, and a member is not decompressed beyond its stated size. Nothing
is unpickled, evaluated or executed, and paths cannot leave the archive. The zip comment is the SHA-256 of all
bytes before it: this seal protects against damage, but only a signature protects against forgery.
"""

import hashlib
import io
import os
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from treatsel._files import write_bytes
from treatsel.artifact._json import read_json
from treatsel.artifact._zip import Member, directory_of
from treatsel.errors import ArtifactError

FORMAT = 1
MANIFEST = "manifest.json"
SIGNATURE = "signature.ed25519"
MAX_FILE = 256 * 2**20
MAX_MEMBER = 128 * 2**20
MAX_TOTAL = 512 * 2**20
MAX_MANIFEST = 8 * 2**20
MAX_SIGNATURE = 1024
MAX_MEMBERS = 12_000  # one for each covariate
MAX_DIRECTORY = 2**20
MAX_RATIO = 1100  # of one member; deflate cannot compress better than about 1,030 to 1
# Of the whole file: memory and time are bounded by its size. Draws compress to a few percent if most
# covariates of a wide table were screened out, and arrays of a small file may be anything.
FREE, MAX_WHOLE_RATIO = 64 * 2**20, 100
DTYPES = ("<f8", "<f4", "<i4", "|b1")
_NAME = re.compile(r"[a-z0-9_]+(/[a-z0-9_]+)*\.npy")
_HASH = re.compile("[0-9a-f]{64}")
_HEADER = re.compile(
    rb"\{'descr': '(<f8|<f4|<i4|\|b1)', 'fortran_order': False, 'shape': \(((?:[0-9]{1,20}, ?){0,3})"
    rb"([0-9]{1,20})?\), \} *\n"
)
_EPOCH = (1980, 1, 1, 0, 0, 0)
_SEAL = 64  # bytes


@dataclass(frozen=True, eq=False)
class Contents:
    """The members of a file after checking hashes: the manifest, as bytes and as JSON, and the others."""

    manifest: bytes
    content: dict[str, Any]
    arrays: dict[str, bytes]
    signature: bytes | None


def write(path: Path, manifest: bytes, arrays: Mapping[str, bytes], signature: bytes | None = None) -> None:
    """Write the archive; the file is whole or absent."""
    sizes = [len(content) for content in arrays.values()]
    if max(sizes, default=0) > MAX_MEMBER or sum(sizes) > MAX_TOTAL or len(manifest) > MAX_MANIFEST:
        raise ArtifactError(f"The model is too large for a file: one array has {max(sizes):,} bytes.")
    signed = [] if signature is None else [(SIGNATURE, signature)]
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in [(MANIFEST, manifest), *signed, *sorted(arrays.items())]:
            entry = zipfile.ZipInfo(name, date_time=_EPOCH)
            entry.compress_type, entry.create_system = zipfile.ZIP_DEFLATED, 3
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, compresslevel=6)
        archive.comment = b"0" * _SEAL
    body = stream.getvalue()[:-_SEAL]
    whole = body + hashlib.sha256(body).hexdigest().encode()
    try:
        contents_of(whole)
    except ArtifactError as error:  # what could not be read again is not written
        raise ArtifactError(f"The model cannot be saved. {error}") from error
    try:
        write_bytes(path, whole)
    except OSError as error:
        raise ArtifactError(f"Cannot write {path}: {error.strerror}.") from error


def read(path: Path) -> Contents:
    """Return the members of a file."""
    return contents_of(_read_bytes(path))


def contents_of(content: bytes) -> Contents:
    """Return the members; check size, seal, directory, manifest, format, names, hashes in this order."""
    if not content.startswith(b"PK"):
        raise ArtifactError("It is not a treatsel model: not a zip archive.")
    if hashlib.sha256(content[:-_SEAL]).hexdigest().encode() != content[-_SEAL:]:
        raise ArtifactError("Its seal is broken: the file is truncated, changed, or not from treatsel.")
    members = _checked_directory(content)
    text = members[MANIFEST].unpacked(content)
    manifest = _checked_manifest(text, set(members) - {MANIFEST, SIGNATURE})
    signature = members[SIGNATURE].unpacked(content) if SIGNATURE in members else None
    arrays = {name: members[name].unpacked(content) for name in manifest["members"]}
    for name, data in arrays.items():
        if hashlib.sha256(data).hexdigest() != manifest["members"][name]:
            raise ArtifactError(f"The hash of member {name} differs from the manifest.")
    return Contents(text, manifest, arrays, signature)


def _read_bytes(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():  # a pipe or a device may never end
            raise ArtifactError("It cannot be read: it is not a regular file.")
        with path.open("rb") as stream:
            content = stream.read(min(os.fstat(stream.fileno()).st_size, MAX_FILE) + 1)
    except OSError as error:
        raise ArtifactError(f"It cannot be read ({error.strerror}).") from error
    except ValueError as error:  # a zero byte in its name
        raise ArtifactError("It cannot be read: its name is not a valid file name.") from error
    if len(content) > MAX_FILE:
        raise ArtifactError(f"It is too large: a model file has at most {MAX_FILE:,} bytes.")
    return content


def _checked_directory(content: bytes) -> dict[str, Member]:
    entries = directory_of(content, _SEAL, most_members=MAX_MEMBERS, most_bytes=MAX_DIRECTORY)
    members = {entry.name: entry for entry in entries}
    if len(members) < len(entries) or MANIFEST not in members:
        raise ArtifactError("Its zip directory has no manifest, or a duplicate name.")
    limits = {MANIFEST: MAX_MANIFEST, SIGNATURE: MAX_SIGNATURE}
    for entry in entries:
        limit = limits.get(entry.name, MAX_MEMBER)
        if entry.size > min(limit, MAX_RATIO * max(entry.packed_size, 1)):
            raise ArtifactError(f"It holds a member that claims {entry.size:,} bytes: too large.")
        if entry.packed_size > entry.size + entry.size // 1000 + 64:  # longer than uncompressed
            raise ArtifactError(f"It holds a member that claims fewer bytes than it has: {entry.size:,}.")
    total, packed = sum(entry.size for entry in entries), sum(entry.packed_size for entry in entries)
    if total > min(MAX_TOTAL, FREE + MAX_WHOLE_RATIO * packed):
        raise ArtifactError(
            f"Its members claim {total:,} bytes in total: too large for a file of {len(content):,} bytes."
        )
    return members


def _checked_manifest(text: bytes, names: set[str]) -> dict[str, Any]:
    """Return the manifest, after checking its format and its list of members."""
    manifest = read_json(text)
    if not isinstance(manifest, dict):
        raise ArtifactError("Its manifest is not a mapping.")
    found = manifest.get("format")
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise ArtifactError("Its manifest has no format number.")
    if found > FORMAT:
        raise ArtifactError(
            f"It has format {found}, newer than this library's {FORMAT}. Update treatsel to read it."
        )
    if not all(_NAME.fullmatch(name) for name in names):
        raise ArtifactError("It holds a member whose name is not allowed.")
    listed = manifest.get("members")
    if not isinstance(listed, dict) or set(listed) != names:
        raise ArtifactError("Its members are not those that the manifest lists.")
    if not all(isinstance(value, str) and _HASH.fullmatch(value) for value in listed.values()):
        raise ArtifactError("Its manifest lists a member without a hash.")
    return manifest


def array_bytes(array: np.ndarray) -> bytes:
    """Return an array as the bytes of a `.npy` file, little-endian."""
    array = np.ascontiguousarray(array)
    array = array.astype(array.dtype.newbyteorder("<")) if array.dtype.kind in "fi" else array
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version=(1, 0), allow_pickle=False)
    return stream.getvalue()


def array_of(name: str, data: bytes) -> np.ndarray:
    """Return a read-only array from the bytes of a `.npy` file; its size is checked before it is created.

    The header is matched against the only form that is allowed, and never evaluated.
    """
    if data[:8] != b"\x93NUMPY\x01\x00":
        raise ArtifactError(f"Member {name} is not an .npy file of version 1.0.")
    start = 10 + int.from_bytes(data[8:10], "little")
    header = _HEADER.fullmatch(data, 10, start)
    if header is None or start % 64:
        raise ArtifactError(f"Member {name} is not an array of type {', '.join(DTYPES)}, in C order.")
    dtype = np.dtype(header[1].decode())
    lengths = [*header[2].replace(b",", b" ").split(), *([header[3]] if header[3] else [])]
    shape, size = tuple(map(int, lengths)), dtype.itemsize
    for length in shape:
        size *= length
    if size != len(data) - start:
        raise ArtifactError(f"Member {name} does not match its header.")
    if dtype.kind == "b" and (np.frombuffer(data, np.uint8, offset=start) > 1).any():
        raise ArtifactError(f"Member {name} holds bytes that are neither true nor false.")
    return np.frombuffer(data, dtype=dtype, offset=start).reshape(shape)
