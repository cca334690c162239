"""The report of a study: leaderboard.md, .csv, .tex, and one self-contained page leaderboard.html."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.evaluation.sample_metrics import display_name
from recbole_lecdsr.files import write_whole
from recbole_lecdsr.leaderboard import charts, tables
from recbole_lecdsr.leaderboard.embedding_map import EmbeddingMap, embedding_map
from recbole_lecdsr.leaderboard.significance import mean_and_sd
from recbole_lecdsr.leaderboard.standings import SHOWN, TESTED, Standings, standings
from recbole_lecdsr.leaderboard.study import Run, Study, read_study

REPORT = "report"
PAGE = Path(__file__).parent / "page"
MAX_MAPS = 3


def write_report(study_folder: str | Path, embedding_maps: bool = True) -> dict[str, Path]:
    """Write ``<study>/report/``, each file whole or not at all.

    Args:
        study_folder: a study, finished or not.
        embedding_maps: draw the map of LeCDSR's item embeddings, which reads the runs' data again.

    Returns:
        ``markdown``, ``csv``, ``latex`` and ``html`` -> path.

    Raises:
        UserError: see `recbole_lecdsr.leaderboard.study.read_study`; or a folder that cannot be written.
    """
    study = read_study(study_folder)
    table = standings(study)
    maps = _maps(study) if embedding_maps else []
    texts = {
        "markdown": ("leaderboard.md", tables.markdown(table)),
        "csv": ("leaderboard.csv", tables.comma_separated(table)),
        "latex": ("leaderboard.tex", tables.latex(table)),
        "html": ("leaderboard.html", page(table, maps)),
    }
    folder = study.folder / REPORT
    paths = {}
    try:
        folder.mkdir(exist_ok=True)
        for kind, (name, text) in texts.items():
            with write_whole(folder / name) as file:
                file.write(text)
            paths[kind] = folder / name
    except OSError as error:
        raise UserError(f"the report cannot be written to {folder}: {error.strerror or error}") from None
    return paths


def _maps(study: Study) -> list[EmbeddingMap | str]:
    """Of the first run of each of the first few models that are LeCDSR."""
    runs = [study.finished(label)[0] for label in study.models if study.finished(label)]
    ours = [run for run in runs if str(run.result["model"]).partition("-")[0] == "LeCDSR"]
    return [embedding_map(run) for run in ours[:MAX_MAPS]]


def page(table: Standings, maps: list[EmbeddingMap | str]) -> str:
    """The HTML page, with plotly.js in it; it asks nothing of the network."""
    study = table.study
    drawn = [one for one in maps if isinstance(one, EmbeddingMap)]
    figures = [charts.validation_curves(table), charts.ablations(table), charts.by_history(table),
               charts.by_popularity(table), charts.cost(table)]  # fmt: skip
    by_key = {figure.key: figure for figure in figures if figure}
    map_figures = charts.embedding_figures(table, drawn)
    environment = Environment(
        loader=FileSystemLoader(PAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["breakable"] = _breakable
    return environment.get_template("report.html").render(
        dataset=study.dataset,
        first=table.first,
        parts=study.part_names,
        metrics=[display_name(metric) for metric in SHOWN],
        tested=display_name(TESTED),
        rows=[_row(table, label) for label in table.labels],
        comparisons=_comparisons(table),
        statements=tables.statements(table),
        wanting=tables.unfinished_runs(study),
        figures=by_key,
        costs=[_cost_row(study, label) for label in table.labels],
        recommended=[_recommended_row(study, label) for label in table.labels],
        domains={part: name for part, name in study.part_names.items() if part != "overall"},
        maps=map_figures,
        no_maps=[one for one in maps if isinstance(one, str)],
        data={figure.key: figure.plain() for figure in [*by_key.values(), *map_figures]},
        plotly=get_plotlyjs(),
        style=(PAGE / "report.css").read_text(encoding="utf-8"),
        script=(PAGE / "report.js").read_text(encoding="utf-8"),
    )


def _breakable(label: str) -> Markup:
    """A label that a narrow column may break at its joints."""
    return Markup(re.sub(r"([:_=])", r"\1<wbr>", str(escape(label))))  # escapes hold none of these


# ---------------------------------------------------------------------- rows of the page's tables


def _row(table: Standings, label: str) -> dict:
    cells = []
    for part in table.study.part_names:
        for metric in SHOWN:
            mean, sd = table.mean_and_sd(label, part, metric)
            verdict = table.verdict(label, part) if metric == TESTED else 0
            comparison = table.comparisons[part].get(label)
            cells.append(
                {
                    "mean": "" if math.isnan(mean) else mean,
                    "text": tables.NOTHING if math.isnan(mean) else f"{mean:.4f}",
                    "sd": "" if math.isnan(sd) else f"{sd:.4f}",
                    "best": mean == table.best(part, metric),
                    "mark": tables.MARKS[verdict],
                    "why": f"{comparison.difference:+.4f} to {table.first}, p {tables.p_text(comparison.p_holm)}"
                    if verdict
                    else "",
                }
            )
    return {
        "label": label,
        "first": label == table.first,
        "done": len(table.study.finished(label)),
        "seeds": tables.seeds_text(table.study, label),
        "cells": cells,
    }


def _comparisons(table: Standings) -> list[dict]:
    rows = []
    for label in table.labels:
        cells = []
        for part in table.study.part_names:
            comparison, floor = table.comparisons[part].get(label), table.noise[part]
            cells.append(
                comparison
                and {
                    "c": comparison,
                    "holm": tables.p_text(comparison.p_holm),
                    "permutation": tables.p_text(comparison.p_permutation),
                    "mark": tables.MARKS[comparison.verdict()],
                    "noise": floor is not None and abs(comparison.difference) < floor.difference,
                }
            )
        if any(cells):
            rows.append({"label": label, "cells": cells})
    return rows


def _over_seeds(study: Study, label: str, value: Callable[[Run], float]) -> tuple[float, float]:
    return mean_and_sd(np.array([value(run) for run in study.finished(label)]))


def _cost_row(study: Study, label: str) -> dict:
    def mean(value: Callable[[dict], float]) -> float:
        return _over_seeds(study, label, lambda run: value(run.result))[0]

    return {
        "label": label,
        "parameters": int(mean(lambda result: result.get("trainable_parameters", 0))),
        "epochs": mean(lambda result: result.get("epochs", len(result["history"]))),
        "train": mean(lambda result: result["seconds"]["train"]),
        "valid": mean(lambda result: result["seconds"]["valid"]),
        "test": mean(lambda result: result["seconds"]["test"]),
        "speed": mean(lambda result: result.get("samples_per_second", 0.0)),
        "memory": mean(lambda result: max(result["peak_memory_bytes"].values())) / 1e9,
        "device": study.finished(label)[0].result["device"],
    }


def _recommended_row(study: Study, label: str) -> dict:
    def over_seeds(domain: str, key: str) -> tuple[float, float]:
        # Absent where the model scores nothing.
        return _over_seeds(study, label, lambda run: run.result["recommended"].get(domain, {}).get(key, math.nan))

    domains = [part for part in study.part_names if part != "overall"]
    cells = {domain: {} for domain in domains}
    for domain in domains:
        for name, key, form in (
            ("coverage", "coverage@10", "{:.3f}"),
            ("popularity", "average_popularity@10", "{:,.1f}"),
        ):
            mean, sd = over_seeds(domain, key)
            text = form.format(mean) + ("" if math.isnan(sd) else " ± " + form.format(sd))
            known = not math.isnan(mean)
            cells[domain][name] = {"mean": mean if known else "", "text": text if known else tables.NOTHING}
    return {"label": label, "cells": cells}
