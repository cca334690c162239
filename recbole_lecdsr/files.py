"""Files written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # not on Windows, where remains of killed writers stay
    fcntl = None


@contextmanager
def write_whole(path: str | Path, mode: str = "w") -> Iterator[IO]:
    """Open a temporary file that takes the place of ``path`` when the block ends well.

    A crash at any moment, or an exception in the block, leaves the former file as it was. What a killed writer of the
    same path has left behind is removed.

    Args:
        path: the file to write; its folder must exist.
        mode: ``w`` (UTF-8) or ``wb``.
    """
    path = Path(path)
    _sweep(path)
    handle, name = _temporary(path)
    guard = os.dup(handle)  # keeps the lock until the file is in its place
    try:
        with os.fdopen(handle, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)  # as open() would have made it; mkstemp is private
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    finally:
        os.close(guard)


def _temporary(path: Path) -> tuple[int, str]:
    """An open temporary file beside ``path``, locked so that nobody takes it for the remains of a killed writer."""
    while True:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        if fcntl is None:
            return handle, name
        with contextlib.suppress(OSError):  # a file system without locks: nobody can sweep there either
            fcntl.flock(handle, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), os.stat(name)):
                return handle, name
        os.close(handle)  # swept in the moment before it was locked


def _sweep(path: Path) -> None:
    """Remove temporary files of ``path`` that no living process has locked."""
    if fcntl is None:
        return
    temporary = re.compile(rf"\.{re.escape(path.name)}\.[a-z0-9_]{{8}}\.tmp")
    for found in os.scandir(path.parent):
        if not temporary.fullmatch(found.name):
            continue
        with contextlib.suppress(OSError):  # locked, gone, or not ours to remove
            handle = os.open(found.path, os.O_RDWR)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(found.path)
            finally:
                os.close(handle)


def shipped(name: str) -> Path:
    """A folder that the plugin ships: inside the package when installed, beside it in a checkout."""
    inside = Path(__file__).parent / name
    return inside if inside.is_dir() else Path(__file__).parents[1] / name


def sidecar(path: Path) -> Path:
    """Where it is written down what a generated file was made of: ``<name>.json`` beside it."""
    return path.with_name(path.name + ".json")
