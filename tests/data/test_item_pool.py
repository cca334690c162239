from __future__ import annotations

import pytest
import torch

from recbole_lecdsr.data.item_pool import DomainItems, UserItemIndex
from recbole_lecdsr.errors import UserError


def test_a_domain_of_one_item_has_no_negatives():
    pool = DomainItems((torch.tensor([1]), torch.tensor([2, 3])), 4)
    with pytest.raises(UserError, match="single item"):
        pool.draw(torch.tensor([0]), torch.tensor([1]), 2, torch.Generator())


def test_own_items_answer_for_many_pairs_at_once():
    own = UserItemIndex(torch.tensor([3, 1, 3, 1]), torch.tensor([2, 5, 2, 4]), 10)
    assert own.contains(torch.tensor([[1], [3]]), torch.tensor([[2, 4, 5]])).tolist() == [
        [False, True, True],
        [True, False, False],
    ]
    assert own.items_of(1).tolist() == [4, 5]
    assert own.items_of(2).tolist() == []


def test_shared_negatives_are_distinct_items_of_each_domain_and_all_of_a_small_one():
    items = (torch.arange(1, 6), torch.arange(6, 106))
    pool = DomainItems(items, 106)
    generator = torch.Generator().manual_seed(0)
    seen = set()
    for _ in range(40):
        drawn = pool.draw_shared(20, generator)
        assert drawn.shape == (2, 20)
        assert sorted(drawn[0].tolist()) == [0] * 15 + [1, 2, 3, 4, 5]
        assert len(set(drawn[1].tolist())) == 20 and set(drawn[1].tolist()) <= set(range(6, 106))
        seen |= set(drawn[1].tolist())
    assert seen == set(range(6, 106))
    assert pool.draw_shared(1000, generator).shape == (2, 100)
