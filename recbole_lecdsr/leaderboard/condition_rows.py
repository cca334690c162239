"""Rows of the table of conditions: what each model reads, its size, and what it is trained on."""

from __future__ import annotations

from collections.abc import Mapping

from recbole_lecdsr.leaderboard.standings import Standings
from recbole_lecdsr.model.conditions import Conditions
from recbole_lecdsr.schema import USER_PLACEBOS

CONDITIONS_TITLE = "What each model reads, its size, and what it is trained on"
CONDITIONS_HEAD = (
    "model", "texts", "profile", "times", "target's domain", "counts", "history", "window", "size", "layers",
    "trained on",
)  # fmt: skip
CONDITIONS_NOTE = (
    "All models rank the same candidates, which are of the target's domain. Texts: of items. Random, permuted, id: "
    "what is in the place of texts or profile. Target's domain: how else it enters, as a history of this domain alone, "
    "as an input, or by parameters for each domain. Counts: scores contain counted interactions, as in score fusion "
    "and in models that only count. Window: the most interactions that are read. Size: of the embedding of an item. "
    "A dash: there is none, or no parameter states it."
)
_NONE = "–"


def condition_rows(table: Standings) -> list[tuple[str, ...]]:
    """A row of texts for each model of the leaderboard, as of `CONDITIONS_HEAD`; empty where no run recorded them."""
    study = table.study
    results = {label: study.finished_runs(label)[0].result for label in table.labels}
    if not any(result.conditions for result in results.values()):
        return []
    return [(study.model_name(label), *_cells(one.conditions, one.parameters)) for label, one in results.items()]


def _cells(conditions: Conditions | None, parameters: Mapping[str, object]) -> list[str]:
    if conditions is None:
        return ["not recorded"] + [""] * (len(CONDITIONS_HEAD) - 2)
    withheld = "; some withheld for calibration" if conditions.withholds_calibration else ""
    return [
        _text(conditions.item_texts, parameters.get("item_vectors")),
        _text(conditions.user_profiles, parameters.get("user_vectors")),
        _mark(conditions.times),
        ", ".join(conditions.target_domain) or _NONE,
        _mark(conditions.counts),
        ", ".join(conditions.history) or "no window",
        _number(conditions.window),
        _number(conditions.embedding_size),
        _number(conditions.layers),
        conditions.trained_on + withheld,
    ]


def _text(is_read: bool, vectors: object) -> str:
    """Whether a text is read, or which placebo is in its place."""
    return str(vectors) if not is_read and vectors in USER_PLACEBOS else _mark(is_read)


def _mark(holds: bool) -> str:
    return "yes" if holds else _NONE


def _number(value: int | None) -> str:
    return _NONE if value is None else str(value)
