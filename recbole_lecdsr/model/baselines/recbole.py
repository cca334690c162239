"""RecBole's own models on the samples, candidates and seeds that LeCDSR sees (docs/models.md, 9).

`baseline_class` wraps a general or sequential model class of RecBole. The class itself is unchanged: it gets the data
set and the batches in the form that RecBole gives it.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from recbole.data.interaction import Interaction
from recbole.data.transform import construct_transform
from recbole.model.abstract_recommender import GeneralRecommender, SequentialRecommender
from recbole.utils import FeatureType, InputType, ModelType
from scipy.sparse import coo_matrix, spmatrix
from sklearn.decomposition import PCA
from torch import Tensor

from recbole_lecdsr.data.constants import DOMAIN_FIELD, TRAIN
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.data.windows import SingleDomainGatherer, WindowGatherer
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.model.base import ITEM_TEXT, CrossDomainSequentialRecommender
from recbole_lecdsr.model.baselines.acceleration import accelerate
from recbole_lecdsr.model.baselines.attribute_state import AttributeState
from recbole_lecdsr.model.conditions import INTERACTIONS, Conditions

_PLACES = ("general_recommender", "sequential_recommender")
# Models whose loss is no sum over the rows of a batch, beside those that only count (`ModelType.TRADITIONAL`).
_NOT_DISTRIBUTED = {"CDAE", "ConvNCF", "ENMF", "FEARec", "NCEPLRec", "NCL", "SGL"}
# Models that RecBole trains by a trainer of their own: alternating steps, or several stages.
OWN_TRAINERS = {"NCL", "RaCT", "RecVAE"}
_LAST_ITEM_ONLY = {"FPMC", "TransRec"}  # of a window
_OTHER_EMBEDDING_SIZE = {"DMF", "DiffRec", "LDiffRec"}  # `embedding_size` is none of items
# Components of the LLM embedding that models with item features get: RecBole embeds each of them.
TEXT_SIZE = 32
TEXT_FIELD = "text"


def is_recbole(model: type) -> bool:
    """Whether a class is a general or sequential model of RecBole."""
    return issubclass(model, (GeneralRecommender, SequentialRecommender))


def recbole_class(name: str) -> type | None:
    """RecBole's general or sequential model of this name, or None."""
    for place in _PLACES:
        module = f"recbole.model.{place}.{name.lower()}"
        if importlib.util.find_spec(module) is not None:
            found = getattr(importlib.import_module(module), name, None)
            if isinstance(found, type) and is_recbole(found):
                return found
    return None


def baseline_class(recbole_model: Any) -> type[Baseline]:
    """A model class of the contract around a model class of RecBole, with its name."""
    members = {
        "recbole_class": recbole_model,
        "__doc__": recbole_model.__doc__,
        "needs_history": issubclass(recbole_model, SequentialRecommender),
        "supports_distributed": (
            recbole_model.type != ModelType.TRADITIONAL and recbole_model.__name__ not in _NOT_DISTRIBUTED
        ),
    }
    if hasattr(recbole_model, "input_type"):  # else it follows from loss_type
        members["input_type"] = recbole_model.input_type
    return type(recbole_model.__name__, (Baseline,), members)


