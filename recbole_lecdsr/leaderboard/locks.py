"""Locks by which processes, and machines with a common file system, share a study."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from recbole_lecdsr.files import report_disk_errors

LOCK_FILE = ".lock"


def _open_lock(folder: Path) -> IO[str]:
    with report_disk_errors(folder, "make room or get permission there, or give another --study"):
        folder.mkdir(parents=True, exist_ok=True)
        return (folder / LOCK_FILE).open("w")


@contextmanager
def try_lock(folder: Path) -> Iterator[bool]:
    """Lock a folder against other processes and machines; yields False if another one holds the lock.

    The folder is made if it does not exist. The lock ends with the block, or with the process, however it ends.

    Raises:
        UserError: the folder cannot be made or written to.
    """
    with _open_lock(folder) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


@contextmanager
def wait_for_lock(folder: Path) -> Iterator[None]:
    """Lock a folder as `try_lock` does, after waiting until no other process holds the lock.

    Raises:
        UserError: the folder cannot be made or written to.
    """
    with _open_lock(folder) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
