"""LLM-ESR's network, with SASRec as its backbone, and its losses.

Source: Liu et al., "LLM-ESR: Large language models enhancement for long-tailed sequential recommendation",
NeurIPS 2024, arXiv 2405.20646. docs/models.md, 15, has the equations.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_lecdsr.model.alignment import contrast_by_similarity
from recbole_lecdsr.model.baselines.pair_losses import inner_products, mean_cross_entropy
from recbole_lecdsr.model.modules.linear_adapter import LinearAdapter
from recbole_lecdsr.model.modules.pca import principal_components
from recbole_lecdsr.model.modules.sasrec_encoder import SASRecEncoder
from recbole_lecdsr.model.modules.streams import positions_from_oldest

CROSS_HEADS = 2  # of the attention between views, whatever the heads of the encoder
_POSITIONS = 100  # rows of the released position table beyond L, never read; they make its initial values smaller
_WINDOWS = 256  # encoded together where there is no gradient


class ViewAttention(nn.Module):
    """Attention from one view's positions to those of the other, without residual: (B, L, d) -> (B, L, d).

    Args:
        size: d, even.
        causal: a position sees only positions up to itself.
    """

    def __init__(self, size: int, *, causal: bool):
        super().__init__()
        self.causal = causal
        self.query, self.key, self.value = (nn.Linear(size, size, bias=False) for _ in range(3))
        self.output = nn.Linear(size, size)

    def forward(self, query: Tensor, other: Tensor, mask: Tensor) -> Tensor:
        """Attend to the interactions of the other view.

        Args:
            query, other: (B, L, d).
            mask: (B, L) bool, false at padding, which is no key. What padding itself receives has no meaning.
        """
        length = query.shape[1]
        q, k, v = (
            part.unflatten(-1, (CROSS_HEADS, -1)).transpose(1, 2)
            for part in (self.query(query), self.key(other), self.value(other))
        )
        visible = mask[:, None, None, :]
        square = torch.ones(length, length, dtype=torch.bool, device=mask.device)
        if self.causal:
            visible = visible & square.tril()
        # Padding without any key sees itself: a softmax of nothing would be NaN.
        visible = visible | torch.eye(length, dtype=torch.bool, device=mask.device)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=visible)
        return self.output(attended.transpose(1, 2).flatten(-2))


class TrainingBatch(NamedTuple):
    """What the losses read.

    Attributes:
        item_seq: (B, L) int64, left-padded with 0.
        target: (B, L) int64, the item to predict at each place, 0 where there is none.
        negative: (B, L, N) int64.
        teacher_seq: (M, L) int64, sequences of similar users.
        teacher: (B, K) int64, which of these teach a row; -1 for none.
    """

    item_seq: Tensor
    target: Tensor
    negative: Tensor
    teacher_seq: Tensor
    teacher: Tensor


class Losses(NamedTuple):
    """The losses without their weights: scalars, 0 where nothing takes part."""

    pair: Tensor
    user: Tensor
    item: Tensor


class LLMESRNetwork(nn.Module):
    """Two views of each item, a frozen text under an adapter and a trained vector, and one encoder for both.

    Args:
        item_text: V, (n_items, D) float32, frozen; row 0 (padding) zero.
        max_length: L.
        size: d of each view, even.
        blocks, heads: of the encoder.
        dropout: of its inputs and within it.
        causal: whether a place sees only interactions up to itself, in the encoder and between the views.
    """

    item_text: Tensor

    def __init__(
        self,
        *,
        item_text: Tensor,
        max_length: int,
        size: int,
        blocks: int,
        heads: int,
        dropout: float,
        causal: bool = True,
    ):
        super().__init__()
        self.size = size
        self.register_buffer("item_text", item_text, persistent=False)
        self.item_id = nn.Embedding(len(item_text), size, padding_idx=0)
        self.item_adapter = LinearAdapter(item_text.shape[1], size)
        self.position = nn.Embedding(max_length + 1, size)
        self.dropout = nn.Dropout(dropout)
        self.identity_attention, self.text_attention = (ViewAttention(size, causal=causal) for _ in range(2))
        self.encoder = SASRecEncoder(size, blocks=blocks, heads=heads, dropout=dropout, causal=causal)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Xavier-normal matrices, and principal components of the texts as item vectors."""
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_normal_(parameter)
        rows = len(self.position.weight) - 1 + _POSITIONS
        nn.init.normal_(self.position.weight, std=math.sqrt(2 / (rows + self.size)))
        self.item_id.weight.copy_(principal_components(self.item_text, self.size, scaled=False))

    # ------------------------------------------------------------------ states

    def views(self, item: Tensor) -> tuple[Tensor, Tensor]:
        """E and a(V) of items, (N,) int64 -> (N, d) each."""
        return self.item_id(item), self.item_adapter(self.item_text[item])

    def states(self, identity: Tensor, text: Tensor, mask: Tensor) -> Tensor:
        """u after each interaction.

        Args:
            identity, text: E and a(V) of left-padded windows, (B, L, d).
            mask: (B, L) bool.

        Returns:
            (B, L, 2d).
        """
        size = len(mask)
        first = int(mask.any(dim=0).to(torch.int8).argmax())  # the attention between views leaves padding out
        filled = mask[:, first:]
        position = self.position(positions_from_oldest(filled))
        identity, text = (self.dropout(part[:, first:] * math.sqrt(self.size) + position) for part in (identity, text))
        # Each view is replaced by what the other one, as the query, finds in it.
        mixed = torch.cat(
            [self.identity_attention(text, identity, filled), self.text_attention(identity, text, filled)]
        )
        state = self.encoder(F.pad(mixed, (0, 0, first, 0)), mask.repeat(2, 1))
        return torch.cat([state[:size], state[size:]], dim=-1)

    def newest_states(self, item_seq: Tensor) -> Tensor:
        """u after the newest interaction: (B, L) int64 -> (B, 2d). Windows of about the same length go together."""
        distinct, index = torch.unique(item_seq, return_inverse=True)
        identity, text = self.views(distinct)
        order = torch.argsort(item_seq.ne(0).sum(dim=1), stable=True)
        parts = [
            self.states(F.embedding(index[rows], identity), F.embedding(index[rows], text), item_seq[rows].ne(0))[:, -1]
            for rows in order.split(_WINDOWS)
        ]
        return torch.cat(parts)[torch.argsort(order)]

    # ------------------------------------------------------------------ losses

    def losses(self, batch: TrainingBatch, *, contrasts_users: bool = False, aligns_items: bool = False) -> Losses:
        """Losses of a batch.

        Args:
            batch: B windows.
            contrasts_users: contrast states with teachers over the batch instead of taking their squared distance.
            aligns_items: whether to compute the loss of items, which compares all interactions of the batch.
        """
        candidates = torch.cat([batch.target.unsqueeze(-1), batch.negative], dim=-1)
        row, column = torch.nonzero(batch.target, as_tuple=True)
        candidates = candidates[row, column]
        parts = (batch.item_seq, candidates)
        distinct, index = torch.unique(torch.cat([part.reshape(-1) for part in parts]), return_inverse=True)
        sequence, scored = index.split([part.numel() for part in parts])
        identity, text = self.views(distinct)
        mask = batch.item_seq.ne(0)
        inputs = F.embedding(sequence.view(mask.shape), identity), F.embedding(sequence.view(mask.shape), text)
        state = self.states(*inputs, mask)
        vectors = F.embedding(scored.view(candidates.shape), torch.cat([identity, text], dim=1))
        pair = mean_cross_entropy(inner_products(state[row, column], vectors))
        user = self.user_loss(state[:, -1], batch.teacher_seq, batch.teacher, contrasts_users)
        item = pair.new_zeros(())
        if aligns_items:
            item = contrast_by_similarity(inputs[1][mask], inputs[0][mask])
        return Losses(pair, user, item)

    def user_loss(self, state: Tensor, teacher_seq: Tensor, teacher: Tensor, contrasts: bool) -> Tensor:
        """Distance of states (B, 2d) from the mean states of their teachers; rows without teachers take no part."""
        taught = teacher.ge(0).any(dim=1)
        mean = self.teacher_means(teacher_seq, teacher[taught])
        if contrasts:
            return contrast_by_similarity(state[taught], mean)
        distance = (state[taught].float() - mean.float()).square()
        return distance.sum() / max(1, distance.numel())

    @torch.no_grad()
    def teacher_means(self, teacher_seq: Tensor, teacher: Tensor) -> Tensor:
        """t, the mean of the newest states of a row's teachers: (M, L) and (B, K) int64 -> (B, 2d)."""
        found = teacher.ge(0).unsqueeze(-1)
        states = F.embedding(teacher.clamp(min=0), self.newest_states(teacher_seq))
        return (states * found).sum(dim=1) / found.sum(dim=1)

    # ------------------------------------------------------------------ scores

    def item_vectors(self) -> Tensor:
        """[E, a(V)] of every item, (n_items, 2d), for inner products with `newest_states`."""
        return torch.cat([self.item_id.weight, self.item_adapter(self.item_text)], dim=1)
