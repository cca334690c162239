"""Ranks by a model, over all processes of a run."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from recbole_lecdsr import distributed
from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.data.eval_loader import EvalLoader
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.evaluation.coverage import TopItems
from recbole_lecdsr.evaluation.metrics import ModelScorer
from recbole_lecdsr.evaluation.ranking import InvalidScoresError, RankedBlock, rank_samples
from recbole_lecdsr.model.base import CrossDomainSequentialRecommender


@torch.no_grad()
def model_ranks(
    model: CrossDomainSequentialRecommender,
    eval_data: EvalLoader,
    show_progress: bool = False,
    top_items: TopItems | None = None,
    chosen: np.ndarray | None = None,
) -> np.ndarray:
    """Rank the target of each sample among its candidates.

    Args:
        model: with the weights to evaluate; it is put into evaluation mode.
        eval_data: S samples, of which each process ranks its share.
        show_progress: show a progress bar.
        top_items: in full ranking, counts the top items in the same pass; given in all processes or in none.
        chosen: (S,) bool, the samples whose top items are counted; None for all.

    Returns:
        (S,) int64 from 1; 0 for all samples of a domain that the model does not score.

    Raises:
        UserError: the model gives scores that are not numbers.
    """
    model.eval()
    shard = eval_data.shard()
    counted = TopItems(shard, top_items.k) if top_items is not None else None
    of_shard = np.ones(len(eval_data.targets), bool) if chosen is None else chosen
    of_shard = of_shard[distributed.shard(len(of_shard))]

    def count(samples: Tensor, block: RankedBlock) -> None:
        if counted is not None:
            index = samples.cpu().numpy()
            counted.count(shard.domain[index], block, of_shard[index])

    try:
        with model.scoring():
            ranks = rank_samples(
                shard,
                ModelScorer(model, eval_data.item_field),
                show_progress,
                k=0 if counted is None else counted.k,
                on_block=count,
            )
    except InvalidScoresError as error:
        raise UserError(f"{error}: lower learning_rate, or switch off enable_amp") from None
    rank = distributed.gather_shards(ranks, len(eval_data.targets))
    if top_items is not None and counted is not None:
        top_items.counts += distributed.all_reduce_sum(torch.from_numpy(counted.counts)).numpy()
    scored = [DOMAINS.index(name) for name in model.scored_domains]
    return np.where(np.isin(eval_data.domain, scored), rank, 0)
