"""A sealed zip of JSON and `.npy` arrays: written byte for byte alike, read without trust.

Sizes are bounded before memory is taken, nothing is unpickled or executed, no path leaves the archive,
and every byte is covered: the zip comment is the SHA-256 of all bytes before it. The seal guards against
damage, not against a forger.
"""

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from treatsel.errors import ArtifactError

MANIFEST = "manifest.json"
MAX_FILE = 256 * 2**20
MAX_MEMBER = 128 * 2**20
MAX_TOTAL = 512 * 2**20
MAX_MANIFEST = 8 * 2**20
MAX_MEMBERS = 4096
MAX_RATIO = 1100  # deflate cannot compress better than about 1,030 to 1
DTYPES = ("<f8", "<f4", "<i4", "|b1")
_NAME = re.compile(r"[a-z0-9_]+(/[a-z0-9_]+)*\.npy")
_EPOCH = (1980, 1, 1, 0, 0, 0)
_SEAL = 64


def write(path: Path, manifest: bytes, arrays: Mapping[str, bytes]) -> None:
    """Write the archive under a temporary name, then rename it: never half a file."""
    sizes = [len(content) for content in arrays.values()]
    if max(sizes, default=0) > MAX_MEMBER or sum(sizes) > MAX_TOTAL or len(manifest) > MAX_MANIFEST:
        raise ArtifactError(f"The model is too large for a file: one array has {max(sizes):,} bytes.")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in [(MANIFEST, manifest), *sorted(arrays.items())]:
            entry = zipfile.ZipInfo(name, date_time=_EPOCH)
            entry.compress_type, entry.create_system = zipfile.ZIP_DEFLATED, 3
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, compresslevel=6)
        archive.comment = b"0" * _SEAL
    body = stream.getvalue()[:-_SEAL]
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_bytes(body + hashlib.sha256(body).hexdigest().encode())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ArtifactError(f"Cannot write {path}: {error.strerror}.") from error


def read(path: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the manifest and the bytes of all arrays, hashes checked."""
    try:
        size = path.stat().st_size
        if size > MAX_FILE:
            raise ArtifactError(f"It has {size:,} bytes; a model file has at most {MAX_FILE:,}.")
        content = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"It cannot be read ({error.strerror}).") from error
    if not content.startswith(b"PK"):
        raise ArtifactError("It is no treatsel model: not a zip archive.")
    if hashlib.sha256(content[:-_SEAL]).hexdigest().encode() != content[-_SEAL:]:
        raise ArtifactError("Its seal is broken: the file is truncated, changed, or not from treatsel.")
    end = content[-_SEAL - 22 : -_SEAL]  # the end record: its entry count, before anything is parsed
    if end[:4] != b"PK\x05\x06" or int.from_bytes(end[10:12], "little") > MAX_MEMBERS:
        raise ArtifactError("Its zip directory is not where it must be, or has too many members.")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = _checked_directory(archive)
        members = {entry.filename: archive.read(entry) for entry in entries}
    manifest = json.loads(members.pop(MANIFEST))
    if not isinstance(manifest, dict) or not isinstance(manifest.get("members"), dict):
        raise ArtifactError("Its manifest is not a mapping with members.")
    if set(manifest["members"]) != set(members):
        raise ArtifactError("Its members are not those that the manifest lists.")
    for name, data in members.items():
        if hashlib.sha256(data).hexdigest() != manifest["members"][name]:
            raise ArtifactError(f"The hash of member {name} differs from the manifest.")
    return manifest, members


def _checked_directory(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    if len(entries) > MAX_MEMBERS or len(set(names)) < len(names) or MANIFEST not in names:
        raise ArtifactError("Its zip directory has no manifest, too many members, or one name twice.")
    for entry in entries:
        if entry.filename != MANIFEST and not _NAME.fullmatch(entry.filename):
            raise ArtifactError("It holds a member whose name is not allowed.")
        if entry.flag_bits & 0x1 or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ArtifactError(f"Member {entry.filename} is encrypted or compressed in an unknown way.")
        limit = MAX_MANIFEST if entry.filename == MANIFEST else MAX_MEMBER
        if entry.file_size > min(limit, MAX_RATIO * max(entry.compress_size, 1)):
            raise ArtifactError(f"Member {entry.filename} claims {entry.file_size:,} bytes: too large.")
    if sum(entry.file_size for entry in entries) > MAX_TOTAL:
        raise ArtifactError(f"Its members claim more than {MAX_TOTAL:,} bytes in total.")
    return entries


def array_bytes(array: np.ndarray) -> bytes:
    """Return an array as the bytes of a `.npy` file, little-endian."""
    array = np.ascontiguousarray(array)
    array = array.astype(array.dtype.newbyteorder("<")) if array.dtype.kind in "fi" else array
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, version=(1, 0), allow_pickle=False)
    return stream.getvalue()


def array_of(name: str, data: bytes) -> np.ndarray:
    """Return a read-only array of the bytes of a `.npy` file; its size is checked before it is made."""
    stream = io.BytesIO(data)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ArtifactError(f"Member {name} is no .npy file of version 1.0.")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream, max_header_size=1024)
    if dtype.str not in DTYPES or fortran:
        raise ArtifactError(f"Member {name} holds {dtype.str}; allowed: {', '.join(DTYPES)}, C order.")
    size = dtype.itemsize
    for length in shape:
        if length < 0:
            raise ArtifactError(f"Member {name} has a negative length.")
        size *= int(length)
    if size != len(data) - stream.tell():
        raise ArtifactError(f"Member {name} does not hold what its header says.")
    array = np.frombuffer(data, dtype=dtype, offset=stream.tell()).reshape(shape)
    if dtype.kind == "b" and (np.frombuffer(data, np.uint8, offset=stream.tell()) > 1).any():
        raise ArtifactError(f"Member {name} holds bytes that are neither true nor false.")
    return array
