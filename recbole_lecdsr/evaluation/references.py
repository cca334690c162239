"""Reference ranks of two scorers that learn nothing: training popularity, and chance (docs/protocol.md, 13)."""

from __future__ import annotations

import numpy as np
import torch
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_lecdsr.data.eval_loader import EvalLoader
from recbole_lecdsr.evaluation.metrics import training_popularity
from recbole_lecdsr.evaluation.ranking import rank_samples


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

    def popularity_scores(interaction: Interaction, items: Tensor | None) -> Tensor:
        return popularity.expand(len(interaction), -1) if items is None else popularity[items]

    def random_scores(interaction: Interaction, items: Tensor | None) -> Tensor:
        shape = (len(interaction), len(popularity)) if items is None else items.shape
        return torch.rand(shape, generator=generator, device=device)

    scorers = {"popularity": popularity_scores, "random": random_scores}
    return {name: rank_samples(eval_data, scorer) for name, scorer in scorers.items()}
