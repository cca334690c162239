"""What a leaderboard reads of a run directory: result.json and ranks.npz, checked."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.leaderboard.model_names import uses_score_fusion
from recbole_lecdsr.leaderboard.study_description import read_json_object
from recbole_lecdsr.runs.run_directory import RANKS, RESULT

Metrics = Mapping[str, Mapping[str, float]]  # source, target, overall -> metric -> value

_RUN_AGAIN = "delete the run and start it again"
_REQUIRED = (
    "model", "dataset", "domains", "seed", "test", "test_samples", "candidates", "history", "parameters", "seconds",
    "peak_memory_bytes", "device", "recommended",
)  # fmt: skip


@dataclass(frozen=True)
class CandidateSet:
    """Among which items the targets were ranked.

    Attributes:
        mode: ``full``, or a number of sampled negatives such as ``uni99`` and ``pop99``.
        history_masked: whether items of the user's history are excluded.
        digest: of the candidates themselves.
    """

    mode: str
    history_masked: bool
    digest: str


@dataclass(frozen=True)
class Epoch:
    """One epoch of training.

    Attributes:
        phase: index of the training phase.
        number: of the epoch within its phase.
        valid: its validation metrics; empty where it was not validated.
        valid_score: the score that selects the epoch; nan where it was not validated.
    """

    phase: int
    number: int
    valid: Metrics
    valid_score: float


@dataclass(frozen=True)
class RunSummary:
    """What a leaderboard reads of result.json.

    Attributes:
        model, dataset, seed, device: of the run.
        version: of the plugin that wrote it; empty where it is not recorded.
        domains: ``source`` and ``target`` -> name.
        parameters: all parameters of the run.
        test: the test metrics.
        test_samples: domain -> number of test samples.
        candidates: among which items the targets were ranked.
        epochs: of training, in order.
        best_epochs: numbers of the selected epochs.
        seconds: phase of the run (``train``, ``valid``, ``test``, …) -> seconds.
        samples_per_second: in training.
        peak_memory_bytes: the larger of the process's and the GPU's.
        trainable_parameters: of the model.
        recommended: domain -> coverage and average popularity of the items in the top 10.
        reference: ranking without a model (``popularity``, ``random``) -> its test metrics.
        identity: digests of what the result follows from (`recbole_lecdsr.runs.identity`); empty where it is unknown.
    """

    model: str
    dataset: str
    seed: int
    device: str
    version: str
    domains: Mapping[str, str]
    parameters: Mapping[str, Any]
    test: Metrics
    test_samples: Mapping[str, int]
    candidates: CandidateSet
    epochs: tuple[Epoch, ...]
    best_epochs: frozenset[int]
    seconds: Mapping[str, float]
    samples_per_second: float
    peak_memory_bytes: int
    trainable_parameters: int
    recommended: Metrics
    reference: Mapping[str, Metrics]
    identity: Mapping[str, Any]

    @property
    def refit(self) -> bool:
        """Whether the tested model was retrained on training and validation interactions."""
        return bool(self.parameters.get("refit"))

    @property
    def score_fusion(self) -> bool:
        """Whether the model was run with score fusion."""
        return uses_score_fusion(self.parameters)

    @property
    def split(self) -> object:
        """How the data were split: names of ready-made files, or the split, order and grouping."""
        if self.parameters.get("benchmark_filename"):
            return self.parameters["benchmark_filename"]
        arguments = self.parameters["eval_args"]
        return {key: arguments.get(key) for key in ("split", "order", "group_by")}

    @property
    def valid_metric(self) -> str:
        """The metric that selects the epoch, such as ``ndcg@10``."""
        return str(self.parameters["valid_metric"]).lower()


@dataclass(frozen=True, eq=False)
class Samples:
    """The test samples, which all runs of a study share.

    Attributes:
        domain: (S,) int8, 0 source, 1 target.
        user, item: (S,) str, tokens of the user and of the target item.
        history: (S,) int64, number of earlier interactions of the user.
        popularity: (S,) int64, number of training interactions of the target item.
    """

    domain: np.ndarray
    user: np.ndarray
    item: np.ndarray
    history: np.ndarray
    popularity: np.ndarray

    @cached_property
    def parts(self) -> dict[str, np.ndarray]:
        """``overall``, ``source`` and ``target`` (those that have samples) -> (S,) bool."""
        domains = {name: self.domain == code for code, name in enumerate(DOMAINS) if np.any(self.domain == code)}
        return {"overall": np.ones(len(self.domain), dtype=bool), **domains}


def read_result(path: Path) -> RunSummary:
    """Read a result.json.

    Raises:
        UserError: a file that cannot be read, or without a key that a leaderboard needs.
    """
    values = read_json_object(path, missing=f"{path} does not exist: {_RUN_AGAIN}", remedy=_RUN_AGAIN)
    absent = [key for key in _REQUIRED if key not in values]
    if absent:
        raise UserError(f"{path} has no {', '.join(absent)}: another version wrote it; {_RUN_AGAIN}")
    try:
        return _summarise(values)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} lacks a value or has one of the wrong type ({error}): {_RUN_AGAIN}") from None


def _summarise(values: Mapping[str, Any]) -> RunSummary:
    candidates = values["candidates"]
    history = values["history"]
    return RunSummary(
        model=str(values["model"]),
        dataset=values["dataset"],
        seed=values["seed"],
        device=values["device"],
        version=values.get("versions", {}).get("recbole_lecdsr", ""),
        domains=values["domains"],
        parameters=values["parameters"],
        test=values["test"],
        test_samples=values["test_samples"],
        candidates=CandidateSet(candidates["mode"], candidates["history_masked"], candidates["digest"]),
        epochs=tuple(
            Epoch(epoch["phase"], epoch["epoch"], epoch.get("valid", {}), epoch.get("valid_score", math.nan))
            for epoch in history
        ),
        best_epochs=frozenset((values.get("best_epoch") or {}).values()),
        seconds={name: values["seconds"][name] for name in ("train", "valid", "test")},
        samples_per_second=values.get("samples_per_second", 0.0),
        peak_memory_bytes=max(values["peak_memory_bytes"].values()),
        trainable_parameters=values.get("trainable_parameters", 0),
        recommended=values["recommended"],
        reference=values.get("reference") or {},
        identity=values.get("identity") or {},
    )


def read_ranks(path: Path) -> tuple[np.ndarray, Samples]:
    """Read a ranks.npz.

    Returns:
        (S,) int64 ranks from 1, 0 for all samples of a domain that the model does not score; and the samples.

    Raises:
        UserError: a file that cannot be read, lacks an array, or has arrays of different lengths or wrong ranks.
    """
    names = ("rank", "domain", "user", "item", "history", "popularity")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in names if name in file.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} cannot be read ({error}): {_RUN_AGAIN}") from None
    absent = [name for name in names if name not in arrays]
    if absent:
        raise UserError(f"{path} has no {', '.join(absent)}: another version wrote it; {_RUN_AGAIN}")
    shapes = {array.shape for array in arrays.values()}
    if len(shapes) != 1 or arrays["rank"].ndim != 1:
        raise UserError(f"{path}: its arrays must have one length, not the shapes {sorted(shapes)}: {_RUN_AGAIN}")
    rank = arrays.pop("rank")
    by_domain = [rank[arrays["domain"] == code] for code in range(len(DOMAINS))]
    if not rank.any() or any(ranks.min() < 1 for ranks in by_domain if ranks.any()):
        raise UserError(
            f"{path}: ranks must be whole numbers from 1 on, or 0 for all samples of one domain: {_RUN_AGAIN}"
        )
    return rank.astype(np.int64), Samples(**arrays)


def read_run(folder: Path, seed: int) -> tuple[RunSummary, np.ndarray, Samples]:
    """Read the result and the ranks of a finished run.

    Args:
        folder: the run directory.
        seed: which its folder is named after.

    Raises:
        UserError: a file that cannot be used, or files that contradict each other.
    """
    result = read_result(folder / RESULT)
    if result.seed != seed:
        raise UserError(f"{folder / RESULT} has seed {result.seed}, the name of its folder {seed}: {_RUN_AGAIN}")
    rank, samples = read_ranks(folder / RANKS)
    in_ranks = {name: int(samples.parts[name].sum()) for name in DOMAINS if name in samples.parts}
    in_result = {name: count for name, count in result.test_samples.items() if count}
    if in_ranks != in_result:
        raise UserError(f"{folder}: {RANKS} holds {in_ranks} test samples, {RESULT} says {in_result}: {_RUN_AGAIN}")
    return result, rank, samples
