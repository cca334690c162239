"""What the interactions of whole files show: times in two units, repeated rows, one domain given twice."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_lecdsr.errors import UserError

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
    real = times[times >= _SMALLEST]
    if not len(real) or real.max() < _TIMES_APART * real.min():
        return
    distinct = np.unique(real)
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


def digest_rows(rows: pd.DataFrame) -> np.ndarray:
    """(n,) uint64, equal for two rows of equal cells, whatever the names of the columns.

    Example:
        >>> digests = digest_rows(pd.DataFrame({"user": ["u", "v", "u"], "time": [1.0, 1.0, 1.0]}))
        >>> (digests == digests[0]).tolist()
        [True, False, True]
    """
    digests: np.ndarray = pd.util.hash_pandas_object(rows, index=False).to_numpy()
    return digests


def warn_of_repeated_rows(path: Path, digests: np.ndarray) -> None:
    """Warn where rows of a domain repeat others in all the columns that are read.

    Args:
        path: its file, or folder, for the warning.
        digests: (n,) from `digest_rows`.
    """
    repeated = int(pd.Series(digests).duplicated().sum())
    if repeated:
        logger.warning(
            "%s: %d of %d rows repeat another row exactly; a target among them may be in its own history. Remove them "
            "unless they are real",
            path, repeated, len(digests),
        )  # fmt: skip


def refuse_equal_domains(names: tuple[str, str], digests: tuple[np.ndarray, np.ndarray]) -> None:
    """Refuse two domains of the same interactions, in any order, and warn where most are the same.

    Args:
        names: of the domains.
        digests: (n,) from `digest_rows` of each domain.

    Raises:
        UserError: both domains have the same rows.
    """
    one, other = (pd.Index(pd.unique(part)) for part in digests)  # by hashing, which is faster than sorting
    shared = int(one.isin(other).sum())
    if shared == len(one) == len(other):
        raise UserError(
            f"the domains {names[0]} and {names[1]} hold the same interactions, so that the history of every target "
            "would hold the target: name two different domains"
        )
    if 2 * shared >= min(len(one), len(other)):
        logger.warning(
            "%d interactions (user, item and time) are in both domains, of %d in %s and %d in %s: the history of a "
            "target then holds the target; is one domain a copy or a part of the other?",
            shared, len(one), names[0], len(other), names[1],
        )  # fmt: skip
