"""Ranks by a model, over all processes of a run."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from recbole_lecdsr import distributed
from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.data.eval_loader import EvalLoader
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.evaluation.metrics import model_scores
from recbole_lecdsr.evaluation.ranking import InvalidScoresError, rank_samples
from recbole_lecdsr.model.base import CrossDomainSequentialRecommender


@torch.no_grad()
def model_ranks(
    model: CrossDomainSequentialRecommender, eval_data: EvalLoader, show_progress: bool = False
) -> np.ndarray:
    """Rank the target of each sample among its candidates.

    Args:
        model: with the weights to evaluate; it is put into evaluation mode.
        eval_data: S samples, of which each process ranks its share.
        show_progress: show a progress bar.

    Returns:
        (S,) int64 from 1; 0 for all samples of a domain that the model does not score.

    Raises:
        UserError: the model gives scores that are not numbers.
    """
    model.eval()
    scorer = partial(model_scores, model, eval_data.item_field)
    try:
        with model.scoring():
            shard = rank_samples(eval_data.shard(), scorer, show_progress)
    except InvalidScoresError as error:
        raise UserError(f"{error}: lower learning_rate, or switch off enable_amp") from None
    rank = distributed.gather_shards(shard, len(eval_data.targets))
    scored = [DOMAINS.index(name) for name in model.scored_domains]
    return np.where(np.isin(eval_data.domain, scored), rank, 0)
