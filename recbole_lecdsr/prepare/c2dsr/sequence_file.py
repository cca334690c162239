"""Files of sequences, one in each line, as C2DSR and its successors publish them.

A line is a user, a number that is not used here, and interactions ``item|time|…``, separated by tabs. Items of the
source are numbered from 0, those of the target after them. In validation and test the last interaction is the target
and those before it are its window.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from recbole_lecdsr.errors import UserError

_INTERACTION = re.compile(r"(\d+)\|\s*([+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)\s*(?:\|.*)?", re.ASCII)
_LARGEST = 2**53  # beyond it a float, which RecBole reads, cannot hold every integer


@dataclass(frozen=True)
class SequenceLines:
    """The lines of a file: S lines with N interactions in all.

    Attributes:
        path: the file.
        user: (S,) str objects.
        line: (S,) int64, the number of each line in the file.
        length: (S,) int64, interactions in each line, at least one.
        item: (N,) int64.
        time: (N,) float64.
        skipped: where a line was left out, and why.
    """

    path: Path
    user: np.ndarray
    line: np.ndarray
    length: np.ndarray
    item: np.ndarray
    time: np.ndarray
    skipped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.user)

    @property
    def start(self) -> np.ndarray:
        """(S,) int64, the position of the first interaction of each line."""
        return np.cumsum(self.length) - self.length

    @property
    def line_of_interaction(self) -> np.ndarray:
        """(N,) int64, the index of the line of each interaction."""
        return np.repeat(np.arange(len(self)), self.length)

    def count_unsorted(self) -> int:
        """How many lines have an interaction that is earlier than the one before it."""
        row = self.line_of_interaction
        falling = (np.diff(self.time) < 0) & (row[1:] == row[:-1])
        return len(np.unique(row[1:][falling]))

    def sort_by_time(self) -> SequenceLines:
        """The same lines with the interactions of each sorted by time; those at equal times keep their order."""
        order = np.lexsort((self.time, self.line_of_interaction))
        return replace(self, item=self.item[order], time=self.time[order])

    def check_items(self, n_items: int) -> None:
        """Refuse item numbers from ``n_items`` on.

        Raises:
            UserError: with the line of the first one.
        """
        beyond = np.flatnonzero(self.item >= n_items)
        if len(beyond):
            row = np.searchsorted(self.start, beyond[0], side="right") - 1
            raise UserError(
                f"{self.path}, line {self.line[row]}: the item {self.item[beyond[0]]} is beyond the last one, "
                f"{n_items - 1} (numbers start from 0, the target's items follow the source's): check that the lists "
                "of items, or --source_items, are of these data"
            )


def read_sequences(path: Path, skip_bad_lines: bool = False) -> SequenceLines:
    """Read a file of sequences; blank lines are ignored.

    Raises:
        UserError: a file that is missing, empty or unreadable; a malformed line, unless such lines are skipped.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    users, numbers, lengths, items, times, skipped = [], [], [], [], [], []
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            user, interactions = parse_sequence(line)
        except ValueError as error:
            report = f"{path}, line {number}: {error}"
            if not skip_bad_lines:
                raise UserError(
                    f"{report}; correct or delete the line, or leave such lines out with --skip_bad_lines"
                ) from None
            skipped.append(report)
            continue
        users.append(user)
        numbers.append(number)
        lengths.append(len(interactions))
        items += [item for item, _ in interactions]
        times += [time for _, time in interactions]
    if not users:
        raise UserError(f"{path} has no line with a sequence: give a file that has")
    return SequenceLines(
        path=path,
        user=np.array(users, dtype=object),
        line=np.array(numbers),
        length=np.array(lengths),
        item=np.array(items),
        time=np.array(times),
        skipped=tuple(skipped),
    )


def parse_sequence(line: bytes) -> tuple[str, list[tuple[int, float]]]:
    r"""User and interactions of a line, each interaction as item and time.

    Raises:
        ValueError: a malformed line; the text says what is wrong.

    Example:
        >>> parse_sequence(b"u7\t2\t0|10|5.0\t3|20|4.0")
        ('u7', [(0, 10.0), (3, 20.0)])
    """
    try:
        fields = line.decode().strip("\r\n\t ").split("\t")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text") from None
    if len(fields) < 3:
        raise ValueError(f"{line[:80]!r} has {len(fields)} fields, not a user, a number and at least one interaction")
    interactions = []
    for place, field in enumerate(fields[2:], 3):
        found = _INTERACTION.fullmatch(field.strip())
        if not found:
            raise ValueError(f"field {place}, {field[:80]!r}, is not item|time with an item number and a time")
        item, time = int(found[1]), float(found[2])
        if max(item, abs(time)) > _LARGEST:
            raise ValueError(f"field {place}, {field[:80]!r}, has a number that is too large")
        interactions.append((item, time))
    return fields[0].strip(), interactions
