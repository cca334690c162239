"""Statistics of a model comparison: paired tests, multiple-testing correction, bootstrap interval, noise floor.

Arrays in, numbers out. A difference is always *other − first*: a negative one favours the first model. The samples of
one user are correlated, so the interval and the permutation test resample users, not samples. The Wilcoxon test treats
the samples as independent, as published comparisons do; read it together with the interval.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

_MAX_CELLS = 1 << 22  # of the matrix of weights or signs that is held at a time
_DECIMALS = 12  # means over seeds differ in their last bits; rounding makes equal differences ties again


@dataclass(frozen=True)
class Comparison:
    """A model compared with the first model of a study.

    Attributes:
        difference: mean of other − first over the test samples.
        low, high: its 95 % bootstrap interval, over users.
        p: of the two-sided Wilcoxon signed-rank test.
        p_holm: p after Holm's correction over the compared models.
        p_permutation: of the two-sided sign-flip permutation test over users, uncorrected.
        seeds: the seeds that both models have finished.
    """

    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    p_permutation: float
    seeds: tuple[int, ...] = ()

    def verdict(self, level: float = 0.05) -> int:
        """1 for better than the first model, -1 for worse, 0 for no significant difference.

        Significant means both: ``p_holm`` is below the level, and the interval excludes zero.

        >>> Comparison(-0.02, low=-0.03, high=-0.01, p=0.001, p_holm=0.002, p_permutation=0.001).verdict()
        -1
        """
        significant = self.p_holm < level and (self.low > 0 or self.high < 0)
        return int(np.sign(self.difference)) if significant else 0


@dataclass(frozen=True)
class NoiseFloor:
    """The difference between two seeds of the same model.

    Attributes:
        difference: root mean square difference between two seeds, over the models: √2 times the pooled sd.
        largest: the largest such difference.
        model: the model in which it was seen.
        models: how many models it is computed from: those with two seeds or more whose values differ.
    """

    difference: float
    largest: float
    model: str
    models: int


def mean_and_sd(values: np.ndarray) -> tuple[float, float]:
    """Mean and sample standard deviation of (n,) values; nan where there are too few.

    >>> mean_and_sd(np.array([1.0, 2.0, 3.0]))
    (2.0, 1.0)
    """
    values = np.asarray(values, dtype=np.float64)
    mean = float(values.mean()) if len(values) else math.nan
    return mean, float(values.std(ddof=1)) if len(values) > 1 else math.nan


def wilcoxon(difference: np.ndarray) -> float:
    """p of the two-sided Wilcoxon signed-rank test of paired differences (S,), zeros by Pratt's method.

    Pratt ranks the zeros with the others and drops them afterwards. Most samples are missed by both models; dropping
    these zeros before ranking would overstate the evidence of the others.

    >>> wilcoxon(np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]))  # two of the 2⁶ sign patterns are as extreme
    0.03125
    """
    difference = np.round(np.asarray(difference, dtype=np.float64), _DECIMALS)
    if not np.any(difference):
        return 1.0
    return float(stats.wilcoxon(difference, zero_method="pratt", alternative="two-sided").pvalue)


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's step-down correction for M tests: p (M,) -> (M,), in the order given.

    The i-th smallest p (from 0) is multiplied by M − i; a corrected p is never below that of a smaller p.

    >>> holm(np.array([0.04, 0.01, 0.03, 0.02])).tolist()
    [0.06, 0.04, 0.06, 0.06]
    """
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p)))), 1.0)
    return corrected


def permutation_test(
    difference: np.ndarray, groups: np.ndarray | None = None, *, resamples: int = 4999, seed: int = 0
) -> np.ndarray:
    """p of the two-sided sign-flip test of the mean difference.

    Under the null hypothesis the two models are exchangeable; the signs of all samples of a group flip together.

    Args:
        difference: (M, S) float, or (S,).
        groups: (S,) group of each sample, such as user tokens; None: each sample is a group.
        resamples: number of random sign patterns.
        seed: of the random numbers.

    Returns:
        (M,) p = (1 + patterns at least as extreme) / (1 + patterns); a scalar for (S,).
    """
    sums, _ = _group_sums(difference, groups)
    observed = np.abs(sums.sum(axis=0))
    tolerance = 1e-9 * np.abs(sums).sum(axis=0)  # the same numbers, summed in another order
    rng = np.random.default_rng(seed)
    extreme = np.zeros(sums.shape[1], dtype=np.int64)
    for rows in _chunk_sizes(resamples, len(sums)):
        signs = rng.integers(0, 2, size=(rows, len(sums)), dtype=np.int8) * 2.0 - 1.0
        extreme += (np.abs(signs @ sums) >= observed - tolerance).sum(axis=0)
    p = (1.0 + extreme) / (1.0 + resamples)
    return p if np.ndim(difference) == 2 else p[0]


