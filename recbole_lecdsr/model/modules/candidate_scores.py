"""Inner products of queries with many candidates each, without a (B, C, d) tensor."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

# Of gathered rows at a time: on a CPU what a core's own cache holds, elsewhere what costs little memory.
_CPU_CHUNK_BYTES, _CHUNK_BYTES = 1 << 20, 64 << 20


class _CandidateScores(torch.autograd.Function):
    """r_{bc} = q_b · W_{k(b,c)}; each gradient is one weighted bag sum."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, weight: Tensor, candidates: Tensor) -> Tensor:
        ctx.save_for_backward(query, weight, candidates)
        chunk = _CPU_CHUNK_BYTES if weight.device.type == "cpu" else _CHUNK_BYTES
        rows = max(1, chunk // max(1, candidates.shape[1] * weight.shape[1] * weight.element_size()))
        scores = query.new_empty(candidates.shape)
        for start in range(0, len(query), rows):
            part = slice(start, start + rows)
            # A product of row vectors: with column vectors it takes a multiple of the time on a CPU.
            gathered = F.embedding(candidates[part], weight).transpose(1, 2)
            torch.bmm(query[part].unsqueeze(1), gathered, out=scores[part].unsqueeze(1))
        return scores

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        query, weight, candidates = ctx.saved_tensors
        grad = grad.contiguous()
        grad_query = F.embedding_bag(candidates, weight, per_sample_weights=grad, mode="sum")
        # The same sum the other way round: the bag of an item holds the samples it was a candidate of.
        order = torch.argsort(candidates.reshape(-1))
        count = torch.bincount(candidates.reshape(-1), minlength=len(weight))
        grad_weight = F.embedding_bag(
            order.div(candidates.shape[1], rounding_mode="floor"),
            query,
            offsets=count.cumsum(0) - count,
            per_sample_weights=grad.reshape(-1)[order],
            mode="sum",
        )
        return grad_query, grad_weight, None


def candidate_scores(query: Tensor, weight: Tensor, candidates: Tensor, bias: Tensor | None = None) -> Tensor:
    """Scores of each query's own candidates.

    Args:
        query: (B, d) float.
        weight: (n_items, d) float. Row 0 (padding) gets no gradient.
        candidates: (B, C) int64.
        bias: (n_items,) float, or None for zeros.

    Returns:
        (B, C), ``query[b] @ weight[candidates[b, c]] + bias[candidates[b, c]]``.
    """
    with torch.autocast(query.device.type, enabled=False):  # bag sums have no half-precision kernels on CPUs
        scores = _CandidateScores.apply(query.float(), weight, candidates)
    return scores if bias is None else scores + F.embedding(candidates, bias[:, None]).squeeze(-1)
