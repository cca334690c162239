"""The picture of prepared data: how long sequences are and when events happened, as one SVG file.

SVG is text, is shown by anything that shows Markdown, and needs no package to draw.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jinja2 import Environment

COLOURS = ("#3b6fb6", "#d98032")
_WIDTH, _HEIGHT = 760, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 42, 42
_TEMPLATE = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string("""\
<svg xmlns="http://www.w3.org/2000/svg" width="{{ width }}" height="{{ height }}" \
viewBox="0 0 {{ width }} {{ height }}" font-family="sans-serif" font-size="12" role="img">
<title>{{ title }}</title>
<rect width="100%" height="100%" fill="#ffffff"/>
{% for panel in panels %}
<g transform="translate(0,{{ panel.top }})" fill="#222222">
<text x="{{ left }}" y="18" font-size="14">{{ panel.title }}</text>
{% for name, colour, x in panel.legend %}
<rect x="{{ x }}" y="24" width="10" height="10" fill="{{ colour }}"/><text x="{{ x + 14 }}" y="33">{{ name }}</text>
{% endfor %}
{% for y, text in panel.marks %}
<line x1="{{ left }}" x2="{{ end }}" y1="{{ y }}" y2="{{ y }}" stroke="#dddddd"/>
<text x="{{ left - 6 }}" y="{{ y + 4 }}" text-anchor="end">{{ text }}</text>
{% endfor %}
{% for x, y, w, h, colour, tip in panel.bars %}
<rect x="{{ x }}" y="{{ y }}" width="{{ w }}" height="{{ h }}" fill="{{ colour }}"><title>{{ tip }}</title></rect>
{% endfor %}
{% for x, text in panel.labels %}
<text x="{{ x }}" y="{{ panel.label_y }}" text-anchor="middle">{{ text }}</text>
{% endfor %}
</g>
{% endfor %}
</svg>
""")


def draw(title: str, panels: Sequence[dict[str, object]]) -> str:
    """Histograms below one another.

    Args:
        title: of the whole.
        panels: each from `panel`.

    Returns:
        The text of an SVG file. Names are escaped.
    """
    placed = [{**one, "top": number * _HEIGHT} for number, one in enumerate(panels)]
    return _TEMPLATE.render(
        title=title, panels=placed, width=_WIDTH, height=_HEIGHT * len(placed), left=_LEFT, end=_WIDTH - _RIGHT
    )


def panel(
    title: str,
    names: Sequence[str],
    edges: Sequence[float],
    counts: Sequence[Sequence[int]],
    label: Callable[[float], str],
    whole: bool = False,
) -> dict[str, object]:
    """A histogram of stacked bars.

    Args:
        title: above it.
        names: of the parts that are stacked.
        edges: (B + 1) edges of the bins, drawn at equal widths.
        counts: for each part (B,) counts.
        label: text of an edge.
        whole: a bin holds whole numbers, from one edge to below the next.
    """
    bins = len(edges) - 1
    width = (_WIDTH - _LEFT - _RIGHT) / bins
    base, tall = _HEIGHT - _BOTTOM, _HEIGHT - _TOP - _BOTTOM
    top = max((sum(part[place] for part in counts) for place in range(bins)), default=0) or 1
    bars = []
    for place in range(bins):
        below = 0.0
        last = edges[place + 1] - 1 if whole else edges[place + 1]
        span = label(edges[place]) if whole and last == edges[place] else f"{label(edges[place])} to {label(last)}"
        for name, part, colour in zip(names, counts, COLOURS, strict=False):
            height = tall * part[place] / top
            below += height
            if part[place]:
                bars.append((
                    round(_LEFT + place * width, 1), round(base - below, 1), round(max(width - 1, 0.5), 1),
                    round(height, 1), colour, f"{name}, {span}: {part[place]:,}",
                ))  # fmt: skip
    step = max(1, -(-bins // 8))
    offset = 0.5 if whole else 0.0
    return {
        "title": title,
        "legend": [(name, COLOURS[n], _LEFT + 150 * n) for n, name in enumerate(names)],
        "marks": [(round(base - tall * part, 1), f"{round(top * part):,}") for part in (0, 0.5, 1)],
        "bars": bars,
        "labels": [
            (round(_LEFT + (place + offset) * width, 1), label(edges[place])) for place in range(0, bins, step)
        ],
        "label_y": base + 18,
    }  # fmt: skip
