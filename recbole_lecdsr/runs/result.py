"""What a run comes to: metrics of ranks, what is recommended, what knows nothing reaches, and the files that say so.

A rank counts from 1; 0 is that of a sample in whose domain the model scores nothing, and such a domain has no metrics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from recbole_lecdsr import distributed
from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.data.eval_loader import EvalLoader
from recbole_lecdsr.evaluation.metrics import DomainMetrics, training_popularity
from recbole_lecdsr.runs import run_directory
from recbole_lecdsr.runs.environment import device_name, git_revision, peak_memory_bytes, versions


@dataclass(frozen=True)
class Training:
    """What a trainer knows of its training.

    Attributes:
        best: the selected epochs, ``mean`` or each domain -> {"epoch", "score", "valid", "state_dict"}.
        valid: validation metrics of the selection.
        history: an entry for each epoch.
        seconds: phase -> seconds.
        samples_seen: in all epochs.
        parameters: trainable numbers of the model.
    """

    best: Mapping[str, Mapping[str, object]]
    valid: DomainMetrics
    history: list[dict[str, object]]
    seconds: Mapping[str, float]
    samples_seen: int
    parameters: int


def write(
    config,
    test_data: EvalLoader,
    rank: np.ndarray,
    test: DomainMetrics,
    reference: Mapping[str, DomainMetrics],
    recommended: DomainMetrics,
    training: Training,
) -> None:
    """Write ranks.npz and then result.json of a tested run."""
    dataset = test_data.dataset
    folder = config.run_directory
    popularity = training_popularity(dataset)
    run_directory.write_ranks(
        folder, rank, test_data.domain, dataset.user_token[test_data.user], dataset.item_token[test_data.item],
        dataset.log.history_length[test_data.targets], popularity[test_data.item],
    )  # fmt: skip
    seconds = training.seconds
    run_directory.write_result(
        folder,
        {
            "model": config.model_name,
            "dataset": config["dataset"],
            "domains": {name: config[f"{name}_domain"]["dataset"] for name in DOMAINS},
            "seed": config["seed"],
            "versions": versions(),
            "git_revision": git_revision(),
            "device": device_name(config["device"]),
            "processes": distributed.world_size(),
            "trainable_parameters": training.parameters,
            "seconds": {key: round(value, 3) for key, value in seconds.items()},
            "samples_per_second": round(training.samples_seen / max(seconds["train"], 1e-9), 1),
            "peak_memory_bytes": peak_memory_bytes(config["device"]),
            "selection": config["selection"],
            "best_epoch": {name: entry["epoch"] for name, entry in training.best.items()} or None,
            "epochs": len(training.history),
            "valid": training.valid,
            "test": test,
            "test_samples": {name: int((test_data.domain == code).sum()) for code, name in enumerate(DOMAINS)},
            "candidates": {
                "mode": test_data.candidates.spec.mode,
                "history_masked": not test_data.candidates.spec.repeatable,
                "digest": test_data.candidates.digest,
            },
            "reference": reference,
            "recommended": recommended,
            "coverage": dataset.coverage,
            "history": training.history,
            "parameters": config.plain(),
        },
    )
