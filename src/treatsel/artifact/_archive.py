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
from treatsel.errors import ArtifactError

FORMAT = 1
MANIFEST = "manifest.json"
SIGNATURE = "signature.ed25519"
MAX_FILE = 256 * 2**20
MAX_MEMBER = 128 * 2**20
MAX_TOTAL = 512 * 2**20
MAX_MANIFEST = 8 * 2**20
MAX_SIGNATURE = 1024
MAX_MEMBERS = 4096
MAX_DIRECTORY = 2**20
MAX_RATIO = 1100  # deflate cannot compress better than about 1,030 to 1
DTYPES = ("<f8", "<f4", "<i4", "|b1")
_NAME = re.compile(r"[a-z0-9_]+(/[a-z0-9_]+)*\.npy")
_HASH = re.compile("[0-9a-f]{64}")
_HEADER = re.compile(
    rb"\{'descr': '(<f8|<f4|<i4|\|b1)', 'fortran_order': False, 'shape': \(((?:[0-9]{1,20}, ?){0,3})"
    rb"([0-9]{1,20})?\), \} *\n"
)
_EPOCH = (1980, 1, 1, 0, 0, 0)
_SEAL, _END = 64, 22  # bytes of the seal, and of the zip's end record before it


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
    try:
        write_bytes(path, body + hashlib.sha256(body).hexdigest().encode())
    except OSError as error:
        raise ArtifactError(f"Cannot write {path}: {error.strerror}.") from error


def read(path: Path) -> Contents:
    """Return the members of a file; check size, seal, directory, manifest, format, names, hashes in order."""
    content = _read_bytes(path)
    if not content.startswith(b"PK"):
        raise ArtifactError("It is not a treatsel model: not a zip archive.")
    if hashlib.sha256(content[:-_SEAL]).hexdigest().encode() != content[-_SEAL:]:
        raise ArtifactError("Its seal is broken: the file is truncated, changed, or not from treatsel.")
    _check_end(content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        sizes = _checked_directory(archive, len(content))
        text = _unpacked(archive, MANIFEST)
        manifest = _checked_manifest(text, set(sizes) - {MANIFEST, SIGNATURE})
        signature = _unpacked(archive, SIGNATURE) if SIGNATURE in sizes else None
        arrays = {name: _unpacked(archive, name) for name in manifest["members"]}
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


def _check_end(content: bytes) -> None:
    """Check the end record, with the position and the size of the directory, before anything is parsed."""
    place = len(content) - _SEAL - _END
    end = content[max(place, 0) : place + _END]
    bounds = ((10, 12), (12, 16), (16, 20), (20, 22))
    members, size, start, comment = (int.from_bytes(end[a:b], "little") for a, b in bounds)
    wide = content[max(place - 20, 0) :][:4] == b"PK\x06\x07"  # these checks do not bound a zip64 directory
    if end[:4] != b"PK\x05\x06" or wide or start + size != place or comment != _SEAL:
        raise ArtifactError("Its zip directory is not in the expected place.")
    if members > MAX_MEMBERS or size > MAX_DIRECTORY:
        raise ArtifactError("Its zip directory has too many members.")


def _checked_directory(archive: zipfile.ZipFile, n_bytes: int) -> dict[str, int]:
    entries = archive.infolist()
    sizes = {entry.filename: entry.file_size for entry in entries}
    if len(entries) > MAX_MEMBERS or len(sizes) < len(entries) or MANIFEST not in sizes:
        raise ArtifactError("Its zip directory has no manifest, too many members, or a duplicate name.")
    limits = {MANIFEST: MAX_MANIFEST, SIGNATURE: MAX_SIGNATURE}
    for entry in entries:
        if entry.flag_bits & 0x1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ArtifactError("It holds a member that is encrypted, or compressed by an unknown method.")
        limit = limits.get(entry.filename, MAX_MEMBER)
        if entry.file_size > min(limit, MAX_RATIO * max(entry.compress_size, 1)):
            raise ArtifactError(f"It holds a member that claims {entry.file_size:,} bytes: too large.")
        if entry.compress_size > entry.file_size + entry.file_size // 1000 + 64:  # longer than uncompressed
            raise ArtifactError(
                f"It holds a member that claims fewer bytes than it has: {entry.file_size:,}."
            )
    if sum(sizes.values()) > MAX_TOTAL:
        raise ArtifactError(f"Its members claim more than {MAX_TOTAL:,} bytes in total.")
    if sum(entry.compress_size for entry in entries) > n_bytes:
        raise ArtifactError("Its members claim more bytes than the file has.")
    return sizes


def _unpacked(archive: zipfile.ZipFile, name: str) -> bytes:
    """Return a member, without unpacking more than its stated size (which ``ZipFile.read`` does)."""
    size = archive.getinfo(name).file_size
    with archive.open(name) as stream:
        data = stream.read(size + 1)
    if len(data) != size:
        raise ArtifactError(f"It holds a member that claims {size:,} bytes, but has {len(data):,}.")
    return data


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
