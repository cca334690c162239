"""Ranks of targets among their candidates (docs/protocol.md, 7). Imports no framework.

A rank is 1 + the number of other candidates whose score is at least that of the target: ties count against the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from recbole_lecdsr.data.domain_rows import DomainRows

_CPU_CELLS = 1 << 23  # scores of a block: 32 MB
_GPU_CELLS = 1 << 27


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


def hide_items_(scores: Tensor, hidden: tuple[Tensor, Tensor]) -> Tensor:
    """Give minus infinity to items that are no candidates, in place.

    Args:
        scores: (R, C) float.
        hidden: row and column of each of them, (E,) int64; the scores of all others must be numbers.

    Returns:
        ``scores``.

    Raises:
        InvalidScoresError: the score of a candidate is NaN.
    """
    scores[hidden] = -torch.inf
    if scores.numel() and torch.isnan(scores.amax()):  # a maximum takes no memory, and hands a NaN on
        _refuse_nan(scores)
    return scores


def ranks_of_columns_(scores: Tensor, target: Tensor, target_score: Tensor) -> Tensor:
    """Ranks of targets among all items of a block.

    Args:
        scores: (R, C) float, minus infinity for what is no candidate; the targets' are overwritten.
        target: (R,) int64, column of each target.
        target_score: (R,) float, the scores of the targets, which are candidates even where they are hidden.

    Returns:
        (R,) int64, from 1.

    Raises:
        InvalidScoresError: the score of a target is NaN.

    >>> ranks_of_columns_(torch.tensor([[5.0, 4.0, 4.0]]), torch.tensor([1]), torch.tensor([4.0])).tolist()
    [3]
    """
    _refuse_nan(target_score)
    target_score = target_score.unsqueeze(1)
    return (scores.scatter_(1, target.unsqueeze(1), target_score) >= target_score).sum(dim=1)


def _refuse_nan(*tensors: Tensor) -> None:
    """NaN compares as smaller than everything, so its item would rank first."""
    if any(torch.isnan(tensor).any() for tensor in tensors):
        raise InvalidScoresError("the model gave scores that are not numbers; ranks would be meaningless")


class EvalSamples(Protocol):
    """What `rank_samples` needs of a loader (`recbole_lecdsr.data.eval_loader.EvalLoader`).

    Iterating yields (batch, items, parts):

    - sampled ranking: items (B, 1 + N) int64, each target followed by its candidates; no parts;
    - full ranking: items is None; parts are the `DomainRows` of the batch.

    Attributes:
        targets: (S,) int64, one entry for each sample.
        phase: ``valid`` or ``test``, for the progress bar.
    """

    targets: np.ndarray
    phase: str

    def __iter__(self) -> Iterator[tuple[Any, Tensor | None, list[DomainRows]]]: ...


# Scores of the same items for some rows of a batch: rows (R,) and items (C,) -> (R, C), which may be overwritten.
ItemScorer = Callable[[Tensor, Tensor], Tensor]


class Scorer(Protocol):
    """Scores items for a batch of B samples."""

    def score_candidates(self, batch: Any, items: Tensor) -> Tensor:
        """Scores of each sample's own items: (B, C) int64 -> (B, C)."""

    def item_scorer(self, batch: Any) -> ItemScorer:
        """What scores items that are the same for all samples."""


class RankedBlock(NamedTuple):
    """Samples of a batch, ranked among all items of their domain.

    Attributes:
        rows: (R,) int64, rows of the batch.
        rank: (R,) int64, from 1.
        top_item: (R, K) int64, best first.
        top_score: (R, K) float, minus infinity where there are fewer than K candidates.
    """

    rows: Tensor
    rank: Tensor
    top_item: Tensor
    top_score: Tensor


@torch.no_grad()
def rank_samples(
    samples: EvalSamples,
    scorer: Scorer,
    show_progress: bool = False,
    *,
    k: int = 0,
    on_block: Callable[[Tensor, RankedBlock], None] | None = None,
) -> np.ndarray:
    """Rank the target of each sample among its candidates.

    Args:
        samples: batches of samples.
        scorer: scores items for a batch.
        show_progress: show a progress bar.
        k: in full ranking, number of top items to find in the same pass.
        on_block: in full ranking, is given the samples, (R,) int64, and the results of each block.

    Returns:
        (S,) int64, from 1.

    Raises:
        InvalidScoresError: the score of a candidate is NaN.
    """
    ranks = []
    done = 0
    with tqdm(
        total=len(samples.targets), desc=f"{samples.phase:>10}", unit=" samples", unit_scale=True, leave=False,
        disable=None if show_progress else True,
    ) as bar:  # fmt: skip
        for batch, items, parts in samples:
            if items is not None:
                scores = scorer.score_candidates(batch, items).float()
                ranks.append(ranks_among(scores[:, 1:], scores[:, 0]))
            else:
                blocks = list(rank_blocks(scorer.item_scorer(batch), parts, k))
                order = torch.argsort(torch.cat([block.rows for block in blocks]))
                ranks.append(torch.cat([block.rank for block in blocks])[order])
                if on_block is not None:
                    for block in blocks:
                        on_block(done + block.rows, block)
            done += len(ranks[-1])
            bar.update(len(ranks[-1]))
    return torch.cat(ranks).cpu().numpy() if ranks else np.zeros(0, dtype=np.int64)


def rank_blocks(score_items: ItemScorer, parts: list[DomainRows], k: int) -> Iterator[RankedBlock]:
    """Rank samples among all items of their domains, some samples at a time, so that no more scores are held than fit.

    Args:
        score_items: scores items for rows of the batch.
        parts: the samples of the batch.
        k: number of top items to find; may be 0.

    Raises:
        InvalidScoresError: the score of a candidate is NaN.
    """
    for part in parts:
        cells = _CPU_CELLS if part.items.device.type == "cpu" else _GPU_CELLS
        for rows, items, target, hidden in part.split(max(1, cells // len(part.items))):
            scores = score_items(rows, items).float()
            target_score = scores.gather(1, target.unsqueeze(1)).squeeze(1)
            hide_items_(scores, hidden)
            column, best = top_k(scores, min(k, len(items)))
            yield RankedBlock(rows, ranks_of_columns_(scores, target, target_score), items[column], best)


def top_k(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k highest of each row, equal scores in the order of the columns (which `torch.topk` does not promise).

    Args:
        scores: (B, C) float.
        k: from 0 to C.

    Returns:
        Columns (B, k) int64 and their scores (B, k), best first.

    >>> top_k(torch.tensor([[1.0, 3.0, 3.0, 2.0]]), 3)[0].tolist()
    [[1, 2, 3]]
    """
    value, column = scores.topk(k, dim=1)
    if not k:
        return column, value
    tied = (scores >= value[:, -1:]).sum(dim=1) > k
    if tied.any():
        column[tied] = scores[tied].sort(dim=1, descending=True, stable=True).indices[:, :k]
    column = column.sort(dim=1).values
    value, order = scores.gather(1, column).sort(dim=1, descending=True, stable=True)
    return column.gather(1, order), value
