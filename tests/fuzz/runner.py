"""Mutated inputs through a target, and what came of them."""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import shutil
import signal
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from recbole_lecdsr.errors import UserError
from tests.fuzz.mutations import mutate

SECONDS = 10  # a reader that takes longer for a file of some kilobytes hangs
LONGEST_LINE = 2000  # characters of a message
ABSENT = "absent"  # the meaning of a stored file that is made again, or of one without content


@dataclass(frozen=True)
class Target:
    """A reader and valid files for it.

    Attributes:
        name: of the target.
        make: writes valid files into the current, empty folder and returns those that are damaged.
        read: reads the files in the current folder: a value that says what they mean, comparable by ``==``.
        stored: whether the files are the program's own and have checksums, so that a damaged one must be refused,
            `ABSENT`, or mean the same.
        names_file: whether an error must name the file.
        weight: of its share of the inputs; more where reading is fast.
    """

    name: str
    make: Callable[[], list[str]]
    read: Callable[[], object]
    stored: bool = False
    names_file: bool = True
    weight: int = 6


@dataclass(frozen=True)
class Failure:
    """An input that a reader neither refused nor read."""

    target: str
    seed: int
    index: int
    file: str
    content: bytes
    problem: str

    def __str__(self) -> str:
        shown = repr(self.content[:300]) + (" …" if len(self.content) > 300 else "")
        again = f"python -m tests.fuzz --target {self.target!r} --seed {self.seed} --index {self.index}"
        return f"{self.target}, {self.file}: {self.problem}\n    {shown}\n    {again}"


@dataclass
class Counts:
    """What came of the inputs of a target."""

    inputs: int = 0
    refused: int = 0
    accepted: int = 0
    failures: list[Failure] = field(default_factory=list)


class Hang(BaseException):
    """A reader takes too long. No `Exception`, so that no reader takes it for one of a parser."""


def share(targets: Sequence[Target], inputs: int) -> list[int]:
    """How many of the inputs each target gets, by its weight and rounded up."""
    total = sum(target.weight for target in targets)
    return [-(-inputs * target.weight // total) for target in targets]


def run_target(target: Target, inputs: int, seed: int = 0, first: int = 0) -> Counts:
    """Read damaged files.

    Args:
        target: the reader.
        inputs: how many.
        seed, first: of the damage; input number i is the same in every run with this seed.
    """
    counts = Counts()
    with _quiet(), tempfile.TemporaryDirectory(prefix="fuzz-") as folder, _chdir(folder):
        files = target.make()
        valid = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
        meaning = target.read()
        for index in range(first, first + inputs):
            random = Random(f"{seed}/{target.name}/{index}")
            file = random.choice(files)
            content = mutate(valid[Path(file)], random)
            _restore(valid, Path(file), content)
            counts.inputs += 1
            if problem := _try(target, file, meaning, counts):
                counts.failures.append(Failure(target.name, seed, index, file, content, problem))
    return counts


def _restore(valid: dict[Path, bytes], damaged: Path, content: bytes) -> None:
    """Make the current folder hold the valid files and the damaged one, and nothing else."""
    for path in Path().iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path, data in valid.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if path == damaged else data)


def _try(target: Target, file: str, meaning: object, counts: Counts) -> str | None:
    """Read the files of the current folder; what is wrong with what came of it, if anything."""
    try:
        with _time_limit():
            found = target.read()
    except UserError as error:
        counts.refused += 1
        text = str(error)
        if target.names_file and Path(file).name not in text:
            return f"the error does not name the file: {text[:200]}"
        if max(map(len, text.split("\n"))) > LONGEST_LINE:
            return f"an error of {len(text)} characters: {text[:200]}"
        return None
    except Hang:
        return f"longer than {SECONDS} s"
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)
        own = next((frame for frame in reversed(place) if "recbole_lecdsr" in frame.filename), place[-1])
        return f"{type(error).__name__} at {Path(own.filename).name}:{own.lineno}: {str(error)[:200]}"
    counts.accepted += 1
    if target.stored and found not in (meaning, ABSENT):
        return "accepted with another meaning"
    return None


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    """Raise `Hang` after a while, and end the process with a traceback where compiled code does not return."""

    def stop(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    faulthandler.dump_traceback_later(6 * SECONDS, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def _chdir(folder: str) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without warnings, which thousands of damaged files give."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
