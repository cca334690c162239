"""The seed of an epoch, so that a resumed run draws what the uninterrupted run would have drawn."""

from __future__ import annotations


def epoch_seed(seed: int, epoch: int) -> int:
    """An even number that differs for each pair of seed and epoch (docs/protocol.md, 5).

    The odd number after it is free for a second generator of the same epoch.

    Args:
        seed: the run's ``seed``.
        epoch: number of the epoch, from 0, below 1,000,003.

    Example:
        >>> epoch_seed(2022, 0), epoch_seed(2022, 1)
        (4044012132, 4044012134)
    """
    return (seed * 1_000_003 + epoch) * 2
