"""The network and the losses of AlphaFuse: one block of self-attention, of which the newest state is read.

Source: Hu, Zhang, Liu, Cai, Yang, Wang, "AlphaFuse: Learn ID embeddings for sequential recommendation in null space of
language embeddings", SIGIR 2025, arXiv 2504.19218, and its released code. docs/models.md, 13, has the equations.

Notation: B batch, L window length, d size of an item vector, N negatives of each sample. Windows are left-padded.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_lecdsr.model.modules.full_softmax import full_softmax_loss

_EPSILON = 1e-12  # the least length that a vector is divided by


class AlphaFuseNetwork(nn.Module):
    """The state of a window after its newest interaction.

    Only the newest position has a query, so that keys and values are never made: with K = x W_kᵀ and V = x W_vᵀ + b_v

        q·K_l = (W_kᵀ q)·x_l,   Σ_l w_l V_l = W_v Σ_l w_l x_l + b_v Σ_l w_l

    for each head. A bias of the keys would be the same for all of them, and so have no effect: there is none.

    Args:
        max_length: L.
        size: d.
        heads: of consecutive columns. Logits are divided by √d for any number of heads, as in the released code.
        dropout: of inputs, attention weights and the feed-forward output.
    """

    def __init__(self, *, max_length: int, size: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.position = nn.Embedding(max_length, size)  # of the columns of a window: the newest has the last row
        self.input_norm, self.attention_norm, self.forward_norm, self.output_norm = (
            nn.LayerNorm(size) for _ in range(4)
        )
        self.query, self.value = nn.Linear(size, size), nn.Linear(size, size)
        self.key = nn.Linear(size, size, bias=False)
        self.inner, self.outer = nn.Linear(size, size), nn.Linear(size, size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, vectors: Tensor, real: Tensor) -> Tensor:
        """State after the newest interaction of each window.

        Args:
            vectors: of the items, (B, L', d); L' ≤ L.
            real: (B, L') bool, false at padding.

        Returns:
            u, (B, d).
        """
        length, size = vectors.shape[1:]
        position = self.position.weight[len(self.position.weight) - length :]
        inputs = self.dropout(vectors + position) * real.unsqueeze(2)
        newest = self.input_norm(inputs[:, -1])
        query = self.query(newest).unflatten(1, (self.heads, -1))
        key, value = (layer.weight.unflatten(0, (self.heads, -1)) for layer in (self.key, self.value))
        logits = torch.einsum("bhe,hed,bld->bhl", query, key, inputs) / math.sqrt(size)
        hidden = ~real
        hidden = torch.cat([hidden[:, :-1], torch.zeros_like(hidden[:, -1:])], dim=1)  # an empty window sees a zero
        weight = self.dropout(torch.softmax(logits.masked_fill(hidden.unsqueeze(1), -torch.inf), dim=-1))
        bias = self.value.bias.unflatten(0, (self.heads, -1)) * weight.sum(dim=2, keepdim=True)
        attended = torch.einsum("bhl,bld,hed->bhe", weight, inputs, value) + bias
        state = self.attention_norm(attended.flatten(1) + newest)
        state = self.forward_norm(self.dropout(self.outer(F.relu(self.inner(state)))) + state)
        return self.output_norm(state * real[:, -1:])


def info_nce(state: Tensor, positive: Tensor, negative: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of the cosine of the positive among those of the positive and its negatives.

    Args:
        state: u, (B, d).
        positive: (B, d).
        negative: (B, N, d).
        temperature: τ of the cosines.

    Returns:
        Scalar, mean over the batch.
    """
    candidates = torch.cat([positive.unsqueeze(1), negative], dim=1)
    cosine = torch.einsum("bd,bnd->bn", unit(state), unit(candidates))
    return F.cross_entropy(cosine.float() / temperature, cosine.new_zeros(len(cosine), dtype=torch.int64))


def binary_cross_entropy(state: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """mean softplus(−u·F⁺) + mean softplus(u·F⁻), by inner products; arguments as of `info_nce`."""
    of_positive = (state * positive).sum(dim=1)
    of_negative = torch.einsum("bd,bnd->bn", state, negative)
    return F.softplus(-of_positive.float()).mean() + F.softplus(of_negative.float()).mean()


def cross_entropy(state: Tensor, table: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of the inner products with all items but padding.

    Args:
        state: u, (B, d).
        table: (n_items, d).
        target: (B,) int64.

    Returns:
        Scalar, mean over the batch.
    """
    return full_softmax_loss(state, table[1:], target - 1) / max(1, len(target))


def unit(vectors: Tensor) -> Tensor:
    """Rows of length 1, (…, d) -> (…, d); a row of zeros stays one."""
    return F.normalize(vectors, dim=-1, eps=_EPSILON)
