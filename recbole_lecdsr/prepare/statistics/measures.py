"""What is measured of prepared data: sizes, lengths, order, leaks; pure arrays in, plain numbers out.

An event is a row of ``user``, ``item``, ``domain`` (0 source, 1 target) and ``time``. Everything is vectorised: tens of
millions of events are measured in the time it takes to sort them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from recbole_lecdsr.data.constants import TRAIN, VALID
from recbole_lecdsr.data.splitting import split_counts

QUANTILES = {"min": 0.0, "5 %": 0.05, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "95 %": 0.95, "max": 1.0}
SPLITS = ("train", "valid", "test")
_BINS, _SINGLE = 40, 100


@dataclass(frozen=True)
class Events:
    """Events of both domains, rows of a domain in the order of its file.

    Attributes:
        user, item: (E,) int, dense from 0; an item of both domains is one.
        domain: (E,) int, 0 or 1.
        time: (E,) float.
        split: (E,) int of ready-made splits, 0 train, 1 valid, 2 test; None where the split is still to be made.
        rule: RecBole's ``eval_args.split``, which makes the splits where they are not ready-made.
        window_length, window_item: (E,) and (sum of lengths,) int, where rows have windows of their own; an item that
            is in no row may be beyond those of ``item``.
    """

    user: np.ndarray
    item: np.ndarray
    domain: np.ndarray
    time: np.ndarray
    split: np.ndarray | None = None
    rule: Mapping[str, object] = field(default_factory=lambda: {"LS": "valid_and_test"})
    window_length: np.ndarray | None = None
    window_item: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.user)

    @cached_property
    def order(self) -> np.ndarray:
        """(E,) order of the mixed sequences: user, (ready-made split,) time, source before target, row."""
        keys = (self.domain, self.time, *(() if self.split is None else (self.split,)), self.user)
        return np.lexsort(keys)

    @cached_property
    def held_out(self) -> np.ndarray:
        """(E,) int8, the split of each event: the ready-made one, or that of the rule."""
        if self.split is not None:
            return self.split.astype(np.int8)
        user = self.user[self.order]
        starts = np.flatnonzero(np.r_[True, user[1:] != user[:-1]]) if len(user) else np.zeros(0, dtype=np.int64)
        length = np.diff(np.r_[starts, len(user)])
        counts = split_counts(length - 1, self.rule)
        valid = starts + 1 + counts[:, TRAIN]
        place = np.arange(len(user))
        label = (place >= np.repeat(valid, length)).astype(np.int8)
        label += place >= np.repeat(valid + counts[:, VALID], length)
        split = np.empty_like(label)
        split[self.order] = label
        return split


def lengths(user: np.ndarray) -> dict[str, float]:
    """Quantiles and mean of the number of events of each user who has any.

    Example:
        >>> lengths(np.array([0, 0, 2, 2, 2, 2]))["median"]
        3.0
    """
    counts = np.bincount(user)
    counts = counts[counts > 0]
    if not len(counts):
        return {}
    values = np.quantile(counts, list(QUANTILES.values()))
    return {**dict(zip(QUANTILES, map(float, values), strict=True)), "mean": round(float(counts.mean()), 2)}


def order_of_events(events: Events) -> dict[str, float | int]:
    """How far times decide the order, and how often sequences go from one domain to the other.

    Returns:
        ``tied``: the share of distinct events that share their time with another of the user's; ``tied across
        domains``: the share of those where one of the other domain has the time, too; ``targets``: events with an
        event before them; ``switching targets``: the share of these whose predecessor is of the other domain.
    """
    order = events.order
    if events.window_length is not None:
        # Windows of a user overlap, so that an event stands in several rows.
        rows = pd.DataFrame({name: getattr(events, name)[order] for name in ("user", "item", "domain", "time")})
        rows = rows.drop_duplicates().sort_values(["user", "time"], kind="stable")
        user, domain, time = (rows[name].to_numpy() for name in ("user", "domain", "time"))
    else:
        user, domain, time = events.user[order], events.domain[order], events.time[order]
    starts = np.r_[True, (user[1:] != user[:-1]) | (time[1:] != time[:-1])] if len(user) else np.zeros(0, dtype=bool)
    group = np.cumsum(starts) - 1
    size = np.bincount(group)
    in_target = np.bincount(group, weights=domain)
    tied = size > 1
    across = tied & (in_target > 0) & (in_target < size)
    target, switching = _targets(events, order)
    return {
        "tied": _share(size[tied].sum(), len(user)),
        "tied across domains": _share(size[across].sum(), size[tied].sum()),
        "targets": int(target.sum()),
        "switching targets": _share((switching & target).sum(), target.sum()),
    }


def _targets(events: Events, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(E,) bool each: has the event a predecessor, and is that one of the other domain?"""
    target, switching = np.zeros(len(events), dtype=bool), np.zeros(len(events), dtype=bool)
    if events.window_length is None:
        user, domain = events.user[order], events.domain[order]
        target[order[1:]] = user[1:] == user[:-1]
        switching[order[1:]] = domain[1:] != domain[:-1]
        return target, switching
    target = events.window_length > 0
    domain_of_item = np.full(1 + max(events.item.max(initial=0), events.window_item.max(initial=0)), -1)
    domain_of_item[events.item] = events.domain
    last = np.cumsum(events.window_length)[target] - 1
    before = domain_of_item[events.window_item[last]]
    switching[target] = (before >= 0) & (before != events.domain[target])
    return target, switching


