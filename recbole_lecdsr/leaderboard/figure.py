"""A figure of the report as plain data for plotly.js, and how models look in all figures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from recbole_lecdsr.leaderboard.standings import Standings

# Distinguishable with most kinds of colour vision; the first is the first model's. Further models repeat the colours
# with another dash and marker.
COLOURS = ("#2f6fde", "#e07b39", "#2a9d74", "#b65fcf", "#d64550", "#8a6d3b", "#1f9bb5", "#c2a300", "#7f7f7f", "#e377c2")
DASHES = ("solid", "dash", "dot")
MARKERS = ("circle", "square", "diamond")
DECIMALS = 5

Trace = dict[str, Any]  # of plotly.js


@dataclass(frozen=True, eq=False)
class View:
    """One picture of a figure.

    Attributes:
        name: on the button that shows it.
        data, layout: plotly's traces and layout.
    """

    name: str
    data: list[Trace]
    layout: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Figure:
    """A figure of the page, with a button for each of its views.

    Attributes:
        key: id of its element in the page.
        title, text: heading and caption.
        views: at least one; the first is shown at the start.
        height: in pixels.
    """

    key: str
    title: str
    text: str
    views: list[View]
    height: int = 380

    def as_plain_data(self) -> dict[str, Any]:
        """The figure as values that JSON can hold."""
        return asdict(self)


@dataclass(frozen=True)
class Style:
    """How a model is drawn in all figures."""

    colour: str
    dash: str
    marker: str


def style_of(table: Standings, label: str) -> Style:
    """The style of a model, by its place in the study."""
    index = table.study.models.index(label)
    round_of_colours = index // len(COLOURS)
    return Style(
        COLOURS[index % len(COLOURS)],
        DASHES[round_of_colours % len(DASHES)],
        MARKERS[round_of_colours % len(MARKERS)],
    )


def plain_numbers(values: Iterable[float]) -> list[float | None]:
    """Rounded numbers for JSON, None in place of nan and infinity."""
    return [round(float(value), DECIMALS) if np.isfinite(value) else None for value in values]
