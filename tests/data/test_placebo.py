"""Placebos of vectors: as many and as long as the true ones, and nothing of their meaning."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_lecdsr.data.placebo import deal, replace_item_vectors, replace_user_vectors
from recbole_lecdsr.data.user_vectors import Facet, UserVectors

SEEDS = st.integers(0, 2**31 - 1)


def rows_of_users(counts: list[int], size: int = 3) -> UserVectors:
    """Vectors of users 1, 2, …, so many for each, all different; those of a user are made from 3, 6, … events."""
    user = np.repeat(np.arange(1, len(counts) + 1), counts)
    events = np.concatenate([3 * np.arange(1, count + 1) for count in counts] or [np.zeros(0)]).astype(np.int64)
    vectors = np.arange(1, len(user) * size + 1, dtype=np.float32).reshape(len(user), size)
    return as_of(vectors, user.astype(np.int64), events)


def as_of(vectors: np.ndarray, user: np.ndarray, events: np.ndarray) -> UserVectors:
    """Rows behind that of no profile."""
    return UserVectors(
        vectors=np.concatenate([np.zeros_like(vectors[:1], shape=(1, vectors.shape[1])), vectors]),
        user=np.r_[0, user],
        events=np.r_[0, events],
        facets=(Facet("user_emb", vectors.shape[1]),),
        is_as_of=True,
    )


def by_user(rows: UserVectors) -> dict[int, list[tuple[int, bytes]]]:
    """User -> events and vector of each row, in order."""
    found: dict[int, list[tuple[int, bytes]]] = {}
    for vector, user, events in list(zip(rows.vectors, rows.user, rows.events, strict=True))[1:]:
        found.setdefault(int(user), []).append((int(events), vector.tobytes()))
    return {user: sorted(rows) for user, rows in found.items()}


@settings(max_examples=200)
@given(group=st.lists(st.integers(0, 3), max_size=40), seed=SEEDS)
def test_dealing_is_a_derangement_within_each_group(group, seed):
    group = np.array(group, dtype=np.int64)
    giver = deal(group, np.random.default_rng(seed))
    assert sorted(giver) == list(range(len(group))), "every vector is dealt once"
    assert (group[giver] == group).all()
    size = np.bincount(group, minlength=4)[group]
    assert ((giver != np.arange(len(group))) == (size > 1)).all(), "only who is alone keeps the own one"


@settings(max_examples=100)
@given(counts=st.lists(st.integers(0, 3), min_size=2, max_size=20), seed=SEEDS)
def test_permuted_deals_all_vectors_of_a_user_to_another_user(counts, seed):
    true = rows_of_users(counts)
    placebo, _ = replace_user_vectors("permuted", true, len(counts) + 1, seed)
    before, after = by_user(true), by_user(placebo)
    assert before.keys() == after.keys(), "those who had vectors have some"
    assert sorted(before.values()) == sorted(after.values()), "with their events"
    if len(before) > 1:
        assert all(before[user] != after[user] for user in before)


@pytest.mark.parametrize("seed", [1, 2022])
def test_random_is_one_vector_of_a_user_for_all_targets_and_of_the_mean_squared_length(seed):
    true = rows_of_users([1, 3, 0, 2], size=50)
    placebo, _ = replace_user_vectors("random", true, 7, seed)
    assert np.flatnonzero(placebo.vectors.any(axis=1)).tolist() == [1, 2, 4]
    assert not placebo.is_as_of and not placebo.events.any()
    drawn = placebo.vectors[[1, 2, 4]]
    mean = (true.vectors[1:].astype(float) ** 2).sum(axis=1).mean()
    assert (drawn.astype(float) ** 2).sum(axis=1) == pytest.approx([mean] * 3, rel=1e-5)
    cosine = drawn @ drawn.T / mean
    assert np.abs(cosine - np.eye(3)).max() < 0.6, "three directions"


def test_random_vectors_are_gaussian_in_every_direction():
    true = np.zeros((4001, 20), dtype=np.float32)
    true[1:] = np.random.default_rng(0).random((4000, 20)) + 3  # all near one direction
    placebo, _ = replace_item_vectors("random", true, np.zeros(4001, int), seed=5)
    scale = float(np.sqrt((true[1:] ** 2).sum(axis=1).mean() / 20))
    assert placebo[1:].mean(axis=0) == pytest.approx(0, abs=0.08 * scale)
    assert np.cov(placebo[1:].T) == pytest.approx(np.eye(20) * scale**2, abs=0.08 * scale**2)


def some_items() -> tuple[np.ndarray, np.ndarray]:
    """60 items of two domains; every fifth has no vector."""
    true = np.random.default_rng(1).normal(size=(60, 4)).astype(np.float32)
    true[::5] = 0
    return true, np.random.default_rng(2).integers(0, 2, size=60)


def test_items_without_a_vector_stay_without_one():
    true, domain = some_items()
    for kind in ("random", "permuted"):
        placebo, _ = replace_item_vectors(kind, true, domain, seed=3)
        assert (placebo.any(axis=1) == true.any(axis=1)).all()
        assert placebo.dtype == np.float32
        assert not (placebo == true).all(axis=1)[true.any(axis=1)].any()


@given(seed=SEEDS)
def test_permuted_items_get_a_vector_of_their_own_domain(seed):
    true, domain = some_items()
    placebo, _ = replace_item_vectors("permuted", true, domain, seed)
    place = {vector.tobytes(): item for item, vector in enumerate(true) if vector.any()}
    for item in np.flatnonzero(true.any(axis=1)):
        giver = place.pop(placebo[item].tobytes())
        assert giver != item and domain[giver] == domain[item]
    assert not place, "each is dealt once"


@pytest.mark.parametrize("kind", ["random", "permuted"])
def test_placebos_follow_from_the_seed_alone(kind):
    true, (items, domain) = rows_of_users([1] * 30), some_items()

    def draw(seed: int) -> list[object]:
        users, digest = replace_user_vectors(kind, true, 31, seed)
        of_items, item_digest = replace_item_vectors(kind, items, domain, seed)
        rows = [part.tolist() for part in (users.vectors, users.user, users.events)]
        return [*rows, digest, of_items.tolist(), item_digest]

    first = draw(1)
    np.random.seed(7)
    np.random.random(1000)  # what else is drawn
    assert draw(1) == first
    other = draw(2)
    assert first[0] != other[0] or first[1] != other[1]
    assert first[3] != other[3] and first[4] != other[4] and first[5] != other[5]


def test_a_random_vector_does_not_depend_on_who_else_has_one():
    true = rows_of_users([1] * 6)
    fewer = as_of(true.vectors[3:], true.user[3:], true.events[3:])
    directions = []
    for rows in (true, fewer):
        placebo, _ = replace_user_vectors("random", rows, 7, seed=4)
        directions.append(placebo.vectors[3:] / np.linalg.norm(placebo.vectors[3:], axis=1, keepdims=True))
    assert directions[0] == pytest.approx(directions[1], abs=1e-6)


@pytest.mark.parametrize("kind", ["random", "permuted"])
def test_the_true_vectors_are_left_as_they_are(kind):
    true, (items, domain) = rows_of_users([2, 1, 1]), some_items()
    arrays = true.vectors, true.user, true.events, items
    copies = [array.copy() for array in arrays]
    replace_user_vectors(kind, true, 4, seed=1)
    replace_item_vectors(kind, items, domain, seed=1)
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("kind", ["random", "permuted"])
def test_nobody_has_a_vector(kind):
    rows, _ = replace_user_vectors(kind, rows_of_users([0, 0]), 3, seed=1)
    assert not rows.vectors.any()
    items, _ = replace_item_vectors(kind, np.zeros((4, 3), np.float32), np.zeros(4, int), seed=1)
    assert not items.any()
