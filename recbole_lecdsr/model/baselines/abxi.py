"""ABXI as a model of the contract (docs/models.md, 11)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_lecdsr.data.constants import DOMAIN_FIELD
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.data.position_loader import BothDomainsLoader
from recbole_lecdsr.model.base import CrossDomainSequentialRecommender
from recbole_lecdsr.model.baselines.abxi_network import ABXINetwork
from recbole_lecdsr.model.causal_network import shift_left
from recbole_lecdsr.model.conditions import Conditions
from recbole_lecdsr.model.head_check import check_heads
from recbole_lecdsr.schema import Parameter

_FIRST_RATE = 1e-5  # of the warm-up, as a factor
_CUT = 0.3162


class ABXI(CrossDomainSequentialRecommender):
    """Invariant interest of the mixed sequence, adapted to each domain by low-rank maps.

    Trained on whole sequences, with negatives of both domains at each position. It reads item ids only.
    """

    hyperparameters = (
        Parameter("embedding_size", int, "d, the size of embeddings.", default=64, minimum=1, common=True),
        Parameter("inner_size", int, "Inner size of the feed-forward networks.", default=170, minimum=1),
        Parameter("attention_heads", int, "Heads of self-attention.", default=2, minimum=1),
        Parameter("domain_rank", int, "ABXI: rank of the LoRA of each stream.", default=8, minimum=1),
        Parameter("invariant_rank", int, "ABXI: rank of the LoRA of the invariant interest.", default=16, minimum=1),
        Parameter("dropout_prob", float, "Dropout rate.", default=0.5, minimum=0, below=1),
        Parameter("temperature", float, "Temperature of the softmax loss.", default=0.75, above=0),
        Parameter(
            "mask_padding",
            bool,
            "Keep padding and gaps out of the attention. The published implementation does not.",
            default=False,
        ),
        Parameter(
            "warmup_epochs", int, "Epochs in which the learning rate rises linearly to its value.", default=0, minimum=0
        ),
        Parameter(
            "lr_patience",
            int,
            "Validations without improvement after which the learning rate is cut. One more, and it is multiplied by "
            "0.3162, once until the next improvement; None for a rate that is never cut.",
            default=2,
            minimum=0,
            optional=True,
        ),
    )
    train_loader = BothDomainsLoader
    train_samples: ClassVar[tuple[str, ...]] = ("sequences",)
    reads_domain_windows = True
    uses_every_parameter = True
    has_inner_product_scores = True

    def __init__(self, config: Any, dataset: CrossDomainSequentialDataset):
        super().__init__(config, dataset)
        self.network = ABXINetwork(
            self.total_num_items,
            config["MAX_ITEM_LIST_LENGTH"],
            config["embedding_size"],
            inner_size=config["inner_size"],
            heads=config["attention_heads"],
            domain_rank=config["domain_rank"],
            invariant_rank=config["invariant_rank"],
            dropout=config["dropout_prob"],
            temperature=config["temperature"],
            mask_padding=config["mask_padding"],
        )
        self.warmup_epochs: int = config["warmup_epochs"]
        self.lr_patience: int | None = config["lr_patience"]
        self._cuts, self._without_improvement = 0, 0

    @classmethod
    def check_parameters(cls, values: Mapping[str, Any]) -> list[str]:
        """Settings that do not go together; see `CrossDomainSequentialRecommender.check_parameters`."""
        errors = super().check_parameters(values)
        if values["train_neg_sample_args"]["shared"]:
            errors.append(f"{cls.__name__} needs negatives of each position: set train_neg_sample_args.shared to False")
        errors += check_heads(values)
        return errors

    @classmethod
    def describe_conditions(cls, values: Mapping[str, Any]) -> Conditions:
        """See `CrossDomainSequentialRecommender.describe_conditions`."""
        return replace(super().describe_conditions(values), target_domain=("history", "parameters"), layers=1)

    # ------------------------------------------------------------------ training

    def calculate_loss(self, interaction: Interaction) -> tuple[Tensor, Tensor]:
        """Loss of the source and of the target domain, see `ABXINetwork.losses`."""
        inputs = self.sequence_input(interaction)
        return self.network.losses(
            inputs.item_seq,
            inputs.domain_seq,
            shift_left(inputs.domain_seq, inputs.domain),
            interaction[self.target_seq_field],
            interaction[self.negative_field],
        )

    def count_loss_terms(self, interaction: Interaction) -> tuple[int, int]:
        """Rows: each counts alike in either part, however many targets it has."""
        rows = len(interaction[self.item_field])
        return rows, rows

    def learning_rate_factor(self, epoch: int, epochs_without_improvement: int) -> float:
        """Linear warm-up, and a cut for each run of more than ``lr_patience`` validations without improvement."""
        if epoch == 0:
            self._cuts, self._without_improvement = 0, 0
        if self.lr_patience is not None and self._without_improvement <= self.lr_patience < epochs_without_improvement:
            self._cuts += 1
        self._without_improvement = epochs_without_improvement
        factor = _CUT**self._cuts
        if epoch < self.warmup_epochs:
            factor *= _FIRST_RATE + (1 - _FIRST_RATE) * epoch / self.warmup_epochs
        return factor

    def get_extra_state(self) -> dict[str, int]:
        """How often the learning rate has been cut, for the checkpoint."""
        return {"cuts": self._cuts, "without_improvement": self._without_improvement}

    def set_extra_state(self, state: dict[str, int]) -> None:
        """Restore it."""
        self._cuts, self._without_improvement = state["cuts"], state["without_improvement"]

    # ------------------------------------------------------------------ scoring

    def query(self, interaction: Interaction) -> Tensor:
        """See `CrossDomainSequentialRecommender.query`."""
        domain = interaction[DOMAIN_FIELD]
        windows = self.domain_windows(interaction).item
        single = windows[torch.arange(len(domain), device=domain.device), domain]
        return self.network.query(interaction[self.item_seq_field], single, domain)

    def item_vectors(self) -> Tensor:
        """See `CrossDomainSequentialRecommender.item_vectors`."""
        return self.network.item.weight