class RecBoleView:
    """The mixed data set in the interface of RecBole's own: one user field, one item field, training interactions.

    Args:
        config: the run's configuration.
        dataset: of the run.
        single: a user of both domains counts as two users, so that nothing is learned across.
    """

    def __init__(self, config: Any, dataset: CrossDomainSequentialDataset, single: bool):
        self.config, self.dataset = config, dataset
        self.uid_field, self.iid_field = config["USER_ID_FIELD"], config["ITEM_ID_FIELD"]
        self.item_num = dataset.num_total_item
        self.user_num = dataset.num_total_user * (2 if single else 1)
        self.single = single
        self.field2seqlen = {self.iid_field + config["LIST_SUFFIX"]: config["MAX_ITEM_LIST_LENGTH"]}
        self.field2type = {TEXT_FIELD: FeatureType.FLOAT_SEQ}

    def num(self, field: str) -> int:
        """Number of ids of a field, padding included."""
        return {self.uid_field: self.user_num, self.iid_field: self.item_num, TEXT_FIELD: TEXT_SIZE + 1}[field]

    @cached_property
    def _train(self) -> tuple[np.ndarray, np.ndarray]:
        log = self.dataset.log
        train = log.split == TRAIN
        user = log.user[train].astype(np.int64)
        if self.single:
            user += log.domain[train].astype(np.int64) * self.dataset.num_total_user
        return user, log.item[train].astype(np.int64)

    def inter_matrix(self, form: str = "coo", value_field: str | None = None) -> spmatrix:
        """(n_users, n_items) matrix of ones at the training interactions, a pair counted once."""
        pairs = np.unique(np.stack(self._train), axis=1)
        matrix = coo_matrix((np.ones(pairs.shape[1]), (pairs[0], pairs[1])), shape=(self.user_num, self.item_num))
        return matrix if form == "coo" else matrix.asformat(form)

    def get_item_feature(self) -> Interaction:
        """The items with their LLM embedding: the first principal components, of unit variance each.

        ``text`` (n_items, TEXT_SIZE, 2): components, and the rows of the embedding table that they weigh, 0 for none.
        """
        vectors = self.dataset.item_embedding()
        known = vectors.any(axis=1)
        size = min(TEXT_SIZE, vectors.shape[1], int(known.sum()))
        text = np.zeros((self.item_num, TEXT_SIZE, 2), dtype=np.float32)
        text[known, :size, 0] = PCA(size, whiten=True, random_state=0).fit_transform(vectors[known])
        text[known, :size, 1] = np.arange(1, size + 1)
        return Interaction({self.iid_field: torch.arange(self.item_num), TEXT_FIELD: torch.from_numpy(text)})

    @cached_property
    def inter_feat(self) -> Interaction:
        """All training samples with their windows, on the CPU: (S, L), for the few models that read them."""
        gatherer = SingleDomainGatherer if self.single else WindowGatherer
        windows = gatherer(self.dataset.log, self.config["MAX_ITEM_LIST_LENGTH"])
        target = torch.from_numpy(self.dataset.targets("train"))
        item_seq, length = right_padded(windows(target).item)
        return Interaction(
            {
                self.iid_field: windows.item[target].long(),
                self.iid_field + self.config["LIST_SUFFIX"]: item_seq,
                self.config["ITEM_LIST_LENGTH_FIELD"]: length,
            }
        )


def right_padded(item_seq: Tensor) -> tuple[Tensor, Tensor]:
    """Windows as RecBole's models read them: interactions first, padding behind.

    Args:
        item_seq: (B, L) int64, padding 0 before the interactions.

    Returns:
        (B, L) int64, and (B,) int64, the number of interactions.
    """
    length = item_seq.ne(0).sum(dim=1)
    place = torch.arange(item_seq.shape[1], device=item_seq.device) - length.unsqueeze(1)
    return item_seq.gather(1, place % item_seq.shape[1]), length


