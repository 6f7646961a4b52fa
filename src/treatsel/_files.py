"""Reading and writing of files: what is written is whole or absent, and what is read is bounded.

Every file that leaves the library is written here: under a unique temporary name in its own folder, then
renamed. A full disk, an exception or the end of the process therefore leaves the older file as it was, and
two processes that write to one name each leave a whole file. A pipe or a device, which cannot be replaced,
receives its content directly.
"""

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EACCES, EEXIST, EFBIG, EINVAL, ENOTSUP
from pathlib import Path
from typing import BinaryIO

_MOST_LINKS = 40  # as many as Linux follows
_SHOWN = 40  # characters of the name in that of the temporary file: at most 160 of the 255 bytes


def is_stream(path: str | Path) -> bool:
    """Whether a path can be read only once: a pipe or a device."""
    found = _status(Path(path))
    if found is None or stat.S_ISDIR(found.st_mode):
        return False
    # elsewhere than on Linux, opening a descriptor such as /dev/stdin goes on where the last reader stopped
    return not stat.S_ISREG(found.st_mode) or (
        sys.platform != "linux" and _descriptor(Path(path)) is not None
    )


def is_direct(path: str | Path) -> bool:
    """Whether a path is written directly, because it cannot be replaced: a pipe, a device, a descriptor."""
    return is_stream(path) or _descriptor(Path(path)) is not None


def is_private(folder: str | Path) -> bool:
    """Whether nobody but this user and root can change what a folder holds, or put another in its place."""
    folder = Path(folder).resolve()
    for each in (folder, *folder.parents):
        found = each.stat()
        is_open = bool(found.st_mode & (stat.S_IWGRP | stat.S_IWOTH))
        if each != folder and found.st_mode & stat.S_ISVTX:  # as in /tmp, only the owner may rename
            is_open = False
        if is_open or found.st_uid not in (0, os.getuid()):
            return False
    return True


def read_bytes(path: str | Path, *, most: int) -> bytes:
    """Return the content of a file or a pipe of at most `most` bytes.

    Raises
    ------
    OSError
        If the file cannot be read, is larger, or is a device other than a terminal, which may never end.
    """
    with Path(path).open("rb") as stream:
        kind = os.fstat(stream.fileno()).st_mode
        if (stat.S_ISCHR(kind) or stat.S_ISBLK(kind)) and not stream.isatty():
            raise OSError(EINVAL, "it is a device, not a file", str(path))
        content = stream.read(most + 1)
    if len(content) > most:
        raise OSError(EFBIG, f"it has more than {most:,} bytes", str(path))
    return content


def read_text(path: str | Path, *, most: int = 64 * 2**20) -> str:
    """Return the text of a file or a pipe in UTF-8, with or without a byte-order mark, as `read_bytes`."""
    return read_bytes(path, most=most).decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file that is whole or absent."""
    with whole_file(path) as stream:
        stream.write(content)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file in UTF-8 that is whole or absent."""
    write_bytes(path, text.encode())


@contextmanager
def whole_file(path: str | Path, *, new: bool = False, mode: int = 0o666) -> Iterator[BinaryIO]:
    """Open a file for writing that appears under its name only when it is complete.

    Parameters
    ----------
    path : path
        Where to write. The target of a symbolic link is replaced, not the link. A pipe, a device and an open
        descriptor such as ``/dev/stdout`` receive the content directly.
    new : bool
        Whether a file of this name must not exist yet.
    mode : int
        Permissions of a new file, before the umask; an existing one keeps its permissions.

    Yields
    ------
    binary stream

    Raises
    ------
    OSError
        If the file cannot be written; its ``filename`` is `path`.
    """
    path = Path(path)
    try:
        if new and os.path.lexists(path):  # also a link that leads nowhere, or to where a key must not go
            raise FileExistsError(EEXIST, os.strerror(EEXIST), str(path))
        found = _status(path)
        if (descriptor := _descriptor(path)) is not None:
            with _own_descriptor(descriptor) as stream:
                yield stream
        elif found is not None and not stat.S_ISREG(found.st_mode):
            with path.open("wb") as stream:
                yield stream
        else:
            with _temporary(Path(os.path.realpath(path)), found, new, mode) as stream:
                yield stream
    except OSError as error:
        if error.filename is None or str(error.filename).endswith(".part"):
            error.filename, error.filename2 = str(path), None
        raise


@contextmanager
def _temporary(target: Path, found: os.stat_result | None, new: bool, mode: int) -> Iterator[BinaryIO]:
    """Open a unique file beside the target, which replaces it at the end and is removed after an error."""
    if found is not None and not os.access(target, os.W_OK):  # renaming would replace a protected file
        raise PermissionError(EACCES, os.strerror(EACCES), str(target))
    part = target.with_name(f".{target.name[:_SHOWN]}.{os.urandom(8).hex()}.part")
    process = os.getpid()
    try:
        # O_EXCL follows no link; until the mode is that of the target, only the owner may read
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode if found is None else 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            if found is not None:
                _keep_access(part, found)
            yield stream
            stream.flush()
            _sync(stream.fileno())
        if new:
            _rename_new(part, target)
        else:
            part.replace(target)
        _sync_folder(target.parent)
    finally:
        if os.getpid() == process:  # a forked child does not remove the file of its parent
            with suppress(OSError):
                part.unlink()


def _rename_new(part: Path, target: Path) -> None:
    """Rename, or raise `FileExistsError` if the name exists by now, where a rename would replace the file."""
    try:
        os.link(part, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        part.replace(target)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None
    except ValueError as error:  # a zero byte in the name
        raise OSError(EINVAL, os.strerror(EINVAL), str(path)) from error


def _keep_access(part: Path, found: os.stat_result) -> None:
    """Give a file the owner, group and permissions of the file that it will replace."""
    if (part.stat().st_uid, part.stat().st_gid) != (found.st_uid, found.st_gid):
        with suppress(OSError):  # only root may give a file to another user
            os.chown(part, found.st_uid, found.st_gid)
    part.chmod(stat.S_IMODE(found.st_mode) & 0o777)


def _sync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (EINVAL, ENOTSUP):  # some file systems do not support it
            raise


def _sync_folder(folder: Path) -> None:
    """Make the new name outlast a power failure, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _descriptor(path: Path) -> int | None:
    """Return the number of the open descriptor that a path such as ``/dev/stdout`` leads to."""
    own = {"/dev/fd", f"/proc/{os.getpid()}/fd"}
    here = os.path.abspath(path)
    for _ in range(_MOST_LINKS):
        folder, name = os.path.split(here)
        if name.isdecimal() and os.path.realpath(folder) in own:
            return int(name)
        try:
            here = os.path.abspath(os.path.join(folder, os.readlink(here)))
        except OSError:  # not a link
            return None
    return None


@contextmanager
def _own_descriptor(descriptor: int) -> Iterator[BinaryIO]:
    """Open a duplicate: opening the name would truncate a file to which the shell has redirected output."""
    if sys.stdout is not None:
        sys.stdout.flush()
    with os.fdopen(os.dup(descriptor), "wb") as stream:
        yield stream
