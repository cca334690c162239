"""The interactions of both domains as one log of flat arrays (docs/protocol.md, 1).

A sample is the index of its target in the log, and windows are gathered from the log when a batch is made. Memory thus
grows with the number of interactions, not with samples times length of windows. Users and items are ids of the data
set, 0 is padding.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from recbole_lecdsr.data.constants import CONTEXT, SOURCE, TRAIN, VALID
from recbole_lecdsr.data.splitting import BY_USER, split_labels


@dataclass(frozen=True, kw_only=True)
class EventLog:
    """All interactions of both domains as sequences: those of a user are contiguous, and each sequence is in order.

    A user has one sequence, of all interactions. With precomputed windows, a user has one for each sample: its window
    and then its target (`recbole_lecdsr.data.precomputed_windows`).

    Attributes:
        user, item: (E,) int32.
        domain: (E,) int8, 0 source and 1 target.
        split: (E,) int8, the split in which the interaction is a target: 0 train, 1 valid, 2 test; -1 in a precomputed
            window. In a split that is made per user (docs/protocol.md, 3), the first interaction of a user, which has
            no history and is no sample, belongs to training; in one by time its time decides, in a ready-made split
            its file.
        first: (E,) int64, index of the first interaction of the interaction's sequence.
        source_before: (E,) int32, how many earlier interactions of the sequence are of the source domain.
        n_earlier: (E,) int32, how many interactions of the user are known to come before it, which decides the profile
            that it may meet (docs/protocol.md, 12): as many as its sequence has before it. With precomputed windows, at
            targets, those that its window and the user's earlier rows agree on; 0 elsewhere.
        time: (E,) float64, in the unit of the files; 0 throughout with precomputed windows, whose interactions have no
            time.
        relative_time: (E,) float32 in [0, 1], `share_not_later` among the training interactions. Other labels in
            ``split`` leave it as it is, so that windows and counts of one run have one scale; `count_validation_times`
            makes that of a refit.

    Raises:
        ValueError: users are not contiguous or not in ascending order, or an interaction of a sequence comes before one
            of an earlier split.
    """

    user: np.ndarray
    item: np.ndarray
    domain: np.ndarray
    split: np.ndarray
    first: np.ndarray
    source_before: np.ndarray
    n_earlier: np.ndarray
    time: np.ndarray
    relative_time: np.ndarray

    def __post_init__(self) -> None:
        same_user = self.user[1:] == self.user[:-1]
        if not np.all(self.user[1:][~same_user] > self.user[:-1][~same_user]):
            raise ValueError("interactions of a user must be contiguous, and users in ascending order")
        same_sequence = self.first[1:] == self.first[:-1]
        if np.any(self.split[1:][same_sequence] < self.split[:-1][same_sequence]):
            raise ValueError("training interactions of a user must come before validation, and these before test")

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
    def history_length(self) -> np.ndarray:
        """(E,) int64, how many earlier interactions the sequence has."""
        return np.arange(len(self)) - self.first

    @property
    def same_domain(self) -> np.ndarray:
        """(E,) bool, whether the interaction just before it in its sequence is in the same domain; False without one.

        Among interactions of one time, which is just before follows from the order of `sort_interactions`.
        """
        return np.r_[False, self.domain[1:] == self.domain[:-1]][: len(self)] & (self.history_length > 0)


def share_not_later(time: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The share of known times that are not later than each time (docs/protocol.md, eq. 1).

    Args:
        time: (E,) float.
        known: (T,) float, in any order.

    Returns:
        (E,) float32 in [0, 1]; 1 for every time after the last known one.

    Example:
        >>> share_not_later(np.array([0.0, 2.0, 9.0]), known=np.array([1.0, 2.0, 3.0, 4.0])).tolist()
        [0.0, 0.5, 1.0]
    """
    share: np.ndarray = np.searchsorted(np.sort(known), time, side="right") / max(len(known), 1)
    return share.astype(np.float32)


