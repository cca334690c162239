"""What is measured of prepared data: lengths of sequences, order, leaks. Arrays in, plain numbers out.

Everything is vectorised: measuring tens of millions of interactions takes about as long as sorting them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from recbole_lecdsr.data.constants import TEST, TRAIN, VALID
from recbole_lecdsr.prepare.statistics.interactions import Interactions

QUANTILES = {"min": 0.0, "5 %": 0.05, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "95 %": 0.95, "max": 1.0}
_N_BINS = 40
_LONGEST_WITH_OWN_BIN = 100


@dataclass(frozen=True)
class OrderMeasures:
    """How far times decide the order of interactions, and how often sequences switch the domain.

    Attributes:
        tied_share: share of distinct interactions that have the time of another one of the same user.
        tied_across_domains_share: share of the tied ones that have it in common with one of the other domain.
        n_targets: interactions that have another one before them.
        switching_share: share of these targets that are of the other domain than the interaction before them.
    """

    tied_share: float
    tied_across_domains_share: float
    n_targets: int
    switching_share: float


@dataclass(frozen=True)
class LeakCounts:
    """What a model may know of the targets of a split from training or from its input.

    Attributes:
        targets: all targets of the split.
        also_in_training: of those, the ones whose user, item and time are also those of a training interaction.
        in_training_at_another_time: the ones whose user and item are in training, but not at this time.
        in_own_window: the ones whose item is among the interactions before them: any of the user's earlier ones, or
            those of their precomputed window.
        tied_with_previous: the ones that have the time of the interaction before them, so that domain or row decided
            which of the two is the target; always 0 with precomputed windows.
        before_end_of_training: the ones of users with later training interactions.
    """

    targets: int
    also_in_training: int
    in_training_at_another_time: int
    in_own_window: int
    tied_with_previous: int
    before_end_of_training: int


def length_quantiles(row_owner: np.ndarray) -> dict[str, float]:
    """Quantiles and mean of how many rows each owner has; owners without rows do not count.

    Args:
        row_owner: (N,) int, such as the user of each interaction.

    Returns:
        The names of `QUANTILES` and ``mean``; empty where there are no rows.

    Example:
        >>> length_quantiles(np.array([0, 0, 2, 2, 2, 2]))["median"]
        3.0
    """
    counts = np.bincount(row_owner)
    counts = counts[counts > 0]
    if not len(counts):
        return {}
    values = np.quantile(counts, list(QUANTILES.values()))
    return {**dict(zip(QUANTILES, map(float, values), strict=True)), "mean": round(float(counts.mean()), 2)}


def measure_order(interactions: Interactions) -> OrderMeasures:
    """Ties in time and switches between the domains, in the mixed sequences."""
    order = interactions.order
    if interactions.window_length is not None:
        # Windows of a user overlap, so an interaction may be in several rows.
        rows = pd.DataFrame({
            "user": interactions.user[order], "item": interactions.item[order],
            "domain": interactions.domain[order], "time": interactions.time[order],
        })  # fmt: skip
        rows = rows.drop_duplicates().sort_values(["user", "time"], kind="stable")
        user, domain, time = (rows[name].to_numpy() for name in ("user", "domain", "time"))
    else:
        user, domain, time = interactions.user[order], interactions.domain[order], interactions.time[order]
    starts = np.r_[True, (user[1:] != user[:-1]) | (time[1:] != time[:-1])] if len(user) else np.zeros(0, dtype=bool)
    group = np.cumsum(starts) - 1
    size = np.bincount(group)
    in_target = np.bincount(group, weights=domain)
    tied = size > 1
    across = tied & (in_target > 0) & (in_target < size)
    target, switching = _find_targets(interactions)
    return OrderMeasures(
        tied_share=_share(size[tied].sum(), len(user)),
        tied_across_domains_share=_share(size[across].sum(), size[tied].sum()),
        n_targets=int(target.sum()),
        switching_share=_share((switching & target).sum(), target.sum()),
    )


def _find_targets(interactions: Interactions) -> tuple[np.ndarray, np.ndarray]:
    """(N,) bool each: does the row have a predecessor, and is that one of the other domain?"""
    n_rows, order = len(interactions), interactions.order
    target, switching = np.zeros(n_rows, dtype=bool), np.zeros(n_rows, dtype=bool)
    if interactions.window_length is None or interactions.window_item is None:
        user, domain = interactions.user[order], interactions.domain[order]
        target[order[1:]] = user[1:] == user[:-1]
        switching[order[1:]] = domain[1:] != domain[:-1]
        return target, switching
    target = interactions.window_length > 0
    last_item = max(interactions.item.max(initial=0), interactions.window_item.max(initial=0))
    domain_of_item = np.full(1 + last_item, -1)
    domain_of_item[interactions.item] = interactions.domain
    end = np.cumsum(interactions.window_length)[target] - 1
    previous = domain_of_item[interactions.window_item[end]]
    switching[target] = (previous >= 0) & (previous != interactions.domain[target])
    return target, switching


def count_leaks(interactions: Interactions) -> dict[str, LeakCounts]:
    """Count what may be known of the targets, by split: ``valid``, then ``test``."""
    split, time = interactions.split, interactions.time
    n_items = 1 + int(interactions.item.max(initial=0))
    pair = interactions.user.astype(np.int64) * n_items + interactions.item
    train = split == TRAIN
    held_out = pd.DataFrame({"pair": pair[~train], "time": time[~train]})
    relevant = train & pd.Series(pair).isin(held_out["pair"]).to_numpy()
    known = pd.DataFrame({"pair": pair[relevant], "time": time[relevant]}).drop_duplicates().assign(known=True)
    same = np.zeros(len(interactions), dtype=bool)
    same[~train] = held_out.merge(known, on=["pair", "time"], how="left")["known"].notna().to_numpy()
    same_pair = np.zeros(len(interactions), dtype=bool)
    same_pair[~train] = held_out["pair"].isin(known["pair"]).to_numpy()
    latest_training = np.full(interactions.user.max(initial=0) + 1, -np.inf)
    np.maximum.at(latest_training, interactions.user[train], time[train])
    repeated = _repeats_own_window(interactions, pair)
    tied = _tied_with_previous(interactions)
    counts = {}
    for name, code in (("valid", VALID), ("test", TEST)):
        part = split == code
        counts[name] = LeakCounts(
            targets=int(part.sum()),
            also_in_training=int(same[part].sum()),
            in_training_at_another_time=int((same_pair & ~same)[part].sum()),
            in_own_window=int(repeated[part].sum()),
            tied_with_previous=int(tied[part].sum()),
            before_end_of_training=int((latest_training[interactions.user[part]] > time[part]).sum()),
        )
    return counts


def _repeats_own_window(interactions: Interactions, pair: np.ndarray) -> np.ndarray:
    """(N,) bool: is the item of the row also in its window? ``pair`` numbers the pairs of user and item."""
    if interactions.window_length is None or interactions.window_item is None:
        order = interactions.order
        repeated = np.empty(len(interactions), dtype=bool)
        repeated[order] = pd.Series(pair[order]).duplicated().to_numpy()
        return repeated
    row = np.repeat(np.arange(len(interactions)), interactions.window_length)
    hit = interactions.window_item == interactions.item[row]
    return np.bincount(row[hit], minlength=len(interactions)) > 0


def _tied_with_previous(interactions: Interactions) -> np.ndarray:
    """(N,) bool: does the row have the time of the user's previous one? False with precomputed windows."""
    tied = np.zeros(len(interactions), dtype=bool)
    if interactions.window_length is None:
        order = interactions.order
        user, time = interactions.user[order], interactions.time[order]
        tied[order[1:]] = (user[1:] == user[:-1]) & (time[1:] == time[:-1])
    return tied


