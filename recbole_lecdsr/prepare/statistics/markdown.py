"""The statistics of a pair as a page of Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from recbole_lecdsr.prepare.statistics.json_document import label_leaks
from recbole_lecdsr.prepare.statistics.measures import QUANTILES
from recbole_lecdsr.prepare.statistics.pair_statistics import PairStatistics
from recbole_lecdsr.prepare.statistics.time_format import format_time, is_unix_time


def to_markdown(statistics: PairStatistics, plot_file: str) -> str:
    """The page: sizes, lengths of sequences, order, splits with their leaks, warnings, and the plot.

    Args:
        statistics: of the pair.
        plot_file: name of the plot beside the page.
    """
    sections = [
        [f"# {statistics.name}"],
        _size_table(statistics),
        ["## Events of a user"],
        _length_table(statistics),
        ["## Order"],
        _order_list(statistics),
        [f"## Split: {statistics.split}"],
        _split_table(statistics),
        _leak_table(statistics),
        ["## Warnings"],
        [f"- {warning}" for warning in statistics.warnings] or ["None."],
        [f"![lengths of sequences and times of events]({plot_file})"],
    ]
    return "\n\n".join("\n".join(section) for section in sections) + "\n"


def _size_table(statistics: PairStatistics) -> list[str]:
    domains, both = list(statistics.domains.values()), statistics.both
    return _table(["", *_domain_heads(statistics), "both"], [
        ["users", *(domain.users for domain in domains), both.users],
        ["users of both domains", "", "", both.common_users],
        ["items", *(domain.items for domain in domains), both.items],
        ["items of both domains", "", "", both.common_items],
        ["items without events", *(domain.unused_items for domain in domains), ""],
        ["events", *(domain.interactions for domain in domains), both.interactions],
        ["density", *(f"{domain.density:.3g}" for domain in domains), f"{both.density:.3g}"],
        ["items with text", *(f"{domain.items_with_text:.1%}" for domain in domains), ""],
        ["events of items with text", *(f"{domain.interactions_with_text:.1%}" for domain in domains), ""],
    ])  # fmt: skip


def _length_table(statistics: PairStatistics) -> list[str]:
    quantiles = [*QUANTILES, "mean"]
    lengths = dict(
        zip(_domain_heads(statistics), (domain.lengths for domain in statistics.domains.values()), strict=True)
    )
    lengths["both"] = statistics.both.lengths
    rows: list[list[object]] = [[head, *(part[key] for key in quantiles)] for head, part in lengths.items()]
    if statistics.both.window_lengths is not None:
        rows.append(["events of a window", *(statistics.both.window_lengths.get(key, 0) for key in quantiles)])
    return _table(["", *quantiles], rows)


def _order_list(statistics: PairStatistics) -> list[str]:
    order = statistics.order
    first, last = format_time(statistics.first_time), format_time(statistics.last_time)
    period = f"Times from {first} to {last}."
    if is_unix_time(statistics.first_time):
        period = f"Events from {first} to {last} UTC."
    return [
        f"- {period}",
        f"- {order.tied_share:.1%} of the events share their time with another event of the user; of these "
        f"{order.tied_across_domains_share:.1%} with one of the other domain.",
        f"- {order.switching_share:.1%} of {order.n_targets:,} targets are of the other domain than the event before "
        "them.",
    ]


def _split_table(statistics: PairStatistics) -> list[str]:
    return _table(
        ["", *statistics.domains], [[part, *sizes.values()] for part, sizes in statistics.split_sizes.items()]
    )


def _leak_table(statistics: PairStatistics) -> list[str]:
    leaks = {part: label_leaks(counts) for part, counts in statistics.leaks.items()}
    return _table(["", *leaks], [[label, *(counts[label] for counts in leaks.values())] for label in leaks["test"]])


def _domain_heads(statistics: PairStatistics) -> list[str]:
    return [f"{name} ({domain.role})" for name, domain in statistics.domains.items()]


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    def cell(value: object) -> str:
        if isinstance(value, float):
            return f"{value:,.2f}".rstrip("0").rstrip(".")
        return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|")

    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return [f"| {' | '.join(map(cell, row))} |" for row in lines]
