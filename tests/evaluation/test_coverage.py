"""What the top lists of a model hold."""

from __future__ import annotations

import numpy as np
import torch

from recbole_lecdsr.evaluation.coverage import TopItems
from recbole_lecdsr.model.base import CrossDomainSequentialRecommender
from tests.helpers.runs import loaders


def test_case_r28_equal_scores_are_counted_in_the_order_of_the_items(pair):
    _, _, test = loaders(pair, repeatable=True)

    class Indifferent(CrossDomainSequentialRecommender):
        """Scores everything alike."""

        def __init__(self):
            torch.nn.Module.__init__(self)

        def full_sort_predict(self, interaction):
            return torch.zeros(len(interaction), test.dataset.num_total_item)

    top = TopItems(test, k=3)
    top.add(Indifferent(), np.ones(len(test.targets), dtype=bool))
    for code, items in enumerate(test.dataset.domain_items):
        number = int((test.domain == code).sum())
        assert number and top.counts[code, items[:3]].tolist() == [number] * 3
        assert top.counts[code].sum() == 3 * number
