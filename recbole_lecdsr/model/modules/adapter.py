"""The adapter of frozen LLM embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

# On a CPU rows are adapted in chunks of this many bytes of embeddings for each thread: what they become then stays in
# its caches (benchmarks/training_step.py).
_CHUNK_BYTES = 2 << 20


class Adapter(nn.Sequential):
    """Frozen LLM embedding to model space: Linear(D, H), LayerNorm, GELU, Linear(H, d); (…, D) -> (…, d).

    Args:
        llm_size: D.
        hidden_size: H.
        embedding_size: d.
    """

    def __init__(self, llm_size: int, hidden_size: int, embedding_size: int):
        super().__init__(
            nn.Linear(llm_size, hidden_size),
            nn.LayerNorm(hidden_size),
            nn.GELU(),
            nn.Linear(hidden_size, embedding_size),
        )

    def adapt_rows(self, table: Tensor, row: Tensor) -> Tensor:
        """Rows of a frozen table of embeddings, adapted; as ``self(table[row])``, in less time and memory.

        Args:
            table: (n, D) float32, which gets no gradient.
            row: (R,) int64.

        Returns:
            (R, d), of lower precision under autocast.
        """
        device = table.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else table.dtype
        first, norm, _, last = self
        weights = first.weight, first.bias, norm.weight, norm.bias, last.weight, last.bias
        with torch.autocast(device, enabled=False):
            adapted: Tensor = _AdaptRows.apply(table, row, dtype, norm.eps, *weights)
        return adapted


class _AdaptRows(torch.autograd.Function):
    """Of what a row becomes on its way only the argument of the LayerNorm is kept; all else is made again by chunks."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, row: Tensor, dtype: torch.dtype, eps: float, *weights: Tensor) -> Tensor:
        first, first_bias, scale, shift, last, last_bias = weights
        first, first_bias, last, last_bias = (each.to(dtype) for each in (first, first_bias, last, last_bias))
        hidden = table.new_empty(len(row), len(first), dtype=dtype)
        result = table.new_empty(len(row), len(last), dtype=dtype)
        for part, embedding in _chunks(table, row, dtype):
            torch.addmm(first_bias, embedding, first.T, out=hidden[part])
            normal = F.layer_norm(hidden[part].to(table.dtype), scale.shape, scale, shift, eps)
            torch.addmm(last_bias, F.gelu(normal).to(dtype), last.T, out=result[part])
        ctx.dtype, ctx.eps = dtype, eps
        ctx.save_for_backward(table, row, hidden, *weights)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        table, row, hidden, *weights = ctx.saved_tensors
        _, _, scale, shift, last, _ = weights
        last = last.to(ctx.dtype)
        grads = [torch.zeros_like(weight) for weight in weights]
        by_first, by_first_bias, by_scale, by_shift, by_last, by_last_bias = grads
        for part, embedding in _chunks(table, row, ctx.dtype):
            own, argument = grad[part].to(ctx.dtype), hidden[part].to(table.dtype)
            normal, mean, deviation = torch.native_layer_norm(argument, scale.shape, scale, shift, ctx.eps)
            by_last += own.T @ F.gelu(normal).to(ctx.dtype)
            by_last_bias += grad[part].sum(dim=0)
            by_normal = torch.ops.aten.gelu_backward((own @ last).to(table.dtype), normal)
            by_hidden, *of_norm = torch.ops.aten.native_layer_norm_backward(
                by_normal, argument, scale.shape, mean, deviation, scale, shift, [True, True, True]
            )
            by_scale += of_norm[0]
            by_shift += of_norm[1]
            by_first += by_hidden.to(ctx.dtype).T @ embedding
            by_first_bias += by_hidden.sum(dim=0)
        return None, None, None, None, *grads


def _chunks(table: Tensor, row: Tensor, dtype: torch.dtype) -> Iterator[tuple[slice, Tensor]]:
    """Some rows at a time: their place, and their embeddings in a type."""
    size = max(1, len(row))
    if table.device.type == "cpu":
        size = max(1, _CHUNK_BYTES * torch.get_num_threads() // (table.shape[1] * table.element_size()))
    for start in range(0, len(row), size):
        part = slice(start, start + size)
        yield part, table.index_select(0, row[part]).to(dtype)
