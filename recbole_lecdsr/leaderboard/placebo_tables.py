"""Text minus placebo for the terminal, as CSV and as JSON; leaderboard.md and the page have it among their tables."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

from rich.markup import escape
from rich.table import Table

from recbole_lecdsr.evaluation.sample_metrics import display_name
from recbole_lecdsr.files import csv_text
from recbole_lecdsr.leaderboard.number_texts import NO_VALUE, VERDICT_MARKS, p_text
from recbole_lecdsr.leaderboard.placebos import TextMinusPlacebo, compare_with_placebos
from recbole_lecdsr.leaderboard.significance import Comparison
from recbole_lecdsr.leaderboard.standings import TESTED_METRIC
from recbole_lecdsr.leaderboard.statements import PLACEBO_NOTE, PLACEBO_TITLE
from recbole_lecdsr.leaderboard.study import Study

_NUMBERS = ("difference", "low", "high", "p_permutation", "p_holm", "p_wilcoxon")  # of a comparison


def placebo_table(study: Study) -> Table | None:
    """The comparisons with placebos for the terminal; None where a study has no placebo."""
    pairs = compare_with_placebos(study)
    if not pairs:
        return None
    out = Table(title=escape(PLACEBO_TITLE), caption=escape(PLACEBO_NOTE), title_justify="left", caption_justify="left")
    out.add_column("text", overflow="fold")
    out.add_column("placebo", overflow="fold")
    out.add_column(f"validation\n{display_name(study.first_result.valid_metric)}", justify="right")
    for name in study.part_names.values():
        out.add_column(f"{escape(name)}\np (Holm)", justify="right")
    for pair in pairs:
        cells = [_cell(pair.comparisons.get(part)) for part in study.part_names]
        placebo = f"{pair.placebo} (best)" if pair.is_best else pair.placebo
        valid = NO_VALUE if math.isnan(pair.valid) else f"{pair.valid:.4f}"
        out.add_row(escape(f"{pair.text} of {study.model_name(pair.label)}"), placebo, valid, *cells)
    return out


def _cell(comparison: Comparison | None) -> str:
    if comparison is None:
        return NO_VALUE
    difference = f"{comparison.difference:+.4f} {VERDICT_MARKS[comparison.verdict()]}".rstrip()
    return f"{difference}\n{p_text(comparison.p_holm)}"


def to_csv(study: Study) -> str:
    """A row for each comparison and domain; labels and numbers as in leaderboard.csv."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["text", "model", "placebo", "placebo_model", "best", "valid_metric", "valid", "domain", "metric", *_NUMBERS,
         "common_seeds"]
    )  # fmt: skip
    for pair in compare_with_placebos(study):
        for part, comparison in pair.comparisons.items():
            writer.writerow(
                [
                    pair.text, csv_text(pair.label), pair.placebo, csv_text(pair.placebo_label), pair.is_best,
                    study.first_result.valid_metric, "" if math.isnan(pair.valid) else pair.valid, part, TESTED_METRIC,
                    *(getattr(comparison, name) for name in _NUMBERS), len(pair.seeds),
                ]
            )  # fmt: skip
    return out.getvalue()


def to_json(study: Study) -> str:
    """The comparisons as a document: ``metric``, ``valid_metric`` and a list of ``comparisons``."""
    document = {
        "dataset": study.dataset,
        "metric": TESTED_METRIC,
        "valid_metric": study.first_result.valid_metric,
        "comparisons": [_plain(pair) for pair in compare_with_placebos(study)],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _plain(pair: TextMinusPlacebo) -> dict[str, Any]:
    return {
        "text": pair.text,
        "model": pair.label,
        "placebo": pair.placebo,
        "placebo_model": pair.placebo_label,
        "best": pair.is_best,
        "valid": None if math.isnan(pair.valid) else pair.valid,
        "seeds": list(pair.seeds),
        "domains": {
            part: {name: getattr(comparison, name) for name in _NUMBERS}
            for part, comparison in pair.comparisons.items()
        },
    }
