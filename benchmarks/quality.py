"""Seconds of an epoch, and seconds until a model is as good as another one at its best. Prints JSON.

Each model trains by itself, for the same number of epochs, on a prepared data set. Its quality is the validation metric
that selects epochs. The others are compared with the reference, the first model: per epoch, and by the seconds of
training and validation until they reach the reference's best quality, which may be never.

    python benchmarks/quality.py [--models SASRec,LeCDSR,ABXI] [--epochs 8] [--dataset movielens]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import synthetic

RUN = Path(__file__).parents[1] / "run_lecdsr.py"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="SASRec,LeCDSR,ABXI", help="the first one is the reference")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--dataset", default="movielens")
    parser.add_argument("--data_path", default=str(RUN.with_name("dataset")))
    options = parser.parse_args()
    options.models = options.models.split(",")

    results = {model: train(model, options) for model in options.models}
    reference = results[options.models[0]]
    goal = max(qualities(reference))
    figures = {}
    for model, result in results.items():
        epoch = statistics.median(record["seconds"] for record in result["history"])
        figures[model] = {
            "seconds_per_epoch": round(epoch, 2),
            "seconds_per_validation": round(result["seconds"]["valid"] / len(result["history"]), 2),
            "ratio_per_epoch": round(
                statistics.median(record["seconds"] for record in reference["history"]) / epoch, 2
            ),
            "validation": [round(value, 4) for value in qualities(result)],
            "seconds_to_reference_quality": seconds_to(result, goal),
            "trainable_parameters": result["trainable_parameters"],
        }
    synthetic.report(
        "cpu", benchmark="epochs and quality", dataset=options.dataset, epochs=options.epochs,
        metric=reference["parameters"]["valid_metric"], reference=options.models[0],
        reference_quality=round(goal, 4), models=figures,
    )  # fmt: skip


def train(model: str, options: argparse.Namespace) -> dict[str, Any]:
    """The result.json of a run."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable, str(RUN), "--model", model, "--dataset", options.dataset,
            f"--data_path={options.data_path}", f"--output_dir={folder}", f"--train_epochs=['BOTH:{options.epochs}']",
            "--use_gpu=False", f"--stopping_step={options.epochs}",
        ]  # fmt: skip
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            raise SystemExit(done.stdout)
        (path,) = Path(folder).rglob("result.json")
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return result


def qualities(result: dict[str, Any]) -> list[float]:
    """Validation score after each epoch."""
    return [record["valid_score"] for record in result["history"]]


def seconds_to(result: dict[str, Any], goal: float) -> float | None:
    """Seconds of training and validation until a score is reached; None: it is not.

    >>> history = [{"seconds": 2.0, "valid_score": 0.1}, {"seconds": 3.0, "valid_score": 0.3}]
    >>> seconds_to({"history": history, "seconds": {"valid": 1.0}}, 0.2)
    6.0
    """
    reached = next((number for number, score in enumerate(qualities(result)) if score >= goal), None)
    if reached is None:
        return None
    history: Sequence[dict[str, Any]] = result["history"]
    trained = sum(record["seconds"] for record in history[: reached + 1])
    return round(trained + result["seconds"]["valid"] * (reached + 1) / len(history), 1)


if __name__ == "__main__":
    main()
