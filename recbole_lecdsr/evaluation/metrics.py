"""Metrics of ranks, by RecBole's evaluator."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import torch
from recbole.data.interaction import Interaction
from recbole.evaluator import Collector, Evaluator
from recbole.model.abstract_recommender import AbstractRecommender
from torch import Tensor

from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset

Result = dict[str, dict[str, float]]


class RankCollector(Collector):
    """RecBole's collector, fed with ranks: one positive per sample at a known place."""

    def collect_ranks(self, rank: Tensor) -> None:
        """(S,) int64 ranks from 1 -> RecBole's ``rec.topk``: hit or not at each place, and one positive each."""
        places = torch.arange(1, max(self.topk) + 1)
        hits = (rank.unsqueeze(1) == places).int()
        self.data_struct.set("rec.topk", torch.cat([hits, torch.ones_like(hits[:, :1])], dim=1))


def metrics(collector: RankCollector, evaluator: Evaluator, rank: np.ndarray, domain: np.ndarray) -> Result:
    """RecBole's metrics of the ranks, and ``mrr``, over the whole list of candidates.

    Args:
        collector, evaluator: of the run.
        rank: (S,) int64.
        domain: (S,) 0 source, 1 target.

    Returns:
        ``source``, ``target`` and ``overall`` -> metric -> value; without a part that has no sample, or a sample whose
        domain the model does not score.
    """
    parts = {name: domain == code for code, name in enumerate(DOMAINS)}
    parts["overall"] = np.ones(len(rank), dtype=bool)
    result: Result = {}
    for name, chosen in parts.items():
        if not chosen.any() or not rank[chosen].all():
            continue
        collector.collect_ranks(torch.from_numpy(rank[chosen]))
        values = evaluator.evaluate(collector.get_data_struct())
        values = {key: float(value) for key, value in values.items()}
        result[name] = {**values, "mrr": float(np.mean(1.0 / rank[chosen]))}
    return result


def flat(result: Result) -> OrderedDict[str, float]:
    """``{"source": {"hit@10": …}}`` -> ``{"source_hit@10": …}``, as RecBole's results are."""
    return OrderedDict((f"{part}_{name}", value) for part, values in result.items() for name, value in values.items())


def joined(valid: Result, dataset: CrossDomainSequentialDataset) -> Result:
    """Validation metrics of each domain, of epochs apart, and those of all samples together."""
    if not valid:
        return {}
    domain = dataset.log.domain[dataset.targets("valid")]
    weights = [np.sum(domain == DOMAINS.index(name)) for name in valid]
    names = next(iter(valid.values()))
    overall = {key: float(np.average([part[key] for part in valid.values()], weights=weights)) for key in names}
    return {**valid, "overall": overall}


def model_scores(model: AbstractRecommender, item_field: str, interaction: Interaction, items: Tensor | None) -> Tensor:
    """Scores by RecBole's ``predict`` of items (B, C), or by its ``full_sort_predict`` of all, (B, n_items)."""
    if items is None:
        return model.full_sort_predict(interaction).view(len(interaction), -1)
    return model.predict(Interaction({**interaction.interaction, item_field: items}))


def training_popularity(dataset: CrossDomainSequentialDataset) -> np.ndarray:
    """(n_items,) int64, events of each item in training."""
    log = dataset.log
    return np.bincount(log.item[log.split == 0], minlength=dataset.num_total_item)
