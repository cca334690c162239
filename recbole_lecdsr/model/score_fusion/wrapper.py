"""Score fusion for any model of the contract: a class derived from the model's that fuses what the model scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, cached_property
from typing import Any, ClassVar

import numpy as np
import torch
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.data.event_log import EventLog
from recbole_lecdsr.model.base import ITEM_TEXT, CrossDomainSequentialRecommender
from recbole_lecdsr.model.conditions import DOMAIN_USES, Conditions
from recbole_lecdsr.model.score_fusion.calibration import CalibrationSamples, withhold_calibration
from recbole_lecdsr.model.score_fusion.candidate_features import CandidateFeatures
from recbole_lecdsr.model.score_fusion.feature_cache import FeatureCache
from recbole_lecdsr.model.score_fusion.score_fusion import ScoreFusion
from recbole_lecdsr.model.score_fusion.text_neighbors import TextNeighbors, find_text_neighbors


@cache
def with_score_fusion(model_class: type[CrossDomainSequentialRecommender]) -> type[CrossDomainSequentialRecommender]:
    """The model class whose scores are fused with candidate features; has the model's name and state."""
    members = {"__doc__": model_class.__doc__, "__module__": model_class.__module__}
    return type(model_class.__name__, (ScoreFusionMixin, model_class), members)


class ScoreFusionMixin(CrossDomainSequentialRecommender):
    """What `with_score_fusion` puts before a model class.

    The model learns from the training interactions less the calibration targets. After each epoch the weights of the
    fusion are fitted on these. Features of test and validation samples count all training interactions, those of
    calibration samples all but the calibration targets.
    """

    has_inner_product_scores: ClassVar[bool] = False

    def __init__(self, config: Any, dataset: CrossDomainSequentialDataset):
        super().__init__(config, withhold_calibration(dataset))
        self._config, self._dataset = config, dataset
        self._is_model_alone = self._is_scoring = False
        self._feature_cache = FeatureCache()
        texts = None
        if not config["no_item_semantics"]:
            texts = find_text_neighbors(torch.from_numpy(np.ascontiguousarray(dataset.item_embedding(), np.float32)))
        self._texts = texts
        self.score_fusion = ScoreFusion(self._candidate_features(dataset.log, texts))

    def _candidate_features(self, log: EventLog, texts: TextNeighbors | None) -> CandidateFeatures:
        length, items = self._config["MAX_ITEM_LIST_LENGTH"], self._dataset.domain_items
        return CandidateFeatures(log, self.total_num_items, length, texts, items)

    @classmethod
    def required_features(cls, values: Mapping[str, Any]) -> frozenset[str]:
        """What the model needs, and item texts unless ``no_item_semantics``."""
        return super().required_features(values) | (frozenset() if values["no_item_semantics"] else {ITEM_TEXT})

    @classmethod
    def describe_conditions(cls, values: Mapping[str, Any]) -> Conditions:
        """See `CrossDomainSequentialRecommender.describe_conditions`."""
        found = super().describe_conditions(values)
        use = {*found.target_domain, "history", "parameters"}  # similarity to its interactions; weights of its own
        return replace(
            found,
            times=True,
            target_domain=tuple(one for one in DOMAIN_USES if one in use),
            counts=True,
            withholds_calibration=True,
        )

    @classmethod
    def training_data(cls, dataset: CrossDomainSequentialDataset) -> CrossDomainSequentialDataset:
        """The training interactions less the calibration targets."""
        return super().training_data(withhold_calibration(dataset))

    @property
    def has_vectors(self) -> bool:
        """Whether the model alone scores by inner products."""
        return super().has_inner_product_scores

    @cached_property
    def _calibration_samples(self) -> CalibrationSamples:
        return CalibrationSamples(self._config, self._dataset)

    @cached_property
    def _calibration_features(self) -> Tensor:
        """By the training interactions less the calibration targets, (K, H, 1 + N) float32."""
        samples = self._calibration_samples
        features = self._candidate_features(samples.log, self._texts).to(self.device)
        return torch.cat([features(self.sequence_input(batch), items) for batch, items, _ in samples], dim=1)

    @torch.no_grad()
    def after_epoch(self) -> None:
        """Fit the weights of the fusion to the model as it is now."""
        super().after_epoch()
        if len(self.scored_domains) < len(DOMAINS):
            return  # a phase that only prepares the next
        self.eval()
        scores = [
            self._predict_alone(batch, items).float().masked_fill(hidden, -torch.inf)
            for batch, items, hidden in self._calibration_samples
        ]
        self.train()
        if scores:
            domain = self._calibration_samples.domain.to(scores[0].device)
            self.score_fusion.fit(torch.cat(scores), self._calibration_features, domain)

    @contextmanager
    def scoring(self) -> Iterator[None]:
        """As of the model; features of candidates that come again, as in each validation, are kept."""
        self._is_scoring = True
        try:
            with super().scoring():
                yield
        finally:
            self._is_scoring = False

    @contextmanager
    def _model_alone(self) -> Iterator[None]:
        """Scores are the model's own within the block: its `predict` may call its `full_sort_predict`."""
        self._is_model_alone = True
        try:
            yield
        finally:
            self._is_model_alone = False

    def _predict_alone(self, interaction: Interaction, items: Tensor) -> Tensor:
        """Scores of the model alone: items (B, C) int64 -> (B, C)."""
        with self._model_alone():
            return super().predict(Interaction({**interaction.interaction, self.item_field: items}))

    def predict(self, interaction: Interaction) -> Tensor:
        """Fused scores of the given items: item ids (B,) -> (B,), or (B, C) -> (B, C)."""
        if self._is_model_alone:
            return super().predict(interaction)
        item = interaction[self.item_field]
        candidates = item.view(len(item), -1)
        score = self._predict_alone(interaction, candidates).float()
        inputs = self.sequence_input(interaction)
        if not self._is_scoring:
            return self.score_fusion(score, inputs, candidates).view(item.shape)
        features = self._feature_cache.features(inputs, candidates, self.score_fusion.features)
        return self.score_fusion.fuse(score, inputs, features).view(item.shape)

    def score_items(self, interaction: Interaction, items: Tensor) -> Tensor:
        """Fused scores of the same items, (C,) int64, for all samples: (B, C)."""
        if self._is_model_alone:
            return super().score_items(interaction, items)
        with self._model_alone():
            score = super().score_items(interaction, items).float()
        return self.score_fusion.fuse_items(score, self.sequence_input(interaction), items)

    def full_sort_predict(self, interaction: Interaction) -> Tensor:
        """Fused scores of all items of both domains, (B, n_items)."""
        if self._is_model_alone:
            return super().full_sort_predict(interaction)
        with self._model_alone():
            score = super().full_sort_predict(interaction).view(len(interaction), -1).float().clone()
        every = torch.arange(self.total_num_items, device=score.device)
        return self.score_fusion.fuse_items(score, self.sequence_input(interaction), every)
