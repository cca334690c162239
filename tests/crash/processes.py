"""Runs the command line in forked children of a process that has imported everything.

Importing torch and the frameworks takes longer than a small job. A child starts where the imports have ended, in its
own folder, with standard output and error in files.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.crash.effects import KillPoint, trace

TIMEOUT_SECONDS = 120.0
HUNG = "hung"


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Attributes:
        status: exit status; the negative number of the signal that ended it.
        seconds: it took.
        stdout, stderr: what it printed.
        events: what it did to files, as `tests.crash.effects.trace` reports it; empty if it was not traced.
    """

    status: int
    seconds: float
    stdout: str
    stderr: str
    events: tuple[str, ...] = ()

    @property
    def killed(self) -> bool:
        """Whether SIGKILL ended it."""
        return self.status == -signal.SIGKILL


def import_everything() -> None:
    """Import what the commands import, and check that no thread was started, which a fork would lose."""
    import plotly.graph_objects  # noqa: F401
    import pyarrow.csv
    import pyarrow.parquet  # noqa: F401
    import torch._dynamo
    import torch.distributed.fsdp
    import torch.utils.tensorboard  # noqa: F401
    from openai import AsyncOpenAI  # noqa: F401

    import recbole_lecdsr

    for module in pkgutil.walk_packages(recbole_lecdsr.__path__, "recbole_lecdsr."):
        if not module.name.endswith("__main__") and ".amazon" not in module.name:  # it imports Polars: threads
            importlib.import_module(module.name)
    tasks = [task for task in Path("/proc/self/task").iterdir() if task.name != str(os.getpid())]
    threads = {(task / "comm").read_text().strip() for task in tasks}
    if others := threads - {"jemalloc_bg_thd"}:  # jemalloc starts its own again in a child
        raise SystemExit(f"threads run after the imports: {', '.join(sorted(others))}; set OMP_NUM_THREADS=1")


def call(function: Callable[[], None]) -> None:
    """Call a function in a child.

    Raises:
        RuntimeError: it has raised an exception, which the child has printed.
    """
    child = os.fork()
    if not child:
        status = 1
        try:
            function()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    if os.waitpid(child, 0)[1]:
        raise RuntimeError(f"{function} failed")


def run(
    arguments: Sequence[str],
    folder: Path,
    *,
    environment: Mapping[str, str] | None = None,
    traced: bool = False,
    kill: KillPoint | None = None,
    kill_after: float | None = None,
    before: Callable[[], None] | None = None,
    largest_file: int | None = None,
) -> Ended:
    """Run ``run_lecdsr.py`` with arguments in a folder.

    Args:
        arguments: of the command line.
        folder: working folder, whose files are traced; ``<folder>.out`` and others beside it hold what is printed.
        environment: further environment variables.
        traced: report the events.
        kill: when the process kills itself.
        kill_after: seconds after which it is killed.
        before: called in the process first.
        largest_file: bytes beyond which no file can grow.
    """
    places = {name: folder.with_name(f"{folder.name}.{name}") for name in ("out", "err", "events")}
    for place in places.values():
        place.write_bytes(b"")
    started = time.perf_counter()
    child = os.fork()
    if not child:
        status = 70
        try:
            status = _be_the_child(arguments, folder, places, environment or {}, traced, kill, before, largest_file)
        except BaseException:
            traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os._exit(status)
    status, kill_at = None, None if kill_after is None else started + kill_after
    while status is None:
        pid, code = os.waitpid(child, os.WNOHANG)
        if pid:
            status = os.waitstatus_to_exitcode(code)
        elif kill_at is not None and time.perf_counter() >= kill_at:
            os.kill(child, signal.SIGKILL)
            kill_at = None
        elif time.perf_counter() > started + TIMEOUT_SECONDS:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            places["err"].open("a").write(f"{HUNG} for {TIMEOUT_SECONDS:.0f} s\n")
            status = 71
        else:
            time.sleep(0.002)
    events = tuple(places["events"].read_text().splitlines()) if traced else ()
    texts = [places[name].read_text(encoding="utf-8", errors="replace") for name in ("out", "err")]
    return Ended(status, time.perf_counter() - started, *texts, events)


def _be_the_child(
    arguments: Sequence[str],
    folder: Path,
    places: Mapping[str, Path],
    environment: Mapping[str, str],
    traced: bool,
    kill: KillPoint | None,
    before: Callable[[], None] | None,
    largest_file: int | None,
) -> int:
    # Opened before the limit and the trace, which are for the job's own files.
    descriptors = {name: os.open(place, os.O_WRONLY | os.O_APPEND) for name, place in places.items()}
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(descriptors["out"], 1)
    os.dup2(descriptors["err"], 2)
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["run_lecdsr.py", *arguments]
    if before is not None:
        before()
    if largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as Python does
    if traced or kill is not None:
        write = os.write
        trace(folder, lambda line: _ignore(write(descriptors["events"], f"{line}\n".encode())), kill)
    from recbole_lecdsr.cli.main import main

    try:
        return main(arguments)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)


def _ignore(value: object) -> None:
    """Drop a value."""
