"""Figures of the report that show the tested metric among some of the test samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import numpy as np

from recbole_lecdsr.evaluation.sample_metrics import display_name
from recbole_lecdsr.leaderboard.figure import Figure, Trace, View, plain_numbers, style_of
from recbole_lecdsr.leaderboard.slices import Bins, history_bins, popularity_bins
from recbole_lecdsr.leaderboard.standings import (
    TESTED_METRIC,
    Standings,
    group_means,
    groups_of_part,
    slice_means,
)


def by_group(table: Standings) -> Figure:
    """The tested metric by kind of test sample, one line of points for each kind."""
    views = []
    for part in _scored_parts(table):
        groups = groups_of_part(table.study, part)
        names = [f"{one.name} {one.values}".rstrip() + f"<br>n = {one.chosen.sum():,}" for one in groups]
        means = partial(group_means, table.study, part=part, groups=groups)
        views.append(_view(table, part, names, means))
    text = (
        "Head items: the most popular fifth of the target items that have a training interaction; tail items: the "
        "others; cold items have none. Short histories: up to the median number of earlier interactions; long ones: "
        "more. Same domain: the user's last interaction is in the domain of the target; domain switch: in the other."
    )
    if table.study.samples.same_domain is None:
        text += " These runs are of a version that did not record that domain, so domain switches are not shown."
    return Figure("groups", "By kind of sample", text, views, 440)


def by_history(table: Standings) -> Figure:
    """The tested metric by the number of earlier interactions of the user."""
    samples = table.study.samples
    views = []
    for part in _scored_parts(table):
        bins = history_bins(samples.history[samples.parts[part]])
        views.append(_bins_view(table, part, bins, bins.ranges, "earlier interactions of the user"))
    text = "Test samples in five bins of about equal size, by the number of the user's earlier interactions."
    return Figure("history", "By history length", text, views, 440)


def by_popularity(table: Standings) -> Figure:
    """The tested metric by the training interactions of the target item."""
    samples = table.study.samples
    views = []
    for part in _scored_parts(table):
        chosen = samples.parts[part]
        bins = popularity_bins(samples.popularity[chosen], samples.item[chosen])
        names = ["<b>cold</b><br>0" if high == 0 else f"tail<br>{name}"
                 for name, high in zip(bins.ranges, bins.high, strict=True)]  # fmt: skip
        if bins.high[-1] > 0:
            names[-1] = f"<b>head</b><br>{bins.ranges[-1]}"
        views.append(_bins_view(table, part, bins, names, "training interactions of the target item"))
    text = (
        "Cold items have no training interaction. The other target items are in up to five bins of about equally many "
        "items: the long tail holds the least popular 80\u00a0% of them, the head the others."
    )
    return Figure("popularity", "By item popularity", text, views, 440)


def _scored_parts(table: Standings) -> list[str]:
    return [part for part in table.study.samples.parts if table.labels_scoring(part)]


def _bins_view(table: Standings, part: str, bins: Bins, names: Iterable[str], axis: str) -> View:
    categories = [f"{name}<br>n = {size:,}" for name, size in zip(names, bins.size, strict=True)]
    return _view(table, part, categories, partial(slice_means, table.study, part=part, bins=bins), axis)


def _view(
    table: Standings, part: str, categories: list[str], means: Callable[[str], np.ndarray], axis: str = ""
) -> View:
    """The tested metric of each model in some categories of the samples of a part.

    Args:
        categories: their names, n of them.
        means: label of a model -> (seeds, n).
        axis: what the categories are ranges of. They are then in order from left to right, and lines join the points of
            a model. Without it they are kinds, one below the other.
    """
    of_category, of_value = ("x", "y") if axis else ("y", "x")
    data: list[Trace] = []
    for label in table.labels_scoring(part):
        style, rows = style_of(table, label), means(label)
        sd = np.std(rows, axis=0, ddof=1) if len(rows) > 1 else np.full(len(categories), np.nan)
        trace: Trace = {
            "type": "scatter", "mode": "lines+markers" if axis else "markers", "name": table.study.model_name(label),
            of_category: categories, of_value: plain_numbers(np.mean(rows, axis=0)),
            "marker": {"color": style.colour, "symbol": style.marker, "size": 7 if axis else 8},
            f"error_{of_value}": {"type": "data", "array": plain_numbers(sd), "thickness": 1, "width": 3,
                                  "visible": len(rows) > 1},
            "hovertemplate": f"%{{{of_value}:.4f}}<extra>%{{fullData.name}}</extra>",
        }  # fmt: skip
        if axis:
            trace["line"] = {"color": style.colour, "dash": style.dash, "width": 1.5}
        data.append(trace)
    arranged = {"title": {"text": axis}, "tickangle": 0} if axis else {"autorange": "reversed", "automargin": True}
    layout = {
        f"{of_category}axis": {"type": "category", "tickfont": {"size": 11}, **arranged},
        f"{of_value}axis": {"title": {"text": display_name(TESTED_METRIC)}, "rangemode": "tozero"},
    }
    return View(table.study.part_names[part], data, layout)
