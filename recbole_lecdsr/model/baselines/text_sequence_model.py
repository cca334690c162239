"""What LLM4CDSR and LLM-ESR have in common: SASRec encoders over frozen item texts, trained with a negative of each
position."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor

from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.data.position_loader import PositionLoader
from recbole_lecdsr.model.base import CrossDomainSequentialRecommender
from recbole_lecdsr.model.head_check import check_heads
from recbole_lecdsr.schema import Parameter


class TextSequenceRecommender(CrossDomainSequentialRecommender):
    """Reads mixed windows, learns from sequences, and keeps the vectors of all items while it scores."""

    hyperparameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter("embedding_size", int, "d, the size of embeddings.", default=128, minimum=1, common=True),
        Parameter("attention_layers", int, "Layers of an encoder.", default=2, minimum=1),
        Parameter("attention_heads", int, "Heads of self-attention in an encoder.", default=1, minimum=1),
        Parameter(
            "dropout_prob",
            float,
            "Dropout of inputs, of attention weights and within layers.",
            default=0.5,
            minimum=0,
            maximum=1,
            common=True,
        ),
        Parameter(
            "causal",
            bool,
            "A position sees only interactions up to itself. The released code lets it see its target, too.",
            default=True,
        ),
    )
    train_loader: ClassVar[type] = PositionLoader
    train_samples: ClassVar[tuple[str, ...]] = ("sequences",)
    supports_distributed = False  # losses compare the rows of a batch, or are means over some of them
    has_inner_product_scores = True

    def __init__(self, config: Any, dataset: CrossDomainSequentialDataset):
        super().__init__(config, dataset)
        self._item_vectors: Tensor | None = None

    @classmethod
    def check_parameters(cls, values: Mapping[str, Any]) -> list[str]:
        """See `CrossDomainSequentialRecommender.check_parameters`."""
        errors, name = super().check_parameters(values), cls.__name__
        if values["sequence"] == "single":
            errors.append(f"{name} reads windows of both domains: use sequence: mixed")
        if values["no_item_semantics"]:
            errors.append(f"{name} is a model of item texts: set no_item_semantics to False")
        if values["train_neg_sample_args"]["shared"]:
            errors.append(f"{name} has negatives of each position: set train_neg_sample_args.shared to False")
        return errors + check_heads(values)

    @abstractmethod
    def make_item_vectors(self) -> Tensor:
        """`item_vectors` with the present weights."""

    def item_vectors(self) -> Tensor:
        """See `CrossDomainSequentialRecommender.item_vectors`."""
        return self.make_item_vectors() if self._item_vectors is None else self._item_vectors

    @contextmanager
    def scoring(self) -> Iterator[None]:
        """Makes the vectors of all items once; see `CrossDomainSequentialRecommender.scoring`."""
        with torch.no_grad():
            self._item_vectors = self.make_item_vectors()
        try:
            yield
        finally:
            self._item_vectors = None
