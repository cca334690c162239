"""Whitening of embeddings with missing rows: principal components of variance 1."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_NO_VARIANCE = 1e-10  # of the largest: below it the variance of a direction is rounding


class Whitened(NamedTuple):
    """Whitened vectors.

    Attributes:
        vectors: (N, size) float32, columns in order of decreasing variance before whitening, zero where there was no
            variance, and in rows that were zero.
        spectrum: (D,) float64, the variances of all directions, descending.
        directions: how many have a variance.
    """

    vectors: Tensor
    spectrum: Tensor
    directions: int


def whiten(
    vectors: Tensor,
    size: int | None = None,
    *,
    standardize: bool = True,
    weight: Tensor | None = None,
    center_weighted: bool = False,
) -> Whitened:
    """Whiten the rows that are not zero: X = C Q S^(−1/2), C centred, Q S Qᵀ its covariance (divisor n − 1).

    A row of zeros has no embedding: it is left out of mean and covariance and stays zero. The result is the same each
    time: it is computed in float64, and the largest component of each direction is positive.

    Args:
        vectors: (N, D) float.
        size: columns to return; None for all that have a variance.
        standardize: scale columns to variance 1; otherwise X = C Q.
        weight: (N,) float of at least 0, how much a row counts in mean and covariance; None for all alike. The
            covariance is then Σ f_i c_i c_iᵀ with f = weight/Σ weight.
        center_weighted: with weights, as AlphaFuse's released code: the rows √f_i c_i are centred and their squares
            divided by n − 1.

    Example:
        >>> whitened = whiten(torch.tensor([[0.0, 0.0], [3.0, 1.0], [1.0, 1.0], [2.0, 1.0]]))
        >>> whitened.vectors.flatten().tolist(), whitened.directions
        ([0.0, 1.0, -1.0, 0.0], 1)
    """
    known = vectors.ne(0).any(dim=1)
    rows = vectors[known].double()
    divisor = max(1, len(rows) - 1)
    if weight is None:
        centred = rows - rows.mean(dim=0)
        covariance = centred.T @ centred / divisor
    else:
        share = weight[known].double()
        share = (share / share.sum().clamp(min=1e-300)).unsqueeze(1)
        centred = rows - (share * rows).sum(dim=0)
        weighted = share.sqrt() * centred
        if center_weighted:
            weighted = (weighted - weighted.mean(dim=0)) / divisor**0.5
        covariance = weighted.T @ weighted
    variances, directions = (part.flip(-1) for part in torch.linalg.eigh(covariance))
    spectrum = variances.clamp(min=0)
    number = int((spectrum > _NO_VARIANCE * spectrum[0]).sum())
    largest = directions.gather(0, directions.abs().argmax(dim=0, keepdim=True))
    width = number if size is None else min(size, number)
    projected = centred @ (directions * largest.sign())[:, :width]
    if standardize:
        projected = projected / spectrum[:width].sqrt()
    result = vectors.new_zeros(len(vectors), width if size is None else size, dtype=torch.float32)
    result[known, :width] = projected.float()
    return Whitened(result, spectrum, number)
