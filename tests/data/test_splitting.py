from __future__ import annotations

import numpy as np
import pytest
from recbole.data.dataset import Dataset

from recbole_lecdsr.data.splitting import leave_one_out, split_by_ratio


@pytest.mark.parametrize("ratios", [[0.8, 0.1, 0.1], [0.5, 0.3, 0.2], [8, 1, 1], [0.6, 0.0, 0.4]])
def test_ratio_counts_are_those_of_recbole(ratios):
    stock, share = Dataset.__new__(Dataset), [ratio / sum(ratios) for ratio in ratios]
    ours = split_by_ratio(np.arange(150), ratios)
    for total, counts in enumerate(ours):
        ends = [0, *stock._calcu_split_ids(total, share), total]
        assert np.diff(ends).tolist() == counts.tolist()


@pytest.mark.parametrize("held_out", [1, 2])
def test_leave_one_out_counts_are_those_of_recbole(held_out):
    stock = Dataset.__new__(Dataset)
    for total in range(1, 6):
        parts = stock._split_index_by_leave_one_out([list(range(total))], held_out)
        assert leave_one_out(np.array([total]), held_out)[0].tolist() == [len(part) for part in parts]
