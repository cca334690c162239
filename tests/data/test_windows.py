from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from recbole.data.dataset import Dataset

from recbole_lecdsr.data.constants import TEST, TRAIN, VALID
from recbole_lecdsr.data.event_log import EventLog, build_event_log
from recbole_lecdsr.data.samples import sample_targets, sequence_ends
from recbole_lecdsr.data.splitting import leave_one_out, split_by_ratio
from recbole_lecdsr.data.windows import SingleDomainGatherer, WindowGatherer


def log_of(*rows, split=None, ready=None) -> EventLog:
    """Rows of (user, item, domain, time)."""
    user, item, domain, time = (np.array(column) for column in zip(*rows, strict=True))
    return build_event_log(user, item, domain, time, split or {"LS": "valid_and_test"}, ready)


def test_events_are_ordered_by_time_then_source_before_target_then_row():
    log = log_of((1, 10, 1, 5.0), (1, 11, 0, 5.0), (1, 12, 0, 5.0), (1, 13, 1, 1.0), (2, 14, 0, 0.0))
    assert log.item.tolist() == [13, 11, 12, 10, 14]
    assert log.first.tolist() == [0, 0, 0, 0, 4]
    assert log.source_before.tolist() == [0, 0, 1, 2, 0]


def test_positions_count_backwards_within_each_domain():
    # domains of the window, oldest first:   0  1  1  0  1      then the target
    rows = [(1, 10 + i, d, float(i)) for i, d in enumerate([0, 1, 1, 0, 1, 0])]
    item_seq, position, domain_seq, _ = WindowGatherer(log_of(*rows), max_length=7)(torch.tensor([5]))
    assert item_seq.tolist() == [[0, 0, 10, 11, 12, 13, 14]]
    assert position.tolist() == [[0, 0, 2, 3, 2, 1, 1]]
    assert domain_seq.tolist() == [[0, 0, 0, 1, 1, 0, 1]]


def test_the_calendar_is_the_share_of_events_up_to_an_event_test_events_left_out():
    rows = [(1, 10, 0, 40.0), (1, 11, 1, 10.0), (1, 12, 0, 20.0), (1, 14, 1, 90.0), (1, 15, 1, 70.0)]
    log = log_of(*rows)
    assert log.split.tolist() == [TRAIN, TRAIN, TRAIN, VALID, TEST]
    assert log.relative_time.tolist() == [0.25, 0.5, 0.75, 1, 1]
    window = WindowGatherer(log, max_length=3)(torch.tensor([2]))
    assert window.relative_time.tolist() == [[0, 0.25, 0.5]], (
        "of the events before the target, whose own time is not told"
    )


def test_times_count_in_whatever_unit_they_are_given():
    rows = [(1, i, i % 2, float(i * i)) for i in range(7)]
    later = [(user, item, domain, 1e12 + 86400 * time) for user, item, domain, time in rows]
    assert log_of(*rows).relative_time.tolist() == log_of(*later).relative_time.tolist()


def test_a_window_shorter_than_the_history_holds_the_newest_events():
    rows = [(1, 10 + i, i % 2, float(i)) for i in range(6)]
    item_seq, position, *_ = WindowGatherer(log_of(*rows), max_length=3)(torch.tensor([5]))
    assert item_seq.tolist() == [[12, 13, 14]]
    assert position.tolist() == [[2, 1, 1]]


def test_a_window_never_reaches_into_the_events_of_another_user():
    log = log_of((1, 10, 0, 0.0), (1, 11, 1, 1.0), (2, 20, 0, 0.0), (2, 21, 1, 1.0))
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
    log = log_of(*rows)
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
def test_the_window_after_the_latest_event_is_that_of_an_event_to_come(gatherer, rows, domain, length):
    log = log_of(*rows)
    users = np.unique(log.user)
    longer = log_of(*rows, *((user, 99, domain, 9.0) for user in users))
    last, to_come = np.searchsorted(log.user, users, side="right") - 1, np.flatnonzero(longer.item == 99)
    now, then = gatherer(log, length), gatherer(longer, length)
    found = now.gather_next(torch.from_numpy(last), torch.full((len(last),), domain))
    # Not the calendars: an event more makes a training event more.
    for part, expected in zip(found[:3], then(torch.from_numpy(to_come))[:3], strict=True):
        assert part.tolist() == expected.tolist()
    had, expected_had = now.history_through(torch.from_numpy(last)), then.history(torch.from_numpy(to_come))
    for part, expected in zip(had, expected_had, strict=True):
        assert part.tolist() == expected.tolist()


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