def bootstrap_interval(
    difference: np.ndarray,
    groups: np.ndarray | None = None,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile bootstrap interval of the mean; whole groups are drawn with replacement.

    A draw is a row of multinomial weights over the groups. Its mean is the weighted sum of the group sums over the
    weighted sum of the group sizes, so all draws for all models take two matrix products.

    Args:
        difference: (M, S) float, or (S,).
        groups: (S,) group of each sample, such as user tokens; None: each sample is a group.
        level: confidence level.
        resamples: number of draws.
        seed: of the random numbers.

    Returns:
        The lower and the upper ends, (M,) each; scalars for (S,).
    """
    sums, sizes = _group_sums(difference, groups)
    rng = np.random.default_rng(seed)
    count = len(sums)
    means = []
    for rows in _chunk_sizes(resamples, count):
        weights = rng.multinomial(count, np.full(count, 1.0 / count), size=rows).astype(np.float64)
        means.append(weights @ sums / (weights @ sizes)[:, None])
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2], axis=0)
    return (low, high) if np.ndim(difference) == 2 else (low[0], high[0])


def _group_sums(difference: np.ndarray, groups: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """(M, S) differences -> their sums (G, M) in the groups, and the sizes (G,) of the groups."""
    matrix = np.atleast_2d(np.asarray(difference, dtype=np.float64))
    if groups is None:
        return matrix.T, np.ones(matrix.shape[1])
    _, index, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    sums = np.stack([np.bincount(index, weights=row, minlength=len(sizes)) for row in matrix], axis=1)
    return sums, sizes.astype(np.float64)


def _chunk_sizes(total: int, width: int) -> list[int]:
    """Split ``total`` rows of the given width into chunks of at most `_MAX_CELLS` cells."""
    rows = max(1, _MAX_CELLS // max(width, 1))
    return [min(rows, total - start) for start in range(0, total, rows)]


def compare(
    differences: Mapping[str, np.ndarray],
    groups: np.ndarray,
    *,
    seeds: Mapping[str, tuple[int, ...]] | None = None,
    resamples: int = 2000,
    permutations: int = 4999,
) -> dict[str, Comparison]:
    """Compare each model with the first one; Holm's correction is over the models.

    Args:
        differences: model -> (S,) per-sample metric, other − first, averaged over the common seeds.
        groups: (S,) user of each sample.
        seeds: model -> the common seeds, recorded in the comparison.
        resamples: draws of the bootstrap interval.
        permutations: sign patterns of the permutation test.
    """
    if not differences:
        return {}
    matrix = np.stack(list(differences.values()))
    mean = matrix.mean(axis=1)
    low, high = bootstrap_interval(matrix, groups, resamples=resamples)
    p = np.array([wilcoxon(row) for row in matrix])
    p_holm = holm(p)
    p_permutation = permutation_test(matrix, groups, resamples=permutations)
    return {
        label: Comparison(
            difference=float(mean[row]),
            low=float(low[row]),
            high=float(high[row]),
            p=float(p[row]),
            p_holm=float(p_holm[row]),
            p_permutation=float(p_permutation[row]),
            seeds=tuple((seeds or {}).get(label, ())),
        )
        for row, label in enumerate(differences)
    }


def noise_floor(values: Mapping[str, np.ndarray]) -> NoiseFloor | None:
    """By how much two seeds of the same model differ.

    Args:
        values: model -> (n,) its metric with each seed. Models with one seed are ignored, and so are models whose
            values are all equal, since they do not depend on the seed.

    Returns:
        None where no model is left.

    >>> noise_floor({"SASRec": np.array([0.25, 0.75]), "Pop": np.array([0.125, 0.125])})
    NoiseFloor(difference=0.5, largest=0.5, model='SASRec', models=1)
    """
    rows = {label: np.asarray(row, dtype=np.float64) for label, row in values.items()}
    rows = {label: row for label, row in rows.items() if len(row) > 1 and np.ptp(row) > 0}
    if not rows:
        return None
    widest = max(rows, key=lambda label: np.ptp(rows[label]))
    squares = sum(((row - row.mean()) ** 2).sum() for row in rows.values())
    freedom = sum(len(row) - 1 for row in rows.values())
    return NoiseFloor(math.sqrt(2 * squares / freedom), float(np.ptp(rows[widest])), widest, len(rows))
