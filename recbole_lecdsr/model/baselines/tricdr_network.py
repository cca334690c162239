"""Tri-CDR's network and losses for one target domain (docs/models.md, 17).

Source: Ma, Xie, Meng, Chen, Zhang, Lin, Zhou, "Triple sequence learning for cross-domain recommendation", ACM TOIS
2024, doi 10.1145/3638351.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_lecdsr.model.baselines.tricdr_columns import TrainingColumns
from recbole_lecdsr.model.modules.candidate_scores import candidate_scores
from recbole_lecdsr.model.modules.sasrec_encoder import SASRecEncoder

_NORM = 1e-12  # least length of a vector
_LEAST = 1e-6  # of the sum of a contrast


class Losses(NamedTuple):
    """Parts of the loss.

    Attributes:
        rec: of the positives and negatives, a scalar.
        contrast: NT of mixed and source, of mixed and target, of source and target, (3,).
        triplet: a scalar.
    """

    rec: Tensor
    contrast: Tensor
    triplet: Tensor


class WindowEncoder(nn.Module):
    """SASRec over one window; the position table has a row for each column.

    Args:
        n_items: items, padding (row 0) included.
        max_length: L.
        size: d.
        blocks, heads, dropout, mask_padding: of `SASRecEncoder`.
    """

    def __init__(
        self, *, n_items: int, max_length: int, size: int, blocks: int, heads: int, dropout: float, mask_padding: bool
    ):
        super().__init__()
        self.item = nn.Embedding(n_items, size, padding_idx=0)
        self.position = nn.Parameter(torch.empty(max_length, size))
        self.dropout = nn.Dropout(dropout)
        self.encoder = SASRecEncoder(size, blocks=blocks, heads=heads, dropout=dropout, mask_padding=mask_padding)

    def forward(self, window: Tensor) -> Tensor:
        """States, (B, L) int64 -> (B, L, d)."""
        inputs = math.sqrt(self.item.embedding_dim) * self.item(window) + self.position
        return self.encoder(self.dropout(inputs), window.ne(0))


class TripleAttention(nn.Module):
    """Attention of queries to the states of the three windows, by one network D over pairs.

    e = D([F, z, F ⊙ z, z − F, κ]) for a state F, a query z and the context κ; its first layer is applied to F once for
    each state and to z and κ once for each query, and only to F ⊙ z for each pair.

    Args:
        size: d.
        published: where nothing may be read, weights are uniform over all columns instead of zero.
    """

    def __init__(self, size: int, published: bool):
        super().__init__()
        self.published = published
        self.first = nn.Linear(5 * size, 80)
        self.rest = nn.Sequential(nn.PReLU(), nn.Linear(80, 40), nn.PReLU(), nn.Linear(40, 1))

    def forward(
        self, states: tuple[Tensor, ...], readable: tuple[Tensor, ...], query: Tensor, row: Tensor, slot: Tensor
    ) -> list[Tensor]:
        """Weighted sums of the states of each window.

        Args:
            states: of the mixed, the source and the target window, (B, L, d) each.
            readable: which columns each query may read, (T, L) bool each.
            query: z, (T, d).
            row, slot: (T,) int64, where each query belongs; no two have both alike.

        Returns:
            X^m, X^s and X^t, (T, d) each.
        """
        among = readable[0].to(query.dtype)
        context = _pool(among / among.sum(dim=1, keepdim=True).clamp(min=1), states[0], row, slot)
        of_state, of_query, of_product, of_difference, of_context = self.first.weight.chunk(5, dim=1)
        fixed = F.linear(query, of_query + of_difference, self.first.bias) + F.linear(context, of_context)
        read = []
        for state, columns in zip(states, readable, strict=True):
            projected = F.linear(state, of_state - of_difference)
            one, column = torch.nonzero(columns, as_tuple=True)  # the pairs
            product = F.linear(state[row[one], column] * query[one], of_product)
            energy = self.rest(projected[row[one], column] + fixed[one] + product).squeeze(-1).float()
            logits = energy.new_full(columns.shape, -math.inf).index_put((one, column), energy)
            is_empty = ~columns.any(dim=1, keepdim=True)
            weight = logits.masked_fill(is_empty, 0.0).softmax(dim=1)
            if not self.published:
                weight = weight * ~is_empty
            read.append(_pool(weight.to(state.dtype), state, row, slot))
        return read


def _pool(weight: Tensor, states: Tensor, row: Tensor, slot: Tensor) -> Tensor:
    """Weighted sums of the states of each query's row: (T, L) and (B, L, d) -> (T, d), without a (T, L, d) tensor."""
    table = weight.new_zeros(len(states), int(slot.max()) + 1, states.shape[1])
    return torch.bmm(table.index_put((row, slot), weight), states)[row, slot]


