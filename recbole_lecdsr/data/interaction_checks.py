"""What the interactions of whole files show: times in two units."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

logger = logging.getLogger(__name__)

_TIMES_APART = 300  # ratio of medians from which two ranges of times look like two units, such as s and ms
_GAP = 30  # ratio of neighbouring times between which the unit may change
_SMALLEST = 1000.0  # below, times are plain numbers, in which such gaps mean nothing


@dataclass(frozen=True)
class TimeRange:
    """Times of some interactions, in the unit of their file."""

    first: float
    last: float
    median: float

    @classmethod
    def measure(cls, times: np.ndarray) -> TimeRange:
        """The range of (n,) float64, at least one.

        Example:
            >>> print(TimeRange.measure(np.array([5.0, 1.0, 2.0])))
            1 to 5
        """
        return cls(float(times.min()), float(times.max()), float(np.median(times)))

    def __str__(self) -> str:
        return f"{self.first:.15g} to {self.last:.15g}"

    def looks_like_another_unit(self, later: TimeRange) -> bool:
        """Whether a range is about a thousand times later or more, and does not overlap.

        Example:
            >>> seconds, milliseconds = TimeRange(1.0e9, 1.4e9, 1.2e9), TimeRange(1.1e12, 1.5e12, 1.3e12)
            >>> seconds.looks_like_another_unit(milliseconds), seconds.looks_like_another_unit(seconds)
            (True, False)
        """
        return self.last < later.first and 0 < self.median * _TIMES_APART <= later.median


def warn_of_two_units(path: Path, times: np.ndarray) -> None:
    """Warn where a domain has times in two units.

    Args:
        path: its file, or folder, for the warning.
        times: (n,) float64.
    """
    distinct = np.unique(times)
    distinct = distinct[distinct >= _SMALLEST]
    if len(distinct) < 2:
        return
    gap = int(np.argmax(distinct[1:] / distinct[:-1])) + 1
    earlier, later = TimeRange.measure(distinct[:gap]), TimeRange.measure(distinct[gap:])
    if earlier.last * _GAP <= later.first and earlier.looks_like_another_unit(later):
        logger.warning(
            "%s: there are times from %s and from %s, which look like two units, such as seconds and milliseconds; the "
            "order of interactions and thus the split follow them: convert them to one unit",
            path, earlier, later,
        )  # fmt: skip


def warn_of_domains_in_two_units(names: tuple[str, str], times: tuple[np.ndarray, np.ndarray]) -> None:
    """Warn where the times of one domain look like another unit than those of the other.

    Args:
        names: of the domains.
        times: (n,) float64 of each domain.
    """
    one, other = (TimeRange.measure(part) for part in times)
    if one.looks_like_another_unit(other) or other.looks_like_another_unit(one):
        logger.warning(
            "the times of %s are from %s, those of %s from %s, which look like two units, such as seconds and "
            "milliseconds; all interactions of one domain then come after those of the other: convert them to one unit",
            names[0], one, names[1], other,
        )  # fmt: skip
