"""Where a study is kept, and which of its processes are alive."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import psutil
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from recbole_lecdsr.errors import UserError

JOURNAL = "journal.log"
_CLOCK_CHANGE = 60  # seconds


def open_storage(url: str | None, folder: Path) -> BaseStorage:
    """Optuna's storage of a URL, or a journal in the folder; several processes may share either.

    Raises:
        UserError: a URL that cannot be opened.
    """
    if url is None:
        return JournalStorage(JournalFileBackend(str(folder / JOURNAL)))
    try:
        # SQLite waits this long for another process that writes.
        waiting = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else None
        return RDBStorage(url, engine_kwargs=waiting)
    except Exception as error:  # SQLAlchemy's, the driver's, or a module that is missing
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(
            f"--storage {url} cannot be opened ({reason}): give a URL such as sqlite:///tune.db, or leave it out"
        ) from None


def this_process() -> str:
    """Host, number and start of this process, which together no other has."""
    return f"{socket.gethostname()} {os.getpid()} {psutil.Process().create_time()}"


def is_dead(process: str | None) -> bool:
    """Did the process (host, pid, start) run on this machine, and does it no more?"""
    if process is None:
        return False
    host, pid, start = process.split()
    if host != socket.gethostname():
        return False
    try:
        # Starts are told by the clock, which may have been set since; a number does not come back so soon.
        return abs(psutil.Process(int(pid)).create_time() - float(start)) > _CLOCK_CHANGE
    except psutil.NoSuchProcess:
        return True
