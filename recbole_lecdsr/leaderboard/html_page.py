"""The page leaderboard.html: one file that needs no network, with plotly.js in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from recbole_lecdsr.evaluation.sample_metrics import display_name
from recbole_lecdsr.leaderboard import charts, condition_rows, page_rows, slice_charts
from recbole_lecdsr.leaderboard.aids import aids
from recbole_lecdsr.leaderboard.embedding_map import EmbeddingMap, MissingMap
from recbole_lecdsr.leaderboard.standings import TABLE_METRICS, TESTED_METRIC, Standings
from recbole_lecdsr.leaderboard.statements import PLACEBO_NOTE, PLACEBO_TITLE, missing_runs, statements

TEMPLATES = Path(__file__).parent / "page"


def render_page(table: Standings, maps: Sequence[EmbeddingMap | MissingMap]) -> str:
    """The HTML page.

    Args:
        table: the study.
        maps: of item embeddings, or why there is none; empty leaves the section out.
    """
    study = table.study
    figures = [
        charts.validation_curves(table),
        charts.ablations(table),
        slice_charts.by_group(table),
        slice_charts.by_history(table),
        slice_charts.by_popularity(table),
        charts.cost(table),
    ]
    figure_by_key = {figure.key: figure for figure in figures if figure}
    map_figures = charts.embedding_figures(table, [one for one in maps if isinstance(one, EmbeddingMap)])
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = breakable
    return environment.get_template("report.html").render(
        dataset=study.dataset,
        aids=aids(study, table.labels),
        conditions=condition_rows.condition_rows(table),
        conditions_title=condition_rows.CONDITIONS_TITLE,
        conditions_head=condition_rows.CONDITIONS_HEAD,
        conditions_note=condition_rows.CONDITIONS_NOTE,
        reference=table.reference_name,
        parts=study.part_names,
        metrics=[display_name(metric) for metric in TABLE_METRICS],
        tested=display_name(TESTED_METRIC),
        rows=page_rows.leaderboard_rows(table),
        comparisons=page_rows.comparison_rows(table),
        placebos=page_rows.placebo_rows(table),
        placebo_title=PLACEBO_TITLE,
        placebo_note=PLACEBO_NOTE,
        valid_metric=display_name(study.first_result.valid_metric),
        statements=statements(table),
        missing_runs=missing_runs(study),
        figures=figure_by_key,
        costs=page_rows.cost_rows(table),
        recommended=page_rows.recommended_rows(table),
        domains={part: name for part, name in study.part_names.items() if part != "overall"},
        maps=map_figures,
        missing_maps=[
            f"No map of {study.model_name(one.label)}: {one.reason}." for one in maps if isinstance(one, MissingMap)
        ],
        data={figure.key: figure.as_plain_data() for figure in [*figure_by_key.values(), *map_figures]},
        plotly=get_plotlyjs(),
        style=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
        script=(TEMPLATES / "report.js").read_text(encoding="utf-8"),
    )


def breakable(name: str) -> Markup:
    """A model's name as HTML that a narrow column may break after ``:``, ``_`` and ``=``.

    >>> breakable("SASRec:sequence=single")
    Markup('SASRec:<wbr>sequence=<wbr>single')
    """
    return Markup(re.sub(r"([:_=])", r"\1<wbr>", str(escape(name))))  # HTML escapes hold none of these
