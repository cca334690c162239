"""Softmax cross-entropy over all items, with the logits of a few rows in memory at a time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_CHUNK_BYTES = 64 << 20  # of logits at a time


class _FullSoftmax(torch.autograd.Function):
    """Σ_m log(e^{extra_m} + Σ_i e^{z_mi}) − z_m,target; the gradients are made along with the loss, chunk by chunk."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, weight: Tensor, bias: Tensor, extra: Tensor, target: Tensor) -> Tensor:
        wanted = any(ctx.needs_input_grad)
        grads = [torch.zeros_like(part) for part in (query, weight, bias, extra)] if wanted else []
        total = query.new_zeros(())
        rows = max(1, _CHUNK_BYTES // (len(weight) * weight.element_size()))
        for start in range(0, len(query), rows):
            part = slice(start, start + rows)
            logits = torch.cat([torch.addmm(bias, query[part], weight.T), extra[part, None]], dim=1)
            hit = target[part, None]
            logarithm = logits.logsumexp(dim=1, keepdim=True)
            total += (logarithm - logits.gather(1, hit)).sum()
            if wanted:
                share = logits.sub_(logarithm).exp_()
                share.scatter_(1, hit, share.gather(1, hit) - 1)
                of_items = share[:, :-1]
                grads[0][part] = of_items @ weight
                grads[1].addmm_(of_items.T, query[part])
                grads[2] += of_items.sum(dim=0)
                grads[3][part] = share[:, -1]
        ctx.save_for_backward(*grads)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return (*(grad * part for part in ctx.saved_tensors), None)


def full_softmax_loss(query: Tensor, weight: Tensor, bias: Tensor, extra: Tensor, target: Tensor) -> Tensor:
    """Sum of the cross-entropies of M queries over n items and one further class, which is never the target.

    Args:
        query: (M, d) float.
        weight: (n, d) float.
        bias: (n,) float.
        extra: (M,) float, the logit of the further class.
        target: (M,) int64, from 0 to n − 1.

    Returns:
        a scalar; 0 without queries.
    """
    with torch.autocast(query.device.type, enabled=False):  # sums of many exponentials
        return _FullSoftmax.apply(query.float(), weight, bias, extra.float(), target)
