"""The leaderboard as Markdown, CSV, LaTeX and for the terminal, with the same statements under each."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from rich.markup import escape
from rich.table import Table

from recbole_lecdsr.evaluation.sample_metrics import display_name
from recbole_lecdsr.files import csv_text
from recbole_lecdsr.leaderboard.aids import aids
from recbole_lecdsr.leaderboard.condition_rows import (
    CONDITIONS_HEAD,
    CONDITIONS_NOTE,
    CONDITIONS_TITLE,
    condition_rows,
)
from recbole_lecdsr.leaderboard.number_texts import NO_VALUE, VERDICT_MARKS, p_text, plus_minus
from recbole_lecdsr.leaderboard.placebos import compare_with_placebos
from recbole_lecdsr.leaderboard.slices import history_bins, popularity_bins
from recbole_lecdsr.leaderboard.standings import (
    ALL_METRICS,
    TABLE_METRICS,
    TESTED_METRIC,
    Standings,
    compute_standings,
    group_means,
    groups_of_part,
    slice_means,
)
from recbole_lecdsr.leaderboard.statements import PLACEBO_NOTE, PLACEBO_TITLE, missing_runs, seeds_text, statements
from recbole_lecdsr.leaderboard.study import Study


def _value_text(table: Standings, label: str, part: str, metric: str, *, bold: Callable[[str], str]) -> str:
    """A cell of the leaderboard: ``0.1234 ± 0.0012 ▼``, bold if it is the best of its column."""
    mean, sd = table.mean_and_sd(label, part, metric)
    text = plus_minus(mean, sd)
    text = bold(text) if mean == table.best(part, metric) else text
    mark = VERDICT_MARKS[table.verdict(label, part)] if metric == TESTED_METRIC else ""
    return f"{text} {mark}".rstrip()


# ---------------------------------------------------------------------- Markdown


def to_markdown(table: Standings) -> str:
    """The leaderboard, the comparisons, the statements and the metric by slices of the test samples, as Markdown."""
    study, parts = table.study, table.study.part_names
    head = [
        "model",
        "seeds",
        *(f"{name} {display_name(metric)}" for name in parts.values() for metric in TABLE_METRICS),
    ]
    rows = [
        [
            _escape_markdown(study.model_name(label)),
            seeds_text(study, label),
            *(
                _value_text(table, label, part, metric, bold="**{}**".format)
                for part in parts
                for metric in TABLE_METRICS
            ),
        ]
        for label in table.labels
    ]
    lines = [f"# Leaderboard: {_escape_markdown(study.dataset)}", "", _escape_markdown(aids(study, table.labels)), ""]
    lines += [*_markdown_table(head, rows, left_columns=2), ""]
    lines += [*_comparison_lines(table), *_placebo_lines(table)]
    lines += [f"- **{heading}**: {_escape_markdown(text)}" for heading, text in statements(table).items()]
    missing = missing_runs(study)
    if missing:
        lines += ["", "## Not in the table", "", *(f"- {_escape_markdown(text)}" for text in missing)]
    return "\n".join([*lines, *_condition_lines(table), *_slice_lines(table)]) + "\n"


def _comparison_lines(table: Standings) -> list[str]:
    rows = [
        [
            _escape_markdown(table.study.model_name(label)),
            _escape_markdown(name),
            f"{comparison.difference:+.4f}",
            f"{comparison.low:+.4f} to {comparison.high:+.4f}",
            p_text(comparison.p_permutation),
            p_text(comparison.p_holm),
            p_text(comparison.p_wilcoxon),
        ]
        for label in table.labels
        for part, name in table.study.part_names.items()
        if (comparison := table.comparisons[part].get(label))
    ]
    if not rows:
        return []
    head = ["model", "domain", "difference", "95 % interval", "p (by user)", "p (Holm)", "p (Wilcoxon)"]
    title = f"## {display_name(TESTED_METRIC)} against {_escape_markdown(table.reference_name)}"
    return [title, "", *_markdown_table(head, rows, left_columns=2), ""]


def _placebo_lines(table: Standings) -> list[str]:
    """The models with texts against those with placebos, a row for each domain."""
    study = table.study
    rows = [
        [
            _escape_markdown(f"{pair.text} of {study.model_name(pair.label)}"),
            f"{pair.placebo} (best)" if pair.is_best else pair.placebo,
            NO_VALUE if math.isnan(pair.valid) else f"{pair.valid:.4f}",
            _escape_markdown(name),
            f"{comparison.difference:+.4f} {VERDICT_MARKS[comparison.verdict()]}".rstrip(),
            f"{comparison.low:+.4f} to {comparison.high:+.4f}",
            p_text(comparison.p_permutation),
            p_text(comparison.p_holm),
        ]
        for pair in compare_with_placebos(study)
        for part, name in study.part_names.items()
        if (comparison := pair.comparisons.get(part))
    ]
    if not rows:
        return []
    head = [
        "text", "placebo", "validation", "domain", "text minus placebo", "95 % interval", "p (by user)", "p (Holm)",
    ]  # fmt: skip
    return [f"## {PLACEBO_TITLE}", "", *_markdown_table(head, rows, left_columns=2), "", PLACEBO_NOTE, ""]


def _condition_lines(table: Standings) -> list[str]:
    rows = [[_escape_markdown(cell) for cell in row] for row in condition_rows(table)]
    if not rows:
        return []
    head = list(CONDITIONS_HEAD)
    return ["", f"## {CONDITIONS_TITLE}", "", *_markdown_table(head, rows, left_columns=len(head)), "", CONDITIONS_NOTE]


def _slice_lines(table: Standings) -> list[str]:
    """Means over the seeds by kind of sample, by history length and by popularity, a table of each for each domain."""
    study, samples, lines = table.study, table.study.samples, []
    for part, name in study.part_names.items():
        labels = table.labels_scoring(part)
        if part == "overall" or not labels:
            continue
        groups = groups_of_part(study, part)
        head = [f"{' '.join(filter(None, [one.name, one.values]))} (n = {one.chosen.sum():,})" for one in groups]
        means = {label: group_means(study, label, part, groups).mean(axis=0) for label in labels}
        lines += _slice_table(study, name, "kind of sample", head, means)
        chosen = samples.parts[part]
        for what, bins in {
            "earlier interactions of the user": history_bins(samples.history[chosen]),
            "training interactions of the target item": popularity_bins(
                samples.popularity[chosen], samples.item[chosen]
            ),
        }.items():
            head = [f"{values} (n = {size:,})" for values, size in zip(bins.ranges, bins.size, strict=True)]
            means = {label: slice_means(study, label, part, bins).mean(axis=0) for label in labels}
            lines += _slice_table(study, name, what, head, means)
    return lines


def _slice_table(
    study: Study, domain: str, what: str, slices: Sequence[str], means: Mapping[str, np.ndarray]
) -> list[str]:
    """A table of a domain with a column for each slice of its samples; ``means`` are those of each label."""
    rows = [
        [_escape_markdown(study.model_name(label)), *(f"{mean:.4f}" for mean in values)]
        for label, values in means.items()
    ]
    title = f"## {_escape_markdown(domain)}: {display_name(TESTED_METRIC)} by {what}"
    return ["", title, "", *_markdown_table(["model", *slices], rows, left_columns=1)]


def _escape_markdown(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", text)


def _markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, left_columns: int) -> list[str]:
    """Lines of a table whose first columns are aligned left and the others right."""
    rule = ["---" if column < left_columns else "---:" for column in range(len(head))]
    return ["| " + " | ".join(cells) + " |" for cells in (head, rule, *rows)]


# ---------------------------------------------------------------------- CSV


def to_csv(table: Standings) -> str:
    """One row for each model, domain that it scores, and metric, with the comparison where there is one.

    Models have the labels of study.json, with an apostrophe before one that a spreadsheet would run as a formula.
    Numbers have full precision.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["model", "domain", "metric", "mean", "sd", "seeds", "difference", "low", "high", "p_permutation", "p_holm",
         "p_wilcoxon", "common_seeds"]
    )  # fmt: skip
    for label in table.labels:
        for part in table.study.samples.parts:
            for metric in ALL_METRICS if part in table.values[label] else ():
                mean, sd = table.mean_and_sd(label, part, metric)
                seeds = len(table.study.finished_runs(label))
                row: list[object] = [csv_text(label), part, metric, mean, "" if math.isnan(sd) else sd, seeds]
                c = table.comparisons[part].get(label) if metric == TESTED_METRIC else None
                tests = (c.p_permutation, c.p_holm, c.p_wilcoxon) if c else ()
                row += [c.difference, c.low, c.high, *tests, len(c.seeds)] if c else [""] * 7
                writer.writerow(row)
    return out.getvalue()


