"""Tri-CDR as a model of the contract (docs/models.md, 17)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch
from recbole.data.interaction import Interaction
from torch import Tensor, nn

from recbole_lecdsr.data.constants import SOURCE, TARGET
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.data.position_loader import PositionLoader
from recbole_lecdsr.model.base import CrossDomainSequentialRecommender
from recbole_lecdsr.model.baselines.tricdr_columns import TrainingColumns, training_columns
from recbole_lecdsr.model.baselines.tricdr_network import TriCDRNetwork
from recbole_lecdsr.model.conditions import Conditions
from recbole_lecdsr.model.head_check import check_heads
from recbole_lecdsr.schema import Parameter

_PARAMETERS = (
    Parameter("embedding_size", int, "d, the size of embeddings.", default=64, minimum=1),
    Parameter("attention_layers", int, "Blocks of each encoder.", default=2, minimum=1),
    Parameter("attention_heads", int, "Heads of each block.", default=1, minimum=1),
    Parameter("dropout_prob", float, "Dropout rate of the encoders.", default=0.2, minimum=0, below=1),
    Parameter(
        "mask_padding",
        bool,
        "Keep padding out of the attention of the encoders. The published implementation does not.",
        default=False,
    ),
    Parameter("score_scale", float, "ω, the factor on the cosine of query and item.", default=5.0, above=0),
    Parameter("contrast_temperature", float, "τ of the contrastive losses.", default=0.1, above=0),
    Parameter(
        "contrast_rates",
        list,
        "ρ of mixed and source, mixed and target, source and target. They are divided by their sum.",
        default=[1.0, 1.0, 1.0],
        items=float,
        minimum=0,
        accepts=lambda rates: len(rates) == 3 and sum(rates) > 0,
        expected="three numbers of at least 0, not all of them 0",
    ),
    Parameter("contrast_weight", float, "Weight of the contrastive losses.", default=0.1, minimum=0),
    Parameter("triplet_weight", float, "Weight of the triplet loss.", default=1.0, minimum=0),
    Parameter("triplet_margin", float, "Margin of the triplet loss.", default=4.0, minimum=0),
    Parameter("learning_rate_decay", float, "Factor on the learning rate after each epoch.", default=0.99, above=0),
    Parameter(
        "published_attention",
        bool,
        "Read the whole window, or column 0, where nothing may be read. It may be later than the target.",
        default=False,
    ),
    Parameter(
        "published_norms",
        bool,
        "Normalise over the candidates of a sample in scoring. A score then depends on the other candidates.",
        default=False,
    ),
)


class TriCDR(CrossDomainSequentialRecommender):
    """Triple sequence learning: a mixed, a source and a target window, attention to all three, contrasted views.

    The publication trains a model for one target domain. This one holds the networks of both directions, which share
    nothing, and minimises the sum of their losses. Three losses are logged: of the items, contrastive, triplet.
    """

    hyperparameters = _PARAMETERS
    train_loader = PositionLoader
    train_samples: ClassVar[tuple[str, ...]] = ("sequences",)
    reads_domain_windows = True
    supports_distributed = False  # contrasts compare the rows of a batch, and means are over different rows

    def __init__(self, config: Any, dataset: CrossDomainSequentialDataset):
        super().__init__(config, dataset)
        rates = torch.tensor(config["contrast_rates"], dtype=torch.float32)
        self.register_buffer("contrast_rates", config["contrast_weight"] * rates / rates.sum(), persistent=False)
        self.triplet_weight, self.learning_rate_decay = config["triplet_weight"], config["learning_rate_decay"]
        self.published_attention = config["published_attention"]
        source, target = (torch.from_numpy(items) for items in dataset.domain_items)
        self.register_buffer("source_items", source, persistent=False)
        self.register_buffer("target_items", target, persistent=False)
        self.directions = nn.ModuleList(
            TriCDRNetwork(
                n_items=self.total_num_items,
                max_length=config["MAX_ITEM_LIST_LENGTH"],
                size=config["embedding_size"],
                scale=config["score_scale"],
                contrast_temperature=config["contrast_temperature"],
                margin=config["triplet_margin"],
                published_attention=config["published_attention"],
                published_norms=config["published_norms"],
                blocks=config["attention_layers"],
                heads=config["attention_heads"],
                dropout=config["dropout_prob"],
                mask_padding=config["mask_padding"],
            )
            for _ in (SOURCE, TARGET)
        )

    @classmethod
    def check_parameters(cls, values: Mapping[str, Any]) -> list[str]:
        """See `CrossDomainSequentialRecommender.check_parameters`."""
        errors = super().check_parameters(values)
        errors += check_heads(values)
        if values["train_neg_sample_args"]["shared"]:
            errors.append(f"{cls.__name__} has negatives of each position: use train_neg_sample_args.shared: False")
        return errors

    @classmethod
    def describe_conditions(cls, values: Mapping[str, Any]) -> Conditions:
        """See `CrossDomainSequentialRecommender.describe_conditions`."""
        return replace(super().describe_conditions(values), target_domain=("history", "parameters"))

    def parameter_groups(self) -> list[dict[str, Any]]:
        """All parameters, with the published moving averages of Adam."""
        return [{"params": list(self.parameters()), "betas": (0.9, 0.98)}]

    def learning_rate_factor(self, epoch: int, epochs_without_improvement: int) -> float:
        """Exponential decay."""
        return self.learning_rate_decay**epoch

    def direction(self, domain: int) -> TriCDRNetwork:
        """The network whose target is a domain."""
        network = self.directions[domain]
        assert isinstance(network, TriCDRNetwork)  # a ModuleList is not typed
        return network

    def queries(self, interaction: Interaction, domain: int) -> tuple[TrainingColumns, Tensor]:
        """What a direction learns from a batch: T queries, and the negatives of each, (T, N) int64."""
        inputs, windows = self.sequence_input(interaction), self.domain_windows(interaction)
        columns = training_columns(
            inputs.item_seq,
            windows.mixed_place,
            windows.item,
            windows.place,
            domain=domain,
            next_item=interaction[self.item_field],
            next_domain=inputs.domain,
            trained=interaction[self.target_seq_field],
            published=self.published_attention,
        )
        return columns, interaction[self.negative_field][columns.row, columns.mixed_last]

    def calculate_loss(self, interaction: Interaction) -> tuple[Tensor, ...]:
        """Loss of the items, weighted contrastive losses and weighted triplet loss, of both directions together."""
        parts = []
        for domain in (SOURCE, TARGET):
            rec, contrast, triplet = self.direction(domain).losses(*self.queries(interaction, domain))
            parts.append((rec, (self.contrast_rates * contrast).sum(), self.triplet_weight * triplet))
        return tuple(one + other for one, other in zip(*parts, strict=True))

    def score(self, interaction: Interaction, candidates: Tensor | None) -> Tensor:
        """Scores of candidates (B, C), or of all items (B, n_items), by the direction of each target's domain."""
        inputs, windows = self.sequence_input(interaction), self.domain_windows(interaction)
        number = self.total_num_items if candidates is None else candidates.shape[1]
        scores = torch.zeros(len(inputs.domain), number, device=inputs.domain.device)
        for domain, items in ((SOURCE, self.source_items), (TARGET, self.target_items)):
            row = torch.nonzero(inputs.domain == domain).squeeze(1)
            if len(row):
                network, item = self.direction(domain), windows.item[row]
                query = network.query(inputs.item_seq[row], item[:, 1 - domain], item[:, domain])
                scores[row] = network.scores(query, None if candidates is None else candidates[row], items).float()
        return scores
