from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_lecdsr.data.constants import TEST, TRAIN, VALID
from recbole_lecdsr.data.event_log import EventLog
from recbole_lecdsr.data.samples import sample_targets
from recbole_lecdsr.data.windows import SingleDomainGatherer, WindowGatherer
from tests.helpers.event_logs import make_log


def test_positions_count_backwards_within_each_domain():
    # domains of the window, oldest first:   0  1  1  0  1      then the target
    rows = [(1, 10 + i, d, float(i)) for i, d in enumerate([0, 1, 1, 0, 1, 0])]
    item_seq, position, domain_seq, _ = WindowGatherer(make_log(*rows), max_length=7)(torch.tensor([5]))
    assert item_seq.tolist() == [[0, 0, 10, 11, 12, 13, 14]]
    assert position.tolist() == [[0, 0, 2, 3, 2, 1, 1]]
    assert domain_seq.tolist() == [[0, 0, 0, 1, 1, 0, 1]]


def test_a_window_shorter_than_the_history_holds_the_newest_interactions():
    rows = [(1, 10 + i, i % 2, float(i)) for i in range(6)]
    item_seq, position, *_ = WindowGatherer(make_log(*rows), max_length=3)(torch.tensor([5]))
    assert item_seq.tolist() == [[12, 13, 14]]
    assert position.tolist() == [[2, 1, 1]]


def test_a_window_never_reaches_into_the_interactions_of_another_user():
    log = make_log((1, 10, 0, 0.0), (1, 11, 1, 1.0), (2, 20, 0, 0.0), (2, 21, 1, 1.0))
    item_seq, position, *_ = WindowGatherer(log, max_length=4)(torch.tensor([3, 1]))
    assert item_seq.tolist() == [[0, 0, 0, 20], [0, 0, 0, 10]]
    assert position.tolist() == [[0, 0, 0, 1], [0, 0, 0, 1]]


def naive_window(log: EventLog, target: int, length: int) -> tuple[list[int], list[int]]:
    events = [e for e in range(target) if log.user[e] == log.user[target]][-length:]
    position = [sum(log.domain[f] == log.domain[e] for f in events if f >= e) for e in events]
    pad = [0] * (length - len(events))
    return pad + [int(log.item[e]) for e in events], pad + position


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(0, 1), st.integers(0, 4)), min_size=2, max_size=30
    ),
    st.integers(1, 9),
)
def test_windows_equal_those_of_a_loop(rows, length):
    log = make_log(*rows)
    targets = np.flatnonzero(log.history_length >= 1)
    item_seq, position, *_ = WindowGatherer(log, length)(torch.from_numpy(targets))
    for row, target in enumerate(targets):
        expected = naive_window(log, target, length)
        assert (item_seq[row].tolist(), position[row].tolist()) == expected


@pytest.mark.parametrize("gatherer", [WindowGatherer, SingleDomainGatherer])
@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(0, 1), st.integers(0, 4)), min_size=1, max_size=20
    ),
    domain=st.integers(0, 1),
    length=st.integers(1, 6),
)
def test_the_window_after_the_latest_interaction_is_that_of_an_interaction_to_come(gatherer, rows, domain, length):
    log = make_log(*rows)
    users = np.unique(log.user)
    longer = make_log(*rows, *((user, 99, domain, 9.0) for user in users))
    last, to_come = np.searchsorted(log.user, users, side="right") - 1, np.flatnonzero(longer.item == 99)
    now, then = gatherer(log, length), gatherer(longer, length)
    found = now.gather_next(torch.from_numpy(last), torch.full((len(last),), domain))
    # Not the calendars: an event more makes a training event more.
    for part, expected in zip(found[:3], then(torch.from_numpy(to_come))[:3], strict=True):
        assert part.tolist() == expected.tolist()
    had, expected_had = now.history_through(torch.from_numpy(last)), then.history(torch.from_numpy(to_come))
    for part, expected in zip(had, expected_had, strict=True):
        assert part.tolist() == expected.tolist()


def test_windows_of_ready_made_splits_never_hold_interactions_of_a_later_split():
    # The test event is the oldest by time: a benchmark split may be by anything.
    rows = [(1, 10, 0, 9.0), (1, 11, 1, 8.0), (1, 12, 0, 1.0)]
    log = make_log(*rows, ready=np.array([TRAIN, TRAIN, TEST]))
    assert log.item.tolist() == [11, 10, 12]
    item_seq, *_ = WindowGatherer(log, 3)(torch.tensor([1, 2]))
    assert item_seq.tolist() == [[0, 0, 11], [0, 11, 10]]


def test_no_training_window_or_target_is_a_validation_or_test_interaction():
    rng = np.random.default_rng(0)
    rows = [(u, e + 1, int(rng.integers(2)), float(rng.integers(20))) for e, u in enumerate(rng.integers(1, 9, 300))]
    log = make_log(*rows, split={"RS": [0.6, 0.2, 0.2]})  # each event has an item of its own
    train, held_out = sample_targets(log, TRAIN), set(log.item[log.split > TRAIN].tolist())
    item_seq, *_ = WindowGatherer(log, 50)(torch.from_numpy(train))
    assert held_out.isdisjoint(item_seq.flatten().tolist())
    assert held_out.isdisjoint(log.item[train].tolist())
    for phase in (VALID, TEST):
        target = sample_targets(log, phase)
        assert len(target)
        item_seq, *_ = WindowGatherer(log, 50)(torch.from_numpy(target))
        earlier = [set(log.item[log.first[t] : t].tolist()) for t in target]
        assert [set(row) - {0} for row in item_seq.tolist()] == earlier


def test_history_reaches_beyond_the_window():
    log = make_log(*[(1, i + 1, 0, float(i)) for i in range(5)], (2, 9, 0, 0.0), (2, 8, 0, 1.0))
    row, item = WindowGatherer(log, 2).history(torch.tensor([4, 6]))
    assert row.tolist() == [0, 0, 0, 0, 1]
    assert item.tolist() == [1, 2, 3, 4, 9]
