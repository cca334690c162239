"""LeCDSR's default network: the paper's three ideas around causal self-attention, trained at every position.

The published network (`recbole_lecdsr.model.published_network`) makes one query of one window, so each target costs a
window. Here the state after an interaction depends on the interactions up to it alone, and one pass over a sequence
gives a query for each of its targets. The paper's ideas stay: an item is a fusion of ID and text embedding
(`SpectralGate`), the user's profile shifts the query, and item IDs and texts are aligned. docs/models.md, 5.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_lecdsr.data.user_vectors import UserVectors
from recbole_lecdsr.model.modules.adapter import Adapter
from recbole_lecdsr.model.modules.attention import AttentionBlock, TimeEmbedding
from recbole_lecdsr.model.modules.candidate_scores import candidate_scores
from recbole_lecdsr.model.modules.dropout import Dropout
from recbole_lecdsr.model.modules.pca import principal_components
from recbole_lecdsr.model.modules.profile_rows import ProfileRows
from recbole_lecdsr.model.modules.spectral_fusion import Items, SpectralGate
from recbole_lecdsr.model.sequence_input import SequenceInput

_INITIAL_LENGTH = 0.5  # of an item vector, root mean square: queries have length √d, so scores start near zero
_WINDOWS = 128  # encoded together
_ITEMS = 16_384  # fused together


class CausalNetwork(nn.Module):
    """Scores r_c = W_c·q with a query q after each interaction; W is the item-ID table.

    Args:
        n_items: items, padding (row 0) included.
        max_length: L.
        embedding_size: d.
        hidden_size: H of both adapters.
        item_embedding: x, (n_items, D) float32, frozen, or None for the variant without item semantics.
        user_vectors: y, frozen, and which of them a target may meet; None for the variant without profile.
        n_user_ids: without user_vectors, the number of users, padding included, that have a trainable vector in the
            profile's place; None for neither.
        semantic_fusion: False for the variant in which an interaction is its item ID alone.
        aligned: whether T is trained to align with E; without that and without fusion there is no T.
        init_from_text: the item-ID table starts as the principal components of x instead of at random.
        dropout: share of the inputs, of the profile and of what each layer adds that is dropped in training.
        attention_layers: layers of causal self-attention.
        attention_heads: of each layer.
        profile_dropout: share of the targets in training whose query is made without the profile.
        time_embedding_size: vectors along relative time (`EventLog.relative_time`), between which the time of an
            interaction is interpolated, so that what is bought at that time can be queried; 0 for no times.
    """

    has_text: Tensor  # of items, or None
    item_text: Tensor  # x, or None
    user_text: Tensor  # y, or None

    def __init__(
        self,
        *,
        n_items: int,
        max_length: int,
        embedding_size: int,
        hidden_size: int,
        item_embedding: Tensor | None,
        user_vectors: UserVectors | None,
        semantic_fusion: bool = True,
        aligned: bool = True,
        init_from_text: bool = True,
        dropout: float = 0.5,
        attention_layers: int = 1,
        attention_heads: int = 2,
        profile_dropout: float = 0.5,
        time_embedding_size: int = 0,
        n_user_ids: int | None = None,
    ):
        super().__init__()
        self.item_id = nn.Embedding(n_items, embedding_size, padding_idx=0)
        # Positions count from the newest interaction: the last column, however long the window.
        self.position = nn.Parameter(torch.randn(max_length, embedding_size) * 0.02)
        self.next_domain = nn.Embedding(2, embedding_size)
        # Of the time of an interaction: added to the input, and to the state that follows it.
        self.event_time = TimeEmbedding(time_embedding_size, embedding_size) if time_embedding_size else None
        self.query_time = TimeEmbedding(time_embedding_size, embedding_size) if time_embedding_size else None
        self.register_buffer("item_text", item_embedding, persistent=False)
        self.register_buffer(
            "user_text", None if user_vectors is None else torch.from_numpy(user_vectors.vectors), persistent=False
        )
        self.profile_rows = None if user_vectors is None else ProfileRows(user_vectors)
        has_text = None if item_embedding is None else item_embedding.ne(0).any(dim=1)
        self.register_buffer("has_text", has_text, persistent=False)  # (n_items,) bool
        self.item_adapter: Adapter | None = None
        if item_embedding is not None and (semantic_fusion or aligned):
            self.item_adapter = Adapter(item_embedding.shape[1], hidden_size, embedding_size)
        self.fusion = SpectralGate(embedding_size) if semantic_fusion and item_embedding is not None else None
        self.user_adapter: Adapter | None = None
        self.user_id: nn.Embedding | None = None
        if user_vectors is not None:
            self.user_adapter = Adapter(user_vectors.vectors.shape[1], hidden_size, embedding_size)
        elif n_user_ids is not None:
            self.user_id = nn.Embedding(n_user_ids, embedding_size)
        if self.user_adapter is not None or self.user_id is not None:
            self.profile_weight = nn.Parameter(torch.zeros(2, embedding_size))
        self.input_norm = nn.LayerNorm(embedding_size)
        self.blocks = nn.ModuleList(
            AttentionBlock(embedding_size, attention_heads, dropout) for _ in range(attention_layers)
        )
        self.output_norm = nn.LayerNorm(embedding_size)
        self.dropout = Dropout(dropout)
        self.profile_dropout = profile_dropout
        self._kept: Tensor | None = None  # Ê of all items
        self.reset_parameters(init_from_text)

    @torch.no_grad()
    def reset_parameters(self, init_from_text: bool) -> None:
        """Small item vectors; whatever is added to them starts small or at zero (docs/models.md, 5.7).

        Raises:
            ValueError: init_from_text without LLM embeddings of the items.
        """
        table = self.item_id.weight
        nn.init.normal_(table, std=_INITIAL_LENGTH / math.sqrt(table.shape[1]))
        if init_from_text:
            if self.item_text is None:
                raise ValueError("init_from_text needs LLM embeddings of the items")
            components = principal_components(self.item_text, table.shape[1])
            known = components.ne(0).any(dim=1)
            table[known] = components[known] * _INITIAL_LENGTH
        table[0] = 0
        nn.init.normal_(self.next_domain.weight, std=0.02)
        if self.user_id is not None:
            nn.init.normal_(self.user_id.weight, std=0.02)
        if self.event_time is not None and self.query_time is not None:
            nn.init.normal_(self.event_time.table.weight, std=0.02)
            nn.init.zeros_(self.query_time.table.weight)

    def items(self, item: Tensor) -> Items:
        """E and T of the given items, (N,) int64."""
        return Items(self.item_id(item), self.semantics(item))

    def semantics(self, item: Tensor) -> Tensor | None:
        """T of the given items, (N,) int64 -> (N, d)."""
        return None if self.item_adapter is None else self.item_adapter.adapt_rows(self.item_text, item)

    def states(
        self,
        embedded: Tensor,
        real: Tensor,
        next_domain: Tensor,
        relative_time: Tensor,
        newest_only: bool = False,
    ) -> Tensor:
        """State after each interaction (docs/models.md, eq. 23 to 25).

        Args:
            embedded: Ê, (B, L', d), left-padded; L' ≤ L.
            real: (B, L') bool, false at padding.
            next_domain: (B, L') int64, domain of the interaction after each.
            relative_time: (B, L') float32 in [0, 1], time of each interaction.
            newest_only: compute the state after the newest interaction only.

        Returns:
            (B, L', d); (B, 1, d) with ``newest_only``.
        """
        length = embedded.shape[1]
        hidden = embedded + self.position[len(self.position) - length :] + self.next_domain(next_domain)
        if self.event_time is not None:
            hidden = hidden + self.event_time(relative_time)
        hidden = self.dropout(self.input_norm(hidden))
        earlier = torch.ones(length, length, dtype=torch.bool, device=embedded.device).tril()
        itself = torch.eye(length, dtype=torch.bool, device=embedded.device)  # padding must attend to something
        allowed = ((earlier & real.unsqueeze(1)) | itself).unsqueeze(1)
        for number, block in enumerate(self.blocks, 1):
            hidden = block(hidden, allowed, newest_only and number == len(self.blocks))
        if newest_only:
            hidden, relative_time = hidden[:, -1:], relative_time[:, -1:]
        state = self.output_norm(hidden)
        return state if self.query_time is None else state + self.query_time(relative_time)

    def queries(self, state: Tensor, domain: Tensor, user: Tensor, n_earlier: Tensor) -> Tensor:
        """Queries of targets (docs/models.md, eq. 27).

        Args:
            state: (N, d), the states after the interactions before the targets.
            domain, user: (N,) int64, of the targets.
            n_earlier: (N,) int64, how many interactions of the user come before each.

        Returns:
            (N, d).
        """
        if self.user_adapter is None and self.user_id is None:
            return state
        row = user if self.profile_rows is None else self.profile_rows(user, n_earlier)
        distinct, index = torch.unique(row, return_inverse=True)
        profile = F.embedding(index, self.dropout(self.profiles(distinct)))
        if self.training and self.profile_dropout:
            kept = torch.rand(len(state), 1, device=state.device) >= self.profile_dropout
            profile = profile * kept
        if self.profile_rows is not None and self.profile_rows.is_as_of:
            profile = profile * row.ne(0).unsqueeze(1)
        return state + self.profile_weight[domain] * profile

    def profiles(self, row: Tensor) -> Tensor:
        """U of the given rows of y, or of users where trainable vectors are in its place: (N,) int64 -> (N, d)."""
        if self.user_adapter is not None:
            return self.user_adapter.adapt_rows(self.user_text, row)
        assert self.user_id is not None  # `queries` asks for no profile without either
        vectors: Tensor = self.user_id(row)
        return vectors

    def fuse(self, items: Items) -> Tensor:
        """Ê of N items, (N, d)."""
        return items.identity if self.fusion is None else self.fusion(items.identity, items.semantics)

    @contextmanager
    def keep_items(self) -> Iterator[None]:
        """Queries within the block take Ê of all items, made once; the weights must stay as they are."""
        with torch.no_grad():
            every = torch.arange(len(self.item_id.weight), device=self.item_id.weight.device)
            self._kept = torch.cat([self.fuse(self.items(items)) for items in every.split(_ITEMS)])
        try:
            yield
        finally:
            self._kept = None

    def forward(self, inputs: SequenceInput, candidates: Tensor | None = None) -> Tensor:
        """Scores of candidates after the newest interaction of each window.

        Args:
            inputs: B windows.
            candidates: (B, C) int64, or None for all items.

        Returns:
            (B, C), or (B, n_items); the column of the padding item has no meaning.
        """
        query = self.query(inputs)
        if candidates is None:
            return query @ self.item_id.weight.T
        return candidate_scores(query, self.item_id.weight, candidates)

    def query(self, inputs: SequenceInput) -> Tensor:
        """q, (B, d): its inner product with row c of the item-ID table is the score of item c (docs/models.md, 5.5)."""
        item_seq = index = inputs.item_seq
        fused = self._kept
        if fused is None:
            distinct, index = torch.unique(item_seq, return_inverse=True)
            fused = self.fuse(self.items(distinct))
        next_domain = shift_left(inputs.domain_seq, inputs.domain)
        length = item_seq.ne(0).sum(dim=1)
        state = fused.new_empty(len(item_seq), fused.shape[1])
        # Windows of about the same length together: columns of padding cost as much as interactions.
        parts = torch.argsort(length).split(_WINDOWS)
        longest = torch.cat([length[rows[-1:]] for rows in parts]).clamp(min=1).tolist()  # one wait for the device
        for rows, filled in zip(parts, longest, strict=True):
            item, indices, domains, times = (
                part[rows, -filled:] for part in (item_seq, index, next_domain, inputs.time_seq)
            )
            state[rows] = self.states(F.embedding(indices, fused), item.ne(0), domains, times, newest_only=True)[:, -1]
        return self.queries(state, inputs.domain, inputs.user, inputs.n_earlier)

    def as_inner_product(self, query: Tensor) -> Tensor:
        """The queries themselves: there is no bias."""
        return query

    def item_vectors(self) -> Tensor:
        """(n_items, d): the item-ID table."""
        return self.item_id.weight


def shift_left(sequence: Tensor, last: Tensor) -> Tensor:
    """Values of the next position: (B, L), and (B,) for the one after the newest -> (B, L).

    Example:
        >>> shift_left(torch.tensor([[1, 2, 3]]), torch.tensor([4])).tolist()
        [[2, 3, 4]]
    """
    return torch.cat([sequence[:, 1:], last.unsqueeze(1)], dim=1)
