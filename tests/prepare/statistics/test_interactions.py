from __future__ import annotations

import numpy as np
import pytest

from recbole_lecdsr.data.event_log import build_event_log
from recbole_lecdsr.prepare.statistics.interactions import Interactions
from tests.helpers.interactions import number_rows


def test_the_last_two_interactions_are_held_out_as_leave_one_out_does():
    rows = [(0, 1, 0, 1), (0, 2, 0, 2), (1, 1, 0, 1), (1, 2, 1, 2), (1, 3, 0, 3), *((2, i, 1, i) for i in range(5))]
    assert number_rows(*rows, (3, 1, 0, 1)).split.tolist() == [0, 0, 0, 0, 2, 0, 0, 0, 1, 2, 0]


@pytest.mark.parametrize(
    "rule",
    [{"LS": "valid_and_test"}, {"LS": "test_only"}, {"RS": [0.6, 0.2, 0.2]}, {"RS": [2, 2, 1], "group_by": "none"}],
    ids=str,
)
def test_splits_are_those_of_the_event_log(rule):
    rng = np.random.default_rng(4)
    user, item, domain, time = (rng.integers(0, n, 200) for n in (30, 9, 2, 6))
    domain = np.sort(domain)
    data = Interactions(user, item, domain, time.astype(float), split_rule=rule)
    split = {key: value for key, value in rule.items() if key != "group_by"}
    log = build_event_log(user, item, domain, time, split=split, group_by=rule.get("group_by", "user"))
    assert data.split[data.order].tolist() == log.split.tolist()
    assert item[data.order].tolist() == log.item.tolist()
