"""LeCDSR's published network (docs/models.md, 3): windows in, one query vector per sample out."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_lecdsr.data.user_vectors import UserVectors
from recbole_lecdsr.model.modules.adapter import Adapter
from recbole_lecdsr.model.modules.candidate_scores import candidate_scores
from recbole_lecdsr.model.modules.gates import FeatureGate, InstanceGate
from recbole_lecdsr.model.modules.profile_rows import ProfileRows
from recbole_lecdsr.model.modules.spectral_fusion import SemanticFusion
from recbole_lecdsr.model.modules.window_encoder import Windows, encode_windows
from recbole_lecdsr.model.sequence_input import SequenceInput


class Encoded(NamedTuple):
    """What a batch of windows becomes: the queries (B, d), and the alignment loss (eq. 16 and 17), 0 if not wanted."""

    query: Tensor
    alignment: Tensor


class LeCDSRNetwork(nn.Module):
    """Scores r_c = W_c·q + b_c with one query q per window.

    Args:
        n_users: users, padding included.
        n_items: items, padding (row 0) included.
        max_length: L.
        embedding_size: d.
        hidden_size: H of both adapters.
        item_embedding: x, (n_items, D) float32, frozen, or None for the variant without item semantics.
        user_vectors: y, frozen, and which of them a target may meet; None for a trainable embedding of the user.
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
        user_vectors: UserVectors | None,
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
        self.register_buffer(
            "user_text", None if user_vectors is None else torch.from_numpy(user_vectors.vectors), persistent=False
        )
        self.profile_rows = None if user_vectors is None else ProfileRows(user_vectors)
        if item_embedding is not None:
            self.item_adapter = Adapter(item_embedding.shape[1], hidden_size, embedding_size)
        if user_vectors is not None:
            self.user_adapter = Adapter(user_vectors.vectors.shape[1], hidden_size, embedding_size)
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

    def user(self, user: Tensor, n_earlier: Tensor) -> Tensor:
        """U, (B, d), of the users of targets with so many interactions before them, (B,) int64 each."""
        if self.profile_rows is None:
            return self.user_id(user)
        return self.user_adapter.adapt_rows(self.user_text, self.profile_rows(user, n_earlier))

    def encode(self, inputs: SequenceInput, align_temperature: float | None = None) -> Encoded:
        """Encode a batch of windows.

        Args:
            inputs: B windows.
            align_temperature: τ₂ of the alignment loss, a mean over B and the (real) positions; None for no such loss.
        """
        item_seq = inputs.item_seq
        distinct, index = torch.unique(item_seq, return_inverse=True)  # the adapter runs once for each
        semantics = None if self.item_text is None else self.item_adapter.adapt_rows(self.item_text, distinct)
        profile = self.user(inputs.user, inputs.n_earlier)
        feature_logits = self.feature_gate.user(profile) + self.feature_gate.item.bias
        if self.fusion is None and semantics is not None:
            feature_logits = feature_logits + self.feature_gate.item.bias  # T passes the linear map too
        mask = item_seq.ne(0) if self.mask_padding else None
        pooled, align = encode_windows(
            Windows(index, len(distinct), mask, self.fusion, None if semantics is None else align_temperature),
            self.item_id(distinct),
            semantics,
            feature=self.feature_gate.item.weight,
            feature_logits=feature_logits,
            instance=self.instance_gate.item,
            instance_logits=self.instance_gate.logits(profile, self.position.weight, inputs.position),
        )
        positions = item_seq.numel() if mask is None else mask.sum()
        return Encoded(profile + pooled, align / torch.as_tensor(positions).clamp(min=1))

    def forward(self, inputs: SequenceInput, candidates: Tensor | None = None) -> Tensor:
        """Scores of candidates (B, C) int64, or of all items; result as of `score`."""
        return self.score(self.query(inputs), candidates)

    def query(self, inputs: SequenceInput) -> Tensor:
        """q, (B, d), whose inner product with row c of the output table, plus b_c, is the score of item c."""
        return self.encode(inputs).query

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
