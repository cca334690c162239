"""Which profile a target may meet."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_lecdsr.data.user_vectors import Facet, UserVectors
from recbole_lecdsr.model.modules.profile_rows import ProfileRows

FACETS = (Facet("user_emb", 1),)


def vectors_of(rows: list[tuple[int, int]]) -> UserVectors:
    """Profiles of (user, events), ascending."""
    user, events = (np.array([0, *part], dtype=np.int64) for part in zip(*rows, strict=True))
    vectors = np.arange(len(user), dtype=np.float32).reshape(-1, 1)
    return UserVectors(vectors=vectors, user=user, events=events, facets=FACETS, is_as_of=True)


def naive_row(rows: list[tuple[int, int]], user: int, n_earlier: int) -> int:
    best = 0
    for number, (owner, events) in enumerate(rows, 1):
        if owner == user and events <= n_earlier and (not best or events > rows[best - 1][1]):
            best = number
    return best


ROWS = st.lists(st.tuples(st.integers(1, 5), st.integers(0, 9) | st.just(2**31 - 1)), min_size=1, unique=True).map(
    sorted
)
TARGETS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 11) | st.just(10**6)), min_size=1, max_size=20)


@settings(max_examples=200, deadline=None)
@given(ROWS, TARGETS)
def test_rows_equal_those_of_a_loop_in_numpy_and_in_torch(rows, targets):
    vectors = vectors_of(rows)
    user, n_earlier = np.array(targets).T
    expected = [naive_row(rows, *target) for target in targets]
    assert vectors.rows_at(user, n_earlier).tolist() == expected
    assert vectors.rows_at(user.astype(np.int32), n_earlier.astype(np.int32)).tolist() == expected
    found = ProfileRows(vectors)(torch.from_numpy(user), torch.from_numpy(n_earlier))
    assert found.tolist() == expected and found.dtype == torch.int64


def test_a_profile_of_as_many_interactions_as_come_before_the_target_may_be_met_and_one_of_more_may_not():
    vectors = vectors_of([(1, 0), (1, 3), (1, 4), (2, 1)])
    assert vectors.rows_at(np.ones(6), np.arange(6)).tolist() == [1, 1, 1, 2, 3, 3]
    assert vectors.rows_at(np.full(3, 2), np.arange(3)).tolist() == [0, 4, 4]


def test_with_one_vector_per_user_every_target_meets_that_of_its_user():
    vectors = UserVectors.one_per_user(np.zeros((4, 3), dtype=np.float32))
    user = np.array([3, 0, 1, 3])
    assert vectors.rows_at(user, np.array([0, 7, 2, 10**9])).tolist() == user.tolist()
    assert vectors.facets == (Facet("user_emb", 3),) and not vectors.is_as_of


def test_the_rows_of_a_device_are_neither_trained_nor_saved():
    module = ProfileRows(vectors_of([(1, 0), (2, 3)]))
    assert not list(module.parameters()) and not module.state_dict()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"user": np.array([0, 2, 1])}, "in the order of user and events"),
        ({"user": np.array([0, 1, 1]), "events": np.array([0, 3, 3])}, "each once"),
        ({"user": np.array([1, 2, 3])}, "begin with user 0"),
        ({"user": np.array([0, 1])}, "do not fit"),
        ({"vectors": np.zeros((3, 1))}, "float64, not of float32"),
        ({"facets": (Facet("a", 1), Facet("b", 1))}, "of vectors of 1 numbers"),
    ],
)
def test_what_is_no_set_of_profiles_is_refused(changes, told):
    fine = {
        "vectors": np.zeros((3, 1), dtype=np.float32), "user": np.array([0, 1, 2]), "events": np.array([0, 3, 0]),
        "facets": FACETS, "is_as_of": True,
    }  # fmt: skip
    UserVectors(**fine)
    with pytest.raises(ValueError, match=told):
        UserVectors(**{**fine, **changes})