# ---------------------------------------------------------------------- LaTeX

_LATEX_TEXT = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$",
    "▲": r"$\blacktriangle$", "▼": r"$\blacktriangledown$", "–": "--", "−": "$-$", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", "√": r"$\surd$",
    **{char: "\\" + char for char in "&%$#_{}"},
}  # fmt: skip


def escape_latex(text: str) -> str:
    r"""Text that LaTeX prints literally.

    >>> print(escape_latex("95 % of A_1"))
    95 \% of A\_1
    """
    return "".join(_LATEX_TEXT.get(char, char) for char in text)


def to_latex(table: Standings) -> str:
    """A booktabs table; needs the packages booktabs, amssymb and graphicx."""
    study, parts, width = table.study, table.study.part_names, len(TABLE_METRICS)
    groups = " & ".join(rf"\multicolumn{{{width}}}{{c}}{{{escape_latex(name)}}}" for name in parts.values())
    rules = " ".join(rf"\cmidrule(lr){{{2 + i * width}-{1 + (i + 1) * width}}}" for i in range(len(parts)))
    metrics = " & ".join(display_name(metric) for _ in parts for metric in TABLE_METRICS)
    rows = []
    for label in table.labels:
        cells = [
            _value_text(table, label, part, metric, bold=lambda text: f"\0{text}\1")
            for part in parts
            for metric in TABLE_METRICS
        ]
        cells = [escape_latex(cell).replace("\0", r"\textbf{").replace("\1", "}") for cell in cells]
        rows.append(" & ".join([escape_latex(study.model_name(label)), *cells]) + r" \\")
    notes = [f"{escape_latex(heading)}: {escape_latex(text)}" for heading, text in statements(table).items()]
    notes += [escape_latex(text) + "." for text in missing_runs(study)]
    return "\n".join(
        [
            "% packages: booktabs, amssymb, graphicx",
            r"\begin{table*}",
            r"\centering",
            rf"\caption{{Leaderboard on {escape_latex(study.dataset)}. {escape_latex(aids(study, table.labels))}}}",
            r"\resizebox{\textwidth}{!}{%",
            rf"\begin{{tabular}}{{l{'r' * width * len(parts)}}}",
            r"\toprule",
            rf" & {groups} \\",
            rules,
            rf"model & {metrics} \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}}",
            "",
            r"\footnotesize",
            *notes,
            r"\end{table*}",
            "",
        ]
    )


