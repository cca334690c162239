"""Metrics of single test samples, from the rank of the one target: pure functions of arrays.

Their means over the samples are RecBole's metrics (one positive per sample, so Hit = Recall).
"""

from __future__ import annotations

import numpy as np

from recbole_lecdsr.errors import UserError


def hit(rank: np.ndarray, k: int) -> np.ndarray:
    """1 where the target stands among the first k: ranks (S,) from 1 -> (S,) float64."""
    return (rank <= k).astype(np.float64)


def ndcg(rank: np.ndarray, k: int) -> np.ndarray:
    """1 / log₂(rank + 1) where the target stands among the first k, else 0: (S,) from 1 -> (S,) float64."""
    return np.where(rank <= k, 1.0 / np.log2(rank + 1.0), 0.0)


def reciprocal_rank(rank: np.ndarray, k: int | None = None) -> np.ndarray:
    """1 / rank, over the whole list or where the target stands among the first k: (S,) -> (S,) float64."""
    value = 1.0 / rank
    return value if k is None else np.where(rank <= k, value, 0.0)


def per_sample(rank: np.ndarray, name: str) -> np.ndarray:
    """A metric by its name.

    Args:
        rank: (S,) int64 from 1.
        name: ``hit@K``, ``ndcg@K``, ``mrr@K``, or ``mrr`` (over the whole list of candidates).

    Returns:
        (S,) float64.

    Raises:
        UserError: a name of another form.
    """
    kind, _, place = name.lower().partition("@")
    if name.lower() == "mrr":
        return reciprocal_rank(rank)
    functions = {"hit": hit, "ndcg": ndcg, "mrr": reciprocal_rank}
    if kind not in functions or not place.isdigit() or int(place) < 1:
        raise UserError(f"metric {name!r} is not known: give hit@K, ndcg@K, mrr@K or mrr, such as ndcg@10")
    return functions[kind](rank, int(place))


def display_name(name: str) -> str:
    """``ndcg@10`` -> ``NDCG@10``."""
    kind, at, place = name.partition("@")
    return {"hit": "Hit", "ndcg": "NDCG", "mrr": "MRR"}.get(kind, kind) + at + place
