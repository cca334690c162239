"""Ranks by popularity and at random, for reference."""

from __future__ import annotations

import numpy as np
import torch
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_lecdsr.data.eval_loader import EvalLoader
from recbole_lecdsr.evaluation.metrics import training_popularity
from recbole_lecdsr.evaluation.ranking import rank_samples


def reference_ranks(eval_data: EvalLoader, seed: int) -> dict[str, np.ndarray]:
    """Ranks by what knows nothing, on the same candidates: items by training ``popularity``, and at ``random``."""
    device = eval_data.device
    popularity = torch.from_numpy(training_popularity(eval_data.dataset)).float().to(device)
    generator = torch.Generator(device).manual_seed(seed)

    def popular(interaction: Interaction, items: Tensor | None) -> Tensor:
        return popularity.expand(len(interaction), -1) if items is None else popularity[items]

    def random(interaction: Interaction, items: Tensor | None) -> Tensor:
        shape = (len(interaction), len(popularity)) if items is None else items.shape
        return torch.rand(shape, generator=generator, device=device)

    return {name: rank_samples(eval_data, scorer) for name, scorer in (("popularity", popular), ("random", random))}
