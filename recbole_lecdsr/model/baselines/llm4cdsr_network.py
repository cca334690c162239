"""LLM4CDSR's network and losses.

Source: Liu et al., "Bridge the domains: Large language models enhanced cross-domain sequential recommendation",
SIGIR 2025, arXiv 2504.18383. docs/models.md, 14, has the equations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_lecdsr.data.user_vectors import UserVectors
from recbole_lecdsr.model.alignment import contrast_by_similarity
from recbole_lecdsr.model.baselines.pair_losses import inner_products, mean_cross_entropy
from recbole_lecdsr.model.causal_network import shift_left
from recbole_lecdsr.model.modules.linear_adapter import LinearAdapter
from recbole_lecdsr.model.modules.pca import principal_components
from recbole_lecdsr.model.modules.profile_rows import ProfileRows
from recbole_lecdsr.model.modules.sasrec_encoder import SASRecEncoder
from recbole_lecdsr.model.modules.streams import close_gaps, positions_from_oldest, take_columns


class Threads(NamedTuple):
    """The sequence of each domain within B mixed windows, and how places of the two belong together.

    Attributes:
        item: (2, B, L) int64, the interactions of a domain that another of that domain follows, be it the target of the
            row; without gaps, padded with 0 on the left.
        next_domain: (B, L) int64, domain of the interaction after each place of the mixed window.
        column: (B, L) int64, where the thread of ``next_domain`` has its newest interaction at or before the place; -1
            where there is none, and at padding.
    """

    item: Tensor
    next_domain: Tensor
    column: Tensor


def split_threads(item_seq: Tensor, domain_seq: Tensor, domain: Tensor) -> Threads:
    """The threads of mixed windows.

    Args:
        item_seq, domain_seq: (B, L) int64, left-padded with 0.
        domain: (B,) int64, domain of the interaction after the window.

    Example:
        >>> threads = split_threads(torch.tensor([[0, 4, 7, 5]]), torch.tensor([[0, 0, 1, 0]]), torch.tensor([0]))
        >>> threads.item.tolist(), threads.column.tolist()
        ([[[0, 0, 4, 5]], [[0, 0, 0, 0]]], [[-1, -1, 2, 3]])
    """
    length = item_seq.shape[1]
    real, next_domain = item_seq.ne(0), shift_left(domain_seq, domain)
    items, column = [], torch.full_like(item_seq, -1)
    for code in range(2):
        precedes = real & next_domain.eq(code)
        followed = precedes.to(torch.int8).flip(1).cummax(dim=1).values.flip(1).bool()
        own = real & domain_seq.eq(code) & followed
        items.append(take_columns(item_seq, close_gaps(own)))
        earlier = own.cumsum(dim=1)
        place = length - 1 - earlier[:, -1:] + earlier
        column = torch.where(precedes & earlier.gt(0), place, column)
    return Threads(torch.stack(items), next_domain, column)


class ThreadEncoder(nn.Module):
    """Positions, counted from the oldest interaction, and a SASRec encoder.

    Args:
        max_length: L.
        size: d.
        settings: of `SASRecEncoder`.
    """

    def __init__(self, max_length: int, size: int, *, blocks: int, heads: int, dropout: float, causal: bool):
        super().__init__()
        self.position = nn.Embedding(max_length + 1, size)
        self.dropout = nn.Dropout(dropout)
        self.encoder = SASRecEncoder(size, blocks=blocks, heads=heads, dropout=dropout, causal=causal)

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """States of left-padded sequences: item vectors (B, L, d) and (B, L) bool -> (B, L, d)."""
        return self.encoder(self.dropout(vectors + self.position(positions_from_oldest(mask))), mask)


class Places(NamedTuple):
    """The N trained places of a batch: their targets' domain (N,), and mixed and local states, (N, d) each."""

    domain: Tensor
    mixed: Tensor
    local: Tensor


class TrainingBatch(NamedTuple):
    """What the losses read.

    Attributes:
        item_seq, domain_seq: (B, L) int64, mixed windows.
        domain, user: (B,) int64, domain of the interaction after the window, and user.
        n_earlier: (B,) int64, how many interactions of the user come before that one.
        target: (B, L) int64, the item to predict at each place, 0 where there is none.
        negative: (B, L, N) int64, of the target's domain.
        item_pair: (B, 2) int64, an item of each domain from the user's history; 0 for none.
    """

    item_seq: Tensor
    domain_seq: Tensor
    domain: Tensor
    user: Tensor
    n_earlier: Tensor
    target: Tensor
    negative: Tensor
    item_pair: Tensor


