"""Log and TensorBoard events: aids that a run can do without, which RecBole lets fail the run."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import recbole.utils.logger
from recbole.config.configurator import Config
from tensorboard.summary.writer import event_file_writer
from torch.utils.tensorboard import SummaryWriter

from recbole_lecdsr.compat.patching import ModuleView, patch

logger = logging.getLogger(__name__)


class _LogFile(logging.FileHandler):
    """A log file that is given up, with a warning, where it cannot be written; its folder is made when it is opened."""

    def __init__(self, path: str):
        super().__init__(path, encoding="utf-8", delay=True)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
            super().emit(record)
        except OSError:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        logging.getLogger().removeHandler(self)
        logger.warning("the log file %s cannot be written (%s): the run goes on without it", self.baseFilename, error)


def init_logger(config: Config) -> None:
    """Start RecBole's log; a log file that cannot be written does not end the run.

    RecBole's fails in a read-only working directory, and prints a traceback for each line on a full disk. Remove when
    it does neither.
    """
    module = recbole.utils.logger
    stock = module.logging, module.ensure_dir
    module.logging, module.ensure_dir = ModuleView(logging, FileHandler=_LogFile), lambda folder: None
    try:
        module.init_logger(config)
    finally:
        module.logging, module.ensure_dir = stock


def tensorboard_threads() -> None:
    """TensorBoard's thread prints a traceback when the disk is full. Remove when it only hands the error on.

    It keeps the error, too, which the next call of the writer raises.
    """

    @patch(event_file_writer._AsyncWriterThread, "run")
    def run(stock: Callable, self: threading.Thread) -> None:
        with contextlib.suppress(OSError):
            stock(self)


class EventWriter:
    """TensorBoard events, which are given up, with a warning, where they cannot be written.

    torch's writer raises the error of the disk in the next call, whatever that is, and so ends the training. Remove
    when it does not.

    Args:
        folder: of the events.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._writer: SummaryWriter | None = None
        try:
            self._writer = SummaryWriter(str(folder))
        except OSError as error:
            self._give_up(error)

    def __getattr__(self, name: str) -> Any:
        """A method of torch's writer."""
        if name.startswith("_"):
            raise AttributeError(name)

        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return getattr(self._writer, name)(*args, **kwargs) if self._writer else None
            except OSError as error:
                self._give_up(error)

        return call

    def _give_up(self, error: OSError) -> None:
        self._writer = None
        logger.warning(
            "TensorBoard events cannot be written to %s (%s): the run goes on without them", self._folder, error
        )
