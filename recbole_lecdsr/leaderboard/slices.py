"""Test samples in bins of a count: by history length, by popularity of the target. Pure arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Bins:
    """Bins of samples, none empty.

    Attributes:
        index: (S,) int64, the bin of each sample.
        low, high: (n,) int64, the smallest and largest value that each holds.
        size: (n,) int64, samples in each.
    """

    index: np.ndarray
    low: np.ndarray
    high: np.ndarray
    size: np.ndarray

    @property
    def ranges(self) -> list[str]:
        """``1–5`` or ``3`` of each bin."""
        pairs = zip(self.low, self.high, strict=True)
        return [f"{low:,}" if low == high else f"{low:,}–{high:,}" for low, high in pairs]

    def means(self, values: np.ndarray) -> np.ndarray:
        """Mean of per-sample values in each bin: (S,) -> (n,)."""
        return np.bincount(self.index, weights=values, minlength=len(self.size)) / self.size


def history_bins(history: np.ndarray, number: int = 5) -> Bins:
    """Quantile bins over the samples: history (S,) -> up to ``number`` bins of about equal size."""
    return _cut(history, _quantiles(history, number))


def popularity_bins(popularity: np.ndarray, item: np.ndarray, number: int = 5) -> Bins:
    """Cold items (no training event) apart, the rest in quantile bins over the distinct items.

    Bins over items, not over samples, so that all but the last are the long tail: with five, the least popular 80 %
    of the items.

    Args:
        popularity: (S,) training events of each sample's target.
        item: (S,) the target.
        number: bins beside the cold one.
    """
    _, once = np.unique(item, return_index=True)
    warm = popularity[once][popularity[once] > 0]
    return _cut(popularity, np.concatenate([[0], _quantiles(warm, number)]) if len(warm) else np.array([0]))


def _quantiles(values: np.ndarray, number: int) -> np.ndarray:
    """Upper ends of the bins, each a value that occurs."""
    return np.quantile(values, np.arange(1, number + 1) / number, method="inverted_cdf")


def _cut(values: np.ndarray, upper: np.ndarray) -> Bins:
    place = np.searchsorted(np.unique(upper), values, side="left")
    kept, index, size = np.unique(place, return_inverse=True, return_counts=True)
    edges = [values[index == bin_] for bin_ in range(len(kept))]
    low, high = (np.array([extreme(part) for part in edges], dtype=np.int64) for extreme in (np.min, np.max))
    return Bins(index.astype(np.int64), low, high, size)
