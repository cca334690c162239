"""The leaderboard as Markdown, CSV, LaTeX and for the terminal, with the same statements under each."""

from __future__ import annotations

import csv
import io
import math
import re

from rich.markup import escape
from rich.table import Table

from recbole_lecdsr.evaluation.sample_metrics import display_name
from recbole_lecdsr.leaderboard.slices import history_bins, popularity_bins
from recbole_lecdsr.leaderboard.standings import ALL, SHOWN, TESTED, Standings, slice_means, standings
from recbole_lecdsr.leaderboard.study import FAILED, MISSING, UNFINISHED, Study

MARKS = {1: "▲", -1: "▼", 0: ""}
NOTHING = "–"  # in the columns of a domain that the model does not score


def p_text(p: float) -> str:
    """``0.034``, or ``<0.001``."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def plus_minus(mean: float, sd: float) -> str:
    """``0.1234 ± 0.0012``; without the sd where there is one seed; a dash where there is nothing."""
    if math.isnan(mean):
        return NOTHING
    return f"{mean:.4f}" if math.isnan(sd) else f"{mean:.4f} ± {sd:.4f}"


# ---------------------------------------------------------------------- what is stated under the table


def statements(table: Standings) -> dict[str, str]:
    """What a reader must know to read the numbers: heading -> sentence."""
    study = table.study
    result, parts = study.any_result, study.part_names
    counts = ", ".join(f"{study.samples.parts[part].sum():,} {name}" for part, name in parts.items()
                       if part != "overall")  # fmt: skip
    told = {"Test samples": counts + f"; {len(set(study.samples.user)):,} users."}
    told["Candidates"] = _candidates(study)
    told["Split"] = _split(result["parameters"])
    told["Training"] = _training(result["parameters"])
    told["Seeds"] = ", ".join(map(str, study.seeds)) + ". Means ± sample standard deviation over the finished seeds."
    told["Dashes"] = _dashes(table)
    told["Significance"] = _significance(table)
    told["Noise floor"] = _noise(table)
    told["Reference"] = _reference(result)
    told = {name: text[0].upper() + text[1:] for name, text in told.items() if text}
    devices = sorted({run.result["device"] for run in study.with_status("finished")})
    return {**told, "Device": "; ".join(devices) + "."}


def _candidates(study: Study) -> str:
    candidates = study.any_result["candidates"]
    mode = candidates["mode"]
    if mode == "full":
        what = "every item of the target's domain"
    else:
        kind = {"uni": "uniform", "pop": "popularity-weighted"}[mode[:3]]
        what = f"{mode[3:]} {kind} negatives of the target's domain, the same for every model of a seed"
    kept = "left out" if candidates["history_masked"] else "kept"
    return f"{what} ({mode}); the user's own items {kept}; ties count against the model."


def _split(parameters: dict) -> str:
    if parameters.get("benchmark_filename"):
        return f"ready-made files {', '.join(parameters['benchmark_filename'])}."
    arguments = parameters["eval_args"]
    (kind, value), = arguments["split"].items()  # fmt: skip
    return f"{kind} {value}, order {arguments.get('order')}, by {arguments.get('group_by')}."


def _training(parameters: dict) -> str:
    if not parameters.get("refit"):
        return ""
    return (
        "the tested models were trained anew on training and validation events together, for as many epochs as "
        "validation had chosen (refit); results without that are not comparable."
    )


def _dashes(table: Standings) -> str:
    names = table.study.part_names
    short: dict[str, list[str]] = {}
    for label in table.labels:
        domains = [names[part] for part in table.values[label] if part != "overall"]
        if len(domains) < len(names) - 1:
            short.setdefault(" and ".join(domains), []).append(label)
    return " ".join(
        f"{', '.join(labels)} recommend{'s' * (len(labels) == 1)} in {domain} only." for domain, labels in short.items()
    )


def _significance(table: Standings) -> str:
    tested = max(map(len, table.comparisons.values()))
    if not tested:
        return f"not tested: {table.first} and another model have no finished seed in common."
    models = f"{tested} models" if tested > 1 else "one model"
    if len({len(part) for part in table.comparisons.values()}) > 1:
        models = "the models of a column"
    return (
        f"▲ better, ▼ worse than {table.first} on {display_name(TESTED)}: paired two-sided Wilcoxon signed-rank test "
        f"over the test samples (metric averaged over the common seeds; zeros by Pratt), Holm-corrected over {models}, "
        "p < 0.05, and a 95 % bootstrap interval of the mean difference, over users, that leaves out zero."
    )


def _noise(table: Standings) -> str:
    floor = table.noise["overall"]
    if floor is None:
        return "unknown: it takes two seeds of a model that depends on its seed."
    models = f"{floor.models} models" if floor.models > 1 else "one model"
    return (
        f"two seeds of one model differ by {floor.difference:.4f} in overall {display_name(TESTED)} (root mean square, "
        f"{models}); the largest difference seen is {floor.largest:.4f}, of {floor.model}. A smaller difference "
        "between models is no larger than that between seeds, whatever its p."
    )


def _reference(result: dict) -> str:
    reference = result.get("reference")
    if not reference:
        return ""
    values = ", ".join(f"{name} {part['overall'][TESTED]:.4f}" for name, part in reference.items()
                       if TESTED in part.get("overall", {}))  # fmt: skip
    return f"overall {display_name(TESTED)} of rankings that learn nothing: {values}." if values else ""


def unfinished_runs(study: Study) -> list[str]:
    """Sentences that name the runs that are not in the table, seeds of one model and one fate together."""
    texts = {FAILED: "failed: {}", UNFINISHED: "unfinished", MISSING: "not started"}
    fates: dict[tuple[str, str], list[int]] = {}
    for run in study.with_status(*texts):
        fates.setdefault((run.label, texts[run.status].format(run.error)), []).append(run.seed)
    return [
        f"{label}, seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}: {fate}"
        for (label, fate), seeds in fates.items()
    ]


def seeds_text(study: Study, label: str) -> str:
    """``3``, or ``2 of 3`` where runs are wanting."""
    done, asked = len(study.finished(label)), len(study.seeds)
    return str(done) if done == asked else f"{done} of {asked}"


# ---------------------------------------------------------------------- formats


def markdown(table: Standings) -> str:
    """The leaderboard, the comparisons, the statements and the slices of the test samples, as Markdown."""
    parts = table.study.part_names
    head = ["model", "seeds", *(f"{name} {display_name(metric)}" for name in parts.values() for metric in SHOWN)]
    rows = [
        [_md(label), seeds_text(table.study, label),
         *(_marked(table, label, part, metric, bold="**{}**".format) for part in parts for metric in SHOWN)]
        for label in table.labels
    ]  # fmt: skip
    lines = [f"# Leaderboard: {_md(table.study.dataset)}", "", *_md_table(head, rows, right=2), ""]
    comparisons = [
        [_md(label), _md(name), f"{c.difference:+.4f}", f"{c.low:+.4f} to {c.high:+.4f}", p_text(c.p),
         p_text(c.p_holm), p_text(c.p_permutation)]
        for label in table.labels
        for part, name in parts.items()
        if (c := table.comparisons[part].get(label))
    ]  # fmt: skip
    if comparisons:
        head = ["model", "domain", "difference", "95 % interval", "p", "p (Holm)", "p (permutation)"]
        lines += [f"## {display_name(TESTED)} against {_md(table.first)}", "", *_md_table(head, comparisons, 2), ""]
    lines += [f"- **{name}**: {_md(text)}" for name, text in statements(table).items()]
    wanting = unfinished_runs(table.study)
    if wanting:
        lines += ["", "## Not in the table", "", *(f"- {_md(text)}" for text in wanting)]
    return "\n".join([*lines, *_slices(table)]) + "\n"


def _slices(table: Standings) -> list[str]:
    """Means over the seeds by history length and by popularity of the target, a table for each domain."""
    samples, lines = table.study.samples, []
    for part, name in table.study.part_names.items():
        if part == "overall" or not table.scoring(part):
            continue
        chosen = samples.parts[part]
        for what, bins in {
            "earlier events of the user": history_bins(samples.history[chosen]),
            "training events of the target": popularity_bins(samples.popularity[chosen], samples.item[chosen]),
        }.items():
            places = zip(bins.ranges, bins.size, strict=True)
            head = ["model", *(f"{values} (n = {size:,})" for values, size in places)]
            rows = [
                [_md(label), *(f"{mean:.4f}" for mean in slice_means(table.study, label, part, bins).mean(axis=0))]
                for label in table.scoring(part)
            ]
            title = f"## {_md(name)}: {display_name(TESTED)} by {what}"
            lines += ["", title, "", *_md_table(head, rows, right=1)]
    return lines


def _md(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", text)


def _md_table(head: list[str], rows: list[list[str]], right: int) -> list[str]:
    rule = ["---" if place < right else "---:" for place in range(len(head))]
    return ["| " + " | ".join(cells) + " |" for cells in (map(str, head), rule, *rows)]


def _marked(table: Standings, label: str, part: str, metric: str, bold) -> str:
    mean, sd = table.mean_and_sd(label, part, metric)
    text = plus_minus(mean, sd)
    text = bold(text) if mean == table.best(part, metric) else text
    mark = MARKS[table.verdict(label, part)] if metric == TESTED else ""
    return f"{text} {mark}".rstrip()


def comma_separated(table: Standings) -> str:
    """One row for each model, domain that it scores and metric, with the comparison where there is one; full
    precision."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["model", "domain", "metric", "mean", "sd", "seeds", "difference", "low", "high", "p", "p_holm",
         "p_permutation", "common_seeds"]
    )  # fmt: skip
    for label in table.labels:
        for part in table.study.samples.parts:
            for metric in ALL if part in table.values[label] else ():
                mean, sd = table.mean_and_sd(label, part, metric)
                row = [label, part, metric, mean, "" if math.isnan(sd) else sd, len(table.study.finished(label))]
                c = table.comparisons[part].get(label) if metric == TESTED else None
                tail = [c.difference, c.low, c.high, c.p, c.p_holm, c.p_permutation, len(c.seeds)] if c else [""] * 7
                writer.writerow([*row, *tail])
    return out.getvalue()


_TEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$",
        "▲": r"$\blacktriangle$", "▼": r"$\blacktriangledown$", "–": "--", "−": "$-$", "<": r"\textless{}",
        ">": r"\textgreater{}", "|": r"\textbar{}", "√": r"$\surd$",
        **{char: "\\" + char for char in "&%$#_{}"}}  # fmt: skip


def tex_escape(text: str) -> str:
    """Text that LaTeX prints as it stands."""
    return "".join(_TEX.get(char, char) for char in text)


def latex(table: Standings) -> str:
    """A booktabs table; needs the packages booktabs, amssymb and graphicx."""
    parts, width = table.study.part_names, len(SHOWN)
    groups = " & ".join(rf"\multicolumn{{{width}}}{{c}}{{{tex_escape(name)}}}" for name in parts.values())
    rules = " ".join(rf"\cmidrule(lr){{{2 + i * width}-{1 + (i + 1) * width}}}" for i in range(len(parts)))
    metrics = " & ".join(display_name(metric) for _ in parts for metric in SHOWN)
    rows = []
    for label in table.labels:
        cells = [
            _marked(table, label, part, metric, bold=lambda text: f"\0{text}\1") for part in parts for metric in SHOWN
        ]
        cells = [tex_escape(cell).replace("\0", r"\textbf{").replace("\1", "}") for cell in cells]
        rows.append(" & ".join([tex_escape(label), *cells]) + r" \\")
    notes = [f"{tex_escape(name)}: {tex_escape(text)}" for name, text in statements(table).items()]
    notes += [tex_escape(text) + "." for text in unfinished_runs(table.study)]
    return "\n".join(
        [
            "% packages: booktabs, amssymb, graphicx",
            r"\begin{table*}",
            r"\centering",
            rf"\caption{{Leaderboard on {tex_escape(table.study.dataset)}.}}",
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


def leaderboard_table(study: Study) -> Table:
    """The leaderboard for the terminal: NDCG@10 per domain and overall, Hit@10 and MRR overall."""
    table = standings(study)
    parts = study.part_names
    columns = [*((part, TESTED) for part in parts), *(("overall", metric) for metric in SHOWN if metric != TESTED)]
    wanting = [f"not in the table: {text}" for text in unfinished_runs(study)]
    notes = statements(table)
    caption = [f"{name}: {notes[name]}" for name in ("Candidates", "Significance", "Noise floor")]
    out = Table(
        title=escape(f"{study.dataset}, test, seeds {', '.join(map(str, study.seeds))}"),
        caption=escape("\n".join([*caption, *wanting])),
        title_justify="left",
        caption_justify="left",
    )
    out.add_column("model")
    out.add_column("seeds", justify="right")
    for part, metric in columns:
        out.add_column(f"{escape(parts[part])}\n{display_name(metric)}", justify="right")
    for label in table.labels:
        cells = [_marked(table, label, part, metric, bold="[bold]{}[/]".format) for part, metric in columns]
        out.add_row(escape(label), seeds_text(study, label), *cells)
    return out
