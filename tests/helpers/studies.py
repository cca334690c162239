"""Synthetic studies for the tests: run directories as the trainer writes them, with made-up ranks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from recbole_lecdsr.evaluation.sample_metrics import per_sample
from recbole_lecdsr.leaderboard.study_description import label_folder

METRICS = ("hit@1", "hit@5", "hit@10", "hit@20", "ndcg@1", "ndcg@5", "ndcg@10", "ndcg@20", "mrr")


def make_samples(n_users: int = 60, n_items: int = 80, per_user: int = 4, seed: int = 0) -> dict[str, np.ndarray]:
    """Columns of ranks.npz but the ranks."""
    rng = np.random.default_rng(seed)
    number = n_users * per_user
    item = rng.integers(n_items, size=number)
    count = np.sort(rng.geometric(0.03, size=n_items) - 1)
    count[:4] = 0
    return {
        "domain": (np.arange(number) % 2).astype(np.int8),
        "user": np.repeat([f"u{user}" for user in range(n_users)], per_user),
        "item": np.array([f"i{i}" for i in item]),
        "history": rng.integers(3, 200, size=number),
        "popularity": count[item],
        "same_domain": np.random.default_rng([seed, 7]).random(number) < 0.6,
    }


def make_ranks(samples: Mapping[str, np.ndarray], strength: float, seed: int, size: int = 100) -> np.ndarray:
    """(S,) ranks; a larger strength ranks targets higher, popular ones most."""
    difficulty = np.random.default_rng(1).random(len(samples["domain"]))
    noise = np.random.default_rng(seed).random(len(difficulty))
    ease = strength * (0.5 + np.minimum(samples["popularity"], 60) / 60)
    return 1 + (size * (0.8 * difficulty + 0.2 * noise) ** ease).astype(np.int64)


def metrics_of(rank: np.ndarray, domain: np.ndarray) -> dict[str, dict[str, float]]:
    """The ``valid`` or ``test`` of a result."""
    parts = {"source": domain == 0, "target": domain == 1, "overall": domain >= 0}
    return {
        name: {metric: float(per_sample(rank[chosen], metric).mean()) for metric in METRICS}
        for name, chosen in parts.items()
        if chosen.any()
    }


def make_result(label: str, seed: int, test: Mapping, sizes: Mapping[str, int], **changes: object) -> dict:
    """result.json of a run."""
    epochs = 6
    score = float(np.mean([values["ndcg@10"] for domain, values in test.items() if domain != "overall"]))
    history = [
        {
            "phase": 0, "epoch": epoch, "loss": [3.0 / (epoch + 1)], "seconds": 2.0,
            "valid": {part: {name: value * (1 - 0.6**(epoch + 1)) for name, value in values.items()}
                      for part, values in test.items()},
            "valid_score": score * (1 - 0.6**(epoch + 1)),
        }
        for epoch in range(epochs)
    ]  # fmt: skip
    weight = sum(map(ord, label))
    return {
        "model": label.partition(":")[0],
        "dataset": "movielens",
        "domains": {"source": "action", "target": "drama"},
        "seed": seed,
        "versions": {"recbole_lecdsr": "0.1.0", "python": "3.11.7"},
        "git_revision": None,
        "device": "x86_64, 2 threads",
        "trainable_parameters": 1000 * weight,
        "seconds": {"load": 1.0, "train": 10.0 + weight % 50, "valid": 1.5, "test": 0.5},
        "samples_per_second": 2000.0 + weight,
        "peak_memory_bytes": {"process": 500_000_000 + weight * 100_000},
        "selection": "mean",
        "best_epoch": {"mean": epochs - 2},
        "epochs": epochs,
        "valid": test,
        "test": test,
        "test_samples": dict(sizes),
        "candidates": {"mode": "full", "history_masked": True, "digest": f"digest-{seed}"},
        "reference": {"popularity": {"overall": {"ndcg@10": 0.05}}, "random": {"overall": {"ndcg@10": 0.007}}},
        "coverage": {},
        "recommended": {
            domain: {"coverage@10": 0.3 + weight % 30 / 100, "average_popularity@10": 100.0 + weight % 90}
            for domain in ("source", "target")
        },
        "history": history,
        "parameters": {
            "valid_metric": "NDCG@10", "benchmark_filename": None,
            "eval_args": {"split": {"RS": [0.8, 0.1, 0.1]}, "order": "TO", "group_by": "user",
                          "mode": {"valid": "full", "test": "full"}},
        },
        **changes,
    }  # fmt: skip


def write_run(
    study: Path, label: str, seed: int, samples: Mapping[str, np.ndarray], rank: np.ndarray, **changes: object
) -> Path:
    """Write the run directory of a finished run; ``changes`` replace values of its result."""
    folder = study / "runs" / label_folder(label) / "movielens" / f"{label.partition(':')[0]}-{seed}"
    folder.mkdir(parents=True)
    domain = samples["domain"]
    sizes = {"source": int((domain == 0).sum()), "target": int((domain == 1).sum())}
    result = make_result(label, seed, metrics_of(rank, domain), sizes, **changes)
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
    np.savez_compressed(folder / "ranks.npz", rank=rank, **samples)
    return folder


def describe(study: Path, models: Sequence[str], seeds: Sequence[int]) -> None:
    """Write study.json."""
    study.mkdir(parents=True, exist_ok=True)
    values = {"dataset": "movielens", "models": list(models), "seeds": list(seeds)}
    (study / "study.json").write_text(json.dumps(values), encoding="utf-8")


def write_study(
    study: Path, strengths: Mapping[str, float], seeds: Sequence[int] = (2022, 2023, 2024), n_users: int = 60
) -> dict[str, np.ndarray]:
    """A finished study of models of given strengths.

    Returns:
        the samples.
    """
    describe(study, list(strengths), seeds)
    samples = make_samples(n_users)
    for label, strength in strengths.items():
        for seed in seeds:
            write_run(study, label, seed, samples, make_ranks(samples, strength, sum(map(ord, label)) + seed))
    return samples


def fail_run(study: Path, label: str, seed: int, message: str) -> None:
    """Write the run directory of a failed run."""
    folder = study / "runs" / label_folder(label) / "movielens" / f"{label.partition(':')[0]}-{seed}"
    folder.mkdir(parents=True)
    (folder / "error.txt").write_text(f"Traceback (most recent call last):\n  …\n{message}\n", encoding="utf-8")


def score_target_only(study: Path, label: str) -> None:
    """Make the finished runs of a model those of one that does not score the source domain."""
    for path in (study / "runs" / label_folder(label)).rglob("ranks.npz"):
        with np.load(path) as file:
            arrays = dict(file)
        arrays["rank"] = np.where(arrays["domain"] == 0, 0, arrays["rank"])
        np.savez_compressed(path, **arrays)
        result = json.loads((path.parent / "result.json").read_text(encoding="utf-8"))
        for values in (result, *result["history"]):
            values.update({key: {"target": values[key]["target"]} for key in ("valid", "test") if key in values})
        del result["recommended"]["source"]
        (path.parent / "result.json").write_text(json.dumps(result), encoding="utf-8")
