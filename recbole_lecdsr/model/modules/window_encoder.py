"""From items of windows to what the published network adds to a profile, in chunks that stay in a CPU's cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from recbole_lecdsr.model.alignment import alignment_sum
from recbole_lecdsr.model.modules.gates import Pooled, pool, pool_backward
from recbole_lecdsr.model.modules.spectral_fusion import Fused, FusionWeights, SemanticFusion

# On a CPU a batch is encoded in chunks of this many bytes of E for each thread: large enough for products of matrices,
# small enough for its caches (benchmarks/training_step.py).
_CHUNK_BYTES = 2 << 20


class Windows(NamedTuple):
    """Windows as rows of tables of distinct items, with what is fixed about their encoding.

    Attributes:
        place: (B, L) int64, rows of E and T.
        n_items: n, number of these rows.
        mask: (B, L) bool, or None to treat padding as an interaction.
        fusion: or None for the variant in which T enters at the feature gate alone.
        align_temperature: τ₂; None for no alignment loss.
    """

    place: Tensor
    n_items: int
    mask: Tensor | None
    fusion: SemanticFusion | None
    align_temperature: float | None


class _Chunk(NamedTuple):
    """E and T of some windows, side by side and zero where masked: without texts E alone.

    Attributes:
        rows: of the batch, R of them.
        place: (R, 2L) or (R, L) int64, rows of the table that `_join` makes.
        joined: (R, 2L, d) or (R, L, d) float32.
        mask: (R, L) bool or None.
    """

    rows: slice
    place: Tensor
    joined: Tensor
    mask: Tensor | None


def _join(identity: Tensor, semantics: Tensor | None) -> Tensor:
    """E and T of the distinct items in one table, (2n, d) or (n, d) float32."""
    return identity.float() if semantics is None else torch.cat([identity.float(), semantics.float()])


def _chunks(windows: Windows, table: Tensor) -> Iterator[_Chunk]:
    place, mask = windows.place, windows.mask
    rows = max(1, len(place))
    if place.device.type == "cpu":
        chunk = _CHUNK_BYTES * torch.get_num_threads()
        rows = max(1, chunk // (place.shape[1] * table.shape[1] * table.element_size()))
    parts = len(table) // windows.n_items
    for start in range(0, len(place), rows):
        part = slice(start, start + rows)
        index = place[part] if parts == 1 else torch.cat([place[part], place[part] + windows.n_items], dim=1)
        joined = table.index_select(0, index.view(-1)).view(*index.shape, -1)
        of_part = None if mask is None else mask[part]
        if of_part is not None:
            joined *= of_part.repeat(1, parts).unsqueeze(-1)
        yield _Chunk(part, index, joined, of_part)


def _gate_inputs(chunk: _Chunk, windows: Windows, fusion: Sequence[Tensor]) -> tuple[Tensor, Tensor, Fused | None]:
    """What passes the gates, what the feature gate's linear map reads, (R, L, d) each, and the fusion, if any.

    Args:
        chunk: of windows.
        windows: it is of.
        fusion: the fields of `FusionWeights`; none without a fusion.
    """
    length = windows.place.shape[1]
    item, text = chunk.joined[:, :length], chunk.joined[:, length:]
    if windows.fusion is not None:
        fused = windows.fusion.fuse(item, text, FusionWeights(*fusion))
        return fused.result, fused.result, fused
    return item, item + text if text.shape[1] else item, None


class _EncodeWindows(torch.autograd.Function):
    """`encode_windows` with gradients by hand.

    Of tensors of (B, L, d) only the feature gate is kept; E, T and their fusion are made a second time for the
    gradient, which costs a twentieth of the step and saves half of its memory. The gradients of E and T are added up
    by distinct item.
    """

    @staticmethod
    def forward(
        ctx: Any,
        windows: Windows,
        dtype: torch.dtype,
        identity: Tensor,
        semantics: Tensor | None,
        feature: Tensor,
        feature_logits: Tensor,
        instance: Tensor,
        instance_logits: Tensor,
        *fusion: Tensor,
    ) -> tuple[Tensor, Tensor]:
        keep = any(ctx.needs_input_grad)
        table = _join(identity, semantics)
        result, total = torch.empty_like(feature_logits), feature_logits.new_zeros(())
        kept: list[Tensor] = []
        for chunk in _chunks(windows, table):
            if windows.align_temperature is not None:
                loss, grad_gram = _align(chunk, windows.align_temperature, keep)
                total += loss
                kept.extend(grad_gram)
            item, source, _ = _gate_inputs(chunk, windows, fusion)
            logits = _product(source, feature.T, dtype).add_(feature_logits[chunk.rows].unsqueeze(1))
            made = pool(item, logits, instance, instance_logits[chunk.rows], chunk.mask)
            result[chunk.rows] = made.result
            if keep:
                kept.extend(made)
        ctx.windows, ctx.dtype = windows, dtype
        ctx.text_dtype = None if semantics is None else semantics.dtype
        ctx.save_for_backward(table, feature, instance, *fusion, *kept)
        ctx.weights = 3 + len(fusion)
        return result, total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, grad_total: Tensor) -> tuple[Tensor | None, ...]:
        windows, dtype = ctx.windows, ctx.dtype
        table, feature, instance, *fusion = ctx.saved_tensors[: ctx.weights]
        kept = iter(ctx.saved_tensors[ctx.weights :])
        length = windows.place.shape[1]
        by_table, by_feature, by_instance, *by_fusion = (
            torch.zeros_like(weight, dtype=torch.float32) for weight in (table, feature, instance, *fusion)
        )
        by_feature_logits = torch.empty_like(grad)
        by_instance_logits = grad.new_empty(windows.place.shape)
        for chunk in _chunks(windows, table):
            grad_gram = next(kept) if windows.align_temperature is not None else None
            made = Pooled(*(next(kept) for _ in Pooled._fields))
            item, source, fused = _gate_inputs(chunk, windows, fusion)
            by_item, by_logits, by_instance_logits[chunk.rows] = pool_backward(
                grad[chunk.rows], item, made, instance, by_instance
            )
            by_feature_logits[chunk.rows] = by_logits.sum(dim=1)
            by_source = _product_backward(source, by_logits, feature, dtype, by_feature)
            by_item += by_source
            by_text = by_source
            if fused is not None:
                weights, grads = FusionWeights(*fusion), FusionWeights(*by_fusion)
                by_item, by_text = windows.fusion.fuse_backward(by_item, fused, weights, grads)
            if grad_gram is not None:
                by_joined = torch.bmm(grad_gram * grad_total, chunk.joined)
                by_joined[:, :length] += by_item
                by_joined[:, length:] += by_text
            else:
                by_joined = by_item if ctx.text_dtype is None else torch.cat([by_item, by_text], dim=1)
            if chunk.mask is not None:
                by_joined *= chunk.mask.repeat(1, by_joined.shape[1] // length).unsqueeze(-1)
            by_table.index_add_(0, chunk.place.view(-1), by_joined.view(-1, table.shape[1]))
        by_identity, by_semantics = by_table[: windows.n_items], by_table[windows.n_items :]
        return (
            None, None, by_identity, None if ctx.text_dtype is None else by_semantics.to(ctx.text_dtype),
            by_feature, by_feature_logits, by_instance, by_instance_logits, *by_fusion,
        )  # fmt: skip


def _align(chunk: _Chunk, temperature: float, keep: bool) -> tuple[Tensor, list[Tensor]]:
    """Sum of the alignment loss and, to keep, the matrices whose products with E and T are its gradient."""
    joined = chunk.joined
    gram = torch.bmm(joined, joined.transpose(1, 2))
    with torch.set_grad_enabled(keep):
        gram.requires_grad_(keep)
        loss = alignment_sum(gram, temperature, chunk.mask)
    if not keep:
        return loss, []
    (grad,) = torch.autograd.grad(loss, gram)
    return loss.detach(), [grad + grad.transpose(1, 2)]


def _product(rows: Tensor, matrix: Tensor, dtype: torch.dtype) -> Tensor:
    """(R, L, d) float32 and (d, d) -> (R, L, d) float32, multiplied as numbers of a type."""
    return (rows.view(-1, rows.shape[-1]).to(dtype) @ matrix.to(dtype)).float().view_as(rows)


def _product_backward(rows: Tensor, grad: Tensor, weight: Tensor, dtype: torch.dtype, by_weight: Tensor) -> Tensor:
    """Gradient of `_product` with ``weight.T`` by its rows; the other is added to ``by_weight``."""
    flat = grad.view(-1, grad.shape[-1]).to(dtype)
    rows = rows.view(-1, rows.shape[-1])
    if dtype == by_weight.dtype:
        by_weight.addmm_(flat.T, rows)
    else:
        by_weight.add_(flat.T @ rows.to(dtype))
    return (flat @ weight.to(dtype)).float().view_as(grad)


def encode_windows(
    windows: Windows,
    identity: Tensor,
    semantics: Tensor | None,
    *,
    feature: Tensor,
    feature_logits: Tensor,
    instance: Tensor,
    instance_logits: Tensor,
) -> tuple[Tensor, Tensor]:
    """Fuse E and T, pass them through both gates, and align them with each other.

    With autocast the product of the feature gate is of lower precision, all else float32.

    Args:
        windows: of n distinct items.
        identity: E of these items, (n, d).
        semantics: their T, (n, d), or None. Without fusion it passes the feature gate's linear map as E does.
        feature: that map, (d, d).
        feature_logits: what else the feature gate adds up, (B, d).
        instance: v_i, (d, 1).
        instance_logits: from `InstanceGate.logits`, (B, L).

    Returns:
        (B, d) float32, what is added to the profiles; scalar, `alignment_sum`, 0 where none is wanted.
    """
    device = identity.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32
    with torch.autocast(device, enabled=False):
        fusion = () if windows.fusion is None else windows.fusion.weights()
        return _EncodeWindows.apply(
            windows, dtype, identity, semantics, feature, feature_logits.float(), instance, instance_logits.float(),
            *fusion,
        )  # fmt: skip
