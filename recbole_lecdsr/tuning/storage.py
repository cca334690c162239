"""The storage of a search, and whether a process that took part in it is still alive."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import psutil
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from recbole_lecdsr.errors import UserError

JOURNAL = "journal.log"
_SQLITE_TIMEOUT_SECONDS = 60  # to wait for another process that writes
_CLOCK_TOLERANCE_SECONDS = 60


def open_storage(url: str | None, folder: Path) -> BaseStorage:
    """Optuna's storage at a URL, or a journal in the folder; several processes may share either.

    Raises:
        UserError: a URL that cannot be opened.
    """
    if url is None:
        return JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
    try:
        options = {"connect_args": {"timeout": _SQLITE_TIMEOUT_SECONDS}} if url.startswith("sqlite") else None
        return RDBStorage(url, engine_kwargs=options)
    except Exception as error:  # SQLAlchemy's, the driver's, or a module that is missing
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(
            f"--storage {url} cannot be opened ({reason}): give a URL such as sqlite:///tune.db, or leave it out"
        ) from None


def process_identity() -> str:
    """Host, process id and start time of this process, which no other process shares."""
    return f"{socket.gethostname()} {os.getpid()} {psutil.Process().create_time()}"


def has_ended(process: str | None) -> bool:
    """Whether a process, by its `process_identity`, ran on this machine and has ended; False where that is unknown."""
    if process is None:
        return False
    host, pid, start = process.split()
    if host != socket.gethostname():
        return False
    try:
        # The start time depends on the clock, which may have been adjusted since; process ids are not reused so soon.
        return abs(psutil.Process(int(pid)).create_time() - float(start)) > _CLOCK_TOLERANCE_SECONDS
    except psutil.NoSuchProcess:
        return True
