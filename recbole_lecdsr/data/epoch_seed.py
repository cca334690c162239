"""The seed of an epoch, so that a resumed run draws what the uninterrupted run would have drawn."""

from __future__ import annotations


def epoch_seed(seed: int, epoch: int) -> int:
    """The seed of what is drawn in one epoch: an even number (docs/protocol.md, 5).

    The odd number after it belongs to the same epoch, for a second generator.

    Args:
        seed: the run's ``seed``.
        epoch: a number that no other epoch of the run has.

    Example:
        >>> epoch_seed(2022, 0), epoch_seed(2022, 1)
        (4044012132, 4044012134)
    """
    return (seed * 1_000_003 + epoch) * 2
