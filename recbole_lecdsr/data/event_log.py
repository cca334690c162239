"""Cross-domain sequences as flat arrays: one event log, split labels, windows by gathering.

Nothing is stored per sample but the index of its target event, so memory grows with events and not with
samples x length. Domains are 0 (source) and 1 (target); users and items are the ids of the data set, 0 is
padding.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from recbole_lecdsr.data.constants import SOURCE, TRAIN, VALID
from recbole_lecdsr.data.splitting import split_counts


@dataclass(frozen=True)
class EventLog:
    """All events of both domains as sequences, a user's together and each in order.

    A user has one sequence, of all events; or, where the windows are given, one for each sample: its window and then
    its target (`recbole_lecdsr.data.precomputed_windows`).

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
    def relative_time(self) -> np.ndarray:
        """(E,) float32 in [0, 1], when each event was: the share of training and validation events that are no later.

        Of both, so that a last training on both keeps the relative_time of the first.
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


def latest_events(log: EventLog, n_users: int) -> np.ndarray:
    """(n_users,) int64 index of each user's latest event, -1 for a user without any."""
    last = np.full(n_users, -1, dtype=np.int64)
    ends = np.flatnonzero(np.r_[log.user[1:] != log.user[:-1], True]) if len(log) else []
    last[log.user[ends]] = ends
    return last
