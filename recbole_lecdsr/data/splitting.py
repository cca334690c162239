"""How many samples of each user go to training, validation and test (docs/protocol.md, 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from recbole_lecdsr.data.constants import VALID


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
