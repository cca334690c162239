"""Windows of each domain beside the mixed one."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_lecdsr.data.domain_windows import DomainWindowGatherer
from recbole_lecdsr.data.event_log import EventLog
from tests.helpers.event_logs import make_log

ROWS = st.lists(
    st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(0, 1), st.integers(0, 4)), min_size=2, max_size=30
)


def naive(log: EventLog, before: list[int], length: int) -> tuple[list, list, list]:
    """Items, places and mixed places of the interactions ``before`` a target, newest last."""

    def pad(values):
        return [0] * (length - len(values[-length:])) + values[-length:]

    of_domain = [[e for e in before if log.domain[e] == domain] for domain in (0, 1)]
    places = [[before.index(e) + 1 for e in events] for events in of_domain]
    items = [pad([int(log.item[e]) for e in events]) for events in of_domain]
    return items, [pad(part) for part in places], pad(list(range(1, len(before) + 1)))


@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(1, 9))
def test_windows_equal_those_of_a_loop(rows, length):
    log = make_log(*rows)
    windows = DomainWindowGatherer(log, length)(torch.arange(len(log)))
    for target in range(len(log)):
        before = [e for e in range(target) if log.user[e] == log.user[target]]
        assert tuple(part[target].tolist() for part in windows) == naive(log, before, length)


@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(1, 9))
def test_the_windows_of_what_comes_next_hold_the_latest_interaction_too(rows, length):
    log = make_log(*rows)
    last = np.flatnonzero(np.r_[log.user[1:] != log.user[:-1], True])
    windows = DomainWindowGatherer(log, length).gather_next(torch.from_numpy(last))
    for row, target in enumerate(last):
        before = [e for e in range(target + 1) if log.user[e] == log.user[target]]
        assert tuple(part[row].tolist() for part in windows) == naive(log, before, length)
