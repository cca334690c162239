"""Test samples grouped by history length, by popularity of the target item, and by domain switch. Arrays only."""

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
        return [_range(low, high) for low, high in pairs]

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


@dataclass(frozen=True, eq=False)
class Group:
    """A kind of test samples.

    Attributes:
        name: such as ``tail items``.
        values: of which its samples are, as text: ``1–40``; empty where the name says it.
        chosen: (S,) bool, its samples, one or more.
    """

    name: str
    values: str
    chosen: np.ndarray


def sample_groups(
    history: np.ndarray, popularity: np.ndarray, item: np.ndarray, same_domain: np.ndarray | None
) -> list[Group]:
    """The kinds of samples that papers report: by the target item, by the length of the history, by domain switch.

    - cold, tail and head items: those of `popularity_bins`, the tail being all bins between the cold one and the last;
    - short histories: up to the median of the samples; long ones: above it. Neither where all are equal;
    - samples whose last interaction is in the domain of the target, and those that switch the domain.

    Args:
        history: (S,) int64, number of earlier interactions of each sample's user.
        popularity: (S,) int64, training interactions of each sample's target item.
        item: (S,) the target item.
        same_domain: (S,) bool, whether the last interaction is in the target's domain; None where it is unknown.

    Returns:
        The groups that have samples; each kind divides all samples.

    >>> history, popularity = np.array([1, 9, 2]), np.array([0, 50, 3])
    >>> groups = sample_groups(history, popularity, np.array(["a", "b", "c"]), np.array([True, False, True]))
    >>> [(group.name, group.values) for group in groups][:4]
    [('cold items', '0'), ('tail items', '3'), ('head items', '50'), ('short histories', '1–2')]
    """
    by_item = popularity_bins(popularity, item)
    is_cold, is_head = popularity == 0, by_item.index == len(by_item.size) - 1
    groups = [
        ("cold items", popularity, is_cold),
        ("tail items", popularity, ~is_cold & ~is_head),
        ("head items", popularity, ~is_cold & is_head),
    ]
    by_history = history_bins(history, number=2)
    if len(by_history.size) == 2:
        groups += [
            ("short histories", history, by_history.index == 0),
            ("long histories", history, by_history.index == 1),
        ]
    found = [Group(name, _range(values[chosen].min(), values[chosen].max()), chosen)
             for name, values, chosen in groups if chosen.any()]  # fmt: skip
    if same_domain is not None:
        found += [
            Group(name, "", chosen)
            for name, chosen in (("same domain", same_domain), ("domain switch", ~same_domain))
            if chosen.any()
        ]
    return found


def _range(low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"{low:,}–{high:,}"


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