class TriCDRNetwork(nn.Module):
    """Three encoders, the attention of a target-domain query to all of them, and the projections that are contrasted.

    Args:
        n_items: items of both domains, padding (row 0) included.
        max_length: L.
        size: d.
        scale: ω.
        contrast_temperature: τ.
        margin: of the triplet loss.
        published_attention: as published, queries that may read nothing read all columns or column 0, and queries of
            column 0 read the first state.
        published_norms: as published, candidates are normalised over the candidates in scoring, dimension by dimension.
        blocks, heads, dropout, mask_padding: of `SASRecEncoder`.
    """

    def __init__(
        self,
        *,
        n_items: int,
        max_length: int,
        size: int,
        scale: float = 5.0,
        contrast_temperature: float = 0.1,
        margin: float = 4.0,
        published_attention: bool = False,
        published_norms: bool = False,
        blocks: int = 2,
        heads: int = 1,
        dropout: float = 0.2,
        mask_padding: bool = False,
    ):
        super().__init__()
        self.scale, self.contrast_temperature, self.margin = scale, contrast_temperature, margin
        self.published_attention, self.published_norms = published_attention, published_norms

        def encoder() -> WindowEncoder:
            return WindowEncoder(
                n_items=n_items, max_length=max_length, size=size,
                blocks=blocks, heads=heads, dropout=dropout, mask_padding=mask_padding,
            )  # fmt: skip

        self.mixed, self.source, self.target = encoder(), encoder(), encoder()
        self.attention = TripleAttention(size, published_attention)
        self.fusion = nn.Sequential(nn.Linear(3 * size, size), nn.LeakyReLU(0.01), nn.Linear(size, size))
        self.views = nn.ModuleList(
            nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Linear(size, size)) for _ in range(3)
        )
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_normal_(parameter)

    # ------------------------------------------------------------------ training

    def losses(self, columns: TrainingColumns, negative: Tensor) -> Losses:
        """All parts of the loss.

        Args:
            columns: T queries.
            negative: ν, (T, N) int64.
        """
        if not len(columns.row):
            nothing = torch.stack([parameter.sum() for parameter in self.parameters()]).sum() * 0.0
            return Losses(nothing, nothing.expand(3), nothing)
        logits, read = self.training_logits(columns, negative)
        rec = F.softplus(-logits[:, 0]).mean() + F.softplus(logits[:, 1:]).mean()
        views = [head(part[columns.is_viewed]).float() for head, part in zip(self.views, read, strict=True)]
        if not len(views[0]):
            return Losses(rec, rec.new_zeros(3), rec.new_zeros(()))
        mixed, source, target = views
        contrast = [self._contrast(one, other) for one, other in ((mixed, source), (mixed, target), (source, target))]
        triplet = F.triplet_margin_loss(source, mixed, target, margin=self.margin)
        return Losses(rec, torch.stack(contrast), triplet)

    def training_logits(self, columns: TrainingColumns, negative: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits of positive and negatives, (T, 1 + N), and X^m, X^s and X^t, (T, d) each."""
        states = self.mixed(columns.mixed), self.source(columns.source), self.target(columns.target)
        windows = columns.mixed, columns.source, columns.target
        column = torch.arange(columns.mixed.shape[1], device=columns.row.device)
        readable = tuple(
            (column <= last.unsqueeze(1)) & window[columns.row].ne(0)
            for window, last in zip(windows, (columns.mixed_last, columns.source_last, columns.column), strict=True)
        )
        query = states[2][columns.row, columns.column]
        read = self.attention(states, readable, query, columns.row, columns.column)
        if self.published_attention:
            is_first = (columns.column == 0).unsqueeze(1)
            read = [
                torch.where(is_first, state[columns.row, 0], part) for state, part in zip(states, read, strict=True)
            ]
        fused = F.normalize(self.fusion(torch.cat(read, dim=1)), dim=1, eps=_NORM)
        items = F.normalize(
            self.target.item(torch.cat([columns.positive.unsqueeze(1), negative], dim=1)), dim=2, eps=_NORM
        )
        return self.scale * (items @ fused.unsqueeze(-1)).squeeze(-1), read

    def _contrast(self, one: Tensor, other: Tensor) -> Tensor:
        """NT of two views, (B, d) each: the logarithms of its quotients, so that no exponential overflows."""
        one, other = F.normalize(one, dim=1, eps=_NORM), F.normalize(other, dim=1, eps=_NORM)
        both = torch.cat([one, other])
        logits = both @ both.T / self.contrast_temperature
        itself = torch.eye(len(both), dtype=torch.bool, device=both.device)
        least = math.log(_LEAST)
        total = logits.masked_fill(itself, -math.inf).logsumexp(dim=1).clamp(min=least)
        positive = (one * other).sum(dim=1).repeat(2) / self.contrast_temperature
        return (torch.logaddexp(total, torch.full_like(total, least)) - positive).mean()

    # ------------------------------------------------------------------ scoring

    def query(self, mixed: Tensor, source: Tensor, target: Tensor) -> Tensor:
        """f after the newest interaction of each window, of length 1: (B, L) int64 each -> (B, d)."""
        windows = mixed, source, target
        states = self.mixed(mixed), self.source(source), self.target(target)
        row = torch.arange(len(mixed), device=mixed.device)
        readable = tuple(window.ne(0) for window in windows)
        read = self.attention(states, readable, states[2][:, -1], row, torch.zeros_like(row))
        return F.normalize(self.fusion(torch.cat(read, dim=1)), dim=1, eps=_NORM)

    def scores(self, query: Tensor, candidates: Tensor | None, domain_items: Tensor) -> Tensor:
        """Scores of items, (B, d) queries -> (B, C), or (B, n_items) without candidates.

        Args:
            query: of `query`.
            candidates: (B, C) int64.
            domain_items: ids of the items of the domain; over these the published scores are normalised where there are
                no candidates.
        """
        table = self.target.item.weight
        if not self.published_norms:
            table = F.normalize(table, dim=1, eps=_NORM)
        elif candidates is None:
            table = table / table[domain_items].norm(dim=0).clamp(min=_NORM)
        else:
            vectors = F.normalize(F.embedding(candidates, table), dim=1, eps=_NORM)
            return self.scale * torch.einsum("bd,bcd->bc", query, vectors)
        if candidates is None:
            return self.scale * query @ table.T
        return self.scale * candidate_scores(query, table, candidates)
