"""Metrics of ranks, computed by RecBole's evaluator, and the scores and counts that evaluation is based on."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import torch
from recbole.data.interaction import Interaction
from recbole.evaluator import Collector, Evaluator
from torch import Tensor

from recbole_lecdsr.data.constants import DOMAINS, TRAIN
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.evaluation.ranking import ItemScorer
from recbole_lecdsr.model.base import CrossDomainSequentialRecommender

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


class ModelScorer:
    """Scores by a model's ``predict`` and ``score_items``, for `recbole_lecdsr.evaluation.ranking.rank_samples`.

    Args:
        model: in evaluation mode.
        item_field: the field of a batch that ``predict`` reads the items from.
    """

    def __init__(self, model: CrossDomainSequentialRecommender, item_field: str):
        self.model, self.item_field = model, item_field

    def score_candidates(self, batch: Interaction, items: Tensor) -> Tensor:
        """Scores of each sample's own items: (B, C) int64 -> (B, C)."""
        return self.model.predict(Interaction({**batch.interaction, self.item_field: items}))

    def item_scorer(self, batch: Interaction) -> ItemScorer:
        """What scores the same items for rows of the batch."""
        return lambda rows, items: self.model.score_items(batch[rows], items)


def training_popularity(dataset: CrossDomainSequentialDataset) -> np.ndarray:
    """(n_items,) int64, number of training interactions of each item."""
    log = dataset.log
    return np.bincount(log.item[log.split == TRAIN], minlength=dataset.num_total_item)
