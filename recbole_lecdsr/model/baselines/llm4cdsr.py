"""LLM4CDSR: two domains bridged by item texts, with user profiles as a teacher (docs/models.md, 14)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_lecdsr.data.constants import DOMAIN_FIELD, N_EARLIER_FIELD
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.model.base import ITEM_TEXT, USER_TEXT
from recbole_lecdsr.model.baselines.llm4cdsr_network import LLM4CDSRNetwork, TrainingBatch
from recbole_lecdsr.model.baselines.text_sequence_model import TextSequenceRecommender
from recbole_lecdsr.model.baselines.training_histories import DomainHistories, newest_targets
from recbole_lecdsr.model.conditions import Conditions
from recbole_lecdsr.schema import Parameter


class LLM4CDSR(TextSequenceRecommender):
    """Three SASRec encoders, of the mixed sequence and of each domain; the mixed one reads item texts alone.

    ``causal: False`` and ``freeze_item_tables: True`` are the behaviour of the released code.
    """

    hyperparameters = (
        Parameter(
            "freeze_item_tables",
            bool,
            "Keep the item tables at the principal components of the texts, as released.",
            default=False,
        ),
        Parameter("item_align_weight", float, "α, weight of the alignment of items.", default=0.1, minimum=0),
        Parameter("user_align_weight", float, "β, weight of the alignment with profiles.", default=0.1, minimum=0),
        Parameter("item_align_temperature", float, "Temperature of the alignment of items.", default=1.0, above=0),
        Parameter("user_align_temperature", float, "Temperature of the alignment with profiles.", default=1.0, above=0),
    )  # fmt: skip
    feature_switches: ClassVar[Mapping[str, tuple[str, Any]]] = {USER_TEXT: ("user_align_weight", 0)}

    def __init__(self, config: Any, dataset: CrossDomainSequentialDataset):
        super().__init__(config, dataset)
        self.item_weight, self.user_weight = config["item_align_weight"], config["user_align_weight"]
        self.temperatures = {
            "item_temperature": config["item_align_temperature"],
            "user_temperature": config["user_align_temperature"],
        }
        self.network = LLM4CDSRNetwork(
            item_text=torch.from_numpy(dataset.item_embedding()),
            user_vectors=dataset.user_vectors() if self.user_weight else None,
            domain_items=[torch.from_numpy(items) for items in dataset.domain_items],
            max_length=config["MAX_ITEM_LIST_LENGTH"],
            size=config["embedding_size"],
            blocks=config["attention_layers"],
            heads=config["attention_heads"],
            dropout=config["dropout_prob"],
            causal=config["causal"],
            trains_item_tables=not config["freeze_item_tables"],
        )
        newest = newest_targets(dataset.log, dataset.targets("train"), self.total_num_users)
        self.histories = DomainHistories(dataset.log, newest)

    @classmethod
    def required_features(cls, values: Mapping[str, Any]) -> frozenset[str]:
        """Item texts, and profiles where β > 0; see `CrossDomainSequentialRecommender.required_features`."""
        return frozenset({ITEM_TEXT, USER_TEXT} if values["user_align_weight"] else {ITEM_TEXT})

    @classmethod
    def describe_conditions(cls, values: Mapping[str, Any]) -> Conditions:
        """See `CrossDomainSequentialRecommender.describe_conditions`."""
        return replace(super().describe_conditions(values), target_domain=("history", "parameters"))

    @classmethod
    def scoring_parameters(cls, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `CrossDomainSequentialRecommender.scoring_parameters`."""
        return {"user_align_weight": 0}

    def calculate_loss(self, interaction: Interaction) -> tuple[Tensor, ...]:
        """loss_A, loss_B, and the weighted losses of items and users as far as their weights are positive."""
        user = interaction[self.user_field]
        batch = TrainingBatch(
            item_seq=interaction[self.item_seq_field],
            domain_seq=interaction[self.domain_seq_field],
            domain=interaction[DOMAIN_FIELD],
            user=user,
            n_earlier=interaction[N_EARLIER_FIELD],
            target=interaction[self.target_seq_field],
            negative=interaction[self.negative_field],
            item_pair=self.histories.draw(user),
        )
        source, target, item, users = self.network.losses(batch, **self.temperatures)
        weighted = ((self.item_weight, item), (self.user_weight, users))
        return source, target, *(weight * loss for weight, loss in weighted if weight)

    def query(self, interaction: Interaction) -> Tensor:
        """See `CrossDomainSequentialRecommender.query`; an item of the other domain is scored by its text alone."""
        inputs = self.sequence_input(interaction)
        return self.network.query(inputs.item_seq, inputs.domain_seq, inputs.domain)

    def make_item_vectors(self) -> Tensor:
        """See `LLM4CDSRNetwork.item_vectors`."""
        return self.network.item_vectors()
