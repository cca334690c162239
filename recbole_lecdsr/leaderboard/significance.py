"""Statistics of a comparison: paired tests, correction, bootstrap interval, noise floor. Arrays in, numbers out.

A difference is always *other − first*, so a negative one says that the first model is better. Samples of one user hang
together: the interval and the permutation test therefore draw users, not samples. The Wilcoxon test takes the samples
as independent, as published comparisons do; read it together with the interval.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

_CELLS = 1 << 22  # of a matrix of weights or signs at a time
_DECIMALS = 12  # means over seeds differ in their last bits; rounding makes equal differences ties again


@dataclass(frozen=True)
class Comparison:
    """A model against the first.

    Attributes:
        difference: mean of other − first.
        low, high: 95 % bootstrap interval of it, over users.
        p: Wilcoxon signed-rank, two-sided.
        p_holm: p after Holm's correction over the models.
        p_permutation: sign-flip permutation test over users, two-sided, uncorrected.
        seeds: the seeds that both models have.
    """

    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    p_permutation: float
    seeds: tuple[int, ...] = ()

    def verdict(self, level: float = 0.05) -> int:
        """1 better than the first, -1 worse, 0 not told apart.

        Told apart: p_holm below the level, and an interval without zero on the side of the difference.
        """
        apart = self.p_holm < level and (self.low > 0 or self.high < 0)
        return int(np.sign(self.difference)) if apart else 0


@dataclass(frozen=True)
class NoiseFloor:
    """By how much two seeds of one model differ.

    Attributes:
        difference: root mean square difference of two seeds of one model, over the models: √2 times the pooled sd.
        largest: the largest such difference.
        model: that it was seen with.
        models: how many models it rests on (those with two seeds or more that differ at all).
    """

    difference: float
    largest: float
    model: str
    models: int


def mean_and_sd(values: np.ndarray) -> tuple[float, float]:
    """Mean and sample standard deviation of (n,); nan where there are too few."""
    values = np.asarray(values, dtype=np.float64)
    mean = float(values.mean()) if len(values) else math.nan
    return mean, float(values.std(ddof=1)) if len(values) > 1 else math.nan


def wilcoxon(difference: np.ndarray) -> float:
    """p of the two-sided Wilcoxon signed-rank test of paired differences (S,), zeros handled as Pratt does.

    Pratt ranks the zeros with the rest and then leaves them out; most samples are misses of both models, so that
    dropping them first would overstate what the others say.
    """
    difference = np.round(np.asarray(difference, dtype=np.float64), _DECIMALS)
    if not np.any(difference):
        return 1.0
    return float(stats.wilcoxon(difference, zero_method="pratt", alternative="two-sided").pvalue)


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's step-down correction: p (M,) -> (M,), in the order given.

    The i-th smallest (from 0) is multiplied by M − i, and never falls below one before it.
    """
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p)))), 1.0)
    return corrected


def permutation(
    difference: np.ndarray, groups: np.ndarray | None = None, resamples: int = 4999, seed: int = 0
) -> np.ndarray:
    """p of the two-sided sign-flip test of the mean difference.

    Under the null hypothesis the two models may change places; the signs of all samples of a group flip together.

    Args:
        difference: (M, S) float, or (S,).
        groups: (S,), such as user tokens; None: each sample apart.
        resamples: random sign patterns.
        seed: of the draw.

    Returns:
        (M,) p = (1 + patterns at least as extreme) / (1 + patterns); a number for (S,).
    """
    sums, _ = _by_group(difference, groups)
    observed = np.abs(sums.sum(axis=0))
    tolerance = 1e-9 * np.abs(sums).sum(axis=0)  # the sum of other signs in another order
    rng = np.random.default_rng(seed)
    extreme = np.zeros(sums.shape[1], dtype=np.int64)
    for rows in _chunks(resamples, len(sums)):
        signs = rng.integers(0, 2, size=(rows, len(sums)), dtype=np.int8) * 2.0 - 1.0
        extreme += (np.abs(signs @ sums) >= observed - tolerance).sum(axis=0)
    p = (1.0 + extreme) / (1.0 + resamples)
    return p if np.ndim(difference) == 2 else p[0]


