"""Rows of the tables on the page leaderboard.html."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from recbole_lecdsr.leaderboard.number_texts import NO_VALUE, VERDICT_MARKS, p_text
from recbole_lecdsr.leaderboard.placebos import TextMinusPlacebo, compare_with_placebos
from recbole_lecdsr.leaderboard.significance import Comparison, mean_and_sd
from recbole_lecdsr.leaderboard.standings import TABLE_METRICS, TESTED_METRIC, Standings
from recbole_lecdsr.leaderboard.statements import seeds_text
from recbole_lecdsr.leaderboard.study import Study
from recbole_lecdsr.runs.result import RunResult


@dataclass(frozen=True)
class NumberCell:
    """A number of a table.

    Attributes:
        value: what the column is sorted by; None where there is no number.
        text: what is shown.
    """

    value: float | None
    text: str


@dataclass(frozen=True)
class MetricCell(NumberCell):
    """A metric of the leaderboard.

    Attributes:
        sd: standard deviation over the seeds, empty with one seed.
        best: whether it is the highest of its column.
        mark: ▲ or ▼ for a significant difference to the reference, else empty.
        hint: what the mark means.
    """

    sd: str
    best: bool
    mark: str
    hint: str


@dataclass(frozen=True)
class LeaderboardRow:
    """A model of the leaderboard; its cells are the table metrics of each part."""

    name: str
    is_reference: bool
    seeds: NumberCell
    cells: tuple[MetricCell, ...]


@dataclass(frozen=True)
class ComparisonCell:
    """A model compared with the reference on a part of the samples.

    Attributes:
        comparison: the numbers.
        mark: ▲ or ▼ for a significant difference, else empty.
        p_holm, p_wilcoxon: as text.
        below_noise: whether the difference is smaller than that between two single runs of one model.
    """

    comparison: Comparison
    mark: str
    p_holm: str
    p_wilcoxon: str
    below_noise: bool


@dataclass(frozen=True)
class ComparisonRow:
    """A model of the table of comparisons; a cell is None where the model cannot be compared."""

    name: str
    cells: tuple[ComparisonCell | None, ...]


@dataclass(frozen=True)
class PlaceboRow:
    """A model with its texts against one with a placebo; a cell is None where they cannot be compared.

    Attributes:
        text: of which model, such as ``profiles of LeCDSR``.
        placebo: what the other one has instead.
        is_best: whether it is the best placebo of the text in validation.
        valid: its metric in validation.
        cells: a comparison for each part of the samples.
    """

    text: str
    placebo: str
    is_best: bool
    valid: NumberCell
    cells: tuple[ComparisonCell | None, ...]


@dataclass(frozen=True)
class CostRow:
    """What a model costs, averaged over its seeds; times in seconds, memory in GB."""

    name: str
    parameters: int
    epochs: float
    training: float
    samples_per_second: float
    validation: float
    test: float
    memory: float
    device: str


@dataclass(frozen=True)
class RecommendedCell:
    """What a model recommends in a domain: coverage of its items, and their mean popularity."""

    coverage: NumberCell
    popularity: NumberCell


@dataclass(frozen=True)
class RecommendedRow:
    """A model of the table of what is recommended, with a cell for each domain."""

    name: str
    cells: tuple[RecommendedCell, ...]


def leaderboard_rows(table: Standings) -> list[LeaderboardRow]:
    """The leaderboard, best model first."""
    study = table.study
    return [
        LeaderboardRow(
            name=study.model_name(label),
            is_reference=label == table.reference,
            seeds=NumberCell(len(study.finished_runs(label)), seeds_text(study, label)),
            cells=tuple(
                _metric_cell(table, label, part, metric) for part in study.part_names for metric in TABLE_METRICS
            ),
        )
        for label in table.labels
    ]


def _metric_cell(table: Standings, label: str, part: str, metric: str) -> MetricCell:
    mean, sd = table.mean_and_sd(label, part, metric)
    comparison = table.comparisons[part].get(label) if metric == TESTED_METRIC else None
    verdict = comparison.verdict() if comparison else 0
    hint = ""
    if comparison and verdict:
        hint = f"{comparison.difference:+.4f} to {table.reference_name}, p {p_text(comparison.p_holm)}"
    return MetricCell(
        value=None if math.isnan(mean) else mean,
        text=NO_VALUE if math.isnan(mean) else f"{mean:.4f}",
        sd="" if math.isnan(sd) else f"{sd:.4f}",
        best=mean == table.best(part, metric),
        mark=VERDICT_MARKS[verdict],
        hint=hint,
    )


def comparison_rows(table: Standings) -> list[ComparisonRow]:
    """The models that are compared with the reference on some part of the samples."""
    rows = []
    for label in table.labels:
        cells = tuple(_comparison_cell(table, label, part) for part in table.study.part_names)
        if any(cells):
            rows.append(ComparisonRow(table.study.model_name(label), cells))
    return rows


def _comparison_cell(table: Standings, label: str, part: str) -> ComparisonCell | None:
    return _cell(table, table.comparisons[part].get(label), part)


def _cell(table: Standings, comparison: Comparison | None, part: str) -> ComparisonCell | None:
    if comparison is None:
        return None
    floor = table.noise[part]
    return ComparisonCell(
        comparison=comparison,
        mark=VERDICT_MARKS[comparison.verdict()],
        p_holm=p_text(comparison.p_holm),
        p_wilcoxon=p_text(comparison.p_wilcoxon),
        below_noise=floor is not None and abs(comparison.difference) < floor.difference,
    )


def placebo_rows(table: Standings) -> list[PlaceboRow]:
    """The models with texts against those with placebos; empty where a study has no placebo."""
    return [_placebo_row(table, pair) for pair in compare_with_placebos(table.study)]


def _placebo_row(table: Standings, pair: TextMinusPlacebo) -> PlaceboRow:
    is_known = not math.isnan(pair.valid)
    return PlaceboRow(
        text=f"{pair.text} of {table.study.model_name(pair.label)}",
        placebo=pair.placebo,
        is_best=pair.is_best,
        valid=NumberCell(pair.valid, f"{pair.valid:.4f}") if is_known else NumberCell(None, NO_VALUE),
        cells=tuple(_cell(table, pair.comparisons.get(part), part) for part in table.study.part_names),
    )


def _mean_and_sd_over_seeds(study: Study, label: str, value: Callable[[RunResult], float]) -> tuple[float, float]:
    return mean_and_sd(np.array([value(run.result) for run in study.finished_runs(label)]))


def cost_rows(table: Standings) -> list[CostRow]:
    """What each model of the leaderboard costs."""
    return [_cost_row(table.study, label) for label in table.labels]


def _cost_row(study: Study, label: str) -> CostRow:
    def mean(value: Callable[[RunResult], float]) -> float:
        return _mean_and_sd_over_seeds(study, label, value)[0]

    return CostRow(
        name=study.model_name(label),
        parameters=int(mean(lambda result: result.trainable_parameters)),
        epochs=mean(lambda result: result.epochs),
        training=mean(lambda result: result.seconds["train"]),
        samples_per_second=mean(lambda result: result.samples_per_second),
        validation=mean(lambda result: result.seconds["valid"]),
        test=mean(lambda result: result.seconds["test"]),
        memory=mean(lambda result: max(result.peak_memory_bytes.values())) / 1e9,
        device="; ".join(sorted({run.result.device for run in study.finished_runs(label)})),
    )


def recommended_rows(table: Standings) -> list[RecommendedRow]:
    """Coverage and popularity of the top 10 of each model."""
    study = table.study
    domains = [part for part in study.part_names if part != "overall"]
    return [
        RecommendedRow(
            study.model_name(label),
            tuple(
                RecommendedCell(
                    coverage=_recommended_number(study, label, domain, "coverage@10", form="{:.3f}"),
                    popularity=_recommended_number(study, label, domain, "average_popularity@10", form="{:,.1f}"),
                )
                for domain in domains
            ),
        )
        for label in table.labels
    ]


def _recommended_number(study: Study, label: str, domain: str, key: str, *, form: str) -> NumberCell:
    # A model that does not score the domain has no such value.
    mean, sd = _mean_and_sd_over_seeds(
        study, label, lambda result: result.recommended.get(domain, {}).get(key, math.nan)
    )
    if math.isnan(mean):
        return NumberCell(None, NO_VALUE)
    return NumberCell(mean, form.format(mean) + ("" if math.isnan(sd) else " ± " + form.format(sd)))
