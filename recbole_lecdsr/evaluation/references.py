"""Reference ranks of two scorers that learn nothing: training popularity, and chance (docs/protocol.md, 13)."""

from __future__ import annotations

import numpy as np
import torch
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_lecdsr.data.eval_loader import EvalLoader
from recbole_lecdsr.evaluation.metrics import training_popularity
from recbole_lecdsr.evaluation.ranking import ItemScorer, Scorer, rank_samples


def reference_ranks(eval_data: EvalLoader, seed: int) -> dict[str, np.ndarray]:
    """Rank the samples without a model, among the same candidates.

    Args:
        eval_data: S samples.
        seed: of the random scores.

    Returns:
        ``popularity``, items by their number of training interactions, and ``random`` -> ranks, (S,) int64 from 1.
    """
    device = eval_data.device
    popularity = torch.from_numpy(training_popularity(eval_data.dataset)).float().to(device)
    generator = torch.Generator(device).manual_seed(seed)
    scorers: dict[str, Scorer] = {"popularity": _Popularity(popularity), "random": _Random(len(popularity), generator)}
    return {name: rank_samples(eval_data, scorer) for name, scorer in scorers.items()}


class _Popularity:
    """Scores items by (n_items,) numbers."""

    def __init__(self, popularity: Tensor):
        self.popularity = popularity

    def score_candidates(self, batch: Interaction, items: Tensor) -> Tensor:
        return self.popularity[items]

    def item_scorer(self, batch: Interaction) -> ItemScorer:
        return lambda rows, items: self.popularity[items].repeat(len(rows), 1)


class _Random:
    """Scores items at random, uniformly."""

    def __init__(self, n_items: int, generator: torch.Generator):
        self.n_items, self.generator = n_items, generator

    def _draw(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.generator, device=self.generator.device)

    def score_candidates(self, batch: Interaction, items: Tensor) -> Tensor:
        return self._draw(*items.shape)

    def item_scorer(self, batch: Interaction) -> ItemScorer:
        scores = self._draw(len(batch), self.n_items)
        return lambda rows, items: scores[rows].index_select(1, items)
