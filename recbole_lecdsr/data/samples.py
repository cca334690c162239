"""Samples of a split as indices of their target interactions in the event log."""

from __future__ import annotations

import numpy as np

from recbole_lecdsr.data.event_log import EventLog


def sample_targets(log: EventLog, phase: int, min_history: int = 1) -> np.ndarray:
    """Samples of a split: the index of each target event with at least ``min_history`` events before it.

    Returns:
        (S,) int64 indices into the log.
    """
    return np.flatnonzero((log.split == phase) & (log.history_length >= max(min_history, 1)))


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
