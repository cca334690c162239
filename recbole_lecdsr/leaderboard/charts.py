"""Figures of the report: validation, ablations, cost and maps of embeddings. The page sets colours of text and axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.evaluation.sample_metrics import display_name
from recbole_lecdsr.leaderboard.embedding_map import EmbeddingMap, Projection
from recbole_lecdsr.leaderboard.figure import COLOURS, DECIMALS, Figure, Trace, View, plain_numbers, style_of
from recbole_lecdsr.leaderboard.standings import TESTED_METRIC, Standings
from recbole_lecdsr.leaderboard.statements import DEVICES_DIFFER
from recbole_lecdsr.runs.result import RunResult

# ---------------------------------------------------------------------- validation


def validation_curves(table: Standings) -> Figure | None:
    """Validation metric after each epoch of each run: the mean of the domains, which selects, and each domain's."""
    study = table.study
    metric = study.first_result.valid_metric
    names = {part: name for part, name in study.part_names.items() if part != "overall"}
    views = []
    for part, name in {"": "mean of the domains", **names}.items():
        data = [trace for label in study.models for trace in _curves(table, label, part, metric)]
        if data:
            value = f"validation {display_name(metric)}"
            layout = {"xaxis": {"title": {"text": "epoch"}}, "yaxis": {"title": {"text": value}}}
            views.append(View(name, data, layout))
    text = "One line per seed; the dot marks the selected epoch. Click a model in the legend to hide or show its lines."
    return Figure("curves", "Validation curves", text, views, 440) if views else None


def _curves(table: Standings, label: str, part: str, metric: str) -> list[Trace]:
    """A trace for each finished seed; ``part`` is a domain, or empty for the mean of the domains."""
    style, name = style_of(table, label), table.study.model_name(label)
    domains = set(DOMAINS) & table.study.samples.parts.keys()
    traces: list[Trace] = []
    for run in table.study.finished_runs(label):
        validated = [(x, epoch) for x, epoch in enumerate(run.result.history, 1) if epoch.valid]
        points: list[tuple[int, float]] = []
        for x, epoch in validated:
            valid, score = epoch.valid or {}, epoch.valid_score
            if part and part in valid:
                points.append((x, valid[part][metric]))
            # Otherwise the score is of one domain only.
            elif not part and domains <= valid.keys() and score is not None:
                points.append((x, score))
        if not points:
            continue
        last_phase = run.result.history[-1].phase
        selected = {
            x for x, epoch in validated if epoch.epoch in run.result.selected_epochs and epoch.phase == last_phase
        }
        traces.append(
            {
                "type": "scatter", "mode": "lines+markers", "name": name, "legendgroup": name,
                "showlegend": not traces, "x": [x for x, _ in points], "y": plain_numbers(y for _, y in points),
                "line": {"color": style.colour, "width": 1.5, "dash": style.dash},
                "marker": {"color": style.colour, "symbol": style.marker,
                           "size": [7 if x in selected else 0 for x, _ in points], "line": {"width": 0}},
                "hovertemplate": f"%{{y:.4f}}, epoch %{{x}}, seed {run.seed}<extra>%{{fullData.name}}</extra>",
            }
        )  # fmt: skip
    return traces


# ---------------------------------------------------------------------- ablations


def ablations(table: Standings) -> Figure | None:
    """Difference of each variant of the reference to it, with its interval, over the noise floor."""
    variants = table.variants()
    views = []
    for part, name in table.study.part_names.items():
        comparisons = table.comparisons[part]
        rows = [(change, comparisons[label]) for label, change in variants.items() if label in comparisons][::-1]
        if not rows:
            continue
        data: list[Trace] = [
            {
                "type": "bar", "orientation": "h", "y": [change for change, _ in rows],
                "x": plain_numbers(c.difference for _, c in rows),
                "marker": {"color": [COLOURS[0] if c.difference >= 0 else COLOURS[1] for _, c in rows]},
                "error_x": {"type": "data", "symmetric": False, "thickness": 1.5, "width": 4, "color": "#808080",
                            "array": plain_numbers(c.high - c.difference for _, c in rows),
                            "arrayminus": plain_numbers(c.difference - c.low for _, c in rows)},
                "hovertemplate": "%{y}: %{x:+.4f}<extra></extra>", "showlegend": False,
            }
        ]  # fmt: skip
        title = f"difference in {display_name(TESTED_METRIC)}"
        layout: dict[str, Any] = {
            "xaxis": {"title": {"text": title}, "zeroline": True},
            "yaxis": {"automargin": True},
        }
        floor = table.noise[part]
        if floor:
            layout["shapes"] = [
                {"type": "rect", "xref": "x", "yref": "paper", "x0": -floor.difference, "x1": floor.difference, "y0": 0,
                 "y1": 1, "fillcolor": "#888888", "opacity": 0.18, "line": {"width": 0}, "layer": "below"}
            ]  # fmt: skip
        views.append(View(name, data, layout))
    text = (
        f"What {table.reference_name} gains or loses when one parameter is changed. Lines: 95\u00a0% interval over "
        "users, not corrected. Grey: the difference between two single runs of one model with different seeds."
    )
    return Figure("ablations", "Ablations", text, views, 140 + 44 * len(variants)) if views else None


