"""The result of a run, as result.json holds it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.evaluation.metrics import DomainMetrics
from recbole_lecdsr.runs.run_directory import write_run_file
from recbole_lecdsr.runs.training import EpochRecord


@dataclass(frozen=True)
class CandidateInfo:
    """Among which items the targets of the test samples are ranked.

    Attributes:
        mode: ``full``, ``uniN`` or ``popN`` (``eval_args.mode``).
        history_masked: whether items of the user's history are left out.
        digest: of the data, the samples and the seed that the candidates follow from.
    """

    mode: str
    history_masked: bool
    digest: str


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """The result of a run; a field for each key of result.json, in the same order.

    Attributes:
        model, dataset, seed: of the run.
        domains: ``source`` and ``target`` -> name.
        versions: library -> version.
        git_revision: commit of the package, with ``+`` where files differ from it; None outside a checkout.
        device: processor or GPU.
        processes: number of processes that trained the model together.
        trainable_parameters: how many numbers of the model are trained.
        seconds: ``load``, ``train``, ``valid`` and ``test`` -> seconds.
        samples_per_second: in training.
        peak_memory_bytes: of the ``process`` and, where one is used, of the ``gpu``.
        selection: ``mean`` or ``per_domain_best``.
        best_epoch: number of the selected epoch (``mean``), or of those of ``source`` and ``target``; None where no
            epoch was selected.
        epochs: how many were trained.
        valid: validation metrics of the selected epochs; empty without validation.
        test: test metrics.
        test_samples: domain -> number of test samples.
        candidates: among which items the targets are ranked.
        reference: ``popularity`` and ``random`` -> test metrics of these rankings.
        recommended: coverage and popularity of the top items in each domain.
        coverage: how many items and users have an LLM embedding.
        history: the epochs.
        parameters: all parameters of the run.
        identity: digests of what the result follows from (`recbole_lecdsr.runs.identity.identify`); None in results of
            before identities were recorded.
    """

    model: str
    dataset: str
    domains: Mapping[str, str]
    seed: int
    versions: Mapping[str, str]
    git_revision: str | None
    device: str
    processes: int = 1  # absent in early results
    trainable_parameters: int
    seconds: Mapping[str, float]
    samples_per_second: float
    peak_memory_bytes: Mapping[str, int]
    selection: str
    best_epoch: Mapping[str, int] | None
    epochs: int
    valid: DomainMetrics
    test: DomainMetrics
    test_samples: Mapping[str, int]
    candidates: CandidateInfo
    reference: Mapping[str, DomainMetrics]
    recommended: DomainMetrics
    coverage: Mapping[str, Any]
    history: tuple[EpochRecord, ...]
    parameters: Mapping[str, Any]
    identity: Mapping[str, Any] | None = None

    @classmethod
    def read(cls, path: Path) -> RunResult:
        """Read a result.json, of this version or of 0.1.0.

        Raises:
            UserError: a file that is missing, cannot be read or lacks a value.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(
                f"{path} does not exist: the run has not been tested; resume it with --resume=True"
            ) from None
        except (OSError, ValueError) as error:
            raise UserError(f"{path} cannot be read ({error}): delete the run and start it again") from None
        if not isinstance(values, dict):
            raise UserError(f"{path} must hold a mapping, not {type(values).__name__}: start the run again")
        missing = [field.name for field in fields(cls) if field.name not in values and field.default is MISSING]
        if missing:
            raise UserError(f"{path} has no {', '.join(missing)}: another version wrote it; start the run again")
        known = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        try:
            candidates = {field.name: known["candidates"][field.name] for field in fields(CandidateInfo)}
            history = tuple(map(EpochRecord.from_dict, known["history"]))
        except (KeyError, TypeError) as error:
            raise UserError(f"{path} lacks a value or has one of another type ({error}): start the run again") from None
        return cls(**{**known, "candidates": CandidateInfo(**candidates), "history": history})

    def write(self, path: Path) -> None:
        """Write result.json; a crash leaves the former one as it was.

        Raises:
            UserError: the disk is full, or the folder cannot be written to.
        """
        with write_run_file(path) as file:
            json.dump(self.to_dict(), file, indent=2, ensure_ascii=False)
            file.write("\n")

    def to_dict(self) -> dict[str, Any]:
        """The content of result.json."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        history = [epoch.to_dict() for epoch in self.history]
        return {**values, "candidates": vars(self.candidates).copy(), "history": history}
