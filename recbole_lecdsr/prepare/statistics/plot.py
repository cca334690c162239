"""The plot of a pair as one SVG file: how long sequences are, and when interactions happened.

SVG is text, anything that shows Markdown shows it, and no plotting package is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jinja2 import Environment

from recbole_lecdsr.prepare.statistics.pair_statistics import PairStatistics
from recbole_lecdsr.prepare.statistics.time_format import format_time, is_unix_time

COLOURS = ("#3b6fb6", "#d98032")
_WIDTH, _HEIGHT = 760, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 42, 42
_LEGEND_STEP, _MOST_LABELS = 150, 8
_SIX_YEARS = 6 * 365 * 86400
_TEMPLATE = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string("""\
<svg xmlns="http://www.w3.org/2000/svg" width="{{ width }}" height="{{ panel_height * panels|length }}" \
viewBox="0 0 {{ width }} {{ panel_height * panels|length }}" font-family="sans-serif" font-size="12" role="img">
<title>{{ title }}</title>
<rect width="100%" height="100%" fill="#ffffff"/>
{% for panel in panels %}
<g transform="translate(0,{{ panel_height * loop.index0 }})" fill="#222222">
<text x="{{ left }}" y="18" font-size="14">{{ panel.title }}</text>
{% for name, colour, x in panel.legend %}
<rect x="{{ x }}" y="24" width="10" height="10" fill="{{ colour }}"/><text x="{{ x + 14 }}" y="33">{{ name }}</text>
{% endfor %}
{% for y, text in panel.grid_lines %}
<line x1="{{ left }}" x2="{{ end }}" y1="{{ y }}" y2="{{ y }}" stroke="#dddddd"/>
<text x="{{ left - 6 }}" y="{{ y + 4 }}" text-anchor="end">{{ text }}</text>
{% endfor %}
{% for bar in panel.bars %}
<rect x="{{ bar.x }}" y="{{ bar.y }}" width="{{ bar.width }}" height="{{ bar.height }}" fill="{{ bar.colour }}">\
<title>{{ bar.tooltip }}</title></rect>
{% endfor %}
{% for x, text in panel.labels %}
<text x="{{ x }}" y="{{ label_y }}" text-anchor="middle">{{ text }}</text>
{% endfor %}
</g>
{% endfor %}
</svg>
""")


@dataclass(frozen=True)
class Bar:
    """A part of a stacked bar, in pixels from the upper left corner of its panel."""

    x: float
    y: float
    width: float
    height: float
    colour: str
    tooltip: str


@dataclass(frozen=True)
class Panel:
    """A histogram of stacked bars, laid out.

    Attributes:
        title: above it.
        legend: name, colour and x of each stacked part.
        grid_lines: y and text of each horizontal line.
        bars: of all bins and parts.
        labels: x and text of each label below the bars.
    """

    title: str
    legend: tuple[tuple[str, str, int], ...]
    grid_lines: tuple[tuple[float, str], ...]
    bars: tuple[Bar, ...]
    labels: tuple[tuple[float, str], ...]


def plot_pair(statistics: PairStatistics) -> str:
    """The plot of a pair: lengths of its users' sequences, and times of its interactions by domain.

    Returns:
        The text of an SVG file.
    """
    edges = statistics.time_histogram[0]
    first, last = edges[0], edges[-1]
    with_dates, date_form = is_unix_time(first, last), "%Y-%m-%d" if last - first < _SIX_YEARS else "%Y-%m"

    def time_label(edge: float) -> str:
        return format_time(edge, date_form) if with_dates else f"{edge:.6g}"

    lengths, users = statistics.length_histogram
    times, interactions = statistics.time_histogram
    return draw_panels(
        statistics.name,
        [
            lay_out_histogram(
                "users by their number of events", ["both domains"], lengths, [users],
                label=lambda edge: f"{edge:,}", integer_bins=True,
            ),
            lay_out_histogram("events by time", list(statistics.domains), times, interactions, label=time_label),
        ],
    )  # fmt: skip


def draw_panels(title: str, panels: Sequence[Panel]) -> str:
    """Panels below one another, as the text of an SVG file. Names are escaped."""
    return _TEMPLATE.render(
        title=title, panels=panels, width=_WIDTH, panel_height=_HEIGHT, left=_LEFT, end=_WIDTH - _RIGHT,
        label_y=_HEIGHT - _BOTTOM + 18,
    )  # fmt: skip


def lay_out_histogram(
    title: str,
    names: Sequence[str],
    edges: Sequence[float],
    counts: Sequence[Sequence[int]],
    *,
    label: Callable[[float], str],
    integer_bins: bool = False,
) -> Panel:
    """Lay out a histogram of stacked bars.

    Args:
        title: above it.
        names: of the parts that are stacked.
        edges: (B + 1) edges of the bins, which are drawn at equal widths.
        counts: for each part (B,) counts.
        label: text of an edge.
        integer_bins: a bin holds integers, from its edge up to, but without, the next one.
    """
    n_bins = len(edges) - 1
    width = (_WIDTH - _LEFT - _RIGHT) / n_bins
    base, full_height = _HEIGHT - _BOTTOM, _HEIGHT - _TOP - _BOTTOM
    highest = max((sum(part[index] for part in counts) for index in range(n_bins)), default=0) or 1
    bars = []
    for index in range(n_bins):
        stacked = 0.0
        first, last = edges[index], edges[index + 1] - 1 if integer_bins else edges[index + 1]
        span = label(first) if integer_bins and last == first else f"{label(first)} to {label(last)}"
        for name, part, colour in zip(names, counts, COLOURS, strict=False):
            height = full_height * part[index] / highest
            stacked += height
            if part[index]:
                bars.append(Bar(
                    round(_LEFT + index * width, 1), round(base - stacked, 1), round(max(width - 1, 0.5), 1),
                    round(height, 1), colour, f"{name}, {span}: {part[index]:,}",
                ))  # fmt: skip
    step = max(1, -(-n_bins // _MOST_LABELS))
    offset = 0.5 if integer_bins else 0.0
    return Panel(
        title=title,
        legend=tuple((name, COLOURS[n], _LEFT + _LEGEND_STEP * n) for n, name in enumerate(names)),
        grid_lines=tuple(
            (round(base - full_height * share, 1), f"{round(highest * share):,}") for share in (0, 0.5, 1)
        ),
        bars=tuple(bars),
        labels=tuple(
            (round(_LEFT + (index + offset) * width, 1), label(edges[index])) for index in range(0, n_bins, step)
        ),
    )
