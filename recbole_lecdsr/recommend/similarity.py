"""Similar items by the cosine of their vectors."""

from __future__ import annotations

import numpy as np


def most_similar(
    vector: np.ndarray, vectors: np.ndarray, items: np.ndarray, item: int, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The rows with the largest cosine.

    Args:
        vector: (d,) float32, that of the item.
        vectors: (N, d) float32.
        items: (N,) int64, the item of each row; an item of both domains has two and counts once, by the first.
        item: the item itself, which is left out.
        k: how many.

    Returns:
        (K,) int64 rows and (K,) float32 cosines, K ≤ k, the largest first.

    >>> rows = np.array([[1, 0], [0, 2], [3, 1], [1, 1]], dtype=np.float32)
    >>> most_similar(rows[0], rows, items=np.array([5, 6, 7, 8]), item=5, k=2)[0]
    array([2, 3])
    """
    length = np.linalg.norm(vectors, axis=1) * np.linalg.norm(vector)
    cosine = vectors @ vector / np.maximum(length, np.finfo(np.float32).tiny)
    rows = np.sort(np.unique(items, return_index=True)[1])
    rows = rows[items[rows] != item]
    rows = rows[np.argsort(-cosine[rows], kind="stable")[:k]]
    return rows, cosine[rows]
