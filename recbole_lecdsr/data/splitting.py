"""How many samples of each user go to training, validation and test."""

from __future__ import annotations

import numpy as np

from recbole_lecdsr.data.constants import VALID


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
