"""Principal components of embeddings with missing rows."""

from __future__ import annotations

import torch
from torch import Tensor


def principal_components(vectors: Tensor, size: int, *, scaled: bool = True) -> Tensor:
    """The first principal components of the rows that are not zero.

    Source: docs/models.md, eq. 20.

    Args:
        vectors: (N, D) float.
        size: d; components beyond the rank are zero.
        scaled: divide them all by one number, so that their mean square length is 1.

    Returns:
        (N, d) float, zero where the row is.
    """
    known = vectors.ne(0).any(dim=1)
    centred = vectors[known] - vectors[known].mean(dim=0)
    width = min(size, *centred.shape)
    directions = torch.linalg.eigh(centred.T @ centred).eigenvectors.flip(dims=[1])[:, :width]
    components = centred @ directions
    result = vectors.new_zeros(len(vectors), size)
    # Equal vectors have none.
    length = components.square().sum(dim=1).mean().sqrt()
    if length > 1e-6 * vectors[known].square().sum(dim=1).mean().sqrt():
        result[known, :width] = components / length if scaled else components
    return result
