"""Contrastive alignment of item IDs with item texts."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


def in_batch_alignment(item: Tensor, semantics: Tensor, temperature: float) -> Tensor:
    """Contrastive loss between the E and the T of distinct items, in both directions (docs/models.md, eq. 18).

    Unlike `alignment_sum`, which works within a window, it has cosines of as many items as a batch holds, so that its
    size and its gradient do not depend on how long the vectors are.

    Args:
        item: E, (N, d).
        semantics: T of the same items, (N, d).
        temperature: τ₂ of the cosines.

    Returns:
        Scalar, mean over items and directions; 0 of no items.
    """
    cosine = F.normalize(item, dim=1) @ F.normalize(semantics, dim=1).T
    if not len(item):
        return cosine.sum()
    return _BothWays.apply(cosine.to(torch.promote_types(cosine.dtype, torch.float32)) / temperature)


class _BothWays(torch.autograd.Function):
    """Mean cross-entropy of the diagonal of logits (N, N) in its row and in its column.

    The gradient is made along with the value, from the same exponentials.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor) -> Tensor:
        share, row_total, row = _exponentials(logits, dim=1)
        of_column, column_total, column = _exponentials(logits, dim=0)
        share.mul_(0.5 / row_total).addcmul_(of_column, 0.5 / column_total)
        share.diagonal().sub_(1)
        ctx.save_for_backward(share)
        return (row.mean() + column.mean()) / 2 - logits.diagonal().mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (share,) = ctx.saved_tensors
        return share * (grad / len(share))


def _exponentials(logits: Tensor, dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """The exponentials of logits less the largest along an axis, their sum, and the logarithm of the sum for the logits
    as they are."""
    largest = logits.amax(dim=dim, keepdim=True)
    exponentials = (logits - largest).exp_()
    total = exponentials.sum(dim=dim, keepdim=True)
    return exponentials, total, largest + total.log()


def contrast_by_similarity(one: Tensor, other: Tensor, temperature: float = 1.0) -> Tensor:
    """Contrastive loss S between two views of the same things, whose soft targets are their similarities.

    Z = XYᵀ/τ, R = softmax of the rows of τ·(XXᵀ + YYᵀ)/2, and S is the mean over rows i of
    −½ Σ_j R_ij (log softmax of the rows of Z + log softmax of its columns)_ij. The gradient flows through R as well.

    Source: LLM4CDSR and LLM-ESR (docs/models.md, eq. 63), which do not normalise the vectors.

    Args:
        one, other: X and Y, (N, d) float.
        temperature: τ.

    Returns:
        Scalar; 0 of no rows.
    """
    with torch.autocast(one.device.type, enabled=False):
        one, other = one.float(), other.float()
        if not len(one):
            return (one.sum() + other.sum()) * 0.0
        logits = one @ other.T / temperature
        targets = torch.softmax(temperature * (one @ one.T + other @ other.T) / 2, dim=1)
        log_probability = torch.log_softmax(logits, dim=1) + torch.log_softmax(logits, dim=0)
        return -(targets * log_probability).sum() / (2 * len(one))


def alignment_sum(gram: Tensor, temperature: float, mask: Tensor | None = None) -> Tensor:
    """Contrastive loss with soft targets between the E and the T of one window (docs/models.md, eq. 16 and 17).

    Published total: align(E, T) + align(T, E), which is twice align(E, T) because logits, their transpose and
    the targets only change places. The loss is a mean over positions, of which this is the sum.

    Args:
        gram: inner products of the rows of E and, below them, T of each window, (B, 2L, 2L).
        temperature: τ₂.
        mask: (B, L) bool; padded positions are then neither rows nor columns. None counts them, as published.

    Returns:
        Scalar, the sum over B and the (real) positions.
    """
    length = gram.shape[1] // 2
    gram = gram / temperature
    logits = gram[:, :length, length:]
    target_logits = (gram[:, :length, :length] + gram[:, length:, length:]) / 2
    rows, columns = logits, logits.transpose(1, 2)
    if mask is not None:
        hidden = ~mask.unsqueeze(1)
        target_logits, rows, columns = (
            part.masked_fill(hidden, torch.finfo(part.dtype).min) for part in (target_logits, rows, columns)
        )
    targets = torch.softmax(target_logits, dim=-1)
    log_probability = torch.log_softmax(rows, dim=-1) + torch.log_softmax(columns, dim=-1)
    if mask is not None:
        log_probability = log_probability.masked_fill(hidden, 0.0)  # before the product: 0 · ∞ has no gradient
    per_position = -(targets * log_probability).sum(dim=-1)  # 2 · ½[CE + CE]
    return per_position.sum() if mask is None else (per_position * mask).sum()
