"""The figures of the report, as plain data for plotly.js; colours of text and lines are the page's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.evaluation.sample_metrics import display_name
from recbole_lecdsr.leaderboard.embedding_map import EmbeddingMap, Panel
from recbole_lecdsr.leaderboard.slices import Bins, history_bins, popularity_bins
from recbole_lecdsr.leaderboard.standings import TESTED, Standings, slice_means

# Told apart by most eyes; the first is the first model's. Later models repeat them with another dash and marker.
COLOURS = ("#2f6fde", "#e07b39", "#2a9d74", "#b65fcf", "#d64550", "#8a6d3b", "#1f9bb5", "#c2a300", "#7f7f7f", "#e377c2")
DASHES = ("solid", "dash", "dot")
MARKERS = ("circle", "square", "diamond")
_ROUND = 5


@dataclass(frozen=True, eq=False)
class View:
    """One of the pictures that a figure can show: plotly's data and layout."""

    name: str
    data: list[dict]
    layout: dict


@dataclass(frozen=True, eq=False)
class Figure:
    """A figure of the page; buttons change between its views."""

    key: str
    title: str
    text: str
    views: list[View]
    height: int = 380

    def plain(self) -> dict:
        """For JSON."""
        return asdict(self)


def _style(table: Standings, label: str) -> tuple[str, str, str]:
    place = table.study.models.index(label)
    turn = place // len(COLOURS)
    return COLOURS[place % len(COLOURS)], DASHES[turn % len(DASHES)], MARKERS[turn % len(MARKERS)]


def _numbers(values: Sequence[float]) -> list[float | None]:
    return [round(float(value), _ROUND) if np.isfinite(value) else None for value in values]


# ---------------------------------------------------------------------- validation


def validation_curves(table: Standings) -> Figure | None:
    """Validation metric after each epoch of each run: the mean that selects, and each domain's."""
    study = table.study
    metric = str(study.any_result["parameters"]["valid_metric"]).lower()
    names = {part: name for part, name in study.part_names.items() if part != "overall"}
    views = []
    for part, name in {"": "mean of the domains", **names}.items():
        data = [trace for label in study.models for trace in _curves(table, label, part, metric)]
        if data:
            value = f"validation {display_name(metric)}"
            layout = {"xaxis": {"title": {"text": "epoch"}}, "yaxis": {"title": {"text": value}}}
            views.append(View(name, data, layout))
    text = "One line a seed; the dot is the selected epoch. Pick a model in the legend to hide or show its lines."
    return Figure("curves", "Validation curves", text, views, 440) if views else None


def _curves(table: Standings, label: str, part: str, metric: str) -> list[dict]:
    colour, dash, symbol = _style(table, label)
    traces = []
    for run in table.study.finished(label):
        epochs = [(number, epoch) for number, epoch in enumerate(run.result["history"], 1) if "valid" in epoch]
        if part:
            points = [(x, epoch["valid"][part][metric]) for x, epoch in epochs if part in epoch["valid"]]
        else:
            # Not of a model that scores one domain: its score is no mean.
            domains = set(DOMAINS) & table.study.samples.parts.keys()
            points = [(x, epoch["valid_score"]) for x, epoch in epochs if domains <= epoch["valid"].keys()]
        if not points:
            continue
        best = set((run.result.get("best_epoch") or {}).values())
        last_phase = run.result["history"][-1]["phase"]
        chosen = {x for x, epoch in epochs if epoch["epoch"] in best and epoch["phase"] == last_phase}
        traces.append(
            {
                "type": "scatter", "mode": "lines+markers", "name": label, "legendgroup": label,
                "showlegend": not traces, "x": [x for x, _ in points], "y": _numbers([y for _, y in points]),
                "line": {"color": colour, "width": 1.5, "dash": dash},
                "marker": {"color": colour, "symbol": symbol, "size": [7 if x in chosen else 0 for x, _ in points],
                           "line": {"width": 0}},
                "hovertemplate": f"%{{y:.4f}}, epoch %{{x}}, seed {run.seed}<extra>%{{fullData.name}}</extra>",
            }
        )  # fmt: skip
    return traces


# ---------------------------------------------------------------------- ablations


