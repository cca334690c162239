"""Cross-domain sequences as flat arrays: one event log, split labels, windows by gathering.

Nothing is stored per sample but the index of its target event, so memory grows with events and not with
samples x length. Domains are 0 (source) and 1 (target); users and items are the ids of the data set, 0 is
padding.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

TRAIN, VALID, TEST = 0, 1, 2
CONTEXT = -1  # an event that stands in a given window and is no target there
PHASES = {"train": TRAIN, "valid": VALID, "test": TEST}
SOURCE, TARGET = 0, 1
DOMAINS = ("source", "target")


@dataclass(frozen=True)
class EventLog:
    """All events of both domains as sequences, a user's together and each in order.

    A user has one sequence, of all events; or, where the windows are given, one for each sample: its window and then
    its target (`recbole_lecdsr.data.given_windows`).

    Attributes:
        user, item: (E,) int32.
        domain: (E,) int8, 0 source and 1 target.
        split: (E,) int8, 0 train, 1 valid, 2 test: the part in which the event is a target; -1 for an event of a given
            window. A user's first event, which has no history, counts as training data.
        first: (E,) int64, index of the first event of the event's sequence.
        source_before: (E,) int32, how many events of the source domain the sequence has before this one.
        time: (E,) float64, in the file's unit; 0 throughout where the windows are given, whose events have no time.

    Raises:
        ValueError: when users are not contiguous, or a split comes after a later one.
    """

    user: np.ndarray
    item: np.ndarray
    domain: np.ndarray
    split: np.ndarray
    first: np.ndarray
    source_before: np.ndarray
    time: np.ndarray

    def __post_init__(self) -> None:
        same_user = self.user[1:] == self.user[:-1]
        if not np.all(self.user[1:][~same_user] > self.user[:-1][~same_user]):
            raise ValueError("events of a user must stand together, users in ascending order")
        same_sequence = self.first[1:] == self.first[:-1]
        if np.any(self.split[1:][same_sequence] < self.split[:-1][same_sequence]):
            raise ValueError("training events of a user must come before validation, and these before test")

    def __len__(self) -> int:
        return len(self.user)

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that two equal logs share."""
        digest = hashlib.sha256()
        for array in (self.user, self.item, self.domain, self.split, self.time):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]

    @property
    def calendar(self) -> np.ndarray:
        """(E,) float32 in [0, 1], when each event was: the share of training and validation events that are no later.

        Of both, so that a last training on both keeps the calendar of the first.
        """
        known = np.sort(self.time[(self.split == TRAIN) | (self.split == VALID)])
        return (np.searchsorted(known, self.time, side="right") / max(len(known), 1)).astype(np.float32)

    @property
    def history_length(self) -> np.ndarray:
        """(E,) int64, how many earlier events the sequence has."""
        return np.arange(len(self)) - self.first


def sort_events(user: np.ndarray, time: np.ndarray, domain: np.ndarray, split: np.ndarray | None = None) -> np.ndarray:
    """Order of the mixed sequences: user, (ready-made split,) time, source before target, row of the file.

    Args:
        user, domain: (E,) int; rows of a domain in the order of its file.
        time: (E,) float.
        split: (E,) int of ready-made splits, so that no window can hold an event of a later split.

    Returns:
        (E,) int64 permutation. Stable, hence the same on every machine.
    """
    keys = (domain, time, user) if split is None else (domain, time, split, user)
    return np.lexsort(keys)


def leave_one_out(n_samples: np.ndarray, n_held_out: int) -> np.ndarray:
    """RecBole's leave-one-out counts.

    Args:
        n_samples: (U,) int samples of each user.
        n_held_out: 2 for validation and test, 1 for one of them.

    Returns:
        (U, n_held_out + 1) int counts, training first. A user with too few samples keeps one for training and
        then fills the parts from the last one.
    """
    legal = np.minimum(n_held_out, np.maximum(n_samples - 1, 0))
    counts = np.zeros((len(n_samples), n_held_out + 1), dtype=np.int64)
    for part in range(n_held_out):
        counts[:, n_held_out - part] = legal > part
    counts[:, 0] = n_samples - legal
    return counts


