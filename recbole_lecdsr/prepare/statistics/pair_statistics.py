"""The statistics of a prepared pair: sizes, overlap, lengths, order, leaks, and warnings about the last two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from recbole_lecdsr.data.constants import DOMAINS, PHASES
from recbole_lecdsr.data.precomputed_windows import PrecomputedWindows
from recbole_lecdsr.prepare.atomic_pair import ITEM, TIME, USER, WINDOW
from recbole_lecdsr.prepare.statistics import measures
from recbole_lecdsr.prepare.statistics.interactions import DEFAULT_SPLIT_RULE, Interactions, encode_tokens
from recbole_lecdsr.prepare.statistics.measures import LeakCounts, OrderMeasures

READY_MADE = "ready-made"


@dataclass(frozen=True)
class DomainStatistics:
    """Measures of one domain.

    Attributes:
        role: ``source`` or ``target``.
        users: users with an interaction in the domain.
        items: items that are listed in ``.item`` or have an interaction.
        unused_items: items without an interaction.
        interactions: how many.
        density: interactions per pair of user and item, three significant digits.
        items_with_text: share of the items that have a text.
        interactions_with_text: share of the interactions whose item has a text.
        lengths: quantiles of the interactions of a user in this domain.
    """

    role: str
    users: int
    items: int
    unused_items: int
    interactions: int
    density: float
    items_with_text: float
    interactions_with_text: float
    lengths: Mapping[str, float]


@dataclass(frozen=True)
class JointStatistics:
    """Measures of both domains together.

    Attributes:
        users: users of either domain.
        common_users: users of both.
        items: items of either domain.
        common_items: items with interactions in both.
        interactions: how many.
        density: interactions per pair of user and item, three significant digits.
        lengths: quantiles of the interactions of a user.
        window_lengths: quantiles of the lengths of precomputed windows that are not empty; None without such windows.
    """

    users: int
    common_users: int
    items: int
    common_items: int
    interactions: int
    density: float
    lengths: Mapping[str, float]
    window_lengths: Mapping[str, float] | None


@dataclass(frozen=True)
class PairStatistics:
    """All that is measured of a pair.

    Attributes:
        name: of the pair.
        domains: source, then target: name -> its measures.
        both: measures of both domains together.
        order: ties in time and switches between domains.
        first_time: of the earliest interaction, in the unit of the data.
        last_time: of the latest.
        split: what makes the splits: ``ready-made`` or the rule in words.
        leaks: ``valid`` and ``test`` -> what may be known of their targets.
        split_sizes: ``train``, ``valid`` and ``test`` -> name of the domain -> interactions.
        length_histogram: edges of the bins, and users for each bin.
        time_histogram: edges of the bins, and for each domain interactions for each bin.
        warnings: a sentence for each kind of leak and for targets that ties decide; empty if there is none.
    """

    name: str
    domains: Mapping[str, DomainStatistics]
    both: JointStatistics
    order: OrderMeasures
    first_time: float
    last_time: float
    split: str
    leaks: Mapping[str, LeakCounts]
    split_sizes: Mapping[str, Mapping[str, int]]
    length_histogram: tuple[Sequence[int], Sequence[int]]
    time_histogram: tuple[Sequence[float], Sequence[Sequence[int]]]
    warnings: tuple[str, ...]


def measure_pair(
    name: str,
    inter: Mapping[str, pd.DataFrame],
    item: Mapping[str, pd.DataFrame],
    *,
    split: Mapping[str, np.ndarray] | None = None,
    split_rule: Mapping[str, object] | None = None,
) -> PairStatistics:
    """Measure an atomic pair.

    Args:
        name: of the pair.
        inter: source, then target: name -> interactions with the columns `USER`, `ITEM` and `TIME`, and `WINDOW` if
            the rows have precomputed windows.
        item: name -> items with the column `ITEM` and columns of text; a domain without such a table is left out.
        split: name -> (rows,) int, the ready-made split of each row: 0 train, 1 valid, 2 test.
        split_rule: RecBole's ``eval_args.split``, and its ``group_by`` where that is not ``user``, if the splits are
            not ready-made; None is ``LS: valid_and_test``.
    """
    interactions, item_tokens = _encode(inter, split, split_rule or DEFAULT_SPLIT_RULE)
    names = list(inter)
    domains = {
        domain: _measure_domain(interactions, item_tokens, code, item.get(domain)) for code, domain in enumerate(names)
    }
    both = _measure_both(interactions, domains)
    if split is None:
        rule = ", ".join(f"{key}: {value}" for key, value in interactions.split_rule.items())
    else:
        rule = READY_MADE
    sizes = {}
    for part, label in PHASES.items():
        counts = np.bincount(interactions.domain[interactions.split == label], minlength=2).tolist()
        sizes[part] = dict(zip(names, counts, strict=True))
    leaks = measures.count_leaks(interactions)
    return PairStatistics(
        name=name,
        domains=domains,
        both=both,
        order=measures.measure_order(interactions),
        first_time=float(interactions.time.min()),
        last_time=float(interactions.time.max()),
        split=rule,
        leaks=leaks,
        split_sizes=sizes,
        length_histogram=measures.length_histogram(interactions.user),
        time_histogram=measures.time_histogram(interactions.time, interactions.domain),
        warnings=tuple(_warn(leaks, rule, with_windows=interactions.window_length is not None)),
    )


def _encode(
    inter: Mapping[str, pd.DataFrame], split: Mapping[str, np.ndarray] | None, split_rule: Mapping[str, object]
) -> tuple[Interactions, np.ndarray]:
    """The interactions as numbers, and the token of each item number."""
    frames = list(inter.values())
    users, _ = encode_tokens([frame[USER] for frame in frames])
    windows = [PrecomputedWindows.parse(frame[WINDOW]) for frame in frames] if WINDOW in frames[0] else []
    items, item_tokens = encode_tokens([*(frame[ITEM] for frame in frames), *(part.tokens for part in windows)])
    window_item = [number[part.code] for number, part in zip(items[2:], windows, strict=True)]
    interactions = Interactions(
        user=np.concatenate(users),
        item=np.concatenate(items[:2]),
        domain=np.repeat(np.array([0, 1], dtype=np.int8), [len(frame) for frame in frames]),
        time=np.concatenate([frame[TIME].to_numpy(dtype=np.float64) for frame in frames]),
        ready_made_split=None if split is None else np.concatenate([np.asarray(split[name]) for name in inter]),
        split_rule=split_rule,
        window_length=np.concatenate([part.length for part in windows]) if windows else None,
        window_item=np.concatenate(window_item) if windows else None,
    )
    return interactions, item_tokens


def _measure_domain(
    interactions: Interactions, item_tokens: np.ndarray, code: int, texts: pd.DataFrame | None
) -> DomainStatistics:
    rows = interactions.domain == code
    user, item = interactions.user[rows], interactions.item[rows]
    used = pd.unique(item)
    listed = set() if texts is None else set(texts[ITEM])
    n_items, n_users = len(listed.union(item_tokens[used])), len(pd.unique(user))
    items_with_text = interactions_with_text = 0.0
    if texts is not None and len(texts.columns) > 1:
        with_text = set(texts[ITEM][(texts.drop(columns=ITEM).fillna("") != "").any(axis=1)])
        items_with_text = round(len(with_text) / n_items, 4)
        has_text = pd.Series(item_tokens).isin(with_text).to_numpy()
        interactions_with_text = round(float(has_text[item].mean()), 4) if len(item) else 0.0
    return DomainStatistics(
        role=DOMAINS[code],
        users=n_users,
        items=n_items,
        unused_items=n_items - len(used),
        interactions=len(user),
        density=_density(len(user), n_users, n_items),
        items_with_text=items_with_text,
        interactions_with_text=interactions_with_text,
        lengths=measures.length_quantiles(user),
    )


def _measure_both(interactions: Interactions, domains: Mapping[str, DomainStatistics]) -> JointStatistics:
    users = [pd.unique(interactions.user[interactions.domain == code]) for code in (0, 1)]
    items = [pd.unique(interactions.item[interactions.domain == code]) for code in (0, 1)]
    n_users, n_common_items = len(pd.unique(interactions.user)), len(np.intersect1d(*items))
    n_items = sum(domain.items for domain in domains.values()) - n_common_items
    window_lengths = None
    if interactions.window_length is not None:
        row = np.repeat(np.arange(len(interactions)), interactions.window_length)
        window_lengths = measures.length_quantiles(row)
    return JointStatistics(
        users=n_users,
        common_users=len(np.intersect1d(*users)),
        items=n_items,
        common_items=n_common_items,
        interactions=len(interactions),
        density=_density(len(interactions), n_users, n_items),
        lengths=measures.length_quantiles(interactions.user),
        window_lengths=window_lengths,
    )


def _density(interactions: int, users: int, items: int) -> float:
    return float(f"{interactions / (users * items):.3g}") if users and items else 0.0


# ---------------------------------------------------------------------- warnings


def _warn(leaks: Mapping[str, LeakCounts], split: str, with_windows: bool) -> list[str]:
    warnings = []
    ready_made = split == READY_MADE
    of_split = "" if ready_made else f" of the split {split}"
    for part, name in (("valid", "validation"), ("test", "test")):
        found = leaks[part]

        def count(number: int, total: int = found.targets) -> str:
            return f"{number:,} of {total:,} ({number / total:.1%})"

        if found.also_in_training:
            warnings.append(
                f"{count(found.also_in_training)} {name} targets{of_split} are also in training: the same user, item "
                f"and time. {'The split leaks.' if ready_made else 'Delete the copies of such interactions.'}"
            )
        if found.in_own_window:
            where = "their own window" if with_windows else "the interactions before them"
            warnings.append(
                f"{count(found.in_own_window)} {name} targets{of_split} repeat an item of {where}: a model can find "
                "them by repeating past items."
            )
        if found.tied_with_previous:
            warnings.append(
                f"{count(found.tied_with_previous)} {name} targets{of_split} have the same time as the interaction "
                "before them: domain and row, not time, decided which of the two is the target."
            )
        if ready_made and found.before_end_of_training:
            warnings.append(
                f"{count(found.before_end_of_training)} {name} targets are of users with later interactions in "
                "training."
            )
    return warnings
