"""Coverage and popularity of what a model recommends (docs/protocol.md, 14)."""

from __future__ import annotations

import numpy as np
import torch

from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.data.eval_loader import EvalLoader
from recbole_lecdsr.evaluation.metrics import DomainMetrics, model_scores, training_popularity
from recbole_lecdsr.evaluation.ranking import top_k
from recbole_lecdsr.model.base import CrossDomainSequentialRecommender


class TopItems:
    """Counts how often each item is among the top k of samples.

    The items of a top k are those that full ranking allows, whatever candidates the metrics use.

    Args:
        eval_data: the samples.
        k: number of top items of each sample.

    Attributes:
        counts: (2, n_items) int64, for samples of the source and of the target domain.
    """

    def __init__(self, eval_data: EvalLoader, k: int = 10):
        self.eval_data, self.k = eval_data, k
        self.counts = np.zeros((len(DOMAINS), eval_data.dataset.num_total_item), dtype=np.int64)

    @torch.no_grad()
    def add(self, model: CrossDomainSequentialRecommender, chosen: np.ndarray) -> None:
        """Count the top items of some of the samples.

        Args:
            model: in evaluation mode.
            chosen: (S,) bool, the samples.
        """
        data = self.eval_data
        index = np.flatnonzero(chosen)
        with model.scoring():
            for start in range(0, len(index), data.batch_size):
                rows = index[start : start + data.batch_size]
                target = torch.from_numpy(data.targets[rows]).to(data.device)
                scores = model_scores(model, data.item_field, data.collator(target), None)
                scores = scores.masked_fill(~data.allowed(target), -torch.inf)
                items, best = top_k(scores, min(self.k, scores.shape[1]))
                is_candidate = best.isfinite().cpu().numpy()  # a domain may have fewer than k
                domain = np.broadcast_to(data.domain[rows, None], is_candidate.shape)
                np.add.at(self.counts, (domain[is_candidate], items.cpu().numpy()[is_candidate]), 1)

    def summary(self) -> DomainMetrics:
        """Coverage and popularity of the top items so far, for each domain with samples.

        Returns:
            domain -> ``coverage@k``, the share of its items that are in at least one top k, and
            ``average_popularity@k``, the mean number of training interactions over the entries of all top k.
        """
        popularity = training_popularity(self.eval_data.dataset)
        return {
            name: {
                f"coverage@{self.k}": float(np.mean(self.counts[code, self.eval_data.dataset.domain_items[code]] > 0)),
                f"average_popularity@{self.k}": float(self.counts[code] @ popularity / self.counts[code].sum()),
            }
            for code, name in enumerate(DOMAINS)
            if self.counts[code].any()
        }
