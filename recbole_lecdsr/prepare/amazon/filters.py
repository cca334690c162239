"""Which interactions of two domains are kept: the settings, and their application to arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import numpy as np

from recbole_lecdsr.errors import UserError

KEEP, REMOVE = "keep", "remove"
ALL, FIRST, LAST = "all", "first", "last"
ONCE, UNTIL_STABLE = "once", "until_stable"


@dataclass(frozen=True)
class Filters:
    """Settings, in the order in which they are applied.

    Those from ``both_domains`` on are applied once, or repeatedly until nothing changes: leaving out items makes users'
    histories shorter, and leaving out users makes items rarer.

    Attributes:
        start: first day (UTC) of the interactions; None for no limit.
        end: last day (UTC).
        shared_items: ``keep`` items that have interactions in both domains, or ``remove`` them from both.
        duplicates: of several interactions of one user with one item in a domain, keep ``all``, the ``first`` or the
            ``last``.
        both_domains: keep only users with interactions in both domains.
        item_core: minimum number of interactions of an item in its domain.
        user_core: minimum number of interactions of a user in a domain; a user with fewer loses those of this domain.
        last_events: how many interactions of a user are kept, the last ones of both domains together; 0 for all.
        min_per_domain: minimum number of interactions of a user in each of the two domains.
        min_total: minimum number of interactions of a user in both domains together.
        passes: ``once`` or ``until_stable``.

    Raises:
        UserError: an unknown word, a negative number, or settings that contradict one another.
    """

    start: date | None = None
    end: date | None = None
    shared_items: str = KEEP
    duplicates: str = ALL
    both_domains: bool = False
    item_core: int = 0
    user_core: int = 0
    last_events: int = 0
    min_per_domain: int = 0
    min_total: int = 0
    passes: str = UNTIL_STABLE

    def __post_init__(self) -> None:
        for name, value, known in (
            ("shared_items", self.shared_items, (KEEP, REMOVE)),
            ("duplicates", self.duplicates, (ALL, FIRST, LAST)),
            ("passes", self.passes, (ONCE, UNTIL_STABLE)),
        ):
            if value not in known:
                raise UserError(f"{name} is {value!r}, but must be one of {', '.join(known)}")
        for name, number in (
            ("item_core", self.item_core), ("user_core", self.user_core), ("last_events", self.last_events),
            ("min_per_domain", self.min_per_domain), ("min_total", self.min_total),
        ):  # fmt: skip
            if number < 0:
                raise UserError(f"{name} is {number}, but must be 0, for no filter, or more")
        if self.start and self.end and self.end < self.start:
            raise UserError(f"no interaction is between {self.start} and {self.end}: the first day is after the last")
        if 0 < self.last_events < max(self.min_total, 2 * self.min_per_domain):
            raise UserError(
                f"users keep their last {self.last_events} interactions but need {self.min_total} in all and "
                f"{self.min_per_domain} in each domain: raise the former or lower the latter"
            )

    @property
    def period(self) -> str:
        """The dates in words.

        Example:
            >>> Filters(start=date(2014, 1, 1)).period
            'events from 2014-01-01'
        """
        first = f" from {self.start}" if self.start else ""
        last = f" up to {self.end}" if self.end else ""
        return f"events{first}{last}" if first or last else "all events"


@dataclass(frozen=True)
class Step:
    """What was left after a filter.

    Attributes:
        name: what the filter did.
        users: users of either domain.
        items: items of source and target.
        events: interactions of source and target.
    """

    name: str
    users: int
    items: tuple[int, int]
    events: tuple[int, int]


def select_rows(
    filters: Filters, *, user: np.ndarray, item: np.ndarray, domain: np.ndarray, time: np.ndarray
) -> tuple[np.ndarray, list[Step]]:
    """Rows that the filters keep. The dates are not applied: reading has done that.

    Args:
        filters: the settings.
        user: (N,) int codes from 0 on.
        item: (N,) int codes from 0 on.
        domain: (N,) 0 source, 1 target; all rows of the source come before the first of the target.
        time: (N,) numbers.

    Returns:
        (n,) int64, the rows that are kept, ascending; and the counts at the beginning and after each filter that left
        something out.

    Raises:
        UserError: nothing is left.
    """
    remaining = _Remaining(filters.period, user, item, domain, time)
    if filters.shared_items == REMOVE:
        remaining.apply("items of both domains removed", _Remaining.mask_unshared_items)
    if filters.both_domains:
        remaining.apply("users of both domains", lambda rows: rows.mask_users_per_domain(1))
    if filters.duplicates != ALL:
        last = filters.duplicates == LAST
        remaining.apply(f"the {filters.duplicates} of duplicate events", lambda rows: rows.mask_duplicates(last))
    repeated = _repeated_filters(filters)
    n_passes = 0
    while repeated:
        before, n_passes = len(remaining.row), n_passes + 1
        for name, mask in repeated:
            remaining.apply(name if n_passes == 1 else f"{name}, pass {n_passes}", mask)
        if filters.passes == ONCE or len(remaining.row) == before:
            break
    return remaining.row, remaining.steps


class _Remaining:
    """The rows that are left, and the counts after each filter."""

    def __init__(self, name: str, user: np.ndarray, item: np.ndarray, domain: np.ndarray, time: np.ndarray) -> None:
        self.user, self.item, self.domain, self.time = user, item, domain, time
        self.row = np.arange(len(user), dtype=np.int64)
        self.steps = [self._count(name)]

    def apply(self, name: str, make_mask: Callable[[_Remaining], np.ndarray]) -> None:
        """Keep the rows of a mask, (n,) bool; the filter is noted if it leaves something out."""
        if not len(self.row) or (mask := make_mask(self)).all():
            return
        if not mask.any():
            left = self.steps[-1]
            raise UserError(
                f"nothing is left after the step {name!r}, before which there were {left.users:,} users, "
                f"{sum(left.items):,} items and {sum(left.events):,} interactions: loosen the filters"
            )
        self.user, self.item, self.domain = self.user[mask], self.item[mask], self.domain[mask]
        self.time, self.row = self.time[mask], self.row[mask]
        self.steps.append(self._count(name))

    def mask_unshared_items(self) -> np.ndarray:
        """True for items that have interactions in one domain only."""
        return ~np.all(self._count_per_domain(self.item) > 0, axis=1)[self.item]

    def mask_users_per_domain(self, least: int) -> np.ndarray:
        """True for users with at least so many interactions in each domain."""
        return np.all(self._count_per_domain(self.user) >= least, axis=1)[self.user]

    def mask_users(self, least: int) -> np.ndarray:
        """True for users with at least so many interactions."""
        return np.bincount(self.user)[self.user] >= least

    def mask_core(self, code: np.ndarray, least: int) -> np.ndarray:
        """True for users or items with at least so many interactions in the domain of the row."""
        pair = self._pair_with_domain(code)
        return np.bincount(pair)[pair] >= least

    def mask_duplicates(self, last: bool) -> np.ndarray:
        """True for one interaction of each user, item and domain: the first or last by time, then by row."""
        pair = self._pair_with_domain(self.item)
        key = self.user.astype(np.int64) * (int(pair.max(initial=0)) + 1) + pair
        order = np.lexsort((self.time, key))  # stable: equal times keep the order of the rows
        changes = key[order[1:]] != key[order[:-1]]
        mask = np.zeros(len(key), bool)
        mask[order[np.r_[changes, True] if last else np.r_[True, changes]]] = True
        return mask

    def mask_last(self, n_interactions: int) -> np.ndarray:
        """True for the last interactions of each user in the mixed sequence: by time, source before target, row."""
        order = np.lexsort((self.time, self.user))  # stable, and the rows of the source come first
        user = self.user[order]
        end = np.searchsorted(user, user, side="right")
        mask = np.zeros(len(user), bool)
        mask[order] = end - np.arange(len(user)) <= n_interactions
        return mask

    def _pair_with_domain(self, code: np.ndarray) -> np.ndarray:
        """(n,) int64, one number for each code and domain."""
        return 2 * code.astype(np.int64) + self.domain

    def _count_per_domain(self, code: np.ndarray) -> np.ndarray:
        """(codes, 2) int64, interactions of each code in source and target."""
        n_codes = int(code.max(initial=0)) + 1
        return np.bincount(self._pair_with_domain(code), minlength=2 * n_codes).reshape(-1, 2)

    def _count(self, name: str) -> Step:
        end_of_source = int(np.searchsorted(self.domain, 1))
        return Step(
            name,
            users=_count_distinct(self.user),
            items=(_count_distinct(self.item[:end_of_source]), _count_distinct(self.item[end_of_source:])),
            events=(end_of_source, len(self.row) - end_of_source),
        )


def _repeated_filters(filters: Filters) -> list[tuple[str, Callable[[_Remaining], np.ndarray]]]:
    """Name and mask of the filters that may be applied repeatedly, in their order."""
    repeated: list[tuple[str, Callable[[_Remaining], np.ndarray]]] = []
    if filters.both_domains:
        repeated.append(("users of both domains", lambda rows: rows.mask_users_per_domain(1)))
    if filters.item_core > 1:
        repeated.append((
            f"items with {filters.item_core} events or more",
            lambda rows: rows.mask_core(rows.item, filters.item_core),
        ))  # fmt: skip
    if filters.user_core > 1:
        repeated.append((
            f"users' parts of a domain with {filters.user_core} events or more",
            lambda rows: rows.mask_core(rows.user, filters.user_core),
        ))  # fmt: skip
    if filters.last_events:
        repeated.append((
            f"the last {filters.last_events} events of a user", lambda rows: rows.mask_last(filters.last_events)
        ))  # fmt: skip
    if filters.min_per_domain:
        repeated.append((
            f"users with {filters.min_per_domain} events or more in each domain",
            lambda rows: rows.mask_users_per_domain(filters.min_per_domain),
        ))  # fmt: skip
    if filters.min_total > 1:
        repeated.append((
            f"users with {filters.min_total} events or more in all", lambda rows: rows.mask_users(filters.min_total)
        ))  # fmt: skip
    return repeated


def _count_distinct(code: np.ndarray) -> int:
    return int(np.count_nonzero(np.bincount(code))) if len(code) else 0
