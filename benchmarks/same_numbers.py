"""Do two versions of the code compute the same numbers? Trains both on movielens and compares their metrics.

For changes that are meant to leave results alone: moved modules, new names, faster code. The base is any commit,
checked out in a temporary git worktree. The other version is this checkout as it is, uncommitted changes included.
Both train each model once, with the same Python, seed and number of threads. Then `valid` and `test` of the two
result.json are compared to ten significant digits, every metric of every domain. The base prepares and embeds the
data. This checkout gets a copy of the atomic files, and makes its own caches and candidates.

    make same-numbers BASE=main
    python benchmarks/same_numbers.py --base COMMIT [--models LeCDSR,SASRec] [--epochs 2] [--keep]

The exit status is 1 where a metric differs or a run fails. OMP_NUM_THREADS (default 1) is taken from the environment.
Preparing and embedding takes a minute or two, a model some minutes.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
PAIR = "movielens"
MODELS = "LeCDSR,LeCDSR-paper,SASRec"
COMPARED = ("valid", "test")
SHOWN_DIFFERENCES = 8
ATOMIC_FILES = {".inter", ".item", ".itememb", ".useremb", ".jsonl", ".json"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, compare and print; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", required=True, help="the commit, branch or tag to compare with")
    parser.add_argument("--models", default=MODELS, help=f"names, separated by commas (default {MODELS})")
    parser.add_argument("--epochs", type=int, default=2, help="training epochs (default 2)")
    parser.add_argument("--keep", action="store_true", help="keep data, runs and logs, and say where they are")
    options = parser.parse_args(arguments)
    models = [name for name in options.models.split(",") if name]

    folder = Path(tempfile.mkdtemp(prefix="same_numbers-"))
    try:
        with worktree(folder / "code", options.base) as base:
            shutil.copytree(base / "dataset" / PAIR, folder / "base" / "data" / PAIR)
            expected = [train(base, folder / "base", model, options.epochs) for model in models]
        copy_atomic_files(folder / "base" / "data", folder / "current" / "data")
        found = [train(CHECKOUT, folder / "current", model, options.epochs) for model in models]
    finally:
        if options.keep:
            print(f"data, runs and logs are in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    tables = [differences(*pair) for pair in zip(expected, found, strict=True)]
    for model, table, result in zip(models, tables, expected, strict=True):
        print(report(model, table, count=len(metrics(result))))
    return int(any(tables))


@contextmanager
def worktree(folder: Path, commit: str) -> Iterator[Path]:
    """A checkout of the commit in ``folder``, removed again at the end.

    Raises:
        SystemExit: there is no such commit.
    """
    git = ["git", "-C", str(CHECKOUT)]
    resolved = subprocess.run(
        [*git, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}^{{commit}}"],
        capture_output=True, text=True,
    )  # fmt: skip
    if resolved.returncode:
        raise SystemExit(f"{commit!r} is no commit of {CHECKOUT}: give a commit, branch or tag, as in BASE=HEAD~1")
    subprocess.run([*git, "worktree", "add", "--quiet", "--detach", str(folder), resolved.stdout.strip()], check=True)
    try:
        yield folder
    finally:
        subprocess.run([*git, "worktree", "remove", "--force", str(folder)], check=False)


def copy_atomic_files(source: Path, target: Path) -> None:
    """Copy a data folder without caches and stored candidates, whose formats are each version's own."""
    for path in source.rglob("*"):
        if path.suffix in ATOMIC_FILES and not path.name.startswith("."):
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place)


def train(code: Path, folder: Path, model: str, epochs: int) -> dict[str, object]:
    """Run a model with the code of a checkout; returns its result.json.

    Args:
        code: the checkout.
        folder: with ``data/``; runs and logs are written beside it.
        model: its name.
        epochs: of the only training phase.

    Raises:
        SystemExit: the run has failed, with the last lines that it has printed.
    """
    runs, log = folder / "runs" / model, folder / f"{model}.log"
    print(f"{folder.name:8}{model}: ", end="", flush=True)
    started = time.perf_counter()
    command = [
        sys.executable, str(code / "run_lecdsr.py"), "--model", model, "--dataset", PAIR,
        f"--train_epochs=BOTH:{epochs}", "--show_progress=False", f"--output_dir={runs}",
        f"--data_path={folder / 'data'}",
    ]  # fmt: skip
    environment = {"OMP_NUM_THREADS": "1", **os.environ, "PYTHONPATH": str(code)}
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(command, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT)
    results = list(runs.glob("*/*/result.json"))
    if done.returncode or len(results) != 1:
        last = "\n".join(log.read_text(encoding="utf-8").splitlines()[-20:])
        raise SystemExit(f"exit status {done.returncode}, {len(results)} results; the last lines were\n{last}")
    result = json.loads(results[0].read_text(encoding="utf-8"))
    print(f"{time.perf_counter() - started:.0f} s", flush=True)
    return result


def metrics(result: Mapping[str, object]) -> dict[str, float | None]:
    """The compared metrics of a result.json: ``test target ndcg@10`` -> value."""
    return {
        f"{split} {domain} {name}": value
        for split in COMPARED
        for domain, values in result[split].items()
        for name, value in values.items()
    }


def differences(expected: Mapping[str, object], found: Mapping[str, object]) -> list[tuple[str, str, str]]:
    """Metrics that differ in two result.json to ten significant digits: name, value of the base, value found."""
    first, second = metrics(expected), metrics(found)
    shown = [(name, _digits(first, name), _digits(second, name)) for name in {**first, **second}]
    return [row for row in shown if row[1] != row[2]]


def _digits(values: Mapping[str, float | None], name: str) -> str:
    if name not in values:
        return "absent"
    value = values[name]
    return "null" if value is None else "nan" if math.isnan(value) else f"{value:.10g}"


def report(model: str, table: Sequence[tuple[str, str, str]], count: int) -> str:
    """The lines to print for a model: that its metrics are equal, or the first that are not."""
    if not table:
        return f"{model}: equal ({count} metrics)"
    width = max(len(name) for name, *_ in table[:SHOWN_DIFFERENCES])
    lines = [f"{model}: {len(table)} of {count} metrics differ", f"  {'':{width}}  {'base':14}  this checkout"]
    lines += [f"  {name:{width}}  {first:14}  {second}" for name, first, second in table[:SHOWN_DIFFERENCES]]
    return "\n".join([*lines, "  …"] if len(table) > SHOWN_DIFFERENCES else lines)


if __name__ == "__main__":
    sys.exit(main())
