"""Metrics of ranks, computed by RecBole's evaluator, and the scores and counts that evaluation is based on."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import torch
from recbole.data.interaction import Interaction
from recbole.evaluator import Collector, Evaluator
from recbole.model.abstract_recommender import AbstractRecommender
from torch import Tensor

from recbole_lecdsr.data.constants import DOMAINS, TRAIN
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset

# ``source``, ``target`` and ``overall`` (all samples of both) -> name of a metric -> value.
DomainMetrics = dict[str, dict[str, float]]


class RankCollector(Collector):
    """RecBole's collector, filled from ranks."""

    def collect_ranks(self, rank: Tensor) -> None:
        """Store ranks in the form that RecBole's metrics read (``rec.topk``).

        Args:
            rank: (S,) int64 from 1, on the CPU.
        """
        places = torch.arange(1, max(self.topk) + 1)
        hits = (rank.unsqueeze(1) == places).int()
        number_of_positives = torch.ones_like(hits[:, :1])
        self.data_struct.set("rec.topk", torch.cat([hits, number_of_positives], dim=1))


def rank_metrics(collector: RankCollector, evaluator: Evaluator, rank: np.ndarray, domain: np.ndarray) -> DomainMetrics:
    """RecBole's metrics of ranks, and ``mrr`` over the whole list of candidates.

    Args:
        collector, evaluator: of the run.
        rank: (S,) int64 from 1; 0 where the model does not score the domain of the sample.
        domain: (S,) 0 source, 1 target.

    Returns:
        The metrics of ``source``, ``target`` and ``overall``, those without samples or with a rank of 0 left out.
    """
    parts = {name: domain == code for code, name in enumerate(DOMAINS)}
    parts["overall"] = np.ones(len(rank), dtype=bool)
    result: DomainMetrics = {}
    for name, chosen in parts.items():
        if not chosen.any() or not rank[chosen].all():
            continue
        collector.collect_ranks(torch.from_numpy(rank[chosen]))
        values = evaluator.evaluate(collector.get_data_struct())
        values = {key: float(value) for key, value in values.items()}
        result[name] = {**values, "mrr": float(np.mean(1.0 / rank[chosen]))}
    return result


def flatten_metrics(metrics: DomainMetrics) -> OrderedDict[str, float]:
    """Metrics under one name each, as RecBole's results have them.

    >>> dict(flatten_metrics({"source": {"hit@10": 0.5}, "target": {"hit@10": 0.25}}))
    {'source_hit@10': 0.5, 'target_hit@10': 0.25}
    """
    return OrderedDict((f"{part}_{name}", value) for part, values in metrics.items() for name, value in values.items())


def add_overall(metrics: DomainMetrics, n_samples: dict[str, int]) -> DomainMetrics:
    """Metrics of the domains, and as ``overall`` their mean weighted by the number of samples.

    Args:
        metrics: ``source`` and ``target``, or one of them, with the same metrics.
        n_samples: domain -> number of samples.

    >>> add_overall({"source": {"mrr": 0.5}, "target": {"mrr": 0.25}}, {"source": 1, "target": 3})["overall"]
    {'mrr': 0.3125}
    """
    if not metrics:
        return {}
    weights = [n_samples[domain] for domain in metrics]
    names = next(iter(metrics.values()))
    overall = {name: float(np.average([part[name] for part in metrics.values()], weights=weights)) for name in names}
    return {**metrics, "overall": overall}


def model_scores(model: AbstractRecommender, item_field: str, interaction: Interaction, items: Tensor | None) -> Tensor:
    """Scores by RecBole's ``predict`` or ``full_sort_predict``.

    Args:
        model: in evaluation mode.
        item_field: the field that ``predict`` reads the items from.
        interaction: B samples.
        items: (B, C) int64, or None for all items of both domains.

    Returns:
        (B, C) or (B, n_items).
    """
    if items is None:
        return model.full_sort_predict(interaction).view(len(interaction), -1)
    return model.predict(Interaction({**interaction.interaction, item_field: items}))


def training_popularity(dataset: CrossDomainSequentialDataset) -> np.ndarray:
    """(n_items,) int64, number of training interactions of each item."""
    log = dataset.log
    return np.bincount(log.item[log.split == TRAIN], minlength=dataset.num_total_item)
