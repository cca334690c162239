from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_lecdsr.data.event_log import build_event_log
from recbole_lecdsr.prepare.statistics import measures
from recbole_lecdsr.prepare.statistics.measures import Events


def events(*rows, split=None, windows=None) -> Events:
    """Rows of (user, item, domain, time)."""
    user, item, domain, time = (np.array(column) for column in zip(*rows, strict=True))
    given = {}
    if windows is not None:
        given = {"window_length": np.array([len(window) for window in windows]),
                 "window_item": np.array([item for window in windows for item in window], dtype=int)}  # fmt: skip
    return Events(user, item, domain, time.astype(float), None if split is None else np.array(split), **given)


def test_lengths_are_quantiles_over_the_users_that_have_events():
    assert measures.lengths(np.array([0, 0, 0, 5, 2, 2])) == {
        "min": 1.0, "5 %": 1.1, "25 %": 1.5, "median": 2.0, "75 %": 2.5, "95 %": 2.9, "max": 3.0, "mean": 2.0,
    }  # fmt: skip
    assert measures.lengths(np.array([], dtype=int)) == {}


def test_ties_and_switches_are_counted_in_the_mixed_order():
    # user 0: source 1, then at time 2 source before target, then target 3; user 1: two of the target at one time
    found = measures.order_of_events(
        events((0, 1, 1, 2), (0, 2, 0, 2), (0, 3, 0, 1), (0, 4, 1, 3), (1, 5, 1, 7), (1, 6, 1, 7), (2, 7, 0, 2))
    )
    assert found == {"tied": round(4 / 7, 4), "tied across domains": 0.5, "targets": 4, "switching targets": 0.25}


def test_the_last_two_events_are_held_out_as_leave_one_out_does():
    rows = [(0, 1, 0, 1), (0, 2, 0, 2), (1, 1, 0, 1), (1, 2, 1, 2), (1, 3, 0, 3), *((2, i, 1, i) for i in range(5))]
    assert events(*rows, (3, 1, 0, 1)).held_out.tolist() == [0, 0, 0, 0, 2, 0, 0, 0, 1, 2, 0]


def test_leaks_of_leave_one_out():
    rows = [(0, 1, 0, 1), (0, 2, 1, 2), (0, 1, 0, 5), (0, 1, 0, 5)]  # test and validation: one event, twice
    found = measures.leaks(events(*rows))
    assert found["test"] == {
        "targets": 1, "also in training": 0, "also in training at another time": 1, "in their own window": 1,
        "order by chance": 1, "before training ends": 0,
    }  # fmt: skip
    assert found["valid"]["in their own window"] == 1
    assert found["valid"]["order by chance"] == 0
    copies = [(0, 1, 0, 5), (0, 2, 1, 1), (0, 1, 0, 5), (0, 1, 0, 5), (0, 1, 0, 5)]
    assert measures.leaks(events(*copies))["test"]["also in training"] == 1


def test_leaks_of_ready_made_splits():
    rows = [(0, 1, 0, 1), (0, 2, 1, 9), (1, 1, 0, 3), (0, 2, 1, 9), (1, 1, 0, 4), (2, 3, 0, 1)]
    found = measures.leaks(events(*rows, split=[0, 0, 0, 1, 2, 2]))
    assert found["valid"]["also in training"] == 1
    assert found["valid"]["before training ends"] == 0
    assert found["test"]["also in training at another time"] == 1
    early = measures.leaks(events((0, 1, 0, 5), (0, 2, 1, 4), split=[0, 2]))
    assert early["test"]["before training ends"] == 1


def test_leaks_within_given_windows():
    rows = [(0, 1, 0, 1), (0, 2, 1, 2), (0, 1, 0, 3)]
    found = measures.leaks(events(*rows, split=[0, 1, 2], windows=[[], [1, 2], [2]]))
    assert found["valid"]["in their own window"] == 1
    assert found["test"]["in their own window"] == 0
    assert found["test"]["also in training at another time"] == 1
    order = measures.order_of_events(events(*rows, split=[0, 1, 2], windows=[[], [1], [9, 2]]))
    assert (order["targets"], order["switching targets"]) == (2, 1.0)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 1), st.integers(0, 4)), min_size=1,
             max_size=25)
)  # fmt: skip
def test_measures_equal_those_of_loops(rows):
    data = events(*rows)
    users = {row[0] for row in rows}
    sequences = {user: sorted((r for r in rows if r[0] == user), key=lambda row: (row[3], row[2])) for user in users}
    tied = sum(sum(other[3] == row[3] for other in seq) > 1 for seq in sequences.values() for row in seq)
    switching = sum(a[2] != b[2] for seq in sequences.values() for a, b in pairwise(seq))
    targets = len(rows) - len(sequences)
    found = measures.order_of_events(data)
    assert found["tied"] == round(tied / len(rows), 4)
    assert found["targets"] == targets
    assert found["switching targets"] == (round(switching / targets, 4) if targets else 0.0)
    assert measures.leaks(data)["valid"]["targets"] == sum(len(seq) >= 4 for seq in sequences.values())
    leaks = measures.leaks(data)["test"]
    long = [seq for seq in sequences.values() if len(seq) >= 3]
    assert leaks["targets"] == len(long)
    assert leaks["in their own window"] == sum(seq[-1][1] in [row[1] for row in seq[:-1]] for seq in long)
    assert leaks["order by chance"] == sum(seq[-1][3] == seq[-2][3] for seq in long)


@pytest.mark.parametrize("largest", [7, 250])
def test_every_user_stands_in_one_bin(largest):
    rng = np.random.default_rng(0)
    user = np.repeat(np.arange(50), rng.integers(1, largest, 50))
    edges, counts = measures.histogram_of_lengths(user)
    assert sum(counts) == 50 and len(counts) == len(edges) - 1
    assert edges == sorted(set(edges)) and edges[0] == np.bincount(user).min() and edges[-1] > np.bincount(user).max()


def test_every_event_stands_in_one_bin_even_where_all_have_one_time():
    edges, counts = measures.histogram_of_times(np.full(5, 3.0), np.array([0, 0, 1, 0, 1]))
    assert [sum(part) for part in counts] == [3, 2]
    assert len(edges) == len(counts[0]) + 1


@pytest.mark.parametrize("rule", [{"LS": "valid_and_test"}, {"LS": "test_only"}, {"RS": [0.6, 0.2, 0.2]}], ids=str)
def test_splits_are_those_of_the_event_log(rule):
    rng = np.random.default_rng(4)
    user, item, domain, time = (rng.integers(0, n, 200) for n in (30, 9, 2, 6))
    domain = np.sort(domain)
    data = Events(user, item, domain, time.astype(float), rule=rule)
    log = build_event_log(user, item, domain, time, split=rule)
    assert data.held_out[data.order].tolist() == log.split.tolist()
    assert item[data.order].tolist() == log.item.tolist()
