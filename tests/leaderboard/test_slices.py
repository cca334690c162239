from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recbole_lecdsr.leaderboard.slices import history_bins, popularity_bins, sample_groups


def test_history_in_bins_of_equal_size():
    bins = history_bins(np.array([5, 1, 2, 3, 4, 6]), number=3)
    assert bins.ranges == ["1–2", "3–4", "5–6"]
    assert bins.size.tolist() == [2, 2, 2]
    assert bins.means(np.array([1.0, 0, 1, 0, 0, 0])) == pytest.approx([0.5, 0, 0.5])


def test_equal_histories_are_one_bin():
    bins = history_bins(np.full(7, 3))
    assert (bins.ranges, bins.size.tolist()) == (["3"], [7])


def test_cold_items_have_their_own_bin_and_bins_are_over_items():
    # Item d is in three samples of eight, but is one of four warm items.
    item = np.array(["x", "a", "b", "c", "d", "d", "d", "x"])
    popularity = np.array([0, 1, 2, 30, 400, 400, 400, 0])
    bins = popularity_bins(popularity, item, number=2)
    assert bins.ranges == ["0", "1–2", "30–400"]
    assert bins.size.tolist() == [2, 2, 4]


def test_a_study_without_cold_items_and_one_of_nothing_else():
    assert popularity_bins(np.array([3, 4]), np.array(["a", "b"]), number=2).ranges == ["3", "4"]
    assert popularity_bins(np.array([0, 0]), np.array(["a", "b"])).ranges == ["0"]


def groups(*arguments) -> dict[str, tuple[str, list[int]]]:
    return {group.name: (group.values, np.flatnonzero(group.chosen).tolist()) for group in sample_groups(*arguments)}


def test_samples_are_grouped_by_item_history_and_domain_switch():
    item = np.array(["x", "a", "b", "c", "d", "e", "e"])
    popularity = np.array([0, 1, 2, 3, 4, 500, 500])
    history = np.array([1, 2, 3, 4, 5, 6, 7000])
    same_domain = np.array([1, 0, 0, 1, 1, 1, 1], dtype=bool)
    assert groups(history, popularity, item, same_domain) == {
        "cold items": ("0", [0]),
        "tail items": ("1–4", [1, 2, 3, 4]),
        "head items": ("500", [5, 6]),  # one of five warm items
        "short histories": ("1–4", [0, 1, 2, 3]),
        "long histories": ("5–7,000", [4, 5, 6]),
        "same domain": ("", [0, 3, 4, 5, 6]),
        "domain switch": ("", [1, 2]),
    }


def test_groups_without_samples_are_left_out():
    two = np.array([3, 3])
    assert groups(two, two, np.array(["a", "b"]), None).keys() == {"head items"}, "equal histories are neither"
    assert groups(two, two * 0, np.array(["a", "b"]), two > 0).keys() == {"cold items", "same domain"}


@given(hnp.arrays(np.int64, st.tuples(st.integers(1, 60), st.just(2)), elements=st.integers(0, 30)))
def test_each_kind_of_groups_divides_all_samples(values):
    history, popularity = values.T
    found = sample_groups(history, popularity, popularity.astype(str), history % 2 == 0)
    for kind in ("items", "histories", "domain"):
        masks = [group.chosen for group in found if kind in group.name]
        assert all(mask.any() for mask in masks)
        assert not masks or (np.sum(masks, axis=0) == 1).all()


@given(hnp.arrays(np.int64, st.integers(1, 60), elements=st.integers(0, 3000)))
def test_every_sample_is_in_the_one_bin_that_spans_it(values):
    for bins in (history_bins(values), popularity_bins(values, values.astype(str))):
        assert bins.size.sum() == len(values)
        assert np.all(bins.size > 0)
        assert np.all((bins.low[bins.index] <= values) & (values <= bins.high[bins.index]))
        assert np.all(bins.low[1:] > bins.high[:-1])
        assert bins.means(np.ones(len(values))) == pytest.approx(np.ones(len(bins.size)))