def bootstrap_interval(
    difference: np.ndarray, groups: np.ndarray | None = None, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile bootstrap interval of the mean, whole groups drawn with replacement.

    A draw is a row of multinomial weights over the groups; its mean is the weighted sum of their sums over the
    weighted sum of their sizes, so that all draws of all models are two matrix products.

    Args:
        difference: (M, S) float, or (S,).
        groups: (S,), such as user tokens; None: each sample apart.
        level: of confidence.
        resamples: draws.
        seed: of the draws.

    Returns:
        low and high, (M,) each; numbers for (S,).
    """
    sums, sizes = _by_group(difference, groups)
    rng = np.random.default_rng(seed)
    count = len(sums)
    means = []
    for rows in _chunks(resamples, count):
        weights = rng.multinomial(count, np.full(count, 1.0 / count), size=rows).astype(np.float64)
        means.append(weights @ sums / (weights @ sizes)[:, None])
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2], axis=0)
    return (low, high) if np.ndim(difference) == 2 else (low[0], high[0])


def _by_group(difference: np.ndarray, groups: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """(M, S) -> sums (G, M) and sizes (G,) of the groups."""
    matrix = np.atleast_2d(np.asarray(difference, dtype=np.float64))
    if groups is None:
        return matrix.T, np.ones(matrix.shape[1])
    _, place, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    sums = np.stack([np.bincount(place, weights=row, minlength=len(sizes)) for row in matrix], axis=1)
    return sums, sizes.astype(np.float64)


def _chunks(total: int, width: int) -> list[int]:
    rows = max(1, _CELLS // max(width, 1))
    return [min(rows, total - start) for start in range(0, total, rows)]


def compare(
    differences: Mapping[str, np.ndarray],
    groups: np.ndarray,
    seeds: Mapping[str, tuple[int, ...]] | None = None,
    resamples: int = 2000,
    permutations: int = 4999,
) -> dict[str, Comparison]:
    """Each model against the first, Holm-corrected over the models.

    Args:
        differences: model -> (S,) per-sample metric, other − first, averaged over their common seeds.
        groups: (S,) users of the samples.
        seeds: model -> common seeds, to be stated.
        resamples, permutations: draws of the interval and of the permutation test.
    """
    if not differences:
        return {}
    matrix = np.stack(list(differences.values()))
    low, high = bootstrap_interval(matrix, groups, resamples=resamples)
    p = np.array([wilcoxon(row) for row in matrix])
    columns = zip(
        differences, matrix.mean(axis=1), low, high, p, holm(p), permutation(matrix, groups, permutations), strict=True
    )
    return {
        label: Comparison(*map(float, numbers), seeds=tuple((seeds or {}).get(label, ())))
        for label, *numbers in columns
    }


def noise_floor(values: Mapping[str, np.ndarray]) -> NoiseFloor | None:
    """By how much two seeds of one model differ.

    Args:
        values: model -> (n,) its metric with each seed. Models whose values are all equal do not depend on the seed
            and are left out, as are those with one seed.

    Returns:
        None where no model tells.
    """
    told = {label: np.asarray(row, dtype=np.float64) for label, row in values.items()}
    told = {label: row for label, row in told.items() if len(row) > 1 and np.ptp(row) > 0}
    if not told:
        return None
    model = max(told, key=lambda label: np.ptp(told[label]))
    squares = sum(((row - row.mean()) ** 2).sum() for row in told.values())
    freedom = sum(len(row) - 1 for row in told.values())
    return NoiseFloor(math.sqrt(2 * squares / freedom), float(np.ptp(told[model])), model, len(told))
