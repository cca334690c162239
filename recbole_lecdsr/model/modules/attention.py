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

    def forward(self, hidden: Tensor, allowed: Tensor) -> Tensor:
        """Attend.

        Args:
            hidden: (B, L, d).
            allowed: (B, 1, L, L) bool, which positions (last axis) each position may attend to.

        Returns:
            (B, L, d).
        """
        parts = self.query_key_value(self.norm(hidden)).unflatten(2, (3 * self.heads, -1)).transpose(1, 2)
        query, key, value = parts.chunk(3, dim=1)
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=allowed)
        hidden = hidden + self.dropout(self.output(found.transpose(1, 2).flatten(2)))
        return hidden + self.dropout(self.feed_forward(self.forward_norm(hidden)))


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
