"""Metrics of single test samples, each a function of the rank of its target, and labels of metrics.

A sample has one relevant item, so Hit equals recall. Means over the samples are the metrics of RecBole's evaluator.
"""

from __future__ import annotations

import numpy as np

from recbole_lecdsr.errors import UserError


def hit(rank: np.ndarray, k: int) -> np.ndarray:
    """Whether the target is among the first k.

    Args:
        rank: (S,) int64 from 1.
        k: cut-off.

    Returns:
        (S,) float64, 0 or 1.

    >>> hit(np.array([1, 10, 11]), 10).tolist()
    [1.0, 1.0, 0.0]
    """
    return (rank <= k).astype(np.float64)


def ndcg(rank: np.ndarray, k: int) -> np.ndarray:
    """1 / log₂(rank + 1) where the target is among the first k, otherwise 0.

    Args:
        rank: (S,) int64 from 1.
        k: cut-off.

    Returns:
        (S,) float64.

    >>> ndcg(np.array([1, 3, 11]), 10).tolist()
    [1.0, 0.5, 0.0]
    """
    return np.where(rank <= k, 1.0 / np.log2(rank + 1.0), 0.0)


def reciprocal_rank(rank: np.ndarray, k: int | None = None) -> np.ndarray:
    """1 / rank where the target is among the first k, otherwise 0.

    Args:
        rank: (S,) int64 from 1.
        k: cut-off; None for the whole list of candidates.

    Returns:
        (S,) float64.

    >>> reciprocal_rank(np.array([1, 4])).tolist()
    [1.0, 0.25]
    """
    value = 1.0 / rank
    return value if k is None else np.where(rank <= k, value, 0.0)


def per_sample(rank: np.ndarray, name: str) -> np.ndarray:
    """A metric of each sample, by name.

    Args:
        rank: (S,) int64 from 1.
        name: ``hit@K``, ``ndcg@K``, ``mrr@K``, or ``mrr`` over the whole list of candidates; in any case.

    Returns:
        (S,) float64.

    Raises:
        UserError: an unknown metric.

    >>> per_sample(np.array([1, 3, 11]), "NDCG@10").tolist()
    [1.0, 0.5, 0.0]
    """
    kind, _, cutoff = name.lower().partition("@")
    if name.lower() == "mrr":
        return reciprocal_rank(rank)
    functions = {"hit": hit, "ndcg": ndcg, "mrr": reciprocal_rank}
    if kind not in functions or not cutoff.isdigit() or int(cutoff) < 1:
        raise UserError(f"unknown metric {name!r}: give hit@K, ndcg@K, mrr@K or mrr, such as ndcg@10")
    return functions[kind](rank, int(cutoff))


def display_name(name: str) -> str:
    """The label of a metric in tables and charts; names of RecBole's other metrics stay as they are.

    >>> display_name("ndcg@10"), display_name("mrr"), display_name("recall@5")
    ('NDCG@10', 'MRR', 'recall@5')
    """
    kind, at, cutoff = name.partition("@")
    return {"hit": "Hit", "ndcg": "NDCG", "mrr": "MRR"}.get(kind, kind) + at + cutoff