def split_by_ratio(n_samples: np.ndarray, ratios: list[float]) -> np.ndarray:
    """RecBole's counts for a split by ratio.

    Every part but the first is rounded down; from the last to the second, a part that would be empty takes one
    sample from the first as long as that keeps one.

    Args:
        n_samples: (U,) int samples of each user.
        ratios: one number per part.

    Returns:
        (U, parts) int counts.
    """
    share = np.asarray(ratios, dtype=np.float64) / sum(ratios)
    counts = (share[None, :] * n_samples[:, None]).astype(np.int64)
    counts[:, 0] = n_samples - counts[:, 1:].sum(axis=1)
    active = np.ones(len(n_samples), dtype=bool)
    for part in range(1, len(ratios)):
        active &= counts[:, 0] > 1
        expected = share[-part] * n_samples
        take = active & (expected > 0) & (expected < 1)
        counts[take, -part] += 1
        counts[take, 0] -= 1
    return counts


def build_event_log(
    user: np.ndarray,
    item: np.ndarray,
    domain: np.ndarray,
    time: np.ndarray,
    split: dict[str, object] | None = None,
    ready_split: np.ndarray | None = None,
) -> EventLog:
    """Sort events into mixed sequences and label each with its split.

    Args:
        user, item, domain, time: (E,) the events, rows of each domain in the order of its file.
        split: RecBole's ``eval_args.split``: ``{"LS": "valid_and_test" | "valid_only" | "test_only"}`` or
            ``{"RS": [train, valid, test]}``; counts are taken over the samples (events with a history) of each user.
        ready_split: (E,) int labels of ready-made splits instead, row for row.

    Raises:
        ValueError: an unknown split.
    """
    order = sort_events(user, time, domain, ready_split)
    user, item, domain = user[order].astype(np.int32), item[order].astype(np.int32), domain[order].astype(np.int8)
    time = time[order].astype(np.float64)
    n_events = len(user)
    starts = np.flatnonzero(np.r_[True, user[1:] != user[:-1]]) if n_events else np.zeros(0, dtype=np.int64)
    length = np.diff(np.r_[starts, n_events])
    first = np.repeat(starts, length)
    is_source = (domain == SOURCE).astype(np.int32)
    before = np.cumsum(is_source, dtype=np.int64) - is_source
    if ready_split is not None:
        label = ready_split[order].astype(np.int8)
    else:
        counts = split_counts(length - 1, split)
        valid_start = starts + 1 + counts[:, TRAIN]
        index = np.arange(n_events)
        label = (index >= np.repeat(valid_start, length)).astype(np.int8)
        label += index >= np.repeat(valid_start + counts[:, VALID], length)
    return EventLog(user, item, domain, label, first, (before - before[first]).astype(np.int32), time)


def split_counts(n_samples: np.ndarray, split: dict[str, object]) -> np.ndarray:
    """(U, 3) counts of training, validation and test samples."""
    match split:
        case {"LS": "valid_and_test"}:
            return leave_one_out(n_samples, 2)
        case {"LS": "valid_only"}:
            return np.pad(leave_one_out(n_samples, 1), ((0, 0), (0, 1)))
        case {"LS": "test_only"}:
            return np.insert(leave_one_out(n_samples, 1), VALID, 0, axis=1)
        case {"RS": [_, _, _] as ratios}:
            return split_by_ratio(n_samples, ratios)
        case _:
            raise ValueError(
                f"unknown split {split!r}: LS: valid_and_test, valid_only or test_only, or RS: [train, valid, test]"
            )


def sample_targets(log: EventLog, phase: int, min_history: int = 1) -> np.ndarray:
    """Samples of a split: the index of each target event with at least ``min_history`` events before it.

    Returns:
        (S,) int64 indices into the log.
    """
    return np.flatnonzero((log.split == phase) & (log.history_length >= max(min_history, 1)))


