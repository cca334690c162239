"""Nearest items by inner product, with faiss."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch

from recbole_lecdsr.errors import NotInstalledError

NEIGHBOURS = 32  # of an item in the graph of the approximate index
BUILD_WIDTH = 200  # items that are kept in sight while the graph is built
SEARCH_WIDTHS = (32, 64, 128, 256)  # while it is searched; more of them find more of the exact top items, in more time
DEFAULT_SEARCH_WIDTH = 128
WANTED_RECALL = 0.95
_TOP = 10  # items that recall is measured of


def faiss() -> Any:
    """The library, with as many threads as torch has.

    Raises:
        NotInstalledError: faiss is not installed.
    """
    logging.getLogger("faiss.loader").setLevel(logging.WARNING)  # it tells which of its builds it tries
    try:
        import faiss as library
    except ImportError:
        raise NotInstalledError(
            "exports need faiss, which is not installed: pip install 'recbole_lecdsr[serving]' (or pip install "
            "faiss-cpu)"
        ) from None
    library.omp_set_num_threads(torch.get_num_threads())
    return library


def build_exact(vectors: np.ndarray) -> Any:
    """An index that compares a query with all of the (C, d) float32 vectors."""
    index = faiss().IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    return index


def build_approximate(vectors: np.ndarray) -> Any:
    """An index that walks a graph of neighbours (HNSW) among the (C, d) float32 vectors."""
    library = faiss()
    index = library.IndexHNSWFlat(vectors.shape[1], NEIGHBOURS, library.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction, index.hnsw.efSearch = BUILD_WIDTH, DEFAULT_SEARCH_WIDTH
    index.add(vectors)
    return index


def to_bytes(index: Any) -> bytes:
    """The content of an index file."""
    data: bytes = faiss().serialize_index(index).tobytes()
    return data


def from_bytes(data: bytes) -> Any:
    """The index of `to_bytes`; data from elsewhere may crash the process."""
    return faiss().deserialize_index(np.frombuffer(data, dtype=np.uint8))


def search(index: Any, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The vectors with the largest inner products.

    Args:
        index: from `build_exact` or `build_approximate`.
        queries: (B, d) float32.
        k: how many; more than the width of the search of an approximate index widen it.

    Returns:
        rows (B, k) int64 and inner products (B, k) float32, the largest first; -1 after the last one that was found.
    """
    library = faiss()
    parameters = None
    if isinstance(index, library.IndexHNSW):
        parameters = library.SearchParametersHNSW(efSearch=max(index.hnsw.efSearch, k))
    score, row = index.search(np.ascontiguousarray(queries), k, params=parameters)
    return row, score


def recall(found: np.ndarray, exact: np.ndarray) -> float:
    """The share of exact top rows (B, k) that are among the found ones (B, k).

    >>> recall(np.array([[1, 2], [3, -1]]), exact=np.array([[2, 1], [3, 4]]))
    0.75
    """
    return float((exact[:, :, None] == found[:, None, :]).any(axis=2).mean())


def choose_search_width(approximate: Any, exact: Any, queries: np.ndarray) -> float | None:
    """Give an approximate index the smallest width that finds `WANTED_RECALL` of the exact top 10, or else the largest.

    Args:
        approximate, exact: indexes of the same vectors.
        queries: (Q, d) float32.

    Returns:
        The recall; None without queries, where the default width stays.
    """
    if not len(queries):
        return None
    k, found = min(_TOP, exact.ntotal), 0.0
    expected, _ = search(exact, queries, k)
    for width in SEARCH_WIDTHS:
        approximate.hnsw.efSearch = width
        found = recall(search(approximate, queries, k)[0], expected)
        if found >= WANTED_RECALL:
            break
    return found
