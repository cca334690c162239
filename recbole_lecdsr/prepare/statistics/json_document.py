"""The statistics of a pair as plain data, with the keys of ``statistics.json``."""

from __future__ import annotations

from recbole_lecdsr.prepare.statistics.measures import LeakCounts
from recbole_lecdsr.prepare.statistics.pair_statistics import DomainStatistics, JointStatistics, PairStatistics
from recbole_lecdsr.prepare.statistics.time_format import format_time


def to_document(statistics: PairStatistics) -> dict[str, object]:
    """The content of ``statistics.json``: dictionaries, lists, texts and numbers only."""
    length_edges, users = statistics.length_histogram
    time_edges, interactions = statistics.time_histogram
    order = statistics.order
    return {
        "name": statistics.name,
        "domains": {name: _domain_document(domain) for name, domain in statistics.domains.items()},
        "both": _joint_document(statistics.both),
        "order": {
            "tied": order.tied_share,
            "tied across domains": order.tied_across_domains_share,
            "targets": order.n_targets,
            "switching targets": order.switching_share,
        },
        "time": {"first": format_time(statistics.first_time), "last": format_time(statistics.last_time)},
        "split": statistics.split,
        "held out": {part: label_leaks(counts) for part, counts in statistics.leaks.items()},
        "events of a split": {part: dict(sizes) for part, sizes in statistics.split_sizes.items()},
        "histograms": {
            "events of a user": {"edges": length_edges, "users": users},
            "time": {"edges": time_edges, "events": interactions},
        },
        "warnings": list(statistics.warnings),
    }


def label_leaks(counts: LeakCounts) -> dict[str, int]:
    """The counts by their names in the files.

    Example:
        >>> label_leaks(LeakCounts(9, 1, 2, 3, 4, 5))["in their own window"]
        3
    """
    return {
        "targets": counts.targets,
        "also in training": counts.also_in_training,
        "also in training at another time": counts.in_training_at_another_time,
        "in their own window": counts.in_own_window,
        "order by chance": counts.tied_with_previous,
        "before training ends": counts.before_end_of_training,
    }


def _domain_document(domain: DomainStatistics) -> dict[str, object]:
    return {
        "role": domain.role,
        "users": domain.users,
        "items": domain.items,
        "items without events": domain.unused_items,
        "events": domain.interactions,
        "density": domain.density,
        "items with text": domain.items_with_text,
        "events of items with text": domain.interactions_with_text,
        "events of a user": dict(domain.lengths),
    }


def _joint_document(both: JointStatistics) -> dict[str, object]:
    document: dict[str, object] = {
        "users": both.users,
        "users of both domains": both.common_users,
        "items": both.items,
        "items of both domains": both.common_items,
        "events": both.interactions,
        "density": both.density,
        "events of a user": dict(both.lengths),
    }
    if both.window_lengths is not None:
        document["events of a window"] = dict(both.window_lengths)
    return document
