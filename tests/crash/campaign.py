"""Kills jobs, restarts them, and compares what they leave with what an unbroken run leaves."""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash import disks
from tests.crash.effects import KillPoint
from tests.crash.jobs import Job
from tests.crash.outcome import TEMPORARY, differences, find_damage, read_outcome
from tests.crash.processes import HUNG, Ended, call, run

_CONTROL = re.compile(r"\x1b\[[0-9;]*m")
_REASONS = ("No space left on device", "the disk is full", "Read-only file system", "File too large")
_REMEDIES = ("make room", "free some", "permission", "another")
ROOMS = (0.0, 0.2, 0.5, 0.8)  # on full disks, as parts of what the job needs


@dataclass
class Tally:
    """What happened to a job.

    Attributes:
        name: of the job.
        events: how often an unbroken run changes the disk.
        kills: runs that SIGKILL has ended.
        equal: of these, runs that ended after a restart as an unbroken one does, whose files were whole before it.
        disks: full and read-only disks that were reported in one line and after which a restart ended equal.
        failures: a text for each failure.
    """

    name: str
    events: int = 0
    kills: int = 0
    equal: int = 0
    disks: int = 0
    failures: list[str] = field(default_factory=list)


class Trial:
    """A job with its inputs and the outcome of an unbroken run.

    Args:
        job: to be tried.
        folder: for everything; gets folders for each case, of which those of failures stay.
        environment: of the processes.

    Raises:
        RuntimeError: two unbroken runs differ, or one fails.
    """

    def __init__(self, job: Job, folder: Path, environment: Mapping[str, str]):
        self.job, self.folder, self.environment = job, folder, environment
        self.template = folder / "template"
        self.template.mkdir(parents=True)
        call(lambda: job.write_inputs(self.template, environment))
        self.before = read_outcome(self.template)
        self.tally = Tally(job.name)
        with self._case("unbroken") as work:
            ended = self._run(work, traced=True)
            self._require_success(ended)
            self.events, self.seconds, self.after = ended.events, ended.seconds, read_outcome(work)
            self.need = _size(work) - _size(self.template)
        with self._case("repeated") as work:
            self._require_success(self._run(work))
            if lines := differences(self.after, read_outcome(work)):
                raise RuntimeError(f"{job.name}: two unbroken runs differ: {'; '.join(lines)}")
        self.tally.events = len(self.events)

    def _case(self, name: str) -> _Case:
        return _Case(self.folder / name, self.template)

    def _run(self, work: Path, restart: bool = False, **options: object) -> Ended:
        command = [*self.job.command, *(self.job.restart if restart else ())]
        given = {"environment": self.environment, "before": self.job.before, **options}
        return run(command, work, **given)  # type: ignore[arg-type]  # each option has a type of its own

    def _require_success(self, ended: Ended) -> None:
        if ended.status:
            raise RuntimeError(f"{self.job.name} failed without a crash: {ended.stderr}")

    # ------------------------------------------------------------------ kills

    def kill_points(self) -> list[KillPoint]:
        """Every moment between two changes of the disk, and every write that can be cut."""
        cuts = [KillPoint(number, cut=True) for number, event in enumerate(self.events) if event.startswith("write ")]
        return [*map(KillPoint, range(len(self.events))), *cuts]

    def kill_at(self, point: KillPoint) -> None:
        """Kill a run at a point, restart it, and compare."""
        moment = f"{'in the midst of' if point.cut else 'before'} event {point.event} ({self.events[point.event]})"
        reproduced = f"--at={point.event}{'cut' if point.cut else ''}"
        self._kill(f"event-{point.event}{'-cut' if point.cut else ''}", moment, reproduced, kill=point)

    def kill_after(self, seconds: float) -> None:
        """Kill a run after some time, restart it, and compare."""
        self._kill(f"after-{seconds:.4f}", f"after {seconds:.4f} s", f"--after={seconds:.4f}", kill_after=seconds)

    def _kill(self, name: str, moment: str, reproduced: str, **options: object) -> None:
        with self._case(name) as case_folder, _Findings(self, name, moment, reproduced) as findings:
            killed = self._run(case_folder, **options)
            if killed.killed:
                self.tally.kills += 1
                findings.add(find_damage(case_folder, self.before, self.after, self.job.grows))
            elif killed.status:
                findings.add([f"exit status {killed.status}: {killed.stderr[-2000:]}"])
            findings.add(self._restart(case_folder))
            self.tally.equal += killed.killed and not findings.lines

    def _restart(self, work: Path) -> list[str]:
        """Restart and compare; returns what is wrong."""
        ended = self._run(work, restart=True)
        if ended.status or "Traceback" in ended.stderr:
            return [f"the restart ended with status {ended.status}: {ended.stderr[-2000:]}"]
        return differences(self.after, read_outcome(work))

    # ------------------------------------------------------------------ disks

    def fill_disk(self, part: float) -> None:
        """Run on a disk that has room for a part of what the job writes, make room, restart, and compare."""
        room = int(part * self.need)
        self._fail_disk(f"full-{part}", f"with room for {room} bytes", lambda work: disks.full(work, room), part == 0)

    def write_protect_disk(self) -> None:
        """Run on a read-only disk, make it writable, restart, and compare."""
        self._fail_disk("read-only", "on a read-only disk", disks.read_only, True)

    def _fail_disk(self, name: str, moment: str, fault: Callable, must_fail: bool) -> None:
        work = self.folder / name
        with _Findings(self, name, moment, f"--disk={name}") as findings, disks.disk(work):
            shutil.copytree(self.template, work, symlinks=True, dirs_exist_ok=True)
            with fault(work):
                ended = self._run(work)
            if ended.status or must_fail:
                findings.add(describe_bad_report(ended, self.after))
            findings.add(find_damage(work, self.before, self.after, self.job.grows))
            findings.add(f"{path.name} is left behind" for path in work.rglob("*") if TEMPORARY.search(str(path)))
            findings.add(self._restart(work))
            if findings.lines:
                shutil.copytree(work, self.folder / f"failed-{name}", symlinks=True)
            self.tally.disks += not findings.lines
        work.rmdir()

    def limit_files(self, largest: int) -> None:
        """Run where no file can grow beyond a size, as on a full disk, restart without the limit, and compare."""
        name = f"limit-{largest}"
        with self._case(name) as work, _Findings(self, name, f"with files of {largest} bytes", "") as findings:
            ended = self._run(work, largest_file=largest)
            if ended.status or not largest:
                findings.add(describe_bad_report(ended, self.after))
            findings.add(find_damage(work, self.before, self.after, self.job.grows))
            findings.add(self._restart(work))
            self.tally.disks += not findings.lines


