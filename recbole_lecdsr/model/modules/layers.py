"""Masks of windows.

Notation, here and in the rest of the package: B batch, L window length, d embedding size, D size of an LLM
embedding, H hidden size of an adapter, C number of candidates. ``mask`` is a (B, L) bool tensor, true where
the window holds an interaction and false at padding; ``None`` treats padding as if it were an interaction, as
the published implementation does.
"""

from __future__ import annotations

from torch import Tensor


def masked(values: Tensor, mask: Tensor | None) -> Tensor:
    """Set padded positions to zero.

    Args:
        values: (B, L, d) or (B, L) float.
        mask: (B, L) bool, or None for no change.
    """
    if mask is None:
        return values
    return values * (mask.unsqueeze(-1) if values.dim() == 3 else mask).to(values.dtype)


def masked_mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Mean over the positions of a window, (B, L, d) -> (B, d)."""
    if mask is None:
        return values.mean(dim=1)
    return masked(values, mask).sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)
