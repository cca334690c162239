"""What the commands print."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def show(result: dict, folder: Path) -> None:
    """Print the outcome of a run as a table."""
    names = {"source": result["domains"]["source"], "target": result["domains"]["target"], "overall": "both"}
    parts = [part for part in names if part in result["test"]]
    metrics = [key for key in ("hit@10", "ndcg@10", "mrr") if key in result["test"][parts[0]]]
    table = Table(title=f"{result['model']} on {result['dataset']}, test", title_justify="left")
    table.add_column("domain")
    table.add_column("model")
    for metric in metrics:
        table.add_column(_metric_name(metric), justify="right")
    rows = {result["model"]: result["test"], **result["reference"]}
    for part in parts:
        for name, values in rows.items():
            cells = [f"{values[part][metric]:.4f}" for metric in metrics]
            ours = name == result["model"]
            table.add_row(escape(names[part]) if ours else "", name, *cells, style="bold" if ours else None)
        table.add_section()
    out.print(table)
    candidates, seconds = result["candidates"], result["seconds"]
    mode = "every item of the target's domain" if candidates["mode"] == "full" else candidates["mode"]
    history = "the user's own items left out" if candidates["history_masked"] else "the user's own items kept"
    samples = ", ".join(f"{count:,} {names[part]}" for part, count in result["test_samples"].items())
    best = result["best_epoch"] or {}
    chosen = ", ".join(f"{epoch}" if name == "mean" else f"{epoch} for {name}" for name, epoch in best.items())
    refit = " then trained anew on training and validation events;" if result["parameters"]["refit"] else ""
    last, chosen = result["epochs"] - 1, chosen or "unknown"
    out.print(
        f"{samples} test samples; candidates: {mode}, {history}; ties count against the model; "
        "mrr over the whole list.\n"
        f"Epochs 0 to {last}, the best {chosen};{refit} training {seconds['train']:.0f} s at "
        f"{result['samples_per_second']:,.0f} samples/s, validation {seconds['valid']:.0f} s, "
        f"test {seconds['test']:.0f} s; peak memory {max(result['peak_memory_bytes'].values()) / 1e9:.2f} GB.\n"
        f"Everything is in {folder}/",
        soft_wrap=True,
        markup=False,
    )


def _metric_name(metric: str) -> str:
    name, at, k = metric.partition("@")
    return ({"hit": "Hit", "ndcg": "NDCG", "mrr": "MRR"}.get(name, name)) + at + k


def print_summary(summary: dict, indent: str = "") -> None:
    """Print what a job did, a line for each name."""
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