def ablations(table: Standings) -> Figure | None:
    """Difference of each variant of the first model to it, with its interval, over the noise floor."""
    variants = table.variants()
    views = []
    for part, name in table.study.part_names.items():
        rows = [(change, table.comparisons[part].get(label)) for label, change in variants.items()]
        rows = [(change, comparison) for change, comparison in rows if comparison][::-1]
        if not rows:
            continue
        difference = np.array([c.difference for _, c in rows])
        data = [
            {
                "type": "bar", "orientation": "h", "y": [change for change, _ in rows], "x": _numbers(difference),
                "marker": {"color": [COLOURS[0] if value >= 0 else COLOURS[1] for value in difference]},
                "error_x": {"type": "data", "symmetric": False, "thickness": 1.5, "width": 4, "color": "#808080",
                            "array": _numbers([c.high - c.difference for _, c in rows]),
                            "arrayminus": _numbers([c.difference - c.low for _, c in rows])},
                "hovertemplate": "%{y}: %{x:+.4f}<extra></extra>", "showlegend": False,
            }
        ]  # fmt: skip
        title = f"difference in {display_name(TESTED)}"
        layout = {"xaxis": {"title": {"text": title}, "zeroline": True}, "yaxis": {"automargin": True}}
        floor = table.noise[part]
        if floor:
            layout["shapes"] = [
                {"type": "rect", "xref": "x", "yref": "paper", "x0": -floor.difference, "x1": floor.difference, "y0": 0,
                 "y1": 1, "fillcolor": "#888888", "opacity": 0.18, "line": {"width": 0}, "layer": "below"}
            ]  # fmt: skip
        views.append(View(name, data, layout))
    text = (
        f"What {table.first} gains or loses when one part is changed. Lines: 95\u00a0% interval over users. "
        "Grey: what two seeds of one model differ by."
    )
    return Figure("ablations", "Ablations", text, views, 140 + 44 * len(variants)) if views else None


# ---------------------------------------------------------------------- slices


def by_history(table: Standings) -> Figure:
    """The tested metric by the number of earlier events of the user."""
    samples = table.study.samples
    bins = {part: history_bins(samples.history[chosen]) for part, chosen in samples.parts.items()}
    text = "Test samples in five bins of about equal size, by the events that the user had before."
    views = [
        _slice_view(table, part, bins[part], bins[part].ranges, "earlier events of the user")
        for part in bins
        if table.scoring(part)
    ]
    return Figure("history", "By history length", text, views, 440)


def by_popularity(table: Standings) -> Figure:
    """The tested metric by the training events of the target."""
    samples = table.study.samples
    views = []
    for part, chosen in samples.parts.items():
        if not table.scoring(part):
            continue
        bins = popularity_bins(samples.popularity[chosen], samples.item[chosen])
        names = ["<b>cold</b><br>0" if high == 0 else f"tail<br>{name}"
                 for name, high in zip(bins.ranges, bins.high, strict=True)]  # fmt: skip
        if bins.high[-1] > 0:
            names[-1] = f"<b>head</b><br>{bins.ranges[-1]}"
        views.append(_slice_view(table, part, bins, names, "training events of the target item"))
    text = (
        "Cold items have no training event. The other targets are in up to five bins of about equally many items, so "
        "that the bins of the long tail hold the least popular 80\u00a0% of them, and the head the rest."
    )
    return Figure("popularity", "By item popularity", text, views, 440)


def _slice_view(table: Standings, part: str, bins: Bins, names: list[str], axis: str) -> View:
    places = [f"{name}<br>n = {size:,}" for name, size in zip(names, bins.size, strict=True)]
    data = []
    for label in table.scoring(part):
        colour, dash, symbol = _style(table, label)
        rows = slice_means(table.study, label, part, bins)
        sd = np.std(rows, axis=0, ddof=1) if len(rows) > 1 else np.full(len(places), np.nan)
        data.append(
            {
                "type": "scatter", "mode": "lines+markers", "name": label, "x": places,
                "y": _numbers(np.mean(rows, axis=0)), "line": {"color": colour, "dash": dash, "width": 1.5},
                "marker": {"color": colour, "symbol": symbol, "size": 7},
                "error_y": {"type": "data", "array": _numbers(sd), "thickness": 1, "width": 3,
                            "visible": len(rows) > 1},
                "hovertemplate": "%{y:.4f}<extra>%{fullData.name}</extra>",
            }
        )  # fmt: skip
    layout = {
        "xaxis": {"title": {"text": axis}, "type": "category", "tickangle": 0, "tickfont": {"size": 11}},
        "yaxis": {"title": {"text": display_name(TESTED)}, "rangemode": "tozero"},
    }
    return View(table.study.part_names[part], data, layout)


