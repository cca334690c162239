"""LeCDSR's published network (docs/models.md, 3): windows in, one query vector per sample out."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_lecdsr.model.modules.candidate_scores import candidate_scores
from recbole_lecdsr.model.modules.layers import Adapter, FeatureGate, InstanceGate, masked, masked_mean
from recbole_lecdsr.model.modules.spectral_fusion import SemanticFusion
from recbole_lecdsr.model.sequence_input import SequenceInput

# On a CPU a batch passes the gates in chunks of this many bytes of E: the intermediate results then stay in its
# cache and come from reused memory instead of fresh pages (benchmarks/training_step.py).
_CHUNK_BYTES = 1 << 20


class Encoded(NamedTuple):
    """What a window becomes: the query (B, d); E and T (B, L, d), or T None; mask (B, L) or None."""

    query: Tensor
    item: Tensor
    semantics: Tensor | None
    mask: Tensor | None


class LeCDSRNetwork(nn.Module):
    """Scores r_c = W_c·q + b_c with one query q per window.

    Args:
        n_users: users, padding included.
        n_items: items, padding (row 0) included.
        max_length: L.
        embedding_size: d.
        hidden_size: H of both adapters.
        item_embedding: x, (n_items, D) float32, frozen, or None for the variant without item semantics.
        user_embedding: y, (n_users, D) float32, frozen, or None for a trainable embedding of the user.
        semantic_fusion: False for the variant in which T enters at the feature gate alone.
        mask_padding: True keeps padding out of fusion, gates and means; False is the published behaviour.
    """

    item_text: Tensor  # x, or None
    user_text: Tensor  # y, or None

    def __init__(
        self,
        *,
        n_users: int,
        n_items: int,
        max_length: int,
        embedding_size: int,
        hidden_size: int,
        item_embedding: Tensor | None,
        user_embedding: Tensor | None,
        semantic_fusion: bool = True,
        mask_padding: bool = True,
    ):
        super().__init__()
        self.mask_padding = mask_padding
        self.item_id = nn.Embedding(n_items, embedding_size, padding_idx=0)
        self.position = nn.Embedding(max_length + 1, embedding_size, padding_idx=0)
        self.output = nn.Embedding(n_items, embedding_size, padding_idx=0)
        self.output_bias = nn.Parameter(torch.zeros(n_items))
        # Buffers, not parameters: frozen, neither optimised nor initialised, and not saved with the weights, since
        # they are read from the data set's own files.
        self.register_buffer("item_text", item_embedding, persistent=False)
        self.register_buffer("user_text", user_embedding, persistent=False)
        if item_embedding is not None:
            self.item_adapter = Adapter(item_embedding.shape[1], hidden_size, embedding_size)
        if user_embedding is not None:
            self.user_adapter = Adapter(user_embedding.shape[1], hidden_size, embedding_size)
        else:
            self.user_id = nn.Embedding(n_users, embedding_size)
        fuse = semantic_fusion and item_embedding is not None
        self.fusion = SemanticFusion(max_length, embedding_size) if fuse else None
        self.feature_gate = FeatureGate(embedding_size)
        self.instance_gate = InstanceGate(max_length, embedding_size)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Xavier-normal for every matrix, as published; the complex filter keeps N(0, 0.02²)."""
        for name, parameter in self.named_parameters():
            if parameter.dim() >= 2 and name != "fusion.filter":
                nn.init.xavier_normal_(parameter)

    def semantics(self, item_seq: Tensor) -> Tensor:
        """T = A_item(x_s), (B, L) int -> (B, L, d); the adapter runs once per distinct item of the batch."""
        distinct, index = torch.unique(item_seq, return_inverse=True)
        return F.embedding(index, self.item_adapter(self.item_text[distinct]))

    def user(self, user: Tensor) -> Tensor:
        """U, (B,) int -> (B, d)."""
        return self.user_id(user) if self.user_text is None else self.user_adapter(self.user_text[user])

    def encode(self, item_seq: Tensor, position: Tensor, user: Tensor) -> Encoded:
        """Encode a batch of windows.

        Args:
            item_seq: s, (B, L) int64, left-padded with 0, newest last.
            position: p, (B, L) int64, counted backwards within each domain.
            user: (B,) int64.
        """
        mask = item_seq.ne(0) if self.mask_padding else None
        item = masked(self.item_id(item_seq), mask)
        semantics = None if self.item_text is None else masked(self.semantics(item_seq), mask)
        position = self.instance_gate.position_logits(self.position.weight, position)
        rows = len(item)
        if item.device.type == "cpu":
            rows = max(1, _CHUNK_BYTES // (item[0].numel() * item.element_size()))
        profile = self.user(user)
        chunks = []
        for start in range(0, max(len(item), 1), rows):
            part = slice(start, start + rows)
            chunks.append(
                self._query(
                    item[part],
                    None if semantics is None else semantics[part],
                    profile[part],
                    position[part],
                    None if mask is None else mask[part],
                )
            )
        return Encoded(torch.cat(chunks), item, semantics, mask)

    def _query(
        self,
        item: Tensor,
        semantics: Tensor | None,
        profile: Tensor,
        position: Tensor,
        mask: Tensor | None,
    ) -> Tensor:
        """E, T, U, P·v_p and mask of some rows of a batch -> their queries."""
        if self.fusion is not None:
            fused = self.fusion(item, semantics, mask)
            gated = self.feature_gate(fused, profile)
        else:
            fused = item
            gated = self.feature_gate(item, profile, semantics)
        return profile + self.instance_gate(gated, profile, position, mask) + masked_mean(fused, mask)

    def forward(self, inputs: SequenceInput, candidates: Tensor | None = None) -> Tensor:
        """Scores of candidates (B, C) int64, or of all items; result as of `score`."""
        return self.score(self.query(inputs), candidates)

    def query(self, inputs: SequenceInput) -> Tensor:
        """q, (B, d), whose inner product with row c of the output table, plus b_c, is the score of item c."""
        return self.encode(inputs.item_seq, inputs.position, inputs.user).query

    def as_inner_product(self, query: Tensor) -> Tensor:
        """Queries (B, d) -> (B, d + 1), whose inner products with `item_vectors` are the scores, bias included."""
        return torch.cat([query, torch.ones_like(query[:, :1])], dim=1)

    def item_vectors(self) -> Tensor:
        """(n_items, d + 1): the output table and its bias."""
        return torch.cat([self.output.weight, self.output_bias.unsqueeze(1)], dim=1)

    def score(self, query: Tensor, candidates: Tensor | None = None) -> Tensor:
        """Scores of the candidates of each query.

        Args:
            query: (B, d).
            candidates: (B, C) int64, or None for all items.

        Returns:
            (B, C), or (B, n_items); the column of the padding item has no meaning.
        """
        if candidates is None:
            return F.linear(query, self.output.weight, self.output_bias)
        return candidate_scores(query, self.output.weight, candidates, self.output_bias)

    def score_shared(self, query: Tensor, candidates: Tensor) -> Tensor:
        """Scores of the same candidates for every query: (B, d), (C,) int64 -> (B, C)."""
        return F.linear(query, self.output(candidates), self.output_bias[candidates])
