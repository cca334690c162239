"""LLM-ESR: two views of each item, and users who learn from similar users (docs/models.md, 15)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from recbole.data.interaction import Interaction
from torch import Tensor, nn

from recbole_lecdsr.data.constants import N_EARLIER_FIELD, TRAIN
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.model.base import ITEM_TEXT, USER_TEXT
from recbole_lecdsr.model.baselines.llmesr_network import CROSS_HEADS, LLMESRNetwork, TrainingBatch
from recbole_lecdsr.model.baselines.nearest_users import nearest_users
from recbole_lecdsr.model.baselines.text_sequence_model import TextSequenceRecommender
from recbole_lecdsr.model.baselines.training_histories import newest_targets, newest_windows
from recbole_lecdsr.model.conditions import Conditions
from recbole_lecdsr.model.modules.profile_rows import ProfileRows
from recbole_lecdsr.schema import Parameter


class LLMESR(TextSequenceRecommender):
    """A SASRec encoder over a text view and an ID view of the mixed sequence, distilled from similar users.

    ``causal: False`` and ``empty_teachers: True`` are the behaviour of the released code.
    """

    hyperparameters = (
        Parameter("embedding_size", int, "d, the size of each view.", default=64, minimum=1, common=True),
        Parameter("similar_users", int, "K, similar users who teach a user.", default=10, minimum=1),
        Parameter(
            "empty_teachers",
            bool,
            "Users of a single training interaction teach, as released. Their state is that of an empty window.",
            default=False,
        ),
        Parameter("user_loss_weight", float, "α, weight of the distance from similar users.", default=0.1, minimum=0),
        Parameter(
            "user_loss",
            str,
            "Distance from similar users. squared: as published; contrastive: an option of the released code.",
            default="squared",
            choices=("squared", "contrastive"),
        ),
        Parameter(
            "item_align_weight",
            float,
            "β, weight of the alignment of an item's views. An option of the released code, off in the publication.",
            default=0.0,
            minimum=0,
        ),
    )
    feature_switches: ClassVar[Mapping[str, tuple[str, Any]]] = {USER_TEXT: ("user_loss_weight", 0)}

    def __init__(self, config: Any, dataset: CrossDomainSequentialDataset):
        super().__init__(config, dataset)
        self.user_weight, self.item_weight = config["user_loss_weight"], config["item_align_weight"]
        self.contrasts_users = config["user_loss"] == "contrastive"
        self.network = LLMESRNetwork(
            item_text=torch.from_numpy(dataset.item_embedding()),
            max_length=config["MAX_ITEM_LIST_LENGTH"],
            size=config["embedding_size"],
            blocks=config["attention_layers"],
            heads=config["attention_heads"],
            dropout=config["dropout_prob"],
            causal=config["causal"],
        )
        self.teachers = Teachers(config, dataset) if self.user_weight else None

    @classmethod
    def check_parameters(cls, values: Mapping[str, Any]) -> list[str]:
        """See `CrossDomainSequentialRecommender.check_parameters`."""
        errors, size = super().check_parameters(values), values["embedding_size"]
        if size % CROSS_HEADS:
            errors.append(
                f"embedding_size {size} is not a multiple of {CROSS_HEADS}, the heads of the attention between views: "
                "change it"
            )
        return errors

    @classmethod
    def required_features(cls, values: Mapping[str, Any]) -> frozenset[str]:
        """Item texts, and profiles where α > 0; see `CrossDomainSequentialRecommender.required_features`."""
        return frozenset({ITEM_TEXT, USER_TEXT} if values["user_loss_weight"] else {ITEM_TEXT})

    @classmethod
    def describe_conditions(cls, values: Mapping[str, Any]) -> Conditions:
        """See `CrossDomainSequentialRecommender.describe_conditions`."""
        found = super().describe_conditions(values)
        taught = "; histories of similar users teach" if values["user_loss_weight"] else ""
        return replace(found, trained_on=found.trained_on + taught)

    @classmethod
    def scoring_parameters(cls, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `CrossDomainSequentialRecommender.scoring_parameters`."""
        return {"user_loss_weight": 0}

    def calculate_loss(self, interaction: Interaction) -> tuple[Tensor, ...]:
        """Loss of pairs, and the weighted losses of users and items as far as their weights are positive."""
        item_seq, user = interaction[self.item_seq_field], interaction[self.user_field]
        if self.teachers is None:
            teacher_seq, teacher = item_seq[:0], user.new_full((len(user), 1), -1)
        else:
            teacher_seq, teacher = self.teachers(user, interaction[N_EARLIER_FIELD])
        losses = self.network.losses(
            TrainingBatch(
                item_seq=item_seq,
                target=interaction[self.target_seq_field],
                negative=interaction[self.negative_field],
                teacher_seq=teacher_seq,
                teacher=teacher,
            ),
            contrasts_users=self.contrasts_users,
            aligns_items=self.item_weight > 0,
        )
        weighted = ((self.user_weight, losses.user), (self.item_weight, losses.item))
        return losses.pair, *(weight * loss for weight, loss in weighted if weight)

    def query(self, interaction: Interaction) -> Tensor:
        """See `CrossDomainSequentialRecommender.query`."""
        return self.network.newest_states(interaction[self.item_seq_field])

    def make_item_vectors(self) -> Tensor:
        """See `LLMESRNetwork.item_vectors`."""
        return self.network.item_vectors()


class Teachers(nn.Module):
    """The users similar to each profile, and the windows before their newest training targets.

    A teacher has training targets and a profile that the newest of them may meet, by which it is compared. A target
    that meets no profile has no teachers.
    """

    similar: Tensor  # (R + 1, K) int64, users by the rows of `UserVectors`, 0 for none
    window: Tensor  # (n_users, L) int32

    def __init__(self, config: Any, dataset: CrossDomainSequentialDataset):
        super().__init__()
        log, n_users = dataset.log, dataset.num_total_user
        vectors = dataset.user_vectors()
        self.profile_rows = ProfileRows(vectors)
        newest = newest_targets(log, dataset.targets("train"), n_users)
        eligible = newest >= 0
        if config["empty_teachers"]:
            eligible = np.isin(np.arange(n_users), log.user[log.split == TRAIN])
        teacher = np.flatnonzero(eligible)
        # An empty teacher's window holds nothing, so its profile may know nothing.
        n_earlier = np.where(newest >= 0, log.n_earlier[newest], 0)[teacher]
        arrays = vectors.vectors, vectors.user, vectors.rows_at(teacher, n_earlier)
        profile, user, candidate = (torch.from_numpy(array).to(config["device"]) for array in arrays)
        similar = nearest_users(
            profile, user, candidate, config["similar_users"], show_progress=config["show_progress"]
        )
        self.register_buffer("similar", similar, persistent=False)
        window = newest_windows(log, newest, config["MAX_ITEM_LIST_LENGTH"]).int()
        self.register_buffer("window", window, persistent=False)

    def forward(self, user: Tensor, n_earlier: Tensor) -> tuple[Tensor, Tensor]:
        """The teachers of targets.

        Args:
            user, n_earlier: (B,) int64, users of the targets, and how many of their interactions come before each.

        Returns:
            distinct windows (M, L) int64, and which of them teach each target, (B, K) int64, -1 for none.
        """
        similar = self.similar[self.profile_rows(user, n_earlier)]
        distinct, index = torch.unique(similar, return_inverse=True)
        return self.window[distinct].long(), index.masked_fill(similar == 0, -1)