class LLM4CDSRNetwork(nn.Module):
    """Three SASRec encoders: of the mixed sequence, over adapted item texts, and of each domain, over item tables.

    Args:
        item_text: V, (n_items, D) float32, frozen; row 0 (padding) zero.
        user_vectors: Y, frozen, and which of them a target may meet; None for no loss of users.
        domain_items: ids of the items of each domain, (n_domain,) int64 each.
        max_length: L.
        size: d.
        blocks, heads, dropout: of each encoder, dropout of its inputs too.
        causal: whether a place sees only interactions up to itself.
        trains_item_tables: whether the tables of the domains are trained, or stay at the principal components.
    """

    item_text: Tensor
    user_text: Tensor | None
    local_id: Tensor

    def __init__(
        self,
        *,
        item_text: Tensor,
        user_vectors: UserVectors | None,
        domain_items: Sequence[Tensor],
        max_length: int,
        size: int,
        blocks: int,
        heads: int,
        dropout: float,
        causal: bool = True,
        trains_item_tables: bool = True,
    ):
        super().__init__()
        self.size = size
        self.register_buffer("item_text", item_text, persistent=False)
        user_text = None if user_vectors is None else torch.from_numpy(user_vectors.vectors)
        self.register_buffer("user_text", user_text, persistent=False)
        self.profile_rows = None if user_vectors is None else ProfileRows(user_vectors)
        local_id = torch.zeros(2, len(item_text), dtype=torch.int64)
        for code, items in enumerate(domain_items):
            local_id[code, items] = torch.arange(1, len(items) + 1)
        self.register_buffer("local_id", local_id, persistent=False)

        def make_encoder() -> ThreadEncoder:
            return ThreadEncoder(max_length, size, blocks=blocks, heads=heads, dropout=dropout, causal=causal)

        self.item_adapter = LinearAdapter(item_text.shape[1], size)
        self.user_adapter = None if user_text is None else LinearAdapter(user_text.shape[1], size)
        self.mixed_encoder = make_encoder()
        self.local_encoders = nn.ModuleList(make_encoder() for _ in range(2))
        self.item_tables = nn.ModuleList(nn.Embedding(len(items) + 1, size, padding_idx=0) for items in domain_items)
        self.reset_parameters(domain_items)
        self.item_tables.requires_grad_(trains_item_tables)

    @torch.no_grad()
    def reset_parameters(self, domain_items: Sequence[Tensor]) -> None:
        """Xavier-normal matrices, and principal components of each domain's texts by themselves in its table."""
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_normal_(parameter)
        for table, items in zip(self._tables, domain_items, strict=True):
            table.weight[0] = 0
            table.weight[1:] = principal_components(self.item_text[items], self.size, scaled=False)

    @property
    def _tables(self) -> list[nn.Embedding]:
        return [cast(nn.Embedding, table) for table in self.item_tables]

    # ------------------------------------------------------------------ states

    def adapted(self, item: Tensor) -> Tensor:
        """a(V_i) of any items, (…) int64 -> (…, d); each distinct item is adapted once."""
        distinct, index = torch.unique(item, return_inverse=True)
        return F.embedding(index, self.item_adapter(self.item_text[distinct]))

    def mixed_states(self, adapted: Tensor, item_seq: Tensor) -> Tensor:
        """f, (B, L, d), of mixed windows, whose adapted items are given."""
        return self.mixed_encoder(adapted * math.sqrt(self.item_text.shape[1]), item_seq.ne(0))

    def local_states(self, code: int, item_seq: Tensor) -> Tensor:
        """f_A or f_B, (B, L, d), of windows of the domain ``code``."""
        vectors = self.item_tables[code](self.local_id[code][item_seq])
        return self.local_encoders[code](vectors * math.sqrt(self.size), item_seq.ne(0))

    def local_vectors(self, domain: Tensor, item: Tensor) -> Tensor:
        """E_A or E_B of items, by the domain of each row: (N,) and (N, C) int64 -> (N, C, d)."""
        source, target = (table(self.local_id[code][item]) for code, table in enumerate(self._tables))
        return torch.where(domain.view(-1, 1, 1) == 0, source, target)

    # ------------------------------------------------------------------ losses

    def places(self, mixed: Tensor, threads: Threads, target: Tensor) -> tuple[Places, tuple[Tensor, Tensor]]:
        """The places that have a target and a local state.

        Args:
            mixed: f, (B, L, d).
            threads: of the windows.
            target: (B, L) int64, 0 for none.

        Returns:
            the places, and their rows and columns in the batch, (N,) int64 each.
        """
        row, column = torch.nonzero(target.ne(0) & threads.column.ge(0), as_tuple=True)
        domain, local_column = threads.next_domain[row, column], threads.column[row, column]
        local = torch.stack([self.local_states(code, threads.item[code]) for code in range(2)])
        return Places(domain, mixed[row, column], local[domain, row, local_column]), (row, column)

    def losses(
        self, batch: TrainingBatch, *, item_temperature: float = 1.0, user_temperature: float = 1.0
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """loss_A, loss_B, loss_item and loss_user without their weights: scalars, 0 where nothing takes part.

        Args:
            batch: B windows.
            item_temperature, user_temperature: τ of the two contrastive losses.
        """
        size, length = batch.item_seq.shape
        candidates = torch.cat([batch.target.unsqueeze(-1), batch.negative], dim=-1)
        parts = (batch.item_seq, candidates, batch.item_pair)
        vectors = self.adapted(torch.cat([part.reshape(-1) for part in parts]))
        sequence, scored, pair = vectors.split([part.numel() for part in parts])
        mixed = self.mixed_states(sequence.view(size, length, -1), batch.item_seq)
        threads = split_threads(batch.item_seq, batch.domain_seq, batch.domain)
        places, (row, column) = self.places(mixed, threads, batch.target)
        logits = inner_products(places.mixed, scored.view(*candidates.shape, -1)[row, column])
        logits = logits + inner_products(places.local, self.local_vectors(places.domain, candidates[row, column]))
        source, target = (mean_cross_entropy(logits[places.domain == code]) for code in range(2))
        item = self.item_loss(pair.view(size, 2, -1), batch.item_pair, item_temperature)
        users = self.user_loss(mixed[:, -1], batch.user, batch.n_earlier, temperature=user_temperature)
        return source, target, item, users

    def item_loss(self, adapted: Tensor, item_pair: Tensor, temperature: float) -> Tensor:
        """S between the adapted items of the two domains, over the users that have had both, as far as they have texts.

        Args:
            adapted: (B, 2, d).
            item_pair: (B, 2) int64.
            temperature: τ.
        """
        known = self.item_text[item_pair].ne(0).any(dim=-1).all(dim=1)  # row 0 is zero
        return contrast_by_similarity(adapted[known, 0], adapted[known, 1], temperature)

    def user_loss(self, state: Tensor, user: Tensor, n_earlier: Tensor, *, temperature: float) -> Tensor:
        """S between adapted profiles and newest mixed states, over the rows whose target may meet a profile.

        Args:
            state: (B, d).
            user, n_earlier: (B,) int64, of the target after the window.
            temperature: τ.
        """
        if self.user_text is None or self.user_adapter is None or self.profile_rows is None:
            return state.new_zeros(())
        profile = self.user_text[self.profile_rows(user, n_earlier)]
        known = profile.ne(0).any(dim=1)
        return contrast_by_similarity(self.user_adapter(profile[known]), state[known], temperature)

    # ------------------------------------------------------------------ scores

    def query(self, item_seq: Tensor, domain_seq: Tensor, domain: Tensor) -> Tensor:
        """[f, f_A, f_B] after the newest interaction, with zeros for the domain that the target is not of.

        Args:
            item_seq, domain_seq: (B, L) int64.
            domain: (B,) int64, of the target.

        Returns:
            (B, 3d), for inner products with `item_vectors`.
        """
        mixed = self.mixed_states(self.adapted(item_seq), item_seq)[:, -1]
        query = torch.stack([mixed, torch.zeros_like(mixed), torch.zeros_like(mixed)], dim=1)
        threads = split_threads(item_seq, domain_seq, domain)
        for code in range(2):
            rows = torch.nonzero(domain == code).squeeze(1)
            if len(rows):
                query[rows, 1 + code] = self.local_states(code, threads.item[code, rows])[:, -1]
        return query.flatten(1)

    def item_vectors(self) -> Tensor:
        """[a(V), E_A, E_B] of every item, (n_items, 3d); zeros for a domain that an item is not of."""
        local = [table.weight[local_id] for table, local_id in zip(self._tables, self.local_id, strict=True)]
        return torch.cat([self.item_adapter(self.item_text), *local], dim=1)
