"""Coverage and popularity of what a model recommends (docs/protocol.md, 14)."""

from __future__ import annotations

import numpy as np
import torch

from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.data.eval_loader import EvalLoader
from recbole_lecdsr.evaluation.metrics import DomainMetrics, ModelScorer, training_popularity
from recbole_lecdsr.evaluation.ranking import RankedBlock, rank_blocks
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

    def count(self, domain: np.ndarray, block: RankedBlock, chosen: np.ndarray | None = None) -> None:
        """Count the top items of ranked samples.

        Args:
            domain: (R,) of the samples.
            block: their top items.
            chosen: (R,) bool, samples to count; None for all.
        """
        item, is_candidate = (part.cpu().numpy() for part in (block.top_item, block.top_score.isfinite()))
        if chosen is not None:
            is_candidate &= chosen[:, None]
        domain = np.broadcast_to(domain[:, None], item.shape)  # a domain may have fewer than k candidates
        np.add.at(self.counts, (domain[is_candidate], item[is_candidate]), 1)

    @torch.no_grad()
    def add(self, model: CrossDomainSequentialRecommender, chosen: np.ndarray) -> None:
        """Rank some of the samples among all items and count their top items.

        Args:
            model: in evaluation mode.
            chosen: (S,) bool, the samples.
        """
        data, scorer = self.eval_data, ModelScorer(model, self.eval_data.item_field)
        index = np.flatnonzero(chosen)
        with model.scoring():
            for start in range(0, len(index), data.batch_size):
                rows = index[start : start + data.batch_size]
                target = torch.from_numpy(data.targets[rows]).to(data.device)
                score_items = scorer.item_scorer(data.collator(target))
                for block in rank_blocks(score_items, data.domain_rows(target), self.k):
                    self.count(data.domain[rows[block.rows.cpu().numpy()]], block)

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
