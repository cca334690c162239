"""Features are computed once where the same batch comes again and again."""

from __future__ import annotations

import torch

from recbole_lecdsr.model.score_fusion.feature_cache import FeatureCache
from recbole_lecdsr.model.sequence_input import SequenceInput


def batch(seed):
    torch.manual_seed(seed)
    item = torch.randint(0, 9, (4, 3))
    return SequenceInput(item, item, item, item.float(), item[:, 0], item[:, 0], item[:, 0]), torch.randint(
        0, 9, (4, 2)
    )


def test_a_batch_is_kept_and_another_one_is_not_mistaken_for_it():
    cache, calls = FeatureCache(), []

    def compute(inputs, candidates):
        calls.append(candidates)
        return candidates[None].float() * inputs.item_seq[:, :1]

    for seed in (0, 1, 0, 1, 0, 1):
        inputs, candidates = batch(seed)
        assert torch.equal(
            cache.features(inputs, candidates, compute), candidates[None].float() * inputs.item_seq[:, :1]
        )
    assert len(calls) == 2, "once each"
    inputs, candidates = batch(0)
    cache.features(inputs._replace(time_seq=inputs.time_seq + 1), candidates, compute)
    assert len(calls) == 3


def test_no_more_is_kept_than_fits():
    cache, calls = FeatureCache(limit=40), []  # one batch of 32 bytes
    for seed in (0, 1) * 3:
        cache.features(*batch(seed), lambda inputs, candidates: calls.append(1) or candidates[None].float())
    assert len(calls) == 1 + 3
