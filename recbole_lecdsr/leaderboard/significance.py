"""Statistics of a model comparison: paired tests, multiple-testing correction, bootstrap interval, noise floor.

Arrays in, numbers out. A difference is always *other − reference*: a negative one favours the reference. The samples
of one user are correlated, so the interval resamples users and the permutation test flips signs by user. The verdict is
the permutation test with Holm's correction. The Wilcoxon test treats the samples as independent, as published
comparisons do. It finds differences too often where the samples of a user are alike, so the verdict ignores it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

_MAX_CELLS = 1 << 22  # of the matrix of weights or signs that is held at a time
_DECIMALS = 12  # means over seeds differ in their last bits; rounding makes equal differences ties again
_EXACT_UP_TO = 13  # non-zero differences for which every sign pattern is computed, 4,096 up to the overall sign


@dataclass(frozen=True)
class Comparison:
    """A model compared with the reference of a study.

    Attributes:
        difference: mean of other − reference over the test samples.
        low, high: its 95 % bootstrap interval, over users. It is the interval of this model by itself: not corrected
            for the number of models, and not used by the verdict.
        p_permutation: of the two-sided sign-flip permutation test by user, uncorrected.
        p_holm: `p_permutation` after Holm's correction over the compared models.
        p_wilcoxon: of the two-sided Wilcoxon signed-rank test over samples, uncorrected; for information.
        seeds: the seeds that both models have finished.
    """

    difference: float
    low: float
    high: float
    p_permutation: float
    p_holm: float
    p_wilcoxon: float
    seeds: tuple[int, ...] = ()

    def verdict(self, level: float = 0.05) -> int:
        """1 for better than the reference, -1 for worse, 0 for no significant difference.

        Significant means that ``p_holm`` is below the level. The probability of any false 1 or -1 among the models
        that were compared together is then at most the level.

        >>> Comparison(-0.02, low=-0.03, high=-0.01, p_permutation=0.001, p_holm=0.002, p_wilcoxon=0.001).verdict()
        -1
        """
        return int(np.sign(self.difference)) if self.p_holm < level else 0


@dataclass(frozen=True)
class NoiseFloor:
    """The difference between two single runs of the same model with different seeds.

    It is a yardstick for single runs. A mean over n seeds varies less: seed noise in the difference of two such means
    is about the floor divided by √n.

    Attributes:
        difference: root mean square difference between two runs, over the models: √2 times the pooled sd.
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
    these zeros before ranking would overstate the evidence of the others. With few non-zero differences p is exact,
    from every pattern of their signs; with more it is that of the normal approximation.

    >>> wilcoxon(np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]))  # two of the 2⁶ sign patterns are as extreme
    0.03125
    """
    difference = np.round(np.asarray(difference, dtype=np.float64), _DECIMALS)
    if np.count_nonzero(difference) <= _EXACT_UP_TO:
        return _exact_sign_flip(np.sign(difference) * stats.rankdata(np.abs(difference)))
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

    Under the null hypothesis the two models are exchangeable; the signs of all samples of a group flip together. Where
    few groups have a non-zero sum of differences, p is exact.

    Args:
        difference: (M, S) float, or (S,).
        groups: (S,) group of each sample, such as user tokens; None: each sample is a group.
        resamples: number of random sign patterns.
        seed: of the random numbers.

    Returns:
        (M,) p; a scalar for (S,). With up to 13 non-zero groups, the fraction of all sign patterns that are at least as
        extreme; with more, (1 + random patterns at least as extreme) / (1 + random patterns).

    >>> permutation_test(np.array([0.1, 0.2, 0.3, 0.4, 0.0, 0.0])).item()  # two of the 2⁴ sign patterns
    0.125
    """
    sums, _ = _group_sums(difference, groups)
    few = np.count_nonzero(np.round(sums, _DECIMALS), axis=0) <= _EXACT_UP_TO
    p = np.empty(sums.shape[1])
    p[few] = [_exact_sign_flip(column) for column in sums.T[few]]
    if not few.all():
        p[~few] = _random_sign_flip(sums[:, ~few], resamples, seed)
    return p if np.ndim(difference) == 2 else p[0]


def _exact_sign_flip(values: np.ndarray) -> float:
    """p of the two-sided sign-flip test of the sum of (n,) values, from all sign patterns of the non-zero ones."""
    values = values[np.round(values, _DECIMALS) != 0]
    if not len(values):
        return 1.0
    # The other half of the patterns, with the first sign flipped, has the same absolute sums.
    patterns = np.arange(1 << (len(values) - 1))
    signs = np.column_stack(
        [np.ones_like(patterns), *((patterns >> bit & 1) * 2 - 1 for bit in range(len(values) - 1))]
    )
    return float(np.mean(np.abs(signs @ values) >= abs(values.sum()) - _tolerance(values)))


def _random_sign_flip(sums: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """p (M,) of the two-sided sign-flip test of the sums of (G, M) values, from random sign patterns."""
    observed = np.abs(sums.sum(axis=0)) - _tolerance(sums)
    rng = np.random.default_rng(seed)
    extreme = np.zeros(sums.shape[1], dtype=np.int64)
    for rows in _chunk_sizes(resamples, len(sums)):
        signs = rng.integers(0, 2, size=(rows, len(sums)), dtype=np.int8) * 2.0 - 1.0
        extreme += (np.abs(signs @ sums) >= observed).sum(axis=0)
    return (1.0 + extreme) / (1.0 + resamples)


def _tolerance(values: np.ndarray) -> np.ndarray:
    """By how much the sum of the same numbers may differ when they are added in another order."""
    return 1e-9 * np.abs(values).sum(axis=0)


def bootstrap_interval(
    difference: np.ndarray,
    groups: np.ndarray | None = None,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile bootstrap interval of the mean of each model by itself; whole groups are drawn with replacement.

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
    """Compare each model with the reference; Holm's correction is over the models.

    Args:
        differences: model -> (S,) per-sample metric, other − reference, averaged over the common seeds.
        groups: (S,) user of each sample.
        seeds: model -> the common seeds, recorded in the comparison.
        resamples: draws of the bootstrap interval.
        permutations: random sign patterns of the permutation test.
    """
    if not differences:
        return {}
    matrix = np.stack(list(differences.values()))
    mean = matrix.mean(axis=1)
    low, high = bootstrap_interval(matrix, groups, resamples=resamples)
    p_permutation = permutation_test(matrix, groups, resamples=permutations)
    p_holm = holm(p_permutation)
    return {
        label: Comparison(
            difference=float(mean[row]),
            low=float(low[row]),
            high=float(high[row]),
            p_permutation=float(p_permutation[row]),
            p_holm=float(p_holm[row]),
            p_wilcoxon=wilcoxon(matrix[row]),
            seeds=tuple((seeds or {}).get(label, ())),
        )
        for row, label in enumerate(differences)
    }


def noise_floor(values: Mapping[str, np.ndarray]) -> NoiseFloor | None:
    """By how much two runs of the same model with different seeds differ.

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
