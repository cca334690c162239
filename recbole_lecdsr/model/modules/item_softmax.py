"""Softmax cross-entropy over all items, without logits of the whole batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_BLOCK_BYTES = 64 << 20  # of logits at a time


class _ItemSoftmax(torch.autograd.Function):
    """Value and both gradients in one pass over blocks of rows: the gradient of a block's logits is known with them."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, vectors: Tensor, target: Tensor) -> Tensor:
        rows = max(1, _BLOCK_BYTES // (vectors.shape[0] * vectors.element_size()))
        grad_query, grad_vectors = torch.zeros_like(query), torch.zeros_like(vectors)
        loss = query.new_zeros(())
        for part, labels, grad in zip(query.split(rows), target.split(rows), grad_query.split(rows), strict=True):
            logits = part @ vectors.T
            total = torch.logsumexp(logits, dim=1, keepdim=True)
            loss += (total - logits.gather(1, labels.unsqueeze(1))).sum()
            share = logits.sub_(total).exp_()
            share.scatter_add_(1, labels.unsqueeze(1), share.new_full((len(labels), 1), -1.0))
            torch.matmul(share, vectors, out=grad)
            grad_vectors.addmm_(share.T, part)
        count = max(1, len(query))
        ctx.save_for_backward(grad_query.div_(count), grad_vectors.div_(count))
        return loss / count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        grad_query, grad_vectors = ctx.saved_tensors
        return grad_query * grad, grad_vectors * grad, None


def item_softmax(query: Tensor, vectors: Tensor, target: Tensor) -> Tensor:
    """Mean cross-entropy of the targets among all rows of a table, with inner products as logits.

    Memory is that of the two gradients and of a block of logits, not (T, n).

    Args:
        query: (T, d) float.
        vectors: (n, d) float.
        target: (T,) int64, rows of the table.

    Returns:
        Scalar; 0 of no targets.

    Example:
        >>> query, vectors = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> item_softmax(query, vectors, torch.tensor([0]))
        tensor(0.3133)
    """
    with torch.autocast(query.device.type, enabled=False):
        return _ItemSoftmax.apply(query.float(), vectors.float(), target)