def leaks(events: Events) -> dict[str, dict[str, int]]:
    """What of the validation and test targets a model may know from training or from its input.

    Returns:
        A part for ``valid`` and for ``test``, of `Events.held_out`: ``targets``; ``also in training``, the same user,
        item and time as an event of training; ``also in training at another time``; ``in their own window``, the item
        stands among the events before it (of any number, or in the given window); ``order by chance``, the event
        before it has the same time, so that which of them is the target was decided by domain or row (not with given
        windows); ``before training ends``, the user has training events that are later.
    """
    split = events.held_out
    items = 1 + int(events.item.max(initial=0))
    pair = events.user.astype(np.int64) * items + events.item
    train = split == 0
    rows = pd.DataFrame({"pair": pair[~train], "time": events.time[~train]})
    asked = train & pd.Series(pair).isin(rows["pair"]).to_numpy()
    known = pd.DataFrame({"pair": pair[asked], "time": events.time[asked]}).drop_duplicates().assign(known=True)
    same = np.zeros(len(events), dtype=bool)
    same[~train] = rows.merge(known, on=["pair", "time"], how="left")["known"].notna().to_numpy()
    same_pair = np.zeros(len(events), dtype=bool)
    same_pair[~train] = rows["pair"].isin(known["pair"]).to_numpy()
    latest = np.full(events.user.max(initial=0) + 1, -np.inf)
    np.maximum.at(latest, events.user[train], events.time[train])
    inside = _inside(events, pair, items)
    tied = np.zeros(len(events), dtype=bool)
    if events.window_length is None:
        order = events.order
        user, time = events.user[order], events.time[order]
        tied[order[1:]] = (user[1:] == user[:-1]) & (time[1:] == time[:-1])
    found = {}
    for code, name in enumerate(SPLITS[1:], 1):
        part = split == code
        found[name] = {
            "targets": int(part.sum()),
            "also in training": int(same[part].sum()),
            "also in training at another time": int((same_pair & ~same)[part].sum()),
            "in their own window": int(inside[part].sum()),
            "order by chance": int(tied[part].sum()),
            "before training ends": int((latest[events.user[part]] > events.time[part]).sum()),
        }
    return found


def _inside(events: Events, pair: np.ndarray, items: int) -> np.ndarray:
    """(E,) bool: does the item stand in the event's window?"""
    if events.window_length is None:
        order = events.order
        inside = np.empty(len(events), dtype=bool)
        inside[order] = pd.Series(pair[order]).duplicated().to_numpy()
        return inside
    row = np.repeat(np.arange(len(events)), events.window_length)
    hit = events.window_item == events.item[row]
    return np.bincount(row[hit], minlength=len(events)) > 0


def histogram_of_lengths(user: np.ndarray) -> tuple[list[float], list[int]]:
    """Edges of bins and how many users have that many events: a bin for each number up to 100, else growing ones.

    Returns:
        (B + 1) edges, each bin from one to below the next, and (B,) counts.
    """
    counts = np.bincount(user)
    counts = counts[counts > 0]
    low, high = (int(counts.min()), int(counts.max())) if len(counts) else (1, 1)
    if high <= _SINGLE:
        edges = np.arange(low, high + 2)
    else:
        edges = np.unique(np.round(np.geomspace(low, high + 1, _BINS + 1)).astype(int))
    return edges.tolist(), np.histogram(counts, edges)[0].tolist()


def histogram_of_times(time: np.ndarray, domain: np.ndarray) -> tuple[list[float], list[list[int]]]:
    """Edges of bins of equal width, and how many events of each domain lie in each."""
    low, high = (float(time.min()), float(time.max())) if len(time) else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    return edges.tolist(), [np.histogram(time[domain == code], edges)[0].tolist() for code in (0, 1)]


def _share(part: float, whole: float) -> float:
    return round(float(part / whole), 4) if whole else 0.0


def codes(columns: Sequence[pd.Series | np.ndarray]) -> tuple[list[np.ndarray], np.ndarray]:
    """Dense numbers of tokens across several columns: a (n,) int32 array for each, and the (T,) distinct tokens."""
    joined = np.concatenate([np.asarray(column, dtype=object) for column in columns])
    number, tokens = pd.factorize(joined)
    ends = np.cumsum([len(column) for column in columns])[:-1]
    return np.split(number.astype(np.int32), ends), tokens
