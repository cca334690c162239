"""Dimensionality reduction of vectors: principal components or whitening, fitted on items and applied to users too."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

import numpy as np

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.llm.encoders.chunking import normalize_rows

REDUCTIONS = ("pca", "whitening")
_MAX_FULL_SVD = 500  # vectors or dimensions up to which the slower full decomposition is used


@dataclass(frozen=True, eq=False)
class Reduction:
    """An affine map of vectors: ``(x - mean) @ components``.

    Attributes:
        mean: (D,) float32.
        components: (D, k) float32.
    """

    mean: np.ndarray
    components: np.ndarray

    def apply(self, matrix: np.ndarray, normalize: bool) -> np.ndarray:
        """Reduce vectors.

        Args:
            matrix: (N, D) float32.
            normalize: whether to scale the result to length 1.

        Returns:
            (N, k) float32.
        """
        reduced = ((matrix - self.mean) @ self.components).astype(np.float32)
        return normalize_rows(reduced) if normalize else reduced

    @property
    def digest(self) -> str:
        """The SHA-256 of mean and components, 64 hexadecimal digits."""
        return hashlib.sha256(self.mean.tobytes() + self.components.tobytes()).hexdigest()

    def to_bytes(self) -> bytes:
        """``mean`` and ``components`` as the content of an .npz file."""
        content = io.BytesIO()
        np.savez(content, mean=self.mean, components=self.components)
        return content.getvalue()


def fit_reduction(matrix: np.ndarray, kind: str, size: int) -> Reduction:
    """Fit a reduction.

    Args:
        matrix: (N, D) vectors.
        kind: ``pca`` for the directions of largest variance, ``whitening`` to scale each of these to variance 1.
        size: k, at most N and D.

    Raises:
        UserError: a size that exceeds N or D.

    Example:
        >>> reduction = fit_reduction(np.array([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]]), "pca", 1)
        >>> np.abs(reduction.apply(np.array([[4.0, 0.0]]), normalize=False)).tolist()
        [[2.0]]
    """
    from sklearn.decomposition import PCA  # slow to import

    max_size = min(matrix.shape)
    if size > max_size:
        raise UserError(
            f"embedding_reduction_size is {size}, but there are {matrix.shape[0]} item vectors of {matrix.shape[1]} "
            f"dimensions: give {max_size} or less"
        )
    pca = PCA(n_components=size, svd_solver="full" if max_size < _MAX_FULL_SVD else "covariance_eigh").fit(matrix)
    scale = 1 / np.sqrt(np.maximum(pca.explained_variance_, 1e-12)) if kind == "whitening" else 1.0
    return Reduction(pca.mean_.astype(np.float32), (pca.components_.T * scale).astype(np.float32))