# ---------------------------------------------------------------------- terminal


def terminal_table(study: Study) -> Table:
    """The leaderboard for the terminal: NDCG@10 per domain and overall, Hit@10 and MRR overall."""
    table = compute_standings(study)
    parts = study.part_names
    columns = [(part, TESTED_METRIC) for part in parts]
    columns += [("overall", metric) for metric in TABLE_METRICS if metric != TESTED_METRIC]
    notes = statements(table)
    caption = [f"{heading}: {notes[heading]}" for heading in ("Candidates", "Significance", "Noise floor")]
    caption += [f"not in the table: {text}" for text in missing_runs(study)]
    out = Table(
        title=escape(f"{study.dataset}, test, seeds {', '.join(map(str, study.seeds))}. {aids(study, table.labels)}"),
        caption=escape("\n".join(caption)),
        title_justify="left",
        caption_justify="left",
    )
    out.add_column("model", overflow="fold")  # names are wrapped, never shortened
    out.add_column("seeds", justify="right")
    for part, metric in columns:
        out.add_column(f"{escape(parts[part])}\n{display_name(metric)}", justify="right")
    for label in table.labels:
        cells = [_value_text(table, label, part, metric, bold="[bold]{}[/]".format) for part, metric in columns]
        out.add_row(escape(study.model_name(label)), seeds_text(study, label), *cells)
    return out
