"""What the commands print."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from recbole_lecdsr.terminal import Console

out = Console()
err = Console(stderr=True)


def show(result: Mapping[str, Any], folder: Path) -> None:
    """Print the outcome of a run: a table of its metrics, how they were measured, and what the run cost.

    Args:
        result: content of result.json.
        folder: the run directory.
    """
    domains = {"source": result["domains"]["source"], "target": result["domains"]["target"], "overall": "both"}
    out.print(_metrics_table(result, domains))
    samples = ", ".join(f"{count:,} {domains[part]}" for part, count in result["test_samples"].items())
    candidates = result["candidates"]
    mode = candidates["mode"]
    items = "all items" if mode == "full" else f"sampled items ({mode})"
    history = "without the user's history" if candidates["history_masked"] else "including the user's history"
    seconds, memory = result["seconds"], max(result["peak_memory_bytes"].values()) / 1e9
    out.print(
        f"Test samples: {samples}. Candidates: {items} of the target's domain, {history}. "
        "Ties count against the model. MRR is over the whole list.\n"
        f"{_epochs(result, domains)} "
        f"Training {seconds['train']:.0f} s ({result['samples_per_second']:,.0f} samples/s), "
        f"validation {seconds['valid']:.0f} s, test {seconds['test']:.0f} s. Peak memory {memory:.2f} GB.\n"
        f"Run directory: {folder}/",
        soft_wrap=True,
        markup=False,
    )


def _metrics_table(result: Mapping[str, Any], domains: Mapping[str, str]) -> Table:
    """Metrics of the model and of the reference rankings in each domain."""
    from recbole_lecdsr.evaluation.sample_metrics import display_name  # imports NumPy
    from recbole_lecdsr.leaderboard.model_names import model_name, uses_score_fusion

    model = model_name(result["model"], score_fusion=uses_score_fusion(result["parameters"]))
    parts = [part for part in domains if part in result["test"]]
    metrics = [key for key in ("hit@10", "ndcg@10", "mrr") if key in result["test"][parts[0]]]
    table = Table(title=escape(f"{model} on {result['dataset']}, test"), title_justify="left")
    table.add_column("domain")
    table.add_column("model")
    for metric in metrics:
        table.add_column(display_name(metric), justify="right")
    rows = {model: result["test"], **result["reference"]}
    for part in parts:
        for name, values in rows.items():
            cells = [f"{values[part][metric]:.4f}" for metric in metrics]
            of_model = name == model
            table.add_row(
                escape(domains[part]) if of_model else "", escape(name), *cells, style="bold" if of_model else None
            )
        table.add_section()
    return table


def _epochs(result: Mapping[str, Any], domains: Mapping[str, str]) -> str:
    """Which epoch was selected, and whether the model was trained again for as many."""
    last, best = result["epochs"] - 1, result["best_epoch"] or {}
    chosen = ", ".join(f"{epoch}" if name == "mean" else f"{epoch} for {domains[name]}" for name, epoch in best.items())
    text = f"Epochs 0 to {last}, best {chosen or 'unknown'}."
    if result["parameters"]["refit"]:
        text += " Retrained on training and validation interactions."
    return text


def print_summary(summary: Mapping[str, object], indent: str = "") -> None:
    """Print what a job did: a line for each name, and for each entry of a list.

    Args:
        summary: names -> numbers, texts, lists of texts, or further names.
        indent: spaces before each line.
    """
    for key, value in summary.items():
        if isinstance(value, dict):
            out.print(f"{indent}{key}:", markup=False)
            print_summary(value, indent + "  ")
        elif isinstance(value, list):
            for line in value:
                out.print(f"{indent}{key.removesuffix('s')}: {line}", markup=False, soft_wrap=True)
        else:
            text = f"{value:,}" if isinstance(value, int) else value
            out.print(f"{indent}{key}: {text}", markup=False, soft_wrap=True)
