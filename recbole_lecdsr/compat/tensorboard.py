"""TensorBoard events: an aid that a run can do without, whose writer lets it fail the run."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tensorboard.summary.writer import event_file_writer
from torch.utils.tensorboard import SummaryWriter

from recbole_lecdsr.compat.patching import patch

logger = logging.getLogger(__name__)


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
