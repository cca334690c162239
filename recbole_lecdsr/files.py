"""Atomic writing of files, errors and cells of written files, and the files that the plugin ships."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeGuard

from recbole_lecdsr.errors import DiskError

try:
    import fcntl
except ImportError:  # on Windows, where temporary files of killed writers stay
    fcntl = None  # type: ignore[assignment]  # Windows has none


@contextmanager
def write_whole(path: str | Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a temporary file that replaces ``path`` when the block ends without an exception.

    A crash at any moment, or an exception in the block, leaves the previous file unchanged. Temporary files that killed
    writers of the same path left behind are removed.

    Args:
        path: the file to write; its folder must exist.
        mode: ``w`` (UTF-8) or ``wb``.

    Example:
        >>> folder = Path(tempfile.mkdtemp())
        >>> with write_whole(folder / "numbers.txt") as file:
        ...     _ = file.write("1 2 3")
        >>> (folder / "numbers.txt").read_text()
        '1 2 3'
    """
    path = Path(path)
    _remove_abandoned(path)
    handle, name = _make_temporary(path)
    guard = os.dup(handle)  # holds the lock until the file has been renamed
    try:
        with os.fdopen(handle, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)  # the permissions of open(); those of mkstemp are for the owner only
        os.replace(name, path)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        if is_disk_error(error) and error.filename in (None, name):
            error.filename = str(path)  # which those who report the error show
        raise
    finally:
        os.close(guard)


_DISK_ERRORS = frozenset({
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO,
})  # fmt: skip


def is_disk_error(error: BaseException | None) -> TypeGuard[OSError]:
    """Whether an error says that a disk is full, read-only or broken, or that permission is missing."""
    return isinstance(error, OSError) and error.errno in _DISK_ERRORS


def describe_disk_error(error: OSError) -> str:
    """One line for the user: the file, what is wrong with it, and what to do.

    Example:
        >>> describe_disk_error(OSError(errno.ENOSPC, "No space left on device", "runs/model.pth"))
        'runs/model.pth cannot be written (No space left on device): make room or get permission there, then run the \
command again'
    """
    return (
        f"{error.filename or 'a file'} cannot be written ({error.strerror or error}): make room or get permission "
        "there, then run the command again"
    )


def _make_temporary(path: Path) -> tuple[int, str]:
    """Open a temporary file in the folder of ``path``, locked so that no other writer removes it as abandoned."""
    while True:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        if fcntl is None:
            return handle, name
        with contextlib.suppress(OSError):  # a file system without locks, where nothing is removed either
            fcntl.flock(handle, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), os.stat(name)):
                return handle, name
        os.close(handle)  # another writer removed it before it was locked


def _remove_abandoned(path: Path) -> None:
    """Remove temporary files of ``path`` that no running process has locked."""
    if fcntl is None:
        return
    temporary = re.compile(rf"\.{re.escape(path.name)}\.[a-z0-9_]{{8}}\.tmp")
    for found in os.scandir(path.parent):
        if not temporary.fullmatch(found.name):
            continue
        with contextlib.suppress(OSError):  # locked, already removed, or owned by another user
            handle = os.open(found.path, os.O_RDWR)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(found.path)
            finally:
                os.close(handle)


@contextmanager
def report_disk_errors(place: object, remedy: str = "make room or get permission there") -> Iterator[None]:
    """Turn errors of the file system while something is written into an error of the user.

    Args:
        place: the file or folder that is written.
        remedy: what to do.

    Raises:
        DiskError: a full or read-only disk, or another error of the file system.
    """
    try:
        yield
    except OSError as error:
        raise DiskError(f"{place} cannot be written ({error.strerror or error}): {remedy}") from error


# A text that a spreadsheet takes for a formula, unless it is a number.
_FORMULA = re.compile(r"(?![-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?\Z)[=+\-@\t\r]")


def csv_text(text: str) -> str:
    """A text for a cell of a CSV file, with an apostrophe before what a spreadsheet would run as a formula.

    >>> csv_text("=1+1"), csv_text("-5"), csv_text("tea")
    ("'=1+1", '-5', 'tea')
    """
    return f"'{text}" if _FORMULA.match(text) else text


def shipped(name: str) -> Path:
    """A folder shipped with the plugin: inside the package when installed, next to it in a checkout.

    Args:
        name: ``properties`` or ``dataset``.
    """
    inside = Path(__file__).parent / name
    return inside if inside.is_dir() else Path(__file__).parents[1] / name


def sidecar(path: Path) -> Path:
    """The file that records how a generated file was made: ``<name>.json`` in the same folder.

    Example:
        >>> sidecar(Path("dataset/shop/shop.useremb")).name
        'shop.useremb.json'
    """
    return path.with_name(path.name + ".json")
