"""The log of a run: on standard error, and in the file run.log of its run directory."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
from logging.handlers import MemoryHandler
from pathlib import Path

import colorlog
from recbole.utils.logger import log_colors_config

from recbole_lecdsr.errors import DiskError

logger = logging.getLogger(__name__)

_PLUGIN = "recbole_lecdsr"  # start of the names of the handlers
_FORM = "%(asctime)-15s %(levelname)s  %(message)s"
_COLOR = re.compile(r"\x1b\[[0-9;]*m")
_CAPACITY = 10_000  # records that wait for the run directory


class _PlainFormatter(logging.Formatter):
    """Without colours, which RecBole and the trainer put into messages and their arguments."""

    def format(self, record: logging.LogRecord) -> str:
        """The text of a record."""
        return _COLOR.sub("", super().format(record))


class _RunLogFile(logging.FileHandler):
    """A log file that gives up with one warning where it cannot be written, as on a full disk."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Called where a record could not be written."""
        logging.getLogger().removeHandler(self)
        logger.warning("%s cannot be written (%s): the log ends there", self.baseFilename, sys.exc_info()[1])
        with contextlib.suppress(OSError):
            self.close()


def start_log(level: str) -> None:
    """Log to standard error in RecBole's form, and keep the records for `write_log_to`; a former log ends.

    A program that has set up logging by itself keeps its own handlers and level.

    Args:
        level: such as ``INFO``.
    """
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if (handler.get_name() or "").startswith(_PLUGIN):
            root.removeHandler(handler)
            with contextlib.suppress(OSError):  # a full disk
                handler.close()
    if not root.handlers:
        console = logging.StreamHandler()
        console.set_name(f"{_PLUGIN} console")
        if sys.stderr.isatty():
            form = f"%(log_color)s{_FORM}"
            console.setFormatter(colorlog.ColoredFormatter(form, "%d %b %H:%M", log_colors=log_colors_config))
        else:
            console.setFormatter(_PlainFormatter(_FORM, "%d %b %H:%M"))
        root.addHandler(console)
        root.setLevel(level.upper())
    # Without a target, a full buffer keeps its records.
    buffer = MemoryHandler(_CAPACITY, flushLevel=logging.CRITICAL + 1)
    buffer.set_name(f"{_PLUGIN} buffer")
    root.addHandler(buffer)


def write_log_to(path: Path, *, append: bool) -> None:
    """Write the log since `start_log`, and all that follows, into a file.

    Args:
        path: the file.
        append: keep what is in it, for a run that is resumed.

    Raises:
        DiskError: the file cannot be written.
    """
    root = logging.getLogger()
    buffer = next((handler for handler in root.handlers if handler.get_name() == f"{_PLUGIN} buffer"), None)
    if not isinstance(buffer, MemoryHandler):
        return  # of a program that makes trainers by itself
    try:
        file = _RunLogFile(path, mode="a" if append else "w", encoding="utf-8")
    except OSError as error:
        reason = error.strerror or error
        raise DiskError(
            f"{path} cannot be written ({reason}): make room or get permission there, or give another output_dir"
        ) from None
    file.set_name(f"{_PLUGIN} file")
    file.setFormatter(_PlainFormatter(_FORM, "%a %d %b %Y %H:%M:%S"))
    root.removeHandler(buffer)
    root.addHandler(file)
    buffer.setTarget(file)
    buffer.close()  # hands the records over
