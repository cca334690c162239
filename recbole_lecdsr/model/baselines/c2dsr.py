"""C2DSR as a model of the contract (docs/models.md, 16)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar

import torch
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_lecdsr.data.constants import SOURCE, TARGET
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.model.base import CrossDomainSequentialRecommender
from recbole_lecdsr.model.baselines.c2dsr_network import C2DSRNetwork
from recbole_lecdsr.model.baselines.c2dsr_rows import corrupt, split_streams, successor_pairs, training_rows
from recbole_lecdsr.model.conditions import Conditions
from recbole_lecdsr.model.head_check import check_heads
from recbole_lecdsr.model.modules.item_graph import ItemGraph
from recbole_lecdsr.schema import Parameter

_PARAMETERS = (
    Parameter("embedding_size", int, "d, the size of embeddings.", default=64, minimum=1),
    Parameter("attention_layers", int, "Blocks of each encoder.", default=2, minimum=1),
    Parameter("attention_heads", int, "Heads of each block.", default=1, minimum=1),
    Parameter("dropout_prob", float, "Dropout rate.", default=0.2, minimum=0, below=1),
    Parameter(
        "mask_padding",
        bool,
        "Keep padding and the gaps of a stream out of the attention. The published implementation does not.",
        default=False,
    ),
    Parameter(
        "next_item_weight",
        float,
        "λ, the share of the next-item losses in the total.",
        default=0.7,
        minimum=0,
        maximum=1,
    ),
    Parameter(
        "loss_positions",
        int,
        "How many of the newest positions of a window are trained on; ~ trains on all targets. 10 in the publication.",
        default=None,
        minimum=1,
        optional=True,
    ),
    Parameter(
        "drop_one_sided",
        bool,
        "Train only on windows that have targets of both domains, as published. Otherwise only infomax needs both.",
        default=False,
    ),
)


class C2DSR(CrossDomainSequentialRecommender):
    """Contrastive cross-domain sequential recommendation: a mixed and two single-domain encoders over an item graph.

    Two losses are logged: λ times the next-item losses, and 1 − λ times the infomax losses. Corrupted sequences are
    different in each step.
    """

    hyperparameters = _PARAMETERS
    train_samples: ClassVar[tuple[str, ...]] = ("sequences",)
    # Only rows with targets of both domains count in the infomax loss, which is therefore no mean over a batch's rows.
    supports_distributed = False

    def __init__(self, config: Any, dataset: CrossDomainSequentialDataset):
        super().__init__(config, dataset)
        self.next_item_weight = config["next_item_weight"]
        self.used_positions = config["loss_positions"] or config["MAX_ITEM_LIST_LENGTH"]
        self.drop_one_sided = config["drop_one_sided"]
        log, n_items = dataset.log, self.total_num_items
        source, target = (torch.from_numpy(items) for items in dataset.domain_items)
        self.register_buffer("source_items", source, persistent=False)
        self.register_buffer("target_items", target, persistent=False)
        self.network = C2DSRNetwork(
            mixed_graph=ItemGraph(*successor_pairs(log, within_domain=False), n_items),
            single_graph=ItemGraph(*successor_pairs(log, within_domain=True), n_items),
            domain_items=(source, target),
            n_items=n_items,
            max_length=config["MAX_ITEM_LIST_LENGTH"],
            size=config["embedding_size"],
            blocks=config["attention_layers"],
            heads=config["attention_heads"],
            dropout=config["dropout_prob"],
            mask_padding=config["mask_padding"],
        )

    @classmethod
    def check_parameters(cls, values: Mapping[str, Any]) -> list[str]:
        """See `CrossDomainSequentialRecommender.check_parameters`."""
        errors = super().check_parameters(values)
        if values["sequence"] == "single":
            errors.append(f"{cls.__name__} reads both domains and cannot read sequence: single; use mixed")
        errors += check_heads(values)
        return errors

    @classmethod
    def describe_conditions(cls, values: Mapping[str, Any]) -> Conditions:
        """See `CrossDomainSequentialRecommender.describe_conditions`."""
        found, newest = super().describe_conditions(values), values["loss_positions"]
        limits = [f"the newest {newest} places of a window"] if newest else []
        limits += ["windows with targets of both domains"] if values["drop_one_sided"] else []
        return replace(
            found,
            target_domain=("history", "parameters"),
            trained_on="; ".join([found.trained_on, *(f"only {limit}" for limit in limits)]),
        )

    @property
    def domain_items(self) -> tuple[Tensor, Tensor]:
        """Ids of the items of the source and of the target domain, int64 on the model's device."""
        return self.source_items, self.target_items

    def parameter_groups(self) -> list[dict[str, Any]]:
        """All parameters, with the published moving averages of Adam."""
        return [{"params": list(self.parameters()), "betas": (0.9, 0.98)}]

    def calculate_loss(self, interaction: Interaction) -> tuple[Tensor, Tensor]:
        """λ times the next-item losses, and 1 − λ times the infomax losses."""
        inputs = self.sequence_input(interaction)
        trained = interaction[self.target_seq_field]
        rows = training_rows(inputs.item_seq, inputs.domain_seq, interaction[self.item_field], inputs.domain, trained)
        corrupted = corrupt(inputs.item_seq, inputs.domain_seq, self.domain_items)
        if self.drop_one_sided:
            kept = rows.is_two_sided
            rows, corrupted = rows.select(kept), corrupted[:, kept]
        losses = self.network.losses(rows, corrupted, self.used_positions)
        weight = self.next_item_weight
        return weight * (losses.mixed + losses.own).sum(), (1 - weight) * losses.infomax.sum()

    @contextmanager
    def scoring(self) -> Iterator[None]:
        """See `CrossDomainSequentialRecommender.scoring`."""
        with self.network.keeping_vectors():
            yield

    def score(self, interaction: Interaction, candidates: Tensor | None) -> Tensor:
        """Scores of candidates (B, C), or of all items (B, n_items).

        An item is scored by the head of the target's domain if that domain has it, otherwise by the other head.
        """
        inputs = self.sequence_input(interaction)
        number = self.total_num_items if candidates is None else candidates.shape[1]
        scores = torch.zeros(len(inputs.domain), number, device=inputs.domain.device)
        for code in (SOURCE, TARGET):
            row = torch.nonzero(inputs.domain == code).squeeze(1)
            if len(row):
                chosen = None if candidates is None else candidates[row]
                scores[row] = self._score_for(code, inputs.item_seq[row], inputs.domain_seq[row], chosen).float()
        return scores

    def _score_for(self, domain: int, item_seq: Tensor, domain_seq: Tensor, candidates: Tensor | None) -> Tensor:
        """`score` where all targets are of one domain."""
        streams = split_streams(item_seq, domain_seq)
        if candidates is not None and bool((self.network.column[domain, candidates] >= 0).all()):
            return self.network.scores(item_seq, streams[domain], domain, candidates)
        scores = torch.zeros(len(item_seq), self.total_num_items, device=item_seq.device)
        for code in (1 - domain, domain):
            of_domain = self.network.scores(item_seq, streams[code], code, None)
            scores[:, self.domain_items[code]] = of_domain.to(scores.dtype)
        return scores if candidates is None else scores.gather(1, candidates)
