"""Training on whole sequences with negatives of each position."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recbole_lecdsr import distributed
from recbole_lecdsr.data.collator import SequenceCollator
from recbole_lecdsr.data.position_loader import BothDomainsLoader, PositionLoader, RowMeanLoader
from tests.helpers.pairs import interactions_of_length, write_pair
from tests.helpers.runs import load

NEGATIVES = {"sample_num": 6, "distribution": "uniform", "alpha": 1.0, "exclude_user_items": True, "shared": False}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    settings = write_pair(tmp_path_factory.mktemp("dataset"), interactions_of_length([9] * 12))
    return load(settings, MAX_ITEM_LIST_LENGTH=5)


def make(loader_class, dataset):
    values = {"train_samples": "sequences", "train_neg_sample_args": NEGATIVES, "train_batch_size": 7}
    config = {**dataset.config.final_config_dict, **values}
    return loader_class(config, dataset, SequenceCollator(config, dataset))


@pytest.mark.parametrize(("loader_class", "width"), [(PositionLoader, 6), (BothDomainsLoader, 12)])
def test_each_target_has_negatives_of_the_domains_that_the_model_wants(dataset, loader_class, width):
    of_domain = [set(items.tolist()) for items in dataset.domain_items]
    log, targets = dataset.log, []
    for batch in make(loader_class, dataset):
        target, negative = batch["target_list"], batch["neg_item_id"]
        assert negative.shape == (*target.shape, width)
        assert not negative[target == 0].any()
        for row, column in torch.nonzero(target).tolist():
            item, drawn = int(target[row, column]), negative[row, column].tolist()
            targets.append(item)
            had = set(log.item[(log.user == int(batch["user_id"][row])) & (log.split == 0)].tolist())
            assert not set(drawn) & had and item not in drawn
            own = int(item in of_domain[1])
            parts = [drawn] if width == 6 else [drawn[:6], drawn[6:]]
            for domain, part in zip([own] if width == 6 else [0, 1], parts, strict=True):
                assert set(part) <= of_domain[domain]
    assert sorted(targets) == sorted(log.item[dataset.targets("train")].tolist())


def test_negatives_follow_from_the_epoch_and_differ_between_epochs(dataset):
    loader = make(PositionLoader, dataset)
    first, second = ([batch["neg_item_id"] for batch in loader] for _ in range(2))
    loader.set_epoch(0)
    again = [batch["neg_item_id"] for batch in loader]
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    assert any(
        one.shape != other.shape or not torch.equal(one, other) for one, other in zip(first, second, strict=True)
    )


def test_every_item_of_the_other_domain_can_be_drawn(dataset):
    pool = make(BothDomainsLoader, dataset).sampler.domain_items
    items = [np.asarray(part) for part in dataset.domain_items]
    generator = torch.Generator().manual_seed(0)
    positive = torch.tensor([int(items[0][0])])
    drawn = pool.draw(torch.tensor([1]), positive, 40 * len(items[1]), generator)
    assert set(drawn.flatten().tolist()) == set(items[1].tolist())


def test_a_mean_over_rows_is_put_together_from_the_shards_of_all_processes(dataset, monkeypatch):
    def batches(rank: int, size: int):
        monkeypatch.setattr(distributed, "rank", lambda: rank)
        monkeypatch.setattr(distributed, "world_size", lambda: size)
        loader = make(RowMeanLoader, dataset)
        return [(batch["target_list"].ne(0).sum(dim=1).double().log(), loader.loss_weights) for batch in loader]

    whole, parts = batches(0, 1), [batches(rank, 3) for rank in range(3)]
    assert {len(rows) for rows, _ in whole} == {7, 3}, "also a batch that is too small to distribute"
    for (rows, weights), *own in zip(whole, *parts, strict=True):
        assert weights == (1, 1)
        mean = sum(shard.mean() * weights[0] for shard, weights in own) / 3
        assert mean.item() == pytest.approx(rows.mean().item())
