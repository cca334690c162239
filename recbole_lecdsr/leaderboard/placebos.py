"""What texts are worth: a model with them minus the same model with a placebo of them (docs/protocol.md, 17)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.leaderboard.model_names import parse_label
from recbole_lecdsr.leaderboard.row_parameters import differing_in_row
from recbole_lecdsr.leaderboard.significance import Comparison, compare
from recbole_lecdsr.leaderboard.standings import sample_means
from recbole_lecdsr.leaderboard.study import FinishedRun, Study
from recbole_lecdsr.runs.identity import VECTORS
from recbole_lecdsr.runs.result import RunResult
from recbole_lecdsr.schema import ITEM_PLACEBOS, USER_PLACEBOS


@dataclass(frozen=True)
class _Text:
    """A kind of text: its name, the parameter that replaces its vectors, and the one that leaves it out."""

    name: str
    parameter: str
    placebos: Mapping[str, str]  # value of the parameter -> name
    switch: str


_TEXTS = (
    _Text(
        name="profiles",
        parameter="user_vectors",
        placebos=dict(zip(USER_PLACEBOS, ("random profiles", "permuted profiles", "user IDs"), strict=True)),
        switch="no_user_profile",
    ),
    _Text(
        name="item texts",
        parameter="item_vectors",
        placebos=dict(zip(ITEM_PLACEBOS, ("random item texts", "permuted item texts"), strict=True)),
        switch="no_item_semantics",
    ),
)


@dataclass(frozen=True, kw_only=True)
class TextMinusPlacebo:
    """A model with its texts, compared with the same model with a placebo of them.

    Attributes:
        text: ``profiles`` or ``item texts``.
        label: of the model with the texts.
        placebo_label: of the model with the placebo.
        placebo: what it has instead, such as ``random profiles``.
        seeds: those that both have finished.
        valid: of the model with the placebo, the metric that selects its epoch: the mean over the domains and these
            seeds; nan without validation.
        is_best: whether that is the highest among the placebos of this text of this model.
        comparisons: part of the samples -> the comparison; a positive difference favours the texts. Holm's correction
            is over all comparisons of a study with placebos on that part.
    """

    text: str
    label: str
    placebo_label: str
    placebo: str
    seeds: tuple[int, ...]
    valid: float
    is_best: bool = False
    comparisons: Mapping[str, Comparison]


@lru_cache(maxsize=1)  # every form of a report asks for it
def compare_with_placebos(study: Study) -> tuple[TextMinusPlacebo, ...]:
    """All comparisons of a study between a model with its texts and one with a placebo; none without such rows."""
    found = _mark_best([pair for label in study.models for pair in _find_pairs(study, label)])
    differences = [
        sample_means(study, pair.label, pair.seeds) - sample_means(study, pair.placebo_label, pair.seeds)
        for pair in found
    ]
    by_part = {part: _compare_part(study, part, found, differences) for part in study.samples.parts}
    return tuple(
        replace(pair, comparisons={part: rows[number] for part, rows in by_part.items() if number in rows})
        for number, pair in enumerate(found)
    )


def _compare_part(
    study: Study, part: str, pairs: Sequence[TextMinusPlacebo], differences: Sequence[np.ndarray]
) -> dict[int, Comparison]:
    """The number of a pair -> its comparison on a part of the samples, which both models score."""
    chosen = study.samples.parts[part]
    rows = {str(number): row[chosen] for number, row in enumerate(differences) if not np.isnan(row[chosen]).any()}
    seeds = {number: pairs[int(number)].seeds for number in rows}
    return {int(number): one for number, one in compare(rows, study.samples.user[chosen], seeds=seeds).items()}


def _find_pairs(study: Study, placebo_label: str) -> list[TextMinusPlacebo]:
    """The pairs of a row with a placebo and the row that differs from it in having the texts."""
    runs = study.finished_runs(placebo_label)
    try:
        settings = parse_label(placebo_label)[1] if runs else {}
    except UserError:  # of no known form, in a study that was made otherwise
        settings = {}
    pairs = []
    for text in _TEXTS:
        kind = settings.get(text.parameter)
        if not isinstance(kind, str) or kind not in text.placebos:
            continue
        others = (label for label in study.models if label != placebo_label and study.finished_runs(label))
        label = next((one for one in others if _has_text(text, study.finished_runs(one)[0], runs[0])), None)
        seeds = sorted({run.seed for run in study.finished_runs(label or "")} & {run.seed for run in runs})
        if label is not None and seeds:
            pairs.append(
                TextMinusPlacebo(
                    text=text.name, label=label, placebo_label=placebo_label, placebo=text.placebos[kind],
                    seeds=tuple(seeds), valid=_validation(runs, seeds), comparisons={},
                )
            )  # fmt: skip
    return pairs


def _has_text(text: _Text, run: FinishedRun, placebo: FinishedRun) -> bool:
    """Whether a run has the texts, and is otherwise as the one with the placebo, with files of the same vectors."""
    one, other = run.result, placebo.result
    if one.parameters.get(text.parameter) in text.placebos or one.parameters.get(text.switch) is True:
        return False
    # The published network has a user ID where `no_user_profile` is set.
    allowed = {text.parameter, text.switch}
    names = [name for name in differing_in_row(one.parameters, other.parameters) if name not in allowed]
    if one.version != other.version:
        names = [name for name in names if name in one.parameters and name in other.parameters]
    return one.model == other.model and not names and _same_vectors(one, other)


def _same_vectors(one: RunResult, other: RunResult) -> bool:
    """Whether the embedding files that both runs read had the same content."""
    parts, others = one.identity or {}, other.identity or {}
    return all(parts[name] == others[name] for name in VECTORS if name in parts and name in others)


def _validation(runs: Sequence[FinishedRun], seeds: Sequence[int]) -> float:
    """Mean over the seeds and the domains of the metric that selects, at the selected epochs."""
    values = [
        metrics[run.result.valid_metric]
        for run in runs
        if run.seed in seeds
        for domain, metrics in run.result.valid.items()
        if domain in DOMAINS and run.result.valid_metric in metrics
    ]
    return float(np.mean(values)) if values else math.nan


def _mark_best(pairs: Sequence[TextMinusPlacebo]) -> list[TextMinusPlacebo]:
    """The pairs; of each text of each model the one with the highest validation metric is marked, of equal ones the
    first."""
    best: dict[tuple[str, str], TextMinusPlacebo] = {}
    for pair in pairs:
        so_far = best.get((pair.text, pair.label))
        if not math.isnan(pair.valid) and (so_far is None or pair.valid > so_far.valid):
            best[pair.text, pair.label] = pair
    return [replace(pair, is_best=best.get((pair.text, pair.label)) is pair) for pair in pairs]
