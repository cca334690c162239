"""What a process does to the files below a folder: counted, and interrupted by SIGKILL at a chosen moment.

The disk changes at events only, so killing a process before each of its events covers every state in which a crash can
leave the files. A write can also be cut: half of its bytes arrive.
"""

from __future__ import annotations

import builtins
import io
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

# Journals that a restarted process continues with a file of its own. What is in them does not matter to a restart.
LOGS = ("run.log", "events.out.tfevents.")

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Audit event -> positions of its paths or file descriptors.
_AUDITED = {
    "os.rename": (0, 1), "os.remove": (0,), "os.rmdir": (0,), "os.mkdir": (0,), "os.link": (1,), "os.symlink": (1,),
    "os.truncate": (0,), "os.chmod": (0,),
}  # fmt: skip


@dataclass(frozen=True)
class KillPoint:
    """The moment before the event of a number, from 0; or, if ``cut``, in the midst of it, which must be a write."""

    event: int
    cut: bool = False


def is_log(path: str) -> bool:
    """Whether a path is that of a journal, relative to the folder of a job."""
    return any(log in path for log in LOGS)


def trace(root: Path, report: Callable[[str], None], kill: KillPoint | None = None) -> None:
    """Trace this process, for the rest of its life.

    Files opened by name or descriptor in Python, and all calls of `os` that change a folder, are seen. Libraries that
    write by themselves (NumPy's ``tofile``) are seen when the file is brought to the disk afterwards.

    Args:
        root: the folder; changes elsewhere are not counted.
        report: is called with ``<kind> <path>`` before each event.
        kill: when to end.
    """
    _Tracer(f"{os.path.realpath(root)}/", report, kill).install()


class _Tracer:
    def __init__(self, root: str, report: Callable[[str], None], kill: KillPoint | None):
        self.root, self.report, self.kill = root, report, kill
        self.count, self.lock, self.is_inside = 0, threading.Lock(), threading.local()

    def install(self) -> None:
        sys.addaudithook(self._on_audit)
        self._patch_calls()
        self._patch_open()

    def _on_audit(self, name: str, arguments: tuple[Any, ...]) -> None:
        if name == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITING:
                self.event("open", path)
        elif name in _AUDITED:
            self.event(name, *(arguments[position] for position in _AUDITED[name]))

    def event(self, kind: str, *places: object) -> bool:
        """Count an event, unless it is elsewhere; returns whether it is to be cut."""
        if getattr(self.is_inside, "flag", False):  # of the tracer itself
            return False
        self.is_inside.flag = True
        try:
            paths = [path for place in places if (path := self._locate(place)) is not None]
            if not paths:
                return False
            with self.lock:
                number, self.count = self.count, self.count + 1
                if self.kill is not None and number == self.kill.event:
                    if self.kill.cut:
                        return True
                    die()
                self.report(f"{kind} {paths[-1]}")
            return False
        finally:
            self.is_inside.flag = False

    def _locate(self, place: object) -> str | None:
        """The path relative to the root; None for one elsewhere, and for journals."""
        if isinstance(place, int):
            try:
                path = os.readlink(f"/proc/self/fd/{place}")
            except OSError:
                return None
        elif isinstance(place, (str, bytes, os.PathLike)):
            path = os.path.abspath(os.fsdecode(place))
            path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        else:
            return None
        if not path.startswith(self.root):
            return None
        path = path.removeprefix(self.root)
        return None if is_log(path) else path

    def _patch_calls(self) -> None:
        """Calls that raise no audit event."""
        write, fsync = os.write, os.fsync

        def traced_write(handle: int, data: Any) -> int:
            if self.event("write", handle):
                write(handle, memoryview(data)[: len(data) // 2])
                die()
            return write(handle, data)

        def traced_fsync(handle: Any) -> None:
            self.event("fsync", handle if isinstance(handle, int) else handle.fileno())
            fsync(handle)

        os.write, os.fsync = traced_write, traced_fsync

    def _patch_open(self) -> None:
        """Files whose buffers are written by calls that are seen."""
        stock, tracer = io.open, self

        class TracedFile(io.FileIO):
            def write(self, data: Any) -> int:
                if tracer.event("write", self.fileno()):
                    super().write(memoryview(data).cast("B")[: memoryview(data).nbytes // 2])
                    die()
                return super().write(data)

        def traced_open(
            file: Any, mode: str = "r", buffering: int = -1, encoding: str | None = None, errors: str | None = None,
            newline: str | None = None, closefd: bool = True, opener: Any = None,
        ) -> Any:  # fmt: skip
            if not set(mode) & set("wax+"):
                return stock(file, mode, buffering, encoding, errors, newline, closefd, opener)
            raw = TracedFile(file, mode.replace("b", "").replace("t", ""), closefd, opener)
            if buffering == 0:
                return raw
            size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
            buffer = io.BufferedRandom(raw, size) if "+" in mode else io.BufferedWriter(raw, size)
            if "b" in mode:
                return buffer
            text = io.TextIOWrapper(buffer, encoding, errors, newline, line_buffering=buffering == 1)
            text.mode = mode  # as of io.open
            return text

        io.open = builtins.open = traced_open


def die() -> NoReturn:
    """End this process as a crash does: no handler runs, no buffer is written."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")
