"""Test samples grouped into bins: by history length, by popularity of the target item. Arrays only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Bins:
    """Bins of test samples, none of them empty.

    Attributes:
        index: (S,) int64, the bin of each sample.
        low, high: (n,) int64, the smallest and the largest value in each bin.
        size: (n,) int64, number of samples in each bin.
    """

    index: np.ndarray
    low: np.ndarray
    high: np.ndarray
    size: np.ndarray

    @property
    def ranges(self) -> list[str]:
        """The values of each bin as text: ``1–5``, or ``3`` for a single value."""
        pairs = zip(self.low, self.high, strict=True)
        return [f"{low:,}" if low == high else f"{low:,}–{high:,}" for low, high in pairs]

    def means(self, values: np.ndarray) -> np.ndarray:
        """Mean of per-sample values in each bin: (S,) -> (n,)."""
        return np.bincount(self.index, weights=values, minlength=len(self.size)) / self.size


def history_bins(history: np.ndarray, number: int = 5) -> Bins:
    """Up to ``number`` quantile bins of about equally many samples.

    Args:
        history: (S,) int64, number of earlier interactions of each sample's user.
        number: of bins.

    >>> history_bins(np.array([5, 1, 2, 3, 4, 6]), number=3).ranges
    ['1–2', '3–4', '5–6']
    """
    return _bin_by_upper_ends(history, _quantiles(history, number))


def popularity_bins(popularity: np.ndarray, item: np.ndarray, number: int = 5) -> Bins:
    """One bin of cold items (no training interaction), and quantile bins over the distinct other items.

    The quantiles are over items, not over samples, so that all bins but the last are the long tail: with five bins,
    the least popular 80 % of the items.

    Args:
        popularity: (S,) int64, training interactions of each sample's target item.
        item: (S,) the target item.
        number: of bins besides the cold one.

    >>> popularity_bins(np.array([0, 7, 7, 7, 2]), np.array(["a", "b", "b", "b", "c"]), number=2).ranges
    ['0', '2', '7']
    """
    _, first_sample = np.unique(item, return_index=True)
    per_item = popularity[first_sample]
    warm = per_item[per_item > 0]
    upper_ends = np.concatenate([[0], _quantiles(warm, number)]) if len(warm) else np.array([0])
    return _bin_by_upper_ends(popularity, upper_ends)


def _quantiles(values: np.ndarray, number: int) -> np.ndarray:
    """Upper ends of the quantile bins, each a value that occurs."""
    return np.quantile(values, np.arange(1, number + 1) / number, method="inverted_cdf")


def _bin_by_upper_ends(values: np.ndarray, upper_ends: np.ndarray) -> Bins:
    """Bins (previous end, end] of the values; empty ones are dropped."""
    position = np.searchsorted(np.unique(upper_ends), values, side="left")
    occupied, index, size = np.unique(position, return_inverse=True, return_counts=True)
    members = [values[index == number] for number in range(len(occupied))]
    low = np.array([part.min() for part in members], dtype=np.int64)
    high = np.array([part.max() for part in members], dtype=np.int64)
    return Bins(index.astype(np.int64), low, high, size)