def count_validation_times(log: EventLog) -> EventLog:
    """The log with the relative times of a refit, which validation interactions count for as well."""
    known = (log.split != CONTEXT) & (log.split <= VALID)
    return replace(log, relative_time=share_not_later(log.time, log.time[known]))


def sort_interactions(
    user: np.ndarray, time: np.ndarray, domain: np.ndarray, split: np.ndarray | None = None
) -> np.ndarray:
    """Order of the mixed sequences: user, (ready-made split,) time, source before target, row of the file.

    Args:
        user, domain: (E,) int, the rows of each domain in the order of its file.
        time: (E,) float.
        split: (E,) int labels of a ready-made split, so that no window holds an interaction of a later split.

    Returns:
        (E,) int64 permutation. The sort is stable, hence the same on every machine.

    Example:
        >>> sort_interactions(user=np.array([2, 1, 1]), time=np.array([1.0, 5.0, 5.0]), domain=np.array([0, 1, 0]))
        array([2, 1, 0])
    """
    keys = (domain, time, user) if split is None else (domain, time, split, user)
    return np.lexsort(keys)


def build_event_log(
    user: np.ndarray,
    item: np.ndarray,
    domain: np.ndarray,
    time: np.ndarray,
    *,
    split: Mapping[str, object] | None = None,
    group_by: object = BY_USER,
    ready_split: np.ndarray | None = None,
) -> EventLog:
    """Sort interactions into mixed sequences and label each with its split.

    Args:
        user, item, domain: (E,) int, the interactions, the rows of each domain in the order of its file.
        time: (E,) numbers.
        split: RecBole's ``eval_args.split``: ``{"LS": "valid_and_test" | "valid_only" | "test_only"}`` or
            ``{"RS": [train, valid, test]}``.
        group_by: RecBole's ``eval_args.group_by``; see `recbole_lecdsr.data.splitting.split_labels`.
        ready_split: instead, (E,) int labels of a ready-made split, row for row.

    Raises:
        ValueError: an unknown split, or neither of the two.

    Example:
        >>> columns = {"user": np.ones(3), "item": np.array([7, 8, 9]), "domain": np.array([1, 0, 1])}
        >>> log = build_event_log(**columns, time=np.array([3.0, 1.0, 2.0]), split={"LS": "test_only"})
        >>> log.item.tolist(), log.split.tolist(), log.source_before.tolist()
        ([8, 9, 7], [0, 0, 2], [0, 1, 1])
    """
    order = sort_interactions(user, time, domain, ready_split)
    user, item, domain = user[order].astype(np.int32), item[order].astype(np.int32), domain[order].astype(np.int8)
    time = time[order].astype(np.float64)
    size = len(user)
    starts = np.flatnonzero(np.r_[True, user[1:] != user[:-1]]) if size else np.zeros(0, dtype=np.int64)
    length = np.diff(np.r_[starts, size])
    first = np.repeat(starts, length)
    is_source = (domain == SOURCE).astype(np.int32)
    before = np.cumsum(is_source, dtype=np.int64) - is_source
    if ready_split is not None:
        label = ready_split[order].astype(np.int8)
    else:
        label = split_labels(user, time, split or {}, group_by)
    return EventLog(
        user=user,
        item=item,
        domain=domain,
        split=label,
        first=first,
        source_before=(before - before[first]).astype(np.int32),
        n_earlier=(np.arange(size) - first).astype(np.int32),
        time=time,
        relative_time=share_not_later(time, time[label == TRAIN]),
    )


def latest_interactions(log: EventLog, n_users: int) -> np.ndarray:
    """Index of each user's latest interaction in the log.

    Args:
        log: the interactions.
        n_users: ids of users, padding included.

    Returns:
        (n_users,) int64, -1 for a user without interactions.
    """
    last = np.full(n_users, -1, dtype=np.int64)
    if len(log):
        ends = np.flatnonzero(np.r_[log.user[1:] != log.user[:-1], True])
        last[log.user[ends]] = ends
    return last
