from __future__ import annotations

import math

import numpy as np
import pytest

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.evaluation.sample_metrics import display_name, hit, ndcg, per_sample, reciprocal_rank

RANK = np.array([1, 2, 3, 10, 11])


def test_metrics_are_the_ones_computed_by_hand():
    assert hit(RANK, 10).tolist() == [1, 1, 1, 1, 0]
    assert ndcg(RANK, 3) == pytest.approx([1, 1 / math.log2(3), 0.5, 0, 0])
    assert reciprocal_rank(RANK) == pytest.approx([1, 1 / 2, 1 / 3, 1 / 10, 1 / 11])
    assert reciprocal_rank(RANK, 2) == pytest.approx([1, 1 / 2, 0, 0, 0])


def test_the_last_place_counts():
    assert hit(np.array([10]), 10) == 1
    assert ndcg(np.array([10]), 10) == pytest.approx(1 / math.log2(11))


@pytest.mark.parametrize("name", ["hit@10", "NDCG@10", "mrr@10", "mrr"])
def test_a_metric_goes_by_its_name(name):
    assert per_sample(RANK, name).shape == RANK.shape


@pytest.mark.parametrize("name", ["hits@10", "ndcg", "ndcg@0", "ndcg@ten", ""])
def test_a_wrong_name_is_refused_with_the_right_ones(name):
    with pytest.raises(UserError, match="ndcg@K"):
        per_sample(RANK, name)


def test_display_names():
    assert [display_name(name) for name in ("ndcg@10", "hit@5", "mrr")] == ["NDCG@10", "Hit@5", "MRR"]
