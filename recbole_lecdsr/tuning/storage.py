"""The storage of a search, and whether a process that took part in it is still alive."""

from __future__ import annotations

import fcntl
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import psutil
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from recbole_lecdsr.errors import UserError

JOURNAL = "journal.log"
_SQLITE_TIMEOUT_SECONDS = 60  # to wait for another process that writes
_CLOCK_TOLERANCE_SECONDS = 60
_PROCESS = re.compile(r"(\S+) (\d{1,9}) (\d+(?:\.\d+)?)")  # `process_identity`


def open_storage(url: str | None, folder: Path) -> BaseStorage:
    """Optuna's storage at a URL, or a journal in the folder; several processes may share either.

    Raises:
        UserError: a URL that cannot be opened.
    """
    if url is None:
        path = folder / JOURNAL
        return JournalStorage(_Journal(path))
    try:
        options = {"connect_args": {"timeout": _SQLITE_TIMEOUT_SECONDS}} if url.startswith("sqlite") else None
        return RDBStorage(url, engine_kwargs=options)
    except Exception as error:  # SQLAlchemy's, the driver's, or a module that is missing
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(
            f"--storage {url} cannot be opened ({reason}): give a URL such as sqlite:///tune.db, or leave it out"
        ) from None


class _Journal(JournalFileBackend):
    """Optuna's journal with a `_JournalLock`, whose errors name the file."""

    def __init__(self, path: Path):
        super().__init__(str(path), cast(Any, _JournalLock(path)))
        self._path = path

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append, as Optuna does."""
        try:
            super().append_logs(logs)
        except OSError as error:
            error.filename = error.filename or str(self._path)
            raise


class _JournalLock:
    """Optuna's interface of a lock, for a lock that ends with its process, however that ends.

    A process that is killed would leave Optuna's own behind, for which others wait half a minute. Whoever gets the lock
    removes an incomplete last line, which a crash or a full disk leaves; otherwise the next one would be appended to it
    and the journal could not be read again.

    Args:
        journal: the file, made if it does not exist.
    """

    def __init__(self, journal: Path):
        self._journal = journal
        self._handle = -1

    def acquire(self) -> bool:
        """Wait for the lock."""
        handle = os.open(self._journal, os.O_RDWR | os.O_CREAT, 0o666)
        fcntl.flock(handle, fcntl.LOCK_EX)
        self._handle = handle
        size = os.fstat(handle).st_size
        if size and os.pread(handle, 1, size - 1) != b"\n":
            os.ftruncate(handle, self._journal.read_bytes().rfind(b"\n") + 1)
        return True

    def release(self) -> None:
        """Give the lock up."""
        os.close(self._handle)


@contextmanager
def report_damaged_records(url: str | None, folder: Path) -> Iterator[None]:
    """Turn the errors of Optuna on records that it cannot read into an error of the user.

    Args:
        url, folder: as of `open_storage`.

    Raises:
        UserError: a damaged journal or data base.
    """
    try:
        yield
    except (UserError, OSError):
        raise
    except Exception as error:  # of the JSON, of missing keys, of SQLAlchemy: Optuna checks nothing
        reason = (str(error) or type(error).__name__).splitlines()[0]
        place, remedy = (folder / JOURNAL, "delete it") if url is None else (url, "restore it")
        raise UserError(
            f"the records of the search in {place} cannot be used ({type(error).__name__}: {reason}): {remedy}, or "
            "start another search with --name"
        ) from None


def process_identity() -> str:
    """Host, process id and start time of this process, which no other process shares."""
    return f"{socket.gethostname()} {os.getpid()} {psutil.Process().create_time()}"


def has_ended(process: str | None) -> bool:
    """Whether a process, by its `process_identity`, ran on this machine and has ended; False where that is unknown."""
    match = _PROCESS.fullmatch(process) if isinstance(process, str) else None
    if match is None or match[1] != socket.gethostname():
        return False
    _, pid, start = match.groups()
    try:
        # The start time depends on the clock, which may have been adjusted since; process ids are not reused so soon.
        return abs(psutil.Process(int(pid)).create_time() - float(start)) > _CLOCK_TOLERANCE_SECONDS
    except psutil.NoSuchProcess:
        return True