# ---------------------------------------------------------------------- cost


def cost(table: Standings) -> Figure:
    """Quality against training time and against memory, a point a model."""
    measures = {
        "training time": ("training time (s)", lambda result: result["seconds"]["train"], "log"),
        "peak memory": ("peak memory (GB)", lambda result: max(result["peak_memory_bytes"].values()) / 1e9, "linear"),
    }
    part = next(part for part in table.study.part_names if table.scoring(part))
    views = []
    for name, (axis, measure, scale) in measures.items():
        data = []
        for label in table.scoring(part):
            colour, _, symbol = _style(table, label)
            value = np.mean([measure(run.result) for run in table.study.finished(label)])
            value = max(value, 0.01) if scale == "log" else value  # what does not train takes no time
            data.append(
                {
                    "type": "scatter", "mode": "markers", "name": label, "x": _numbers([value]),
                    "y": _numbers([table.mean_and_sd(label, part, TESTED)[0]]),
                    "marker": {"color": colour, "symbol": symbol, "size": 11},
                    "hovertemplate": "%{x:,.3~f}, %{y:.4f}<extra>%{fullData.name}</extra>",
                }
            )  # fmt: skip
        seen = [x for trace in data for x in trace["x"]]
        layout = {
            "xaxis": {"title": {"text": axis}, "type": scale, **_log_ticks(min(seen), max(seen))} if scale == "log" else
                     {"title": {"text": axis}, "rangemode": "tozero"},
            "yaxis": {"title": {"text": f"{display_name(TESTED)}, {table.study.part_names[part]}"}},
        }  # fmt: skip
        views.append(View(name, data, layout))
    return Figure("cost", "Quality and cost", "Up and to the left is better.", views, 420)


def _log_ticks(low: float, high: float) -> dict:
    """Ticks of a logarithmic axis: at powers of ten, and at 2 and 5 of each where these alone would be too few."""
    if high > 30 * low:
        return {"dtick": 1}
    powers = np.arange(np.floor(np.log10(low)) - 1, np.ceil(np.log10(high)) + 2)
    values = [float(f"{step}e{int(power)}") for power in powers for step in (1, 2, 5)]
    return {"tickvals": values, "ticktext": [f"{value:,g}" for value in values]}


# ---------------------------------------------------------------------- embeddings


def embedding_figures(table: Standings, maps: Sequence[EmbeddingMap]) -> list[Figure]:
    """Two figures a map: before and after."""
    return [
        _panel(table, one, panel, moment, f"map-{number}-{moment}")
        for number, one in enumerate(maps)
        for moment, panel in (("before", one.before), ("after", one.after))
    ]


def _panel(table: Standings, one: EmbeddingMap, panel: Panel, moment: str, key: str) -> Figure:
    names = table.study.part_names
    data = []
    for code, domain in enumerate(DOMAINS):
        chosen = one.domain == code
        for kind, places, symbol in (("ID", panel.item_id, "circle"), ("LLM", panel.text, "diamond-open")):
            data.append(
                {
                    "type": "scatter", "mode": "markers", "name": f"{names.get(domain, domain)}, {kind}",
                    "x": _places(places[chosen, 0]), "y": _places(places[chosen, 1]),
                    "text": one.token[chosen].tolist(),
                    "marker": {"color": COLOURS[code], "symbol": symbol, "size": 4.5, "opacity": 0.6},
                    "hovertemplate": "%{text}<extra>%{fullData.name}</extra>",
                }
            )  # fmt: skip
    hidden = {"showticklabels": False, "zeroline": False, "showgrid": False, "title": {"text": ""}}
    layout = {"xaxis": hidden, "yaxis": {**hidden, "scaleanchor": "x"}, "hovermode": "closest"}
    text = (
        f"Mean cosine of an item's ID and LLM embedding {_cosine(panel.own_cosine)}; of two different items' "
        f"{_cosine(panel.other_cosine)}. The two axes show {panel.explained:.0%} of the variance."
    )
    title = f"{one.label}, seed {one.seed}: {'before training' if moment == 'before' else 'after training'}"
    return Figure(key, title, text, [View(moment, data, layout)], 440)


def _cosine(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}"  # no -0.00


def _places(values: np.ndarray) -> list[float]:
    return np.round(values, 3).tolist()
