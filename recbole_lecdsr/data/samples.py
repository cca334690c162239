"""Samples of a split, as indices of their targets in the event log (docs/protocol.md, 2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recbole_lecdsr.data.constants import TRAIN
from recbole_lecdsr.data.event_log import EventLog


def sample_targets(log: EventLog, phase: int, min_history: int = 1) -> np.ndarray:
    """Targets of a split with at least ``min_history`` earlier interactions, and with one in any case.

    Args:
        log: the interactions.
        phase: code of the split, such as `recbole_lecdsr.data.constants.TRAIN`.
        min_history: earlier interactions that a sample needs.

    Returns:
        (S,) int64 indices into the log, ascending.

    Example:
        >>> from recbole_lecdsr.data.event_log import build_event_log
        >>> log = build_event_log(np.ones(4), np.arange(1, 5), np.zeros(4), np.arange(4.0), split={"LS": "test_only"})
        >>> [sample_targets(log, phase).tolist() for phase in (0, 1, 2)]
        [[1, 2], [], [3]]
    """
    return np.flatnonzero((log.split == phase) & (log.history_length >= max(min_history, 1)))


def targets_without_history(log: EventLog, phase: int) -> np.ndarray:
    """Interactions of a split that are no samples, since nothing comes before them: (N,) int64 indices."""
    return np.flatnonzero((log.split == phase) & (log.history_length == 0))


def targets_of_unseen_users(log: EventLog, phase: int, trained: Sequence[int] = (TRAIN,)) -> np.ndarray:
    """Targets of a split whose users have no interaction in the splits that were trained on: (S,) int64 indices."""
    target = sample_targets(log, phase)
    return target[~np.isin(log.user[target], log.user[np.isin(log.split, trained)])]


def sequence_ends(log: EventLog, target: np.ndarray, max_length: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Windows that together predict every target from one of their positions, each exactly once.

    The window with end e holds the up to L interactions before e, and each position predicts the next interaction, the
    newest one e. The last window of a sequence ends at the sequence's last target, the others at steps of ``stride``
    before it. Only the newest ``stride`` positions of a window are trained on, so that each has at least L − stride
    interactions before it, where there are any. The first window of a sequence trains on all its positions.

    Args:
        log: the interactions.
        target: (S,) int64 indices of the targets, ascending, those of a sequence without a gap.
        max_length: L.
        stride: from 1 to L.

    Returns:
        end: (C,) int64 indices into the log.
        count: (C,) int64, how many targets each window trains on: ``end`` and those just before it.

    Example:
        >>> from recbole_lecdsr.data.event_log import build_event_log
        >>> log = build_event_log(np.ones(10), np.arange(10), np.zeros(10), np.arange(10.0), split={"LS": "test_only"})
        >>> end, count = sequence_ends(log, sample_targets(log, 0), max_length=4, stride=2)
        >>> end.tolist(), count.tolist()
        ([8, 6, 4], [2, 2, 4])
    """
    first = log.first[target]
    last = np.flatnonzero(np.r_[first[1:] != first[:-1], True]) if len(target) else np.zeros(0, dtype=np.int64)
    number = np.diff(np.r_[-1, last])
    # All but the first window take `stride` targets, the first takes up to L.
    windows = 1 + np.maximum(0, -((number - max_length) // -stride))
    index = np.arange(windows.sum()) - np.repeat(windows.cumsum() - windows, windows)  # 0 for the newest of a sequence
    end = np.repeat(target[last], windows) - index * stride
    is_first = index == np.repeat(windows, windows) - 1
    count = np.where(is_first, np.repeat(number - (windows - 1) * stride, windows), stride)
    return end, count
