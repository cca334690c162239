"""C2DSR's network and losses (docs/models.md, 16).

Source: Cao, Cong, Sheng, Liu, Wang, "Contrastive cross-domain sequential recommendation", CIKM 2022,
doi 10.1145/3511808.3557262.

X is the source and Y the target domain. An axis of size 2 is that of the domains, X first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_lecdsr.model.baselines.c2dsr_rows import TrainingRows
from recbole_lecdsr.model.modules.candidate_scores import candidate_scores
from recbole_lecdsr.model.modules.full_softmax import full_softmax_loss
from recbole_lecdsr.model.modules.item_graph import ItemGraph
from recbole_lecdsr.model.modules.layers import masked_mean
from recbole_lecdsr.model.modules.sasrec_encoder import SASRecEncoder
from recbole_lecdsr.model.modules.streams import newest_so_far, positions_from_oldest, take_columns


class Losses(NamedTuple):
    """Parts of the loss, (2,) float each.

    Attributes:
        mixed: next item of each domain, from the states of the mixed sequence (x_share and y_share).
        own: next item of each domain, from the states of the mixed and of the domain's own sequence.
        infomax: MI of each domain.
    """

    mixed: Tensor
    own: Tensor
    infomax: Tensor


class GraphEncoder(nn.Module):
    """States of one stream: item vectors, averaged with those of their successors, and a SASRec encoder.

    Args:
        graph: A of the stream.
        n_items: items, padding (row 0) included.
        max_length: L.
        size: d.
        blocks, heads, dropout, mask_padding: of `SASRecEncoder`.
    """

    def __init__(
        self,
        graph: ItemGraph,
        *,
        n_items: int,
        max_length: int,
        size: int,
        blocks: int,
        heads: int,
        dropout: float,
        mask_padding: bool,
    ):
        super().__init__()
        self.graph = graph
        self.item = nn.Embedding(n_items, size, padding_idx=0)  # N(0, 1)
        self.position = nn.Embedding(max_length + 1, size, padding_idx=0)
        self.graph_bias = nn.Parameter(torch.empty(size).uniform_(-1 / math.sqrt(size), 1 / math.sqrt(size)))
        self.dropout = nn.Dropout(dropout)
        self.encoder = SASRecEncoder(size, blocks=blocks, heads=heads, dropout=dropout, mask_padding=mask_padding)
        self._table: Tensor | None = None

    def vectors(self, item: Tensor) -> Tensor:
        """G + E of the given items, with G = ½(E + A·E + β): (N,) int64 -> (N, d)."""
        embedded = self.item(item)
        neighbours = self.graph(item, self.item.weight, self.dropout)
        return 1.5 * embedded + 0.5 * (neighbours + self.graph_bias)

    @contextmanager
    def keeping_vectors(self) -> Iterator[None]:
        """Within the block the vectors of all items are computed once, with the weights of its beginning."""
        self._table = self.vectors(torch.arange(self.item.num_embeddings, device=self.item.weight.device))
        try:
            yield
        finally:
            self._table = None

    def forward(self, item: Tensor, mask: Tensor) -> Tensor:
        """States, (B, L) int64 items and (B, L) bool -> (B, L, d)."""
        if self._table is not None:
            vectors = F.embedding(item, self._table)
        else:
            distinct, index = torch.unique(item, return_inverse=True)
            vectors = F.embedding(index, self.vectors(distinct))
        scale = math.sqrt(self.item.embedding_dim)
        inputs = scale * vectors + self.position(positions_from_oldest(mask))
        return self.encoder(self.dropout(inputs), mask)


class C2DSRNetwork(nn.Module):
    """Three graph encoders, an output table for each domain, and a discriminator for each domain.

    Args:
        mixed_graph: A of the mixed sequences.
        single_graph: A of the sequences of each domain, both in one matrix.
        domain_items: ids of the items of X and of Y, ascending int64.
        n_items: items of both domains, padding (row 0) included.
        max_length: L.
        size: d.
        blocks, heads, dropout, mask_padding: of `SASRecEncoder`.
    """

    column: Tensor

    def __init__(
        self,
        *,
        mixed_graph: ItemGraph,
        single_graph: ItemGraph,
        domain_items: tuple[Tensor, Tensor],
        n_items: int,
        max_length: int,
        size: int,
        blocks: int = 2,
        heads: int = 1,
        dropout: float = 0.2,
        mask_padding: bool = False,
    ):
        super().__init__()

        def encoder(graph: ItemGraph) -> GraphEncoder:
            return GraphEncoder(
                graph, n_items=n_items, max_length=max_length, size=size,
                blocks=blocks, heads=heads, dropout=dropout, mask_padding=mask_padding,
            )  # fmt: skip

        self.mixed = encoder(mixed_graph)
        self.own = nn.ModuleList(encoder(single_graph) for _ in domain_items)
        self.output = nn.ModuleList(nn.Linear(size, len(items)) for items in domain_items)
        self.extra = nn.Linear(size, 1)  # a class that is never the target
        discriminators = [nn.Bilinear(size, size, 1) for _ in domain_items]
        for one in discriminators:
            nn.init.xavier_uniform_(one.weight)
            nn.init.zeros_(one.bias)
        self.discriminator = nn.ModuleList(discriminators)
        # The row of each item in the output table of each domain; -1 where the domain lacks it.
        column = torch.full((2, n_items), -1)
        for domain, items in enumerate(domain_items):
            column[domain, items] = torch.arange(len(items))
        self.register_buffer("column", column, persistent=False)

    def _output(self, domain: int) -> nn.Linear:
        output = self.output[domain]
        assert isinstance(output, nn.Linear)  # a ModuleList is not typed
        return output

    # ------------------------------------------------------------------ training

    def losses(self, rows: TrainingRows, corrupted: Tensor, used_positions: int) -> Losses:
        """All parts of the loss.

        Args:
            rows: B windows.
            corrupted: q̃^X and q̃^Y, (2, B, L) int64.
            used_positions: how many of the newest columns the next-item losses count.
        """
        real = rows.mixed.ne(0)
        state, *fakes = self.mixed(torch.cat([rows.mixed, *corrupted]), real.repeat(3, 1)).chunk(3)
        own_states = [encoder(items, items.ne(0)) for encoder, items in zip(self.own, rows.own, strict=True)]
        used = slice(-used_positions, None)
        divisor = max(len(real), 1) * min(used_positions, real.shape[1])
        mixed, own = [], []
        for domain, own_state in enumerate(own_states):
            target = rows.mixed_target[domain, :, used]
            chosen = target.ne(0)
            queries = state[:, used][chosen]
            mixed.append(self._next_item(domain, queries, queries, target[chosen]) / divisor)
            target = rows.own_target[domain, :, used]
            chosen = target.ne(0)
            single = own_state[:, used][chosen]
            own.append(self._next_item(domain, state[:, used][chosen] + single, single, target[chosen]) / divisor)
        infomax = self._infomax(rows.select(rows.is_two_sided), *(
            part[rows.is_two_sided] for part in (state, *own_states, *fakes)
        ))  # fmt: skip
        return Losses(torch.stack(mixed), torch.stack(own), infomax)

    def _next_item(self, domain: int, query: Tensor, extra_query: Tensor, target: Tensor) -> Tensor:
        """Sum of the cross-entropies of M places over the items of a domain and the extra class."""
        output = self._output(domain)
        extra = self.extra(extra_query).squeeze(-1)
        return full_softmax_loss(query, output.weight, self.column[domain, target], bias=output.bias, extra=extra)

    def _infomax(
        self, rows: TrainingRows, state: Tensor, x_state: Tensor, y_state: Tensor, x_fake: Tensor, y_fake: Tensor
    ) -> Tensor:
        """MI_X and MI_Y of rows that have places of both domains; states are (B, L, d)."""
        if not len(rows.mixed):
            return state.new_zeros(2)
        places = rows.own.ne(0)
        whole = [masked_mean(state, place) for place in places]  # u
        single = [masked_mean(own, place) for own, place in zip((x_state, y_state), places, strict=True)]  # r
        fake = [masked_mean(one, place) for one, place in zip((x_fake, y_fake), places, strict=True)]  # ũ
        parts = []
        for domain, other in ((0, 1), (1, 0)):
            judge = self.discriminator[domain]
            real_logit, fake_logit = judge(whole[other], single[domain]), judge(fake[other], single[domain])
            parts.append((F.softplus(-real_logit) + F.softplus(fake_logit)).mean())
        return torch.stack(parts)

    # ------------------------------------------------------------------ scoring

    @contextmanager
    def keeping_vectors(self) -> Iterator[None]:
        """Within the block the graph layers are computed once for all items."""
        with ExitStack() as stack:
            for module in self.modules():
                if isinstance(module, GraphEncoder):
                    stack.enter_context(module.keeping_vectors())
            yield

    def scores(self, mixed: Tensor, own: Tensor, domain: int, candidates: Tensor | None) -> Tensor:
        """Scores of a domain's items after the newest interaction of each window.

        Args:
            mixed: q, (B, L) int64.
            own: the stream of the domain, (B, L) int64.
            domain: 0 for X, 1 for Y.
            candidates: (B, C) int64 item ids of the domain, or None for all of its items.

        Returns:
            (B, C), or (B, n) in the order of ``domain_items``.
        """
        last = newest_so_far(own.ne(0))[:, -1:] % own.shape[1]  # the last column where there is none
        query = self.mixed(mixed, mixed.ne(0))[:, -1] + take_columns(self.own[domain](own, own.ne(0)), last)[:, 0]
        output = self._output(domain)
        if candidates is None:
            return output(query)
        return candidate_scores(query, output.weight, self.column[domain, candidates], output.bias)
