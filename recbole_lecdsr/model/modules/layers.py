"""The layers of the published network as plain modules.

Notation, here and in the rest of the package: B batch, L window length, d embedding size, D size of an LLM
embedding, H hidden size of an adapter, C number of candidates. ``mask`` is a (B, L) bool tensor, true where
the window holds an interaction and false at padding; ``None`` treats padding as if it were an interaction, as
the published implementation does.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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


class Adapter(nn.Sequential):
    """Frozen LLM embedding to model space: Linear(D, H), LayerNorm, GELU, Linear(H, d); (…, D) -> (…, d)."""

    def __init__(self, llm_size: int, hidden_size: int, embedding_size: int):
        super().__init__(
            nn.Linear(llm_size, hidden_size),
            nn.LayerNorm(hidden_size),
            nn.GELU(),
            nn.Linear(hidden_size, embedding_size),
        )


class FeatureGate(nn.Module):
    """Which dimensions of each interaction matter to this user (docs/models.md, eq. 6 and 11)."""

    def __init__(self, embedding_size: int):
        super().__init__()
        self.item = nn.Linear(embedding_size, embedding_size)
        self.user = nn.Linear(embedding_size, embedding_size)

    def forward(self, item: Tensor, user: Tensor, semantics: Tensor | None = None) -> Tensor:
        """Gate the interactions of a window.

        Args:
            item: Ê (or E), (B, L, d).
            user: U, (B, d).
            semantics: T, (B, L, d); only for the variant without semantic fusion, where it passes the item's
                linear map a second time.

        Returns:
            Z, (B, L, d).
        """
        gate = self.item(item)
        if semantics is not None:
            gate = gate + self.item(semantics)
        gate += self.user(user).unsqueeze(1)  # in place: a (B, L, d) tensor less to write and to keep
        return item * gate.sigmoid_()


class InstanceGate(nn.Module):
    """Which interactions of the window matter (docs/models.md, eq. 7 and 8)."""

    def __init__(self, max_length: int, embedding_size: int):
        super().__init__()
        self.item = nn.Parameter(torch.empty(embedding_size, 1))
        self.user = nn.Parameter(torch.empty(embedding_size, max_length))
        self.position = nn.Parameter(torch.empty(embedding_size, 1))

    def position_logits(self, table: Tensor, position: Tensor) -> Tensor:
        """P·v_p by way of the table, (L + 1, d) and (B, L) int64 -> (B, L): no (B, L, d) tensor is made."""
        # Row 0 (padding) counts as it is but is not trained; v_p is trained by it as well, as published.
        frozen = torch.cat([table[:1].detach(), table[1:]])
        return F.embedding(position, frozen @ self.position).squeeze(-1)

    def forward(self, gated: Tensor, user: Tensor, position: Tensor, mask: Tensor | None = None) -> Tensor:
        """Weighted mean of the gated interactions.

        Args:
            gated: Z, (B, L, d).
            user: U, (B, d).
            position: P·v_p from `position_logits`, (B, L).
            mask: (B, L) bool or None.

        Returns:
            o, (B, d).
        """
        logits = (gated @ self.item).squeeze(-1) + user @ self.user + position
        weight = masked(torch.sigmoid(logits), mask)
        total = weight.sum(dim=1, keepdim=True).clamp(min=torch.finfo(weight.dtype).tiny)
        return torch.einsum("bl,bld->bd", weight, gated) / total
