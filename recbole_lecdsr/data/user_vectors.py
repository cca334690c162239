"""The vectors of users' profiles, and which of them a target may meet (docs/protocol.md, 12).

A profile that was made from a user's first k interactions may be met by a target that has at least k interactions of
the user before it. Of several such profiles the newest one counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Array = TypeVar("Array", np.ndarray, "Tensor")


class Facet(NamedTuple):
    """A part of every vector: its name, and how many numbers it has."""

    name: str
    size: int


@dataclass(frozen=True, eq=False)
class UserVectors:
    """Profiles as rows, ordered by user and number of events; row 0 stands for no profile.

    Attributes:
        vectors: (R + 1, D) float32, the rows; row 0 is zero.
        user: (R + 1,) int64, the user of each row, 0 (padding) for row 0.
        events: (R + 1,) int64, from how many of the user's first interactions each row was made; 0 throughout where
            that is not known.
        facets: the parts of a vector, in their order; their sizes add up to D.
        is_as_of: whether ``events`` is known. Otherwise each user has one row, that of its id, which is zero for a user
            without profile and which every target of the user meets.

    Raises:
        ValueError: types or shapes that do not fit, or rows that are not in strictly ascending order of user and events
            or do not begin with user 0.

    Example:
        >>> some = UserVectors(
        ...     vectors=np.array([[0.0], [1.0], [2.0], [3.0]], dtype=np.float32),
        ...     user=np.array([0, 7, 7, 9]),
        ...     events=np.array([0, 2, 5, 0]),
        ...     facets=(Facet("user_emb", 1),),
        ...     is_as_of=True,
        ... )
        >>> some.rows_at(user=np.array([7, 7, 7, 9, 8]), n_earlier=np.array([1, 4, 5, 0, 6])).tolist()
        [0, 1, 2, 3, 0]
    """

    vectors: np.ndarray
    user: np.ndarray
    events: np.ndarray
    facets: tuple[Facet, ...]
    is_as_of: bool

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or not len(self.vectors) == len(self.user) == len(self.events) > 0:
            shapes = self.vectors.shape, self.user.shape, self.events.shape
            raise ValueError(f"vectors, users and events of the shapes {shapes} do not fit")
        if self.vectors.dtype != np.float32:
            raise ValueError(f"vectors of {self.vectors.dtype}, not of float32")
        if sum(size for _, size in self.facets) != self.vectors.shape[1]:
            raise ValueError(f"facets {self.facets} of vectors of {self.vectors.shape[1]} numbers")
        if self.user[0] or np.any(np.diff(self.key) <= 0):
            raise ValueError("rows must be in the order of user and events, each once, and begin with user 0")

    @classmethod
    def one_per_user(cls, vectors: np.ndarray, facets: tuple[Facet, ...] | None = None) -> UserVectors:
        """Vectors that every target of their user meets.

        Args:
            vectors: (n_users, D) float32, row u for user id u.
            facets: the parts of a vector; None for a single one.
        """
        size = len(vectors)
        return cls(
            vectors=vectors,
            user=np.arange(size),
            events=np.zeros(size, dtype=np.int64),
            facets=facets or (Facet("user_emb", vectors.shape[1]),),
            is_as_of=False,
        )

    @property
    def stride(self) -> int:
        """One more than the greatest number of events."""
        return int(self.events.max()) + 1

    @property
    def key(self) -> np.ndarray:
        """(R + 1,) int64, ascending: ``user`` · `stride` + ``events``."""
        return self.user.astype(np.int64) * self.stride + self.events

    def rows_at(self, user: np.ndarray, n_earlier: np.ndarray) -> np.ndarray:
        """The rows that targets meet; see `find_rows`.

        Args:
            user: (N,) int, their users.
            n_earlier: (N,) int, how many interactions of the user come before each.

        Returns:
            (N,) int64.
        """
        user, n_earlier = (np.asarray(part, dtype=np.int64) for part in (user, n_earlier))
        return find_rows(self.key, self.stride, user, n_earlier, search=_search)


def _search(ordered: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.searchsorted(ordered, values, side="right")


def find_rows(
    key: Array, stride: int, user: Array, n_earlier: Array, *, search: Callable[[Array, Array], Array]
) -> Array:
    """The row that each target meets: the user's row of the greatest number of events that is not above ``n_earlier``.

    Arrays are of NumPy, or of torch and on one device.

    Args:
        key, stride: of `UserVectors`.
        user: (N,) int64, users of the targets.
        n_earlier: (N,) int64, how many interactions of the user come before each target.
        search: a sorted array and (N,) values -> where each would be inserted behind equal ones, (N,) int64.

    Returns:
        (N,) int64 rows, 0 where there is none.
    """
    row = search(key, user * stride + n_earlier.clip(max=stride - 1)) - 1
    return row * (key[row] // stride == user)
