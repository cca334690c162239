"""Causal self-attention and time embeddings."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_lecdsr.model.modules.dropout import Dropout


class AttentionBlock(nn.Module):
    """Pre-norm self-attention and feed-forward layer of a transformer (docs/models.md, eq. 24)."""

    def __init__(self, embedding_size: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.norm, self.forward_norm = nn.LayerNorm(embedding_size), nn.LayerNorm(embedding_size)
        self.query_key_value = nn.Linear(embedding_size, 3 * embedding_size)
        self.output = nn.Linear(embedding_size, embedding_size)
        self.feed_forward = nn.Sequential(
            nn.Linear(embedding_size, embedding_size), nn.GELU(), nn.Linear(embedding_size, embedding_size)
        )
        self.dropout = Dropout(dropout)

    def forward(self, hidden: Tensor, allowed: Tensor, newest_only: bool = False) -> Tensor:
        """Attend.

        Args:
            hidden: (B, L, d).
            allowed: (B, 1, L, L) bool, which positions (last axis) each position may attend to.
            newest_only: compute the last position only.

        Returns:
            (B, L, d); (B, 1, d) with ``newest_only``.
        """
        normed, size = self.norm(hidden), hidden.shape[2]
        if newest_only:
            weight, bias = self.query_key_value.weight, self.query_key_value.bias
            query = self._heads(F.linear(normed[:, -1:], weight[:size], bias[:size]))
            key, value = self._heads(F.linear(normed, weight[size:], bias[size:])).chunk(2, dim=1)
            hidden, allowed = hidden[:, -1:], allowed[:, :, -1:]
        else:
            query, key, value = self._heads(self.query_key_value(normed)).chunk(3, dim=1)
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=allowed)
        hidden = hidden + self.dropout(self.output(found.transpose(1, 2).flatten(2)))
        return hidden + self.dropout(self.feed_forward(self.forward_norm(hidden)))

    def _heads(self, parts: Tensor) -> Tensor:
        """(B, L, n d) -> (B, n heads, L, d / heads)."""
        return parts.unflatten(2, (-1, self.output.in_features // self.heads)).transpose(1, 2)


class TimeEmbedding(nn.Module):
    """Vectors of times in [0, 1]: a table of a few, linearly interpolated (docs/models.md, eq. 26)."""

    def __init__(self, size: int, embedding_size: int):
        super().__init__()
        self.table = nn.Embedding(size, embedding_size)

    def forward(self, relative_time: Tensor) -> Tensor:
        """(B, L) float in [0, 1] -> (B, L, d)."""
        position = relative_time * (self.table.num_embeddings - 1)
        below = position.floor()
        return torch.lerp(
            self.table(below.long()), self.table(position.ceil().long()), (position - below).unsqueeze(-1)
        )
