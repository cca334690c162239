"""AlphaFuse, WhitenRec and LLMInit: item tables from whitened texts under one block of self-attention.

Source: Hu, Zhang, Liu, Cai, Yang, Wang, "AlphaFuse: Learn ID embeddings for sequential recommendation in null space of
language embeddings", SIGIR 2025, arXiv 2504.19218. docs/models.md, 13, has the equations.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_lecdsr.data.constants import TRAIN
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.model.base import ITEM_TEXT, CrossDomainSequentialRecommender
from recbole_lecdsr.model.baselines.alphafuse_network import (
    AlphaFuseNetwork,
    binary_cross_entropy,
    cross_entropy,
    info_nce,
    unit,
)
from recbole_lecdsr.model.baselines.alphafuse_tables import AdaptedTable, FusedTable, InitializedTable, ItemTable
from recbole_lecdsr.model.conditions import Conditions
from recbole_lecdsr.model.head_check import check_heads
from recbole_lecdsr.model.modules.whitening import Whitened, whiten
from recbole_lecdsr.schema import Parameter

logger = logging.getLogger(__name__)

SCALE = 40.0  # of the texts; it cancels in whitening

PARAMETERS: tuple[Parameter, ...] = (
    Parameter(
        "variant",
        str,
        "How texts make item vectors. alphafuse: whitened text, an ID added to its last dimensions; cover: the ID in "
        "their place; whitenrec: whitened text under a linear layer; llminit: trainable, starting as whitened text.",
        default="alphafuse",
        choices=("alphafuse", "cover", "whitenrec", "llminit"),
        common=True,
    ),
    Parameter("embedding_size", int, "d, the size of item vectors and states.", default=128, minimum=1, common=True),
    Parameter("id_size", int, "m, the dimensions of an item vector that have an ID.", default=64, minimum=1),
    Parameter(
        "null_threshold",
        float,
        "Take as m the number of directions whose variance is at most this. Texts are 40 times as long for it; ~ takes "
        "`id_size`.",
        minimum=0,
        optional=True,
    ),
    Parameter(
        "whitening",
        str,
        "How texts are whitened. standard: to variance 1; pca: without it; popularity: items count by their training "
        "interactions, popularity_as_released: with a covariance that is centred twice.",
        default="standard",
        choices=("standard", "pca", "popularity", "popularity_as_released"),
    ),
    Parameter("random_ids", bool, "Start IDs as N(0, 1) instead of 0.", default=False),
    Parameter("n_heads", int, "Heads of self-attention.", default=1, minimum=1),
    Parameter("dropout_prob", float, "Dropout rate.", default=0.1, minimum=0, below=1),
    Parameter(
        "loss_type",
        str,
        "InfoNCE: of cosines at a temperature; CE: softmax over all items; BCE: binary. CE and BCE are of inner "
        "products.",
        default="InfoNCE",
        choices=("InfoNCE", "CE", "BCE"),
    ),
    Parameter("temperature", float, "τ, the temperature of InfoNCE.", default=0.07, above=0),
    Parameter(
        "score_by",
        str,
        "Rank by cosine, which InfoNCE trains, or by the inner product, as the released code.",
        default="cosine",
        choices=("cosine", "dot"),
    ),
)


class AlphaFuse(CrossDomainSequentialRecommender):
    """One state for each window, compared with item vectors of which a part is frozen, whitened text.

    Items of both domains are one table and whitened together. Positions count from the target, so that it learns from a
    window for each target (``train_samples: targets``).
    """

    hyperparameters = PARAMETERS
    uses_every_parameter = True
    has_inner_product_scores = True

    def __init__(self, config: Any, dataset: CrossDomainSequentialDataset):
        super().__init__(config, dataset)
        self.loss_type, self.temperature = config["loss_type"], config["temperature"]
        self.scores_cosines = config["score_by"] == "cosine"
        self.table = make_table(config, dataset)
        self.network = AlphaFuseNetwork(
            max_length=config["MAX_ITEM_LIST_LENGTH"],
            size=config["embedding_size"],
            heads=config["n_heads"],
            dropout=config["dropout_prob"],
        )
        self._whole: Tensor | None = None

    @classmethod
    def check_parameters(cls, values: Mapping[str, Any]) -> list[str]:
        """Settings that do not go together; see `CrossDomainSequentialRecommender.check_parameters`."""
        errors = super().check_parameters(values)
        size = values["embedding_size"]
        errors += check_heads(values, "n_heads")
        if values["null_threshold"] is None and values["id_size"] > size:
            errors.append(f"id_size {values['id_size']} is larger than embedding_size {size}: change one of the two")
        if values["no_item_semantics"]:
            errors.append(f"{cls.__name__} has no items without their texts: leave no_item_semantics: False")
        if values["train_neg_sample_args"]["shared"] and values["loss_type"] != "CE":
            errors.append(
                f"{cls.__name__} compares a target with negatives of its own: set train_neg_sample_args.shared: False"
            )
        return errors

    @classmethod
    def required_features(cls, values: Mapping[str, Any]) -> frozenset[str]:
        """See `CrossDomainSequentialRecommender.required_features`."""
        return frozenset({ITEM_TEXT})

    @classmethod
    def describe_conditions(cls, values: Mapping[str, Any]) -> Conditions:
        """See `CrossDomainSequentialRecommender.describe_conditions`."""
        return replace(super().describe_conditions(values), layers=1)

    @classmethod
    def scoring_parameters(cls, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """See `CrossDomainSequentialRecommender.scoring_parameters`."""
        return {"whitening": "standard"}

    def calculate_loss(self, interaction: Interaction) -> Tensor:
        """The loss of ``loss_type``, a mean over the targets of the batch."""
        item_seq, target = _trim(interaction[self.item_seq_field]), interaction[self.item_field]
        if self.loss_type == "CE":
            whole = self.table.whole()
            return cross_entropy(self.network(F.embedding(item_seq, whole), item_seq.ne(0)), whole, target)
        negative = interaction[self.negative_field]
        vectors = self.table(torch.cat([item_seq, target.unsqueeze(1), negative], dim=1))
        length = item_seq.shape[1]
        state = self.network(vectors[:, :length], item_seq.ne(0))
        positive, negatives = vectors[:, length], vectors[:, length + 1 :]
        if self.loss_type == "BCE":
            return binary_cross_entropy(state, positive, negatives)
        return info_nce(state, positive, negatives, self.temperature)

    # ------------------------------------------------------------------ scoring

    @contextmanager
    def scoring(self) -> Iterator[None]:
        """Make the vectors of all items once."""
        with torch.no_grad():
            self._whole = self.table.whole()
        try:
            yield
        finally:
            self._whole = None

    def query(self, interaction: Interaction) -> Tensor:
        """See `CrossDomainSequentialRecommender.query`."""
        item_seq = _trim(interaction[self.item_seq_field])
        vectors = self.table(item_seq) if self._whole is None else F.embedding(item_seq, self._whole)
        state = self.network(vectors, item_seq.ne(0))
        return unit(state) if self.scores_cosines else state

    def item_vectors(self) -> Tensor:
        """See `CrossDomainSequentialRecommender.item_vectors`."""
        whole = self.table.whole() if self._whole is None else self._whole
        return unit(whole) if self.scores_cosines else whole


def make_table(config: Any, dataset: CrossDomainSequentialDataset) -> ItemTable:
    """The item table of a variant, from the texts of the data set's items.

    Raises:
        UserError: a threshold of which no m from 1 to d follows.
    """
    variant, size = config["variant"], config["embedding_size"]
    text = SCALE * torch.from_numpy(np.ascontiguousarray(dataset.item_embedding(), np.float32))
    if variant == "llminit" and text.shape[1] == size:
        return InitializedTable(text)
    if variant == "whitenrec":
        whitened = _whiten(config, dataset, text, None)
        number = int(text.ne(0).any(dim=1).sum())
        if number <= text.shape[1]:
            logger.warning(
                "%d items with a text, of %d numbers each: whitening makes all of them equally far from each other, so "
                "that the texts are lost",
                number, text.shape[1],
            )  # fmt: skip
        return AdaptedTable(whitened.vectors, size)
    whitened = _whiten(config, dataset, text, size)
    if variant == "llminit":
        return InitializedTable(whitened.vectors)
    id_size, threshold = config["id_size"], config["null_threshold"]
    if threshold is not None:
        id_size = null_dimensions(whitened.spectrum, threshold, size)
    cover = variant == "cover"
    vectors = whitened.vectors[:, : size - id_size] if cover else whitened.vectors
    return FusedTable(vectors, id_size, cover=cover, random_ids=config["random_ids"])


def _whiten(config: Any, dataset: CrossDomainSequentialDataset, text: Tensor, size: int | None) -> Whitened:
    """Whitened texts by ``whitening``, with a warning where they have fewer directions than columns."""
    kind, weight = config["whitening"], None
    if kind.startswith("popularity"):
        items = dataset.log.item[dataset.log.split == TRAIN]
        weight = torch.from_numpy(np.bincount(items, minlength=len(text)))
    released = kind == "popularity_as_released"
    whitened = whiten(text, size, standardize=kind != "pca", weight=weight, center_weighted=released)
    if size is not None and whitened.directions < size:
        logger.warning(
            "the item texts differ in %d directions only: the other %d of %d dimensions have no text",
            whitened.directions, size - whitened.directions, size,
        )  # fmt: skip
    return whitened


def null_dimensions(spectrum: Tensor, threshold: float, size: int) -> int:
    """m, how many variances of all directions are at most a threshold.

    Args:
        spectrum: (D,).
        threshold: of the variances.
        size: d, the largest m.

    Raises:
        UserError: m is 0 or larger than d.
    """
    number = int((spectrum <= threshold).sum())
    if not 0 < number <= size:
        ordered = spectrum.sort().values
        largest = ordered[min(size, len(ordered) - 1)]
        raise UserError(
            f"null_threshold {threshold} makes {number} of {len(spectrum)} directions null, where 1 to embedding_size "
            f"{size} are possible: give one from {ordered[0]:.4g} to {largest:.4g}, or raise embedding_size"
        )
    return number


def _trim(item_seq: Tensor) -> Tensor:
    """Without the columns before the longest window; at least one is left."""
    return item_seq[:, -max(1, int(item_seq.ne(0).any(dim=0).sum())) :]
