from __future__ import annotations

import pytest
import torch

from recbole_lecdsr.evaluation import ranking
from recbole_lecdsr.evaluation.ranking import top_k


def test_ties_count_against_the_model():
    scores = torch.tensor([[1.0, 2.0, 2.0], [0.0, 0.0, 0.0], [3.0, 1.0, 0.0]])
    assert ranking.ranks_among(scores, torch.tensor([2.0, 0.0, 5.0])).tolist() == [3, 4, 1]


def test_full_ranking_counts_allowed_items_only_and_always_the_target():
    scores = torch.tensor([[9.0, 5.0, 4.0, 4.0, 8.0]])
    allowed = torch.tensor([[False, True, False, True, False]])
    assert ranking.ranks_in_domain(scores, torch.tensor([2]), allowed).tolist() == [3]
    assert ranking.ranks_in_domain(scores, torch.tensor([4]), allowed).tolist() == [1]


def test_full_and_sampled_ranks_agree_when_all_items_are_candidates():
    generator = torch.Generator().manual_seed(0)
    scores = torch.randint(0, 6, (20, 12), generator=generator).float()
    target = torch.randint(1, 12, (20,), generator=generator)
    allowed = torch.ones(20, 12, dtype=torch.bool)
    allowed[:, 0] = False
    others = torch.stack([torch.tensor([i for i in range(1, 12) if i != t]) for t in target.tolist()])
    full = ranking.ranks_in_domain(scores, target, allowed)
    assert torch.equal(full, ranking.ranks_among(scores.gather(1, others), scores.gather(1, target[:, None])[:, 0]))


def test_scores_that_are_not_numbers_are_refused_instead_of_ranking_first():
    with pytest.raises(ranking.InvalidScoresError, match="not numbers"):
        ranking.ranks_among(torch.tensor([[1.0]]), torch.tensor([torch.nan]))
    with pytest.raises(ranking.InvalidScoresError, match="not numbers"):
        ranking.ranks_in_domain(
            torch.tensor([[0.0, torch.nan, 1.0]]), torch.tensor([2]), torch.ones(1, 3, dtype=torch.bool)
        )


def test_equal_scores_keep_the_order_of_the_items():
    scores = torch.tensor([[1.0, 2.0, 2.0, 2.0, 0.0], [5.0, 5.0, 5.0, 5.0, 5.0], [1.0, 2.0, 3.0, 4.0, 5.0]])
    column, value = top_k(scores, 2)
    assert column.tolist() == [[1, 2], [0, 1], [4, 3]]
    assert value.tolist() == [[2, 2], [5, 5], [5, 4]]