class _Case:
    """A working folder that is a copy of the template, and is removed unless the case fails."""

    def __init__(self, folder: Path, template: Path):
        self.folder, self.template = folder, template

    def __enter__(self) -> Path:
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.template, self.folder, symlinks=True)
        return self.folder

    def __exit__(self, *error: object) -> None:
        kept = self.folder.with_name(f"failed-{self.folder.name}")
        if kept.exists():
            shutil.copytree(self.folder, kept, symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)


class _Findings:
    """What is wrong in a case; kept in the tally with how to repeat it."""

    def __init__(self, trial: Trial, name: str, moment: str, reproduced: str):
        self.trial, self.moment, self.reproduced = trial, moment, reproduced
        self.kept = trial.folder / f"failed-{name}"
        self.lines: list[str] = []

    def add(self, lines: Sequence[str] | Iterator[str]) -> None:
        """Add what is wrong."""
        self.lines += lines

    def __enter__(self) -> _Findings:
        return self

    def __exit__(self, *error: object) -> None:
        if self.lines:
            job = self.trial.job.name
            self.kept.mkdir(exist_ok=True)
            self.trial.tally.failures.append(
                "\n".join([f"{job}, {self.moment}; --jobs={job} {self.reproduced}; files in {self.kept}", *self.lines])
            )


def describe_bad_report(ended: Ended, written: Iterable[str]) -> list[str]:
    """What is wrong with how a job has reported a disk that it cannot write to.

    Args:
        ended: the process.
        written: paths of the files that the job writes, of which the report must name one, or a folder of it.
    """
    printed = _CONTROL.sub("", ended.stderr)
    if ended.status != 1 or "Traceback" in printed or HUNG in printed:
        return [f"the report of the disk: status {ended.status}: {printed[-3000:]}"]
    errors = [line for line in printed.splitlines() if line.startswith("error: ")]
    if len(errors) != 1:
        return [f"the disk is reported in {len(errors)} lines: {printed[-2000:]}"]
    words = {word.strip("'\":;,().") for word in errors[0].split()}
    is_named = any(word and (name == word or name.startswith(f"{word}/")) for word in words for name in written)
    wrong = [] if is_named else ["names no path"]
    wrong += [] if any(reason in errors[0] for reason in _REASONS) else ["names no reason"]
    wrong += [] if any(remedy in errors[0] for remedy in _REMEDIES) else ["names no remedy"]
    return [f"{' and '.join(wrong)}: {errors[0]}"] if wrong else []


def _size(folder: Path) -> int:
    """Bytes that the files of a folder take on a disk of pages."""
    page = 4096
    return sum(-(-path.stat().st_size // page) * page for path in folder.rglob("*") if path.is_file())


def choose_points(trial: Trial, count: int, random_state: random.Random) -> list[KillPoint]:
    """Kill points, each a different one as long as there are some left: first those of changes in a folder's entries.

    A third of them are renamings, removals and new folders, where states of several files meet.
    """
    points = trial.kill_points()
    entries = [point for point in points if trial.events[point.event].startswith("os.")]
    chosen = random_state.sample(entries, min(len(entries), count // 3))
    rest = [point for point in points if point not in chosen]
    return chosen + random_state.sample(rest, min(len(rest), count - len(chosen)))
