from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_lecdsr.prepare.statistics.measures import (
    LeakCounts,
    OrderMeasures,
    count_leaks,
    length_histogram,
    length_quantiles,
    measure_order,
    time_histogram,
)
from tests.helpers.interactions import number_rows


def test_lengths_are_quantiles_over_the_users_that_have_interactions():
    assert length_quantiles(np.array([0, 0, 0, 5, 2, 2])) == {
        "min": 1.0, "5 %": 1.1, "25 %": 1.5, "median": 2.0, "75 %": 2.5, "95 %": 2.9, "max": 3.0, "mean": 2.0,
    }  # fmt: skip
    assert length_quantiles(np.array([], dtype=int)) == {}


def test_ties_and_switches_are_counted_in_the_mixed_order():
    # user 0: source 1, then at time 2 source before target, then target 3; user 1: two of the target at one time
    found = measure_order(
        number_rows((0, 1, 1, 2), (0, 2, 0, 2), (0, 3, 0, 1), (0, 4, 1, 3), (1, 5, 1, 7), (1, 6, 1, 7), (2, 7, 0, 2))
    )
    assert found == OrderMeasures(round(4 / 7, 4), tied_across_domains_share=0.5, n_targets=4, switching_share=0.25)


def test_leaks_of_leave_one_out():
    rows = [(0, 1, 0, 1), (0, 2, 1, 2), (0, 1, 0, 5), (0, 1, 0, 5)]  # test and validation: one event, twice
    found = count_leaks(number_rows(*rows))
    assert found["test"] == LeakCounts(
        targets=1, also_in_training=0, in_training_at_another_time=1, in_own_window=1, tied_with_previous=1,
        before_end_of_training=0,
    )  # fmt: skip
    assert found["valid"].in_own_window == 1
    assert found["valid"].tied_with_previous == 0
    copies = [(0, 1, 0, 5), (0, 2, 1, 1), (0, 1, 0, 5), (0, 1, 0, 5), (0, 1, 0, 5)]
    assert count_leaks(number_rows(*copies))["test"].also_in_training == 1


def test_leaks_of_ready_made_splits():
    rows = [(0, 1, 0, 1), (0, 2, 1, 9), (1, 1, 0, 3), (0, 2, 1, 9), (1, 1, 0, 4), (2, 3, 0, 1)]
    found = count_leaks(number_rows(*rows, split=[0, 0, 0, 1, 2, 2]))
    assert found["valid"].also_in_training == 1
    assert found["valid"].before_end_of_training == 0
    assert found["test"].in_training_at_another_time == 1
    early = count_leaks(number_rows((0, 1, 0, 5), (0, 2, 1, 4), split=[0, 2]))
    assert early["test"].before_end_of_training == 1


def test_leaks_within_precomputed_windows():
    rows = [(0, 1, 0, 1), (0, 2, 1, 2), (0, 1, 0, 3)]
    found = count_leaks(number_rows(*rows, split=[0, 1, 2], windows=[[], [1, 2], [2]]))
    assert found["valid"].in_own_window == 1
    assert found["test"].in_own_window == 0
    assert found["test"].in_training_at_another_time == 1
    order = measure_order(number_rows(*rows, split=[0, 1, 2], windows=[[], [1], [9, 2]]))
    assert (order.n_targets, order.switching_share) == (2, 1.0)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 1), st.integers(0, 4)), min_size=1,
             max_size=25)
)  # fmt: skip
def test_measures_equal_those_of_loops(rows):
    data = number_rows(*rows)
    users = {row[0] for row in rows}
    sequences = {user: sorted((r for r in rows if r[0] == user), key=lambda row: (row[3], row[2])) for user in users}
    tied = sum(sum(other[3] == row[3] for other in seq) > 1 for seq in sequences.values() for row in seq)
    switching = sum(a[2] != b[2] for seq in sequences.values() for a, b in pairwise(seq))
    targets = len(rows) - len(sequences)
    found = measure_order(data)
    assert found.tied_share == round(tied / len(rows), 4)
    assert found.n_targets == targets
    assert found.switching_share == (round(switching / targets, 4) if targets else 0.0)
    assert count_leaks(data)["valid"].targets == sum(len(seq) >= 4 for seq in sequences.values())
    leaks = count_leaks(data)["test"]
    long = [seq for seq in sequences.values() if len(seq) >= 3]
    assert leaks.targets == len(long)
    assert leaks.in_own_window == sum(seq[-1][1] in [row[1] for row in seq[:-1]] for seq in long)
    assert leaks.tied_with_previous == sum(seq[-1][3] == seq[-2][3] for seq in long)


@pytest.mark.parametrize("largest", [7, 250])
def test_every_user_is_in_one_bin(largest):
    rng = np.random.default_rng(0)
    user = np.repeat(np.arange(50), rng.integers(1, largest, 50))
    edges, counts = length_histogram(user)
    assert sum(counts) == 50 and len(counts) == len(edges) - 1
    assert edges == sorted(set(edges)) and edges[0] == np.bincount(user).min() and edges[-1] > np.bincount(user).max()


def test_every_interaction_is_in_one_bin_even_where_all_have_one_time():
    edges, counts = time_histogram(np.full(5, 3.0), np.array([0, 0, 1, 0, 1]))
    assert [sum(part) for part in counts] == [3, 2]
    assert len(edges) == len(counts[0]) + 1
