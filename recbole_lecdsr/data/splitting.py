"""Which interactions are for training, validation and test (docs/protocol.md, 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recbole_lecdsr.data.constants import TRAIN, VALID

# Values of RecBole's ``eval_args.group_by``: a split of each user's samples, and one of all interactions by time.
BY_USER, BY_TIME = "user", "none"


def splits_by_time(config: Mapping[str, Any]) -> bool:
    """Whether the parameters of a run split all interactions at two moments."""
    return config["eval_args"]["group_by"] == BY_TIME and not config["benchmark_filename"]


def describe_split(config: Mapping[str, Any]) -> dict[str, object]:
    """What tells the training interactions of a run from the others, to be noted with what is made of them."""
    arguments = config["eval_args"]
    return {
        "split": arguments["split"], "group_by": arguments["group_by"],
        "benchmark_filename": config["benchmark_filename"],
    }  # fmt: skip


def differing_split(note: Mapping[str, object], config: Mapping[str, Any]) -> tuple[str, object, object] | None:
    """The first part of a `describe_split` that a run has otherwise.

    Args:
        note: the noted parts, possibly not all. Notes of before there were splits by time lack ``group_by``.
        config: the parameters of the run.

    Returns:
        Name, noted value and value of the run; None where no noted part differs.

    Example:
        >>> arguments = {"split": {"RS": [8, 1, 1]}, "group_by": "none"}
        >>> differing_split({"split": {"RS": [8, 1, 1]}}, {"eval_args": arguments, "benchmark_filename": None})
        ('group_by', 'user', 'none')
    """
    known = {"group_by": BY_USER, **note} if "split" in note else note
    for key, value in describe_split(config).items():
        if key in known and known[key] != value:
            return key, known[key], value
    return None


def split_labels(
    user: np.ndarray, time: np.ndarray, split: Mapping[str, object], group_by: object = BY_USER
) -> np.ndarray:
    """The part of each interaction.

    Args:
        user: (E,) int, in the order of the mixed sequences: those of a user are contiguous.
        time: (E,) float, ascending within each user.
        split: RecBole's ``eval_args.split``.
        group_by: RecBole's ``eval_args.group_by``: ``user`` splits the samples of each user, which are all its
            interactions but the first, ``none`` all interactions by `split_by_time`.

    Returns:
        (E,) int8: 0 train, 1 valid, 2 test.

    Raises:
        ValueError: an unknown split.

    Example:
        >>> user, time = np.array([1, 1, 1, 2]), np.array([1.0, 2.0, 3.0, 4.0])
        >>> split_labels(user, time, {"LS": "test_only"}).tolist()
        [0, 0, 2, 0]
        >>> split_labels(user, time, {"RS": [2, 1, 1]}, "none").tolist()
        [0, 0, 1, 2]
    """
    if group_by == BY_TIME:
        match split:
            case {"RS": [float() | int() as train, float() | int() as valid, float() | int() as test]}:
                return split_by_time(time, [train, valid, test])
        raise ValueError(f"unknown split by time {split!r}: use RS: [train, valid, test]")
    size = len(user)
    starts = np.flatnonzero(np.r_[True, user[1:] != user[:-1]]) if size else np.zeros(0, dtype=np.int64)
    length = np.diff(np.r_[starts, size])
    counts = split_counts(length - 1, split)
    first_valid = starts + 1 + counts[:, TRAIN]
    index = np.arange(size)
    label = (index >= np.repeat(first_valid, length)).astype(np.int8)
    label += index >= np.repeat(first_valid + counts[:, VALID], length)
    return label


def split_by_time(time: np.ndarray, ratios: Sequence[float]) -> np.ndarray:
    """Parts of all interactions before, between and from two moments on.

    The moments are the times of the first validation and of the first test interaction by RecBole's counts. All
    interactions of a moment belong to the later part, so that none of an earlier part is at its time.

    Args:
        time: (E,) float, in any order.
        ratios: of training, validation and test; only their proportions matter.

    Returns:
        (E,) int8: 0 train, 1 valid, 2 test.

    Example:
        >>> split_by_time(np.array([5.0, 1.0, 2.0, 2.0, 4.0]), [3, 1, 1]).tolist()
        [2, 0, 0, 0, 1]
        >>> split_by_time(np.array([5.0, 1.0, 2.0, 2.0, 4.0]), [2, 2, 1]).tolist()
        [2, 0, 1, 1, 1]
    """
    if not len(time):
        return np.zeros(0, dtype=np.int8)
    ends = split_by_ratio(np.array([len(time)]), ratios)[0].cumsum()[:-1]
    moments = np.append(np.sort(time), np.inf)[ends]
    return np.searchsorted(moments, time, side="right").astype(np.int8)


def leave_one_out(n_samples: np.ndarray, n_held_out: int) -> np.ndarray:
    """RecBole's leave-one-out counts.

    Args:
        n_samples: (U,) int samples of each user.
        n_held_out: 2 for validation and test, 1 for one of them.

    Returns:
        (U, n_held_out + 1) int64 counts, training first. A user with too few samples keeps one for training and fills
        the other parts from the last one.

    Example:
        >>> leave_one_out(np.array([1, 2, 5]), 2).tolist()
        [[1, 0, 0], [1, 0, 1], [3, 1, 1]]
    """
    held_out = np.minimum(n_held_out, np.maximum(n_samples - 1, 0))
    counts = np.zeros((len(n_samples), n_held_out + 1), dtype=np.int64)
    for part in range(n_held_out):
        counts[:, n_held_out - part] = held_out > part
    counts[:, 0] = n_samples - held_out
    return counts


def split_by_ratio(n_samples: np.ndarray, ratios: Sequence[float]) -> np.ndarray:
    """RecBole's counts for a split by ratio.

    Every part but the first is rounded down. From the last to the second, a part whose share is a fraction below 1
    takes one sample from the first part, as long as that keeps one.

    Args:
        n_samples: (U,) int samples of each user.
        ratios: one number for each part; only their proportions matter.

    Returns:
        (U, parts) int64 counts.

    Example:
        >>> split_by_ratio(np.array([3, 10, 25]), [0.8, 0.1, 0.1]).tolist()
        [[1, 1, 1], [8, 1, 1], [21, 2, 2]]
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


def split_counts(n_samples: np.ndarray, split: Mapping[str, object]) -> np.ndarray:
    """Counts of training, validation and test samples.

    Args:
        n_samples: (U,) int samples of each user.
        split: RecBole's ``eval_args.split``.

    Returns:
        (U, 3) int64 counts.

    Raises:
        ValueError: an unknown split.

    Example:
        >>> split_counts(np.array([5]), {"LS": "test_only"}).tolist()
        [[4, 0, 1]]
    """
    match split:
        case {"LS": "valid_and_test"}:
            return leave_one_out(n_samples, 2)
        case {"LS": "valid_only"}:
            return np.pad(leave_one_out(n_samples, 1), ((0, 0), (0, 1)))
        case {"LS": "test_only"}:
            return np.insert(leave_one_out(n_samples, 1), VALID, 0, axis=1)
        case {"RS": [float() | int() as train, float() | int() as valid, float() | int() as test]}:
            return split_by_ratio(n_samples, [train, valid, test])
        case _:
            raise ValueError(
                f"unknown split {split!r}: use LS: valid_and_test, LS: valid_only, LS: test_only, or "
                "RS: [train, valid, test]"
            )
