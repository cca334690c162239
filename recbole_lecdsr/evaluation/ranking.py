"""Ranks of targets among their candidates (docs/protocol.md, 7). Imports no framework.

A rank is 1 + the number of other candidates whose score is at least that of the target: ties count against the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm


class InvalidScoresError(ValueError):
    """A model gave scores that are not numbers (NaN)."""


def ranks_among(scores: Tensor, target_score: Tensor) -> Tensor:
    """Ranks among sampled candidates.

    Args:
        scores: (B, N) float, scores of the candidates other than the target.
        target_score: (B,) float.

    Returns:
        (B,) int64, from 1.

    Raises:
        InvalidScoresError: a score is NaN.

    >>> ranks_among(torch.tensor([[1.0, 2.0, 2.0]]), torch.tensor([2.0])).tolist()
    [3]
    """
    _refuse_nan(scores, target_score)
    return 1 + (scores >= target_score.unsqueeze(1)).sum(dim=1)


def ranks_in_domain(scores: Tensor, target: Tensor, allowed: Tensor) -> Tensor:
    """Ranks among all items of a domain.

    Args:
        scores: (B, n_items) float, scores of all items of both domains.
        target: (B,) int64.
        allowed: (B, n_items) bool, whether an item is a candidate. The target always is one.

    Returns:
        (B,) int64, from 1.

    Raises:
        InvalidScoresError: the score of a candidate is NaN.

    >>> allowed = torch.tensor([[False, True, False, True]])
    >>> ranks_in_domain(torch.tensor([[9.0, 5.0, 4.0, 4.0]]), torch.tensor([2]), allowed).tolist()
    [3]
    """
    target_score = scores.gather(1, target.unsqueeze(1))
    _refuse_nan(scores.where(allowed, 0.0), target_score)
    beaten_by = (scores >= target_score) & allowed
    beaten_by.scatter_(1, target.unsqueeze(1), True)
    return beaten_by.sum(dim=1)


def _refuse_nan(*tensors: Tensor) -> None:
    """NaN compares as smaller than everything, so its item would rank first."""
    if any(torch.isnan(tensor).any() for tensor in tensors):
        raise InvalidScoresError("the model gave scores that are not numbers; ranks would be meaningless")


class EvalSamples(Protocol):
    """What `rank_samples` needs of a loader (`recbole_lecdsr.data.eval_loader.EvalLoader`).

    Iterating yields (batch, items, allowed):

    - sampled ranking: items (B, 1 + N) int64, each target followed by its candidates; allowed is None;
    - full ranking: items is None; allowed (B, n_items) bool, and the targets are ``batch[item_field]``.

    Attributes:
        targets: (S,) int64, one entry for each sample.
        phase: ``valid`` or ``test``, for the progress bar.
        item_field: the field of a batch with the targets.
    """

    targets: np.ndarray
    phase: str
    item_field: str

    def __iter__(self) -> Iterator[tuple[Any, Tensor | None, Tensor | None]]: ...


# Scores of items for a batch: item ids (B, C) -> (B, C); None, for all items -> (B, n_items).
Scorer = Callable[[Any, "Tensor | None"], Tensor]


@torch.no_grad()
def rank_samples(samples: EvalSamples, scorer: Scorer, show_progress: bool = False) -> np.ndarray:
    """Rank the target of each sample among its candidates.

    Args:
        samples: batches of samples.
        scorer: scores items for a batch.
        show_progress: show a progress bar.

    Returns:
        (S,) int64, from 1.

    Raises:
        InvalidScoresError: the score of a candidate is NaN.
    """
    ranks = []
    with tqdm(
        total=len(samples.targets), desc=f"{samples.phase:>10}", unit=" samples", unit_scale=True, leave=False,
        disable=None if show_progress else True,
    ) as bar:  # fmt: skip
        for batch, items, allowed in samples:
            scores = scorer(batch, items).float()
            if allowed is not None:
                ranks.append(ranks_in_domain(scores, batch[samples.item_field], allowed))
            else:
                ranks.append(ranks_among(scores[:, 1:], scores[:, 0]))
            bar.update(len(scores))
    return torch.cat(ranks).cpu().numpy() if ranks else np.zeros(0, dtype=np.int64)


def top_k(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k highest of each row, equal scores in the order of the columns (which `torch.topk` does not promise).

    Args:
        scores: (B, C) float.
        k: up to C.

    Returns:
        Columns (B, k) int64 and their scores (B, k), best first.

    >>> top_k(torch.tensor([[1.0, 3.0, 3.0, 2.0]]), 3)[0].tolist()
    [[1, 2, 3]]
    """
    value, column = scores.topk(k, dim=1)
    tied = (scores >= value[:, -1:]).sum(dim=1) > k
    if tied.any():
        column[tied] = scores[tied].sort(dim=1, descending=True, stable=True).indices[:, :k]
    column = column.sort(dim=1).values
    value, order = scores.gather(1, column).sort(dim=1, descending=True, stable=True)
    return column.gather(1, order), value
