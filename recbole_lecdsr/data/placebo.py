"""Placebos of text vectors: the same number of vectors of the same length, without the meaning (docs/protocol.md, 17).

Arrays in, arrays out; nothing is read or written. What is drawn follows from the run's seed by a generator of its own,
so that nothing else that a run draws changes it.

The vectors of users are rows with a user each, since a user may have several, each made from the user's first k
interactions (`UserVectors.events`).
"""

from __future__ import annotations

import hashlib

import numpy as np

from recbole_lecdsr.data.user_vectors import Facet, UserVectors

RANDOM, PERMUTED = "random", "permuted"


def replace_user_vectors(kind: str, true: UserVectors, n_users: int, seed: int) -> tuple[UserVectors, str]:
    """The placebo of the vectors of users.

    Args:
        kind: ``random``: a Gaussian vector for each user that has a vector, for all targets of the user, whose squared
            length is the mean of those of the true ones. ``permuted``: the users that have vectors get those of another
            one, all of them with their ``events``.
        true: the vectors.
        n_users: ids of users, padding included.
        seed: of the run.

    Returns:
        The vectors in the true ones' place, and a digest of what was drawn: the directions, or who gets whose vectors.
    """
    has_vector = true.vectors.any(axis=1)
    vectors, user, events = (array[has_vector] for array in (true.vectors, true.user, true.events))
    users = np.unique(user)
    generator = _generator(f"user {kind}", seed)
    if kind == RANDOM:
        drawn = _draw_directions(n_users, vectors.shape[1], generator)[users]
        return _one_per_user(_scale_like(drawn, vectors), users, n_users, true.facets), _digest(users, drawn)
    giver = users[deal(np.zeros(len(users), dtype=np.int64), generator)]
    receiver = np.zeros(n_users, dtype=np.int64)
    receiver[giver] = users
    user, digest = receiver[user], _digest(users, giver)
    if not true.is_as_of:
        return _one_per_user(vectors, user, n_users, true.facets), digest
    order = np.lexsort((events, user))
    placebo = UserVectors(
        vectors=np.concatenate([np.zeros_like(true.vectors[:1]), vectors[order]]),
        user=np.r_[0, user[order]],
        events=np.r_[0, events[order]],
        facets=true.facets,
        is_as_of=True,
    )
    return placebo, digest


def replace_item_vectors(kind: str, true: np.ndarray, domain: np.ndarray, seed: int) -> tuple[np.ndarray, str]:
    """The placebo of the vectors of items.

    Args:
        kind: as of `replace_user_vectors`; ``permuted`` deals the vectors to other items of the same domain.
        true: (n_items, D) float32; a row of zeros is no vector, and stays.
        domain: (n_items,) int, the domain within which an item's vector is dealt.
        seed: of the run.

    Returns:
        (n_items, D) float32, and a digest of what was drawn.
    """
    items = np.flatnonzero(true.any(axis=1))
    generator = _generator(f"item {kind}", seed)
    placebo = np.zeros_like(true)
    if kind == RANDOM:
        drawn = _draw_directions(len(true), true.shape[1], generator)[items]
        placebo[items] = _scale_like(drawn, true[items])
        return placebo, _digest(items, drawn)
    giver = items[deal(domain[items], generator)]
    placebo[items] = true[giver]
    return placebo, _digest(items, giver)


def deal(group: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Who gets whose vector: a random order of each group, shifted by one, so that nobody of a group of two or more
    keeps the own one.

    Args:
        group: (n,) int, the group of each.
        generator: of the random order.

    Returns:
        (n,) int64, a permutation: entry i is the one whose vector i gets, which is of the group of i.

    Example:
        >>> deal(np.array([0, 1, 0, 1]), np.random.default_rng(0)).tolist()
        [2, 3, 0, 1]
    """
    order = generator.permutation(len(group))
    order = order[np.argsort(group[order], kind="stable")]
    _, first, count = np.unique(group[order], return_index=True, return_counts=True)
    previous = np.roll(order, 1)
    previous[first] = order[first + count - 1]
    giver = np.empty(len(group), dtype=np.int64)
    giver[order] = previous
    return giver


def _one_per_user(vectors: np.ndarray, user: np.ndarray, n_users: int, facets: tuple[Facet, ...]) -> UserVectors:
    """Vectors (n, D) of different users, which all targets of these meet."""
    table = np.zeros((n_users, vectors.shape[1]), dtype=np.float32)
    table[user] = vectors
    return UserVectors.one_per_user(table, facets)


def _generator(name: str, seed: int) -> np.random.Generator:
    """A generator for one placebo and one seed."""
    return np.random.Generator(np.random.PCG64([seed, *name.encode()]))


def _draw_directions(count: int, size: int, generator: np.random.Generator) -> np.ndarray:
    """(count, size) float32, N(0, 1).

    There is one for each id, whether or not it has a vector, so that it does not depend on who else has one.
    """
    return generator.standard_normal((count, size), dtype=np.float32)


def _scale_like(drawn: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Drawn vectors (n, D), each with the mean squared length of the true ones (R, D)."""
    mean_square = _squared_lengths(true).mean() if len(true) else 0.0
    length = np.sqrt(np.maximum(_squared_lengths(drawn), np.finfo(np.float64).tiny))
    return (drawn * (np.sqrt(mean_square) / length)[:, None]).astype(np.float32)


def _squared_lengths(vectors: np.ndarray) -> np.ndarray:
    return np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)


def _digest(*drawn: np.ndarray) -> str:
    """16 hexadecimal digits. Of what was drawn and not of scaled vectors, whose last bits depend on the processor."""
    hashed = hashlib.sha256()
    for array in drawn:
        hashed.update(f"{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return hashed.hexdigest()[:16]
