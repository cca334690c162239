"""The files of a run directory, each written whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import yaml

from recbole_lecdsr.errors import DiskError
from recbole_lecdsr.files import write_whole

LOG = "run.log"  # see `recbole_lecdsr.runs.run_log`
CONFIG = "config.yaml"  # all parameters of the run
RESULT = "result.json"  # `recbole_lecdsr.runs.result.RunResult`; present when the run has been tested
RANKS = "ranks.npz"  # `recbole_lecdsr.runs.ranks`
MODEL = "model.pth"  # `recbole_lecdsr.runs.checkpoint.Checkpoint`
_EVENTS = "events.out.tfevents.*"  # TensorBoard's, in the folder and in subfolders of its own

RUN_AGAIN = "delete the run and start it again"  # the remedy for a damaged result


def make_run_directory(folder: Path) -> None:
    """Make the run directory.

    Raises:
        DiskError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DiskError(
            f"{folder} cannot be made ({error}): make room or get permission there, or give another output_dir"
        ) from error


def remove_run_files(folder: Path) -> None:
    """Remove the files of a former run, the result first: without it, what is left is an unfinished run.

    Raises:
        DiskError: a file that cannot be removed.
    """
    try:
        for name in (RESULT, RANKS, MODEL, CONFIG):
            (folder / name).unlink(missing_ok=True)
        for events in folder.glob(_EVENTS):
            events.unlink()
        for events in folder.glob(f"*/{_EVENTS}"):
            events.unlink()
            with suppress(OSError):  # not empty yet
                events.parent.rmdir()
    except OSError as error:
        raise DiskError(f"{error.filename} of a former run cannot be removed ({error.strerror}): remove it") from None


@contextmanager
def write_run_file(path: Path, mode: str = "w") -> Iterator[IO]:
    """Open a file of a run directory for writing; a crash leaves the former file as it was.

    Args:
        path: the file.
        mode: ``w`` (UTF-8) or ``wb``.

    Raises:
        DiskError: the disk is full, or the folder cannot be written to.
    """
    try:
        with write_whole(path, mode) as file:
            yield file
    except (OSError, RuntimeError) as error:
        reason = error if isinstance(error, OSError) else error.__context__  # torch raises a RuntimeError of its own
        if not isinstance(reason, OSError):
            raise
        raise DiskError(
            f"{path} cannot be written ({reason}): make room or get permission there, then resume with "
            "--resume=True, or give another output_dir"
        ) from error


def write_config(folder: Path, parameters: Mapping[str, object]) -> None:
    """Write all parameters of the run as a property file.

    Raises:
        DiskError: the file cannot be written.
    """
    with write_run_file(folder / CONFIG) as file:
        yaml.safe_dump(dict(parameters), file, sort_keys=True, allow_unicode=True)