def length_histogram(user: np.ndarray) -> tuple[list[int], list[int]]:
    """How many users have how many interactions: a bin for each number up to 100, growing bins where there are more.

    Returns:
        (B + 1) edges, each bin from one up to, but without, the next; and (B,) counts of users.

    Example:
        >>> length_histogram(np.array([0, 0, 1, 2]))
        ([1, 2, 3], [2, 1])
    """
    counts = np.bincount(user)
    counts = counts[counts > 0]
    low, high = (int(counts.min()), int(counts.max())) if len(counts) else (1, 1)
    if high <= _LONGEST_WITH_OWN_BIN:
        edges = np.arange(low, high + 2)
    else:
        edges = np.unique(np.round(np.geomspace(low, high + 1, _N_BINS + 1)).astype(int))
    return edges.tolist(), np.histogram(counts, edges)[0].tolist()


def time_histogram(time: np.ndarray, domain: np.ndarray) -> tuple[list[float], list[list[int]]]:
    """How many interactions of each domain lie in each of 40 bins of equal width.

    Returns:
        (B + 1) edges, and (B,) counts for source and target.
    """
    low, high = (float(time.min()), float(time.max())) if len(time) else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1, _N_BINS + 1)
    return edges.tolist(), [np.histogram(time[domain == code], edges)[0].tolist() for code in (0, 1)]


def _share(part: float, whole: float) -> float:
    return round(float(part / whole), 4) if whole else 0.0