# ---------------------------------------------------------------------- cost


def _training_seconds(result: RunResult) -> float:
    return result.seconds["train"]


def _peak_gigabytes(result: RunResult) -> float:
    return max(result.peak_memory_bytes.values()) / 1e9


def cost(table: Standings) -> Figure:
    """Quality against training time and against memory, one point per model."""
    part = next(part for part in table.study.part_names if table.labels_scoring(part))
    views = [
        _cost_view(table, part, "training time", measure=_training_seconds, axis="training time (s)", log=True),
        _cost_view(table, part, "peak memory", measure=_peak_gigabytes, axis="peak memory (GB)", log=False),
    ]
    text = "Better models are at the top, cheaper ones on the left."
    if len(table.study.devices) > 1:
        text += f" {DEVICES_DIFFER}"
    return Figure("cost", "Quality and cost", text, views, 420)


def _cost_view(
    table: Standings, part: str, name: str, *, measure: Callable[[RunResult], float], axis: str, log: bool
) -> View:
    data: list[Trace] = []
    values = []
    for label in table.labels_scoring(part):
        style = style_of(table, label)
        value = float(np.mean([measure(run.result) for run in table.study.finished_runs(label)]))
        # A model without training takes no time, and a logarithmic axis has no zero.
        value = round(max(value, 0.01) if log else value, DECIMALS)
        values.append(value)
        data.append(
            {
                "type": "scatter", "mode": "markers", "name": table.study.model_name(label), "x": [value],
                "y": plain_numbers([table.mean_and_sd(label, part, TESTED_METRIC)[0]]),
                "marker": {"color": style.colour, "symbol": style.marker, "size": 11},
                "hovertemplate": "%{x:,.3~f}, %{y:.4f}<extra>%{fullData.name}</extra>",
            }
        )  # fmt: skip
    x_axis: dict[str, Any] = {"title": {"text": axis}}
    x_axis |= {"type": "log", **_log_ticks(min(values), max(values))} if log else {"rangemode": "tozero"}
    y_axis = {"title": {"text": f"{display_name(TESTED_METRIC)}, {table.study.part_names[part]}"}}
    return View(name, data, {"xaxis": x_axis, "yaxis": y_axis})


def _log_ticks(low: float, high: float) -> dict[str, Any]:
    """Ticks of a logarithmic axis: at powers of ten, and at 2 and 5 times each where these alone would be too few."""
    if high > 30 * low:
        return {"dtick": 1}
    powers = np.arange(np.floor(np.log10(low)) - 1, np.ceil(np.log10(high)) + 2)
    values = [float(f"{step}e{int(power)}") for power in powers for step in (1, 2, 5)]
    return {"tickvals": values, "ticktext": [f"{value:,g}" for value in values]}


# ---------------------------------------------------------------------- embeddings


def embedding_figures(table: Standings, maps: Sequence[EmbeddingMap]) -> list[Figure]:
    """Two figures for each map: before and after training."""
    return [
        _projection_figure(table, item_map, projection, moment, key=f"map-{number}-{moment}")
        for number, item_map in enumerate(maps)
        for moment, projection in (("before", item_map.before), ("after", item_map.after))
    ]


def _projection_figure(
    table: Standings, item_map: EmbeddingMap, projection: Projection, moment: str, *, key: str
) -> Figure:
    names = table.study.part_names
    data: list[Trace] = []
    for code, domain in enumerate(DOMAINS):
        chosen = item_map.domain == code
        for kind, points, symbol in (("ID", projection.item_id, "circle"), ("LLM", projection.text, "diamond-open")):
            data.append(
                {
                    "type": "scatter", "mode": "markers", "name": f"{names.get(domain, domain)}, {kind}",
                    "x": _coordinates(points[chosen, 0]), "y": _coordinates(points[chosen, 1]),
                    "text": item_map.token[chosen].tolist(),
                    "marker": {"color": COLOURS[code], "symbol": symbol, "size": 4.5, "opacity": 0.6},
                    "hovertemplate": "%{text}<extra>%{fullData.name}</extra>",
                }
            )  # fmt: skip
    hidden = {"showticklabels": False, "zeroline": False, "showgrid": False, "title": {"text": ""}}
    layout = {"xaxis": hidden, "yaxis": {**hidden, "scaleanchor": "x"}, "hovermode": "closest"}
    text = (
        f"Mean cosine between the ID and the LLM embedding: {_cosine(projection.same_item_cosine)} for the same item, "
        f"{_cosine(projection.other_item_cosine)} for different items. The two axes show {projection.explained:.0%} of "
        "the variance."
    )
    title = f"{table.study.model_name(item_map.label)}, seed {item_map.seed}: {moment} training"
    return Figure(key, title, text, [View(moment, data, layout)], 440)


def _cosine(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}"  # no -0.00


def _coordinates(values: np.ndarray) -> list[float]:
    return np.round(values, 3).tolist()