class Baseline(CrossDomainSequentialRecommender):
    """A general or sequential model of RecBole in a cross-domain run; made by `baseline_class`.

    Parameters: those of RecBole's model, and ``sequence``: ``mixed`` gives it the interactions of both domains,
    ``single`` those of the target's domain alone (a user of both domains then counts as two users).
    """

    recbole_class: ClassVar[Any]
    deterministic_on_gpu = False

    def __init__(self, config: Any, dataset: CrossDomainSequentialDataset):
        super().__init__(config, dataset)
        self.single = config["sequence"] == "single"
        self.sequential = issubclass(self.recbole_class, SequentialRecommender)
        config = copy(config)  # RecBole's transforms and what follows write into it
        config.final_config_dict = dict(config.final_config_dict)
        self.view = RecBoleView(config, dataset, self.single)
        if config["selected_features"] is not None:
            config["selected_features"] = config["numerical_features"] = [TEXT_FIELD]
        self.transform = construct_transform(config)
        try:
            self.recbole_model = self.recbole_class(config, self.view)
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise UserError(
                f"{self.recbole_class.__name__} needs more of a data set than ids and item texts ({error!r}): "
                "leave it out"
            ) from error
        self._length = torch.ones(0, dtype=torch.int64)  # of the windows of the current batch
        accelerate(self.recbole_model, lambda: self._length - 1)
        self._attribute_state = AttributeState(self.recbole_model)

    @classmethod
    def resolve_input_type(cls, values: Mapping[str, Any]) -> InputType:
        """That of the framework's class; where it has none, what RecBole makes of ``loss_type``."""
        by_loss = InputType.POINTWISE if values.get("loss_type") == "CE" else InputType.PAIRWISE
        return getattr(cls.recbole_class, "input_type", by_loss)

    @classmethod
    def required_features(cls, values: Mapping[str, Any]) -> frozenset[str]:
        """Item texts, where RecBole's model embeds item features."""
        return frozenset() if values.get("selected_features") is None else frozenset({ITEM_TEXT})

    @classmethod
    def describe_conditions(cls, values: Mapping[str, Any]) -> Conditions:
        """See `CrossDomainSequentialRecommender.describe_conditions`."""
        name, found = cls.recbole_class.__name__, super().describe_conditions(values)
        if cls.recbole_class.type == ModelType.TRADITIONAL:
            return replace(
                found,
                counts=name != "Random",
                embedding_size=None,
                layers=None,
                trained_on=f"{INTERACTIONS}, in one pass",
            )
        if name in _LAST_ITEM_ONLY:
            found = replace(found, window=1)
        return replace(found, embedding_size=None) if name in _OTHER_EMBEDDING_SIZE else found

    def get_extra_state(self) -> dict[str, Any]:
        """What RecBole's model keeps outside its parameters, for the checkpoint."""
        return self._attribute_state.read(self.recbole_model)

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore it, on the device of the model."""
        self._attribute_state.write(self.recbole_model, state)

    def _batch(self, interaction: Interaction) -> Interaction:
        """A batch as RecBole's dataloaders make it."""
        fields = dict(interaction.interaction)
        if self.single:
            fields[self.user_field] = fields[self.user_field] + fields[DOMAIN_FIELD] * self.total_num_users
        if self.sequential:
            item_seq, length = right_padded(fields[self.item_seq_field])
            # RecBole's models read the state at place length - 1.
            fields[self.item_seq_field], fields[self.length_field] = item_seq, length.clamp(min=1)
        if self.negative_field in fields:
            fields[self.negative_field] = fields[self.negative_field][:, 0]
        return Interaction(fields)

    def calculate_loss(self, interaction: Interaction) -> Tensor | tuple[Tensor, ...]:
        """RecBole's loss; samples with an empty window, which teach a sequential model nothing, are left out."""
        batch = self._batch(interaction)
        if self.sequential:
            batch = batch[batch[self.item_seq_field][:, 0].ne(0)]
            if not len(batch):  # the mean over no sample would be NaN
                return sum(weight.sum() for weight in self.recbole_model.parameters()) * 0
            self._length = batch[self.length_field]
            batch = self.transform(self.view, batch)
        elif self.input_type == InputType.POINTWISE and self.recbole_class.type != ModelType.TRADITIONAL:
            batch = self._with_labels(batch)
        return self.recbole_model.calculate_loss(batch)

    def count_loss_terms(self, interaction: Interaction) -> Tensor:
        """Rows, of a sequential model those with a history: `calculate_loss` leaves the others out."""
        learned = interaction[self.item_seq_field] if self.sequential else interaction[self.item_field].unsqueeze(1)
        return learned.ne(0).any(dim=1).sum()

    def _with_labels(self, batch: Interaction) -> Interaction:
        """Positives and negatives one below the other, with labels."""
        fields = {name: torch.cat([value, value]) for name, value in batch.interaction.items()}
        fields[self.item_field] = torch.cat([batch[self.item_field], batch[self.negative_field]])
        label = torch.ones(len(batch), device=batch[self.item_field].device)
        fields[self.view.config["LABEL_FIELD"]] = torch.cat([label, torch.zeros_like(label)])
        return Interaction(fields)

    def full_sort_predict(self, interaction: Interaction) -> Tensor:
        """Scores of all items of both domains, (B, n_items); what lies beyond (a mask token) is cut off."""
        batch = self._batch(interaction)
        # GRU4RecCPR and SASRecCPR compute the loss of each sample's item here as well. There may be many candidates
        # instead of one, and the target is not to be seen.
        batch.update(Interaction({self.item_field: torch.zeros_like(batch[self.user_field])}))
        if self.sequential:
            self._length = batch[self.length_field]
            batch = self.transform_for_scoring(batch)
        try:
            scores = self.recbole_model.full_sort_predict(batch).view(len(batch), -1)
        except NotImplementedError:
            scores = self._score_one_by_one(batch)
        return scores[:, : self.total_num_items].to(batch[self.user_field].device)  # EASE's are on the CPU

    def _score_one_by_one(self, batch: Interaction) -> Tensor:
        """For models that score pairs of a user and an item only: (B, n_items), pair by pair."""
        items = torch.arange(self.total_num_items, device=batch[self.user_field].device)
        rows = [
            self.recbole_model.predict(Interaction({self.user_field: user.expand(len(items)), self.item_field: items}))
            for user in batch[self.user_field]
        ]
        return torch.stack(rows)

    def transform_for_scoring(self, batch: Interaction) -> Interaction:
        """RecBole reverses windows for scoring too where its model reads them so; masks are for training alone."""
        return self.transform(self.view, batch) if self.view.config["transform"] == "inverse_itemseq" else batch

    def predict(self, interaction: Interaction) -> Tensor:
        """Scores of the given items: item ids (B,) -> (B,), or (B, C) -> (B, C)."""
        item = interaction[self.item_field]
        scores = self.full_sort_predict(interaction)
        return scores.gather(1, item.view(len(item), -1)).view(item.shape)