def test_leave_one_out_takes_the_last_event_for_test_and_the_one_before_for_validation():
    log = log_of(*[(1, i + 1, i % 2, float(i)) for i in range(5)])
    assert log.split.tolist() == [TRAIN, TRAIN, TRAIN, VALID, TEST]
    assert sample_targets(log, TRAIN).tolist() == [1, 2], "the first event has no history and is no sample"
    assert sample_targets(log, TRAIN, min_history=2).tolist() == [2]


@pytest.mark.parametrize(("mode", "labels"), [("valid_only", [0, 0, 0, 1]), ("test_only", [0, 0, 0, 2])])
def test_leave_one_out_can_hold_out_one_part_only(mode, labels):
    log = log_of(*[(1, i + 1, 0, float(i)) for i in range(4)], split={"LS": mode})
    assert log.split.tolist() == labels


def test_windows_of_ready_made_splits_never_hold_events_of_a_later_split():
    # The test event is the oldest by time: a benchmark split may be by anything.
    rows = [(1, 10, 0, 9.0), (1, 11, 1, 8.0), (1, 12, 0, 1.0)]
    log = log_of(*rows, ready=np.array([TRAIN, TRAIN, TEST]))
    assert log.item.tolist() == [11, 10, 12]
    item_seq, *_ = WindowGatherer(log, 3)(torch.tensor([1, 2]))
    assert item_seq.tolist() == [[0, 0, 11], [0, 11, 10]]


def test_no_training_window_or_target_is_a_validation_or_test_event():
    rng = np.random.default_rng(0)
    rows = [(u, e + 1, int(rng.integers(2)), float(rng.integers(20))) for e, u in enumerate(rng.integers(1, 9, 300))]
    log = log_of(*rows, split={"RS": [0.6, 0.2, 0.2]})  # each event has an item of its own
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


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="LS: valid_and_test"):
        log_of((1, 1, 0, 0.0), (1, 2, 0, 1.0), split={"LS": "all"})


def test_a_log_whose_users_do_not_stand_together_is_refused():
    column = np.zeros(3, dtype=np.int8)
    with pytest.raises(ValueError, match="must be contiguous"):
        EventLog(np.array([1, 2, 1]), *[column] * 6)


def test_history_reaches_beyond_the_window():
    log = log_of(*[(1, i + 1, 0, float(i)) for i in range(5)], (2, 9, 0, 0.0), (2, 8, 0, 1.0))
    row, item = WindowGatherer(log, 2).history(torch.tensor([4, 6]))
    assert row.tolist() == [0, 0, 0, 0, 1]
    assert item.tolist() == [1, 2, 3, 4, 9]


@pytest.mark.parametrize(("max_length", "stride"), [(5, 5), (5, 2), (50, 25), (7, 1), (4, 3)])
def test_windows_of_sequences_train_on_every_target_once(max_length, stride):
    rng = np.random.default_rng(0)
    user = np.sort(rng.integers(1, 9, 200))
    log = build_event_log(
        user, rng.integers(1, 50, 200), rng.integers(0, 2, 200), np.arange(200.0), {"LS": "valid_and_test"}
    )
    target = sample_targets(log, TRAIN)
    end, count = sequence_ends(log, target, max_length, stride)
    covered = np.concatenate([np.arange(e - c + 1, e + 1) for e, c in zip(end, count, strict=True)])
    assert sorted(covered) == target.tolist()
    assert np.all(count <= np.minimum(max_length, end - log.first[end])), "positions that the window has"


def test_the_newest_positions_of_a_window_are_trained_on_with_enough_events_before_them():
    log = build_event_log(np.ones(10), np.arange(10), np.zeros(10), np.arange(10.0), {"LS": "test_only"})
    end, count = sequence_ends(log, sample_targets(log, TRAIN), 4, 2)
    assert end.tolist() == [8, 6, 4] and count.tolist() == [2, 2, 4]
