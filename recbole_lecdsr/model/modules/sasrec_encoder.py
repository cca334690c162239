"""SASRec's encoder in the form that C2DSR, Tri-CDR, LLM4CDSR and LLM-ESR use.

Source: Kang and McAuley, "Self-attentive sequential recommendation", ICDM 2018; the form with attention from a
normalised query to inputs that are not, and with padding that is zero and yet takes part in the softmax, is that of the
four publications (docs/models.md, 14.1).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_lecdsr.model.modules.layers import masked

_EPSILON = 1e-8


class ZeroPaddedAttention(nn.MultiheadAttention):
    """Multi-head attention in which zeros that are left out of the keys keep their share of the softmax.

    The key of a zero input is the bias of the key projection and its value that of the value projection, so any number
    of them is one key with the logarithm of the number added to its logit.
    """

    def attend(self, query: Tensor, inputs: Tensor, visible: Tensor, left_out: Tensor | None) -> Tensor:
        """Attend from each query to the visible inputs.

        Args:
            query: (B, Q, d).
            inputs: keys and values, (B, L, d).
            visible: bool, which inputs each query sees, such as (Q, L) or (B, 1, Q, L).
            left_out: how many further zero inputs each query sees, float, to be broadcast to (B, 1, Q, 1); or None.

        Returns:
            (B, Q, d).
        """
        size, heads = self.embed_dim, self.num_heads
        q_weight, kv_weight = self.in_proj_weight.split([size, 2 * size])
        q_bias, kv_bias = self.in_proj_bias.split([size, 2 * size])
        q = F.linear(query, q_weight, q_bias)
        k, v = F.linear(inputs, kv_weight, kv_bias).chunk(2, dim=-1)
        bias = torch.zeros_like(visible, dtype=q.dtype).masked_fill_(~visible, -math.inf)
        if left_out is not None:
            k_bias, v_bias = (part.expand(len(k), 1, size) for part in kv_bias.chunk(2))
            k, v = torch.cat([k_bias, k], dim=1), torch.cat([v_bias, v], dim=1)
            logarithm = left_out.to(q.dtype).log()
            shape = torch.broadcast_shapes(bias.shape[:-1], logarithm.shape[:-1])
            bias = torch.cat([logarithm.expand(*shape, 1), bias.expand(*shape, -1)], dim=-1)
        q, k, v = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (q, k, v))
        dropout = self.dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=dropout)
        return self.out_proj(attended.transpose(1, 2).flatten(-2))


class SASRecEncoder(nn.Module):
    """Blocks of self-attention and a position-wise network, then a LayerNorm.

    In each block, with S zero at padding: Q = LN₁(S); S ← LN₂(Q + MHA(Q, S, S)); S ← S + W₂·ReLU(W₁·S + b₁) + b₂.
    At padding the output is the bias of the last LayerNorm.

    Args:
        size: d.
        blocks: number of blocks.
        heads: of the attention, each of d / heads.
        dropout: rate, on the attention weights, after W₁ and after W₂.
        causal: a position sees itself and those before it; otherwise all, also later ones.
        mask_padding: padding is left out of the attention, where a position always sees itself. False is the
            published behaviour: padding takes its share of the softmax as a zero input, so that results depend on L.
    """

    def __init__(
        self, size: int, *, blocks: int, heads: int, dropout: float, causal: bool = True, mask_padding: bool = False
    ):
        super().__init__()
        self.causal, self.mask_padding = causal, mask_padding
        self.attention_layernorms = nn.ModuleList(nn.LayerNorm(size, eps=_EPSILON) for _ in range(blocks))
        self.attention_layers = nn.ModuleList(
            ZeroPaddedAttention(size, heads, dropout=dropout, batch_first=True) for _ in range(blocks)
        )
        self.forward_layernorms = nn.ModuleList(nn.LayerNorm(size, eps=_EPSILON) for _ in range(blocks))
        self.forward_layers = nn.ModuleList(
            nn.Sequential(
                nn.Linear(size, size), nn.Dropout(dropout), nn.ReLU(), nn.Linear(size, size), nn.Dropout(dropout)
            )
            for _ in range(blocks)
        )
        self.last_layernorm = nn.LayerNorm(size, eps=_EPSILON)

    def forward(self, inputs: Tensor, mask: Tensor) -> Tensor:
        """States of left-padded windows, (B, L, d) and (B, L) bool -> (B, L, d).

        The columns before the longest window of the batch are not computed; without dropout the result is the same.
        """
        first = int(mask.any(dim=0).to(torch.int8).argmax())
        state = self._encode(inputs[:, first:], mask[:, first:], first)
        padding = self.last_layernorm.bias.expand(len(inputs), first, -1).to(state.dtype)
        return torch.cat([padding, state], dim=1)

    def _encode(self, inputs: Tensor, mask: Tensor, left_out: int) -> Tensor:
        length = inputs.shape[1]
        visible = torch.ones(length, length, dtype=torch.bool, device=inputs.device)
        if self.causal:
            visible = visible.tril()
        zeros = None
        if self.mask_padding:
            itself = torch.eye(length, dtype=torch.bool, device=inputs.device)
            visible = (visible & mask[:, None, None, :]) | itself
        elif left_out:
            zeros = torch.full((1, 1, 1, 1), left_out, dtype=inputs.dtype, device=inputs.device)
        state = masked(inputs, mask)
        for block, attention in enumerate(self.attention_layers):
            assert isinstance(attention, ZeroPaddedAttention)  # a ModuleList is not typed
            query = self.attention_layernorms[block](state)
            state = self.forward_layernorms[block](query + attention.attend(query, state, visible, zeros))
            state = masked(state + self.forward_layers[block](state), mask)
        return self.last_layernorm(state)
