"""Which items are recommended at all."""

from __future__ import annotations

import numpy as np
import torch
from recbole.model.abstract_recommender import AbstractRecommender

from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.data.eval_loader import EvalLoader
from recbole_lecdsr.evaluation.metrics import Result, model_scores, training_popularity


class TopItems:
    """What stands in the top k of samples, whatever candidates they are ranked among: how often each item.

    Args:
        eval_data: the samples.
        k: items of each.
    """

    def __init__(self, eval_data: EvalLoader, k: int = 10):
        self.eval_data, self.k = eval_data, k
        self.shown = np.zeros((len(DOMAINS), eval_data.dataset.num_total_item), dtype=np.int64)

    @torch.no_grad()
    def add(self, model: AbstractRecommender, chosen: np.ndarray) -> None:
        """Count the lists of the chosen samples, (S,) bool, by a model in evaluation mode."""
        data = self.eval_data
        places = np.flatnonzero(chosen)
        for start in range(0, len(places), data.batch_size):
            part = places[start : start + data.batch_size]
            target = torch.from_numpy(data.targets[part]).to(data.device)
            scores = model_scores(model, data.item_field, data.collator(target), None)
            scores = scores.masked_fill(~data.allowed(target), -torch.inf)
            best, top = scores.topk(min(self.k, scores.shape[1]), dim=1)
            real = best.isfinite().cpu().numpy()
            domain = np.broadcast_to(data.domain[part, None], real.shape)
            np.add.at(self.shown, (domain[real], top.cpu().numpy()[real]), 1)

    def summary(self) -> Result:
        """For each domain ``coverage@k``, the share of its items that are recommended at all, and
        ``average_popularity@k``, the mean number of training events of what is."""
        popularity = training_popularity(self.eval_data.dataset)
        return {
            name: {
                f"coverage@{self.k}": float(np.mean(self.shown[code, self.eval_data.dataset.domain_items[code]] > 0)),
                f"average_popularity@{self.k}": float(self.shown[code] @ popularity / self.shown[code].sum()),
            }
            for code, name in enumerate(DOMAINS)
            if self.shown[code].any()
        }