def held_out_targets(log: EventLog, target: np.ndarray) -> np.ndarray:
    """The newest training targets of some users, who are a quarter of all, or about 2,000 of very many.

    Args:
        log: the events.
        target: (S,) int64 indices of the training targets, ascending.

    Returns:
        (H,) int64 indices, ascending: as many of each of these users as it has test events, but never all of its
        training targets.
    """
    n_users = int(log.user.max()) + 1
    chosen = target[log.user[target] % max(4, n_users // 2000) == 0]
    user = log.user[chosen]
    number = np.minimum(
        np.bincount(log.user[log.split == TEST], minlength=n_users), np.bincount(user, minlength=n_users) - 1
    )
    age = np.searchsorted(user, user, side="right") - np.arange(len(user))  # 1 for the newest of a user
    return chosen[age <= number[user]]


def sequence_ends(log: EventLog, target: np.ndarray, max_length: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Windows that together hold every target as the event after one of their positions, each exactly once.

    The window of the end e holds up to L events before e; the events after its positions are those targets, the last
    of which is e. A sequence's last window ends at the last target, the others `stride` events apart before it: only
    the newest `stride` positions of a window are trained on, so that each has at least L − stride events before it,
    where there are any. The first window of a sequence trains all its positions.

    Args:
        log: the events.
        target: (S,) int64 indices of the targets, ascending; those of a sequence without a gap.
        max_length: L.
        stride: from 1 to L.

    Returns:
        end: (C,) int64 indices of events, and count: (C,) int64, how many targets each window trains on: its newest.
    """
    first = log.first[target]
    last = np.flatnonzero(np.r_[first[1:] != first[:-1], True]) if len(target) else np.zeros(0, dtype=np.int64)
    number = np.diff(np.r_[-1, last])
    # All but the first window take `stride` targets; the first takes up to L.
    windows = 1 + np.maximum(0, -((number - max_length) // -stride))
    place = np.arange(windows.sum()) - np.repeat(windows.cumsum() - windows, windows)  # 0 for the newest window
    end = np.repeat(target[last], windows) - place * stride
    is_first = place == np.repeat(windows, windows) - 1
    count = np.where(is_first, np.repeat(number - (windows - 1) * stride, windows), stride)
    return end, count


def latest_events(log: EventLog, n_users: int) -> np.ndarray:
    """(n_users,) int64 index of each user's latest event, -1 for a user without any."""
    last = np.full(n_users, -1, dtype=np.int64)
    ends = np.flatnonzero(np.r_[log.user[1:] != log.user[:-1], True]) if len(log) else []
    last[log.user[ends]] = ends
    return last


class Window(NamedTuple):
    """The up to L events before each of B events: newest last, padded with 0 before the oldest.

    Attributes:
        item: (B, L) int64.
        position: (B, L) int64, counted backwards within each event's own domain from 1.
        domain: (B, L) int64.
        calendar: (B, L) float32, `EventLog.calendar`.
    """

    item: Tensor
    position: Tensor
    domain: Tensor
    calendar: Tensor


class WindowGatherer:
    """Windows and positions of any samples, gathered on one device.

    Attributes:
        sequences: the log whose sequences the windows are parts of.
        order: (E,) int64, where each of its events stands in the mixed log.

    Args:
        log: the events.
        max_length: L.
        device: where the arrays live and the windows are made.
    """

    def __init__(self, log: EventLog, max_length: int, device: torch.device | str = "cpu"):
        self.max_length = max_length
        self.sequences, self.order = log, np.arange(len(log))
        self.user = torch.from_numpy(log.user).to(device)
        self.item = torch.from_numpy(log.item).to(device)
        self.domain = torch.from_numpy(log.domain).to(device)
        self.first = torch.from_numpy(log.first).to(device)
        self.source_before = torch.from_numpy(log.source_before).to(device)
        self.calendar = torch.from_numpy(log.calendar).to(device)
        self._offset = torch.arange(-max_length, 0, device=device)

    def __call__(self, target: Tensor) -> Window:
        """Gather the up to L events before each target.

        Args:
            target: (B,) int64 indices of target events.
        """
        return self._window(target, self.first[target], self.source_before[target])

    def after(self, last: Tensor, domain: Tensor) -> Window:
        """Gather the windows of events still to come: what the call would give for the next event of each user.

        Args:
            last: (B,) int64 indices of users' latest events, which the windows hold too.
            domain: (B,) int64 domain of the event to come; of no effect on a mixed window.
        """
        source_before = self.source_before[last] + (self.domain[last] == SOURCE)
        return self._window(last + 1, self.first[last], source_before)

    def _window(self, end: Tensor, first: Tensor, source_before: Tensor) -> Window:
        """The up to L events before ``end`` from ``first`` on, ``source_before`` of which are of the source: (B,)."""
        index = end.unsqueeze(1) + self._offset
        real = index >= first.unsqueeze(1)
        index = index.clamp(min=0)
        # Events of the same domain from this one on, up to the end: a difference of two running counts.
        source_left = source_before.unsqueeze(1) - self.source_before[index]
        target_left = end.unsqueeze(1) - index - source_left
        domain = self.domain[index].long()
        position = torch.where(domain == SOURCE, source_left, target_left)
        item, calendar = self.item[index].long(), self.calendar[index]
        return Window(item * real, position.long() * real, domain * real, calendar * real)

    def history(self, target: Tensor) -> tuple[Tensor, Tensor]:
        """Every earlier item of each target's sequence, however long.

        Args:
            target: (B,) int64.

        Returns:
            row (N,) int64 into the batch, item (N,) int64.
        """
        return self._items(self.first[target], target)

    def history_after(self, last: Tensor) -> tuple[Tensor, Tensor]:
        """Every item of the sequences whose latest events are ``last``, (B,) int64; returns as `history` does."""
        return self._items(self.first[last], last + 1)

    def _items(self, first: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
        length = end - first
        row = torch.repeat_interleave(torch.arange(len(end), device=end.device), length)
        start = length.cumsum(0) - length
        index = torch.arange(len(row), device=end.device) - start[row] + first[row]
        return row, self.item[index].long()


class SingleDomainGatherer(WindowGatherer):
    """Windows that hold only events of the target's own domain: up to L of them, however many others lie between.

    Everything else (histories, samples) stays that of the mixed log.
    """

    def __init__(self, log: EventLog, max_length: int, device: torch.device | str = "cpu"):
        super().__init__(log, max_length, device)
        apart, order = self.sequences, self.order = separate_domains(log)
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        self._place = torch.from_numpy(place).to(device)
        self._apart = WindowGatherer(apart, max_length, device)

    def __call__(self, target: Tensor) -> Window:
        """As of `WindowGatherer`."""
        return self._apart(self._place[target])

    def after(self, last: Tensor, domain: Tensor) -> Window:
        """As of `WindowGatherer`: the latest events of each user in the given domain; none is an empty window."""
        owner = (2 * self.first[last] + domain).int()
        first, end = (torch.searchsorted(self._apart.user, owner, right=right) for right in (False, True))
        return self._apart._window(end, first, (end - first) * (domain == SOURCE))


def separate_domains(log: EventLog) -> tuple[EventLog, np.ndarray]:
    """A log in which the events of each domain are a sequence of their own.

    Returns:
        the log, with 2 · first + domain for user, and the (E,) int64 order of its events in the mixed log.
    """
    owner = 2 * log.first + log.domain
    order = np.argsort(owner, kind="stable")
    owner, domain = owner[order].astype(np.int32), log.domain[order]
    starts = np.flatnonzero(np.r_[True, owner[1:] != owner[:-1]])
    first = np.repeat(starts, np.diff(np.r_[starts, len(owner)]))
    source_before = np.where(domain == SOURCE, np.arange(len(owner)) - first, 0).astype(np.int32)
    apart = EventLog(owner, log.item[order], domain, log.split[order], first, source_before, log.time[order])
    return apart, order
