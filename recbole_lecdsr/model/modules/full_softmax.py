"""Softmax cross-entropy over all rows of a table, with the logits of a few queries in memory at a time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_BLOCK_BYTES = 64 << 20  # of logits at a time


class _FullSoftmax(torch.autograd.Function):
    """Value and gradients in one pass over blocks of queries: the gradient of a block's logits is known with them."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, table: Tensor, target: Tensor, bias: Tensor | None, extra: Tensor | None
    ) -> Tensor:
        of_query, of_table = torch.zeros_like(query), torch.zeros_like(table)
        of_bias, of_extra = (None if part is None else torch.zeros_like(part) for part in (bias, extra))
        loss = query.new_zeros(())
        rows = max(1, _BLOCK_BYTES // (len(table) * table.element_size()))
        for start in range(0, len(query), rows):
            block = slice(start, start + rows)
            logits = query[block] @ table.T if bias is None else torch.addmm(bias, query[block], table.T)
            hit = target[block].unsqueeze(1)
            total = logits.logsumexp(dim=1, keepdim=True)
            if extra is not None and of_extra is not None:
                further = extra[block].unsqueeze(1)
                total = torch.logaddexp(total, further)
                of_extra[block] = (further - total).exp().squeeze(1)
            loss += (total - logits.gather(1, hit)).sum()
            share = logits.sub_(total).exp_()
            share.scatter_add_(1, hit, share.new_full(hit.shape, -1.0))
            torch.matmul(share, table, out=of_query[block])
            of_table.addmm_(share.T, query[block])
            if of_bias is not None:
                of_bias += share.sum(dim=0)
        ctx.save_for_backward(of_query, of_table, of_bias, of_extra)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        of_query, of_table, of_bias, of_extra = (None if part is None else grad * part for part in ctx.saved_tensors)
        return of_query, of_table, None, of_bias, of_extra


def full_softmax_loss(
    query: Tensor, table: Tensor, target: Tensor, *, bias: Tensor | None = None, extra: Tensor | None = None
) -> Tensor:
    """Sum of the cross-entropies of T queries over n classes, whose logits are inner products with the rows of a table.

    Memory is that of the gradients and of a block of logits, not (T, n).

    Args:
        query: (T, d) float.
        table: (n, d) float.
        target: (T,) int64, rows of the table.
        bias: (n,) float, added to the logits; None for none.
        extra: (T,) float, the logit of one further class, which is never the target; None for none.

    Returns:
        Scalar; 0 without queries.

    Example:
        >>> query, table = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> full_softmax_loss(query, table, torch.tensor([0]))
        tensor(0.3133)
    """
    with torch.autocast(query.device.type, enabled=False):  # sums of many exponentials
        query, table = query.float(), table.float()
        bias, extra = (None if part is None else part.float() for part in (bias, extra))
        return _FullSoftmax.apply(query, table, target, bias, extra)
