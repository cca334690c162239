"""Rows of the table of conditions: what each model reads, its size, and what it is trained on."""

from __future__ import annotations

from recbole_lecdsr.leaderboard.standings import Standings
from recbole_lecdsr.model.conditions import Conditions

CONDITIONS_TITLE = "What each model reads, its size, and what it is trained on"
CONDITIONS_HEAD = (
    "model", "texts", "profile", "times", "target's domain", "counts", "history", "window", "size", "layers",
    "trained on",
)  # fmt: skip
CONDITIONS_NOTE = (
    "All models rank the same candidates, which are of the target's domain. Texts: of items. Target's domain: how "
    "else it enters, as a history of this domain alone, as an input, or by parameters for each domain. Counts: scores "
    "contain counted interactions, as in score fusion and in models that only count. Window: the most interactions "
    "that are read. Size: of the embedding of an item. A dash: there is none, or no parameter states it."
)
_NONE = "–"


def condition_rows(table: Standings) -> list[tuple[str, ...]]:
    """A row of texts for each model of the leaderboard, as of `CONDITIONS_HEAD`; empty where no run recorded them."""
    study = table.study
    found = {label: study.finished_runs(label)[0].result.conditions for label in table.labels}
    if not any(found.values()):
        return []
    return [(study.model_name(label), *_cells(conditions)) for label, conditions in found.items()]


def _cells(conditions: Conditions | None) -> list[str]:
    if conditions is None:
        return ["not recorded"] + [""] * (len(CONDITIONS_HEAD) - 2)
    withheld = "; some withheld for calibration" if conditions.withholds_calibration else ""
    return [
        _mark(conditions.item_texts),
        _mark(conditions.user_profiles),
        _mark(conditions.times),
        ", ".join(conditions.target_domain) or _NONE,
        _mark(conditions.counts),
        ", ".join(conditions.history) or "no window",
        _number(conditions.window),
        _number(conditions.embedding_size),
        _number(conditions.layers),
        conditions.trained_on + withheld,
    ]


def _mark(holds: bool) -> str:
    return "yes" if holds else _NONE


def _number(value: int | None) -> str:
    return _NONE if value is None else str(value)
