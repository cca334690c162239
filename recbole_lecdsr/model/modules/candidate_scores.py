"""Inner products of queries with many candidates each, without a (B, C, d) tensor."""

from __future__ import annotations

import warnings
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_CHUNK_BYTES = 8 << 20  # of gathered rows at a time


class _CandidateScores(torch.autograd.Function):
    """r_{bc} = q_b · W_{k(b,c)}; each gradient is one weighted bag sum."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, weight: Tensor, candidates: Tensor) -> Tensor:
        ctx.save_for_backward(query, weight, candidates)
        # A sparse matrix has no more entries than cells.
        if query.device.type == "cpu" and candidates.shape[1] <= len(weight):
            return _sampled_products(query, weight, candidates)
        rows = max(1, _CHUNK_BYTES // (candidates.shape[1] * weight.shape[1] * weight.element_size()))
        scores = query.new_empty(candidates.shape)
        for start in range(0, len(query), rows):
            part = slice(start, start + rows)
            torch.bmm(F.embedding(candidates[part], weight), query[part].unsqueeze(-1), out=scores[part].unsqueeze(-1))
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


def _sampled_products(query: Tensor, weight: Tensor, candidates: Tensor) -> Tensor:
    """(B, C): the entries of query @ weight.T at the candidates. Each row is read once; gathering writes it as well."""
    starts = torch.arange(len(query) + 1) * candidates.shape[1]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        wanted = torch.sparse_csr_tensor(
            starts,
            candidates.reshape(-1),
            query.new_zeros(candidates.numel()),
            (len(query), len(weight)),
            check_invariants=False,
        )
    return torch.sparse.sampled_addmm(wanted, query, weight.T, beta=0.0).values().view(candidates.shape)


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
