"""A study folder: its runs, how each ended, and the check that their results are comparable.

``study.json`` names the data set, the models, the seeds and the reference; each run has its directory under
``runs/<label>/<dataset>/``. A run is

- *finished* when its directory holds result.json (and then ranks.npz),
- *failed* when it holds error.txt instead,
- *unfinished* when it holds neither,
- *missing* when there is no directory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.leaderboard.model_names import model_name, uses_score_fusion
from recbole_lecdsr.leaderboard.row_parameters import differing_rows
from recbole_lecdsr.leaderboard.run_results import read_run
from recbole_lecdsr.leaderboard.study_description import (
    RUNS_FOLDER,
    StudyDescription,
    find_run_folders,
    label_folder,
    read_description,
)
from recbole_lecdsr.runs.identity import DATA, differing_parts, name_parts
from recbole_lecdsr.runs.ranks import Samples
from recbole_lecdsr.runs.result import RunResult
from recbole_lecdsr.runs.run_directory import RESULT

ERROR_FILE = "error.txt"  # traceback of a failed run; the last line is the message

Status = Literal["finished", "failed", "unfinished", "missing"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Run:
    """One model with one seed of a study.

    Attributes:
        label: the model's label in the study, such as ``SASRec:sequence=single``.
        seed: its seed.
        status: how it ended.
        folder: its run directory, or None when missing.
        error: the message of a failed run.
    """

    label: str
    seed: int
    status: Status
    folder: Path | None = None
    error: str | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class FinishedRun(Run):
    """A run with a result.

    Attributes:
        folder: its run directory.
        result: from its result.json.
        rank: (S,) int64 from 1; 0 for all samples of a domain that the model does not score.
    """

    folder: Path
    result: RunResult
    rank: np.ndarray


@dataclass(frozen=True, eq=False)
class Study:
    """All runs of a study.

    Attributes:
        folder: of the study.
        description: its data set, models, seeds and reference.
        runs: one for each model and seed, in the order of the description, models first.
        samples: the test samples that all finished runs share.
    """

    folder: Path
    description: StudyDescription
    runs: tuple[Run, ...]
    samples: Samples

    @property
    def dataset(self) -> str:
        """Name of the pair of domains."""
        return self.description.dataset

    @property
    def models(self) -> tuple[str, ...]:
        """Labels of the models."""
        return self.description.models

    @property
    def reference(self) -> str:
        """Label of the model that the others are tested against."""
        return self.description.reference

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of the study, whether their runs have finished or not."""
        return self.description.seeds

    @cached_property
    def finished(self) -> list[FinishedRun]:
        """All finished runs."""
        return [run for run in self.runs if isinstance(run, FinishedRun)]

    def finished_runs(self, label: str) -> list[FinishedRun]:
        """The finished runs of a model, by seed."""
        return [run for run in self.finished if run.label == label]

    def scored_parts(self, label: str) -> dict[str, np.ndarray]:
        """The parts of the samples that a model scores in all its finished runs: name -> (S,) bool."""
        runs = self.finished_runs(label)
        return {
            name: chosen for name, chosen in self.samples.parts.items() if all(run.rank[chosen].all() for run in runs)
        }

    @property
    def devices(self) -> list[str]:
        """The devices of the finished runs, sorted."""
        return sorted({run.result.device for run in self.finished})

    @property
    def first_result(self) -> RunResult:
        """The result of the first finished run, for what all runs have in common."""
        return self.finished[0].result

    @property
    def part_names(self) -> dict[str, str]:
        """``overall``, ``source`` and ``target`` (those with samples) -> name to show."""
        names = {**self.first_result.domains, "overall": "both domains"}
        return {part: names[part] for part in self.samples.parts}

    def model_name(self, label: str) -> str:
        """Name of a model to show; see `recbole_lecdsr.leaderboard.model_names.model_name`."""
        runs = self.finished_runs(label)
        return model_name(label, score_fusion=uses_score_fusion(runs[0].result.parameters) if runs else None)


def read_study(folder: str | Path) -> Study:
    """Read a study, whether all its runs have finished or not.

    Args:
        folder: the study folder.

    Raises:
        UserError: no study there; no finished run; a run that cannot be read; runs of one model with different
            parameters; or runs that are not comparable, since their data set, split, candidates or test samples differ.
    """
    folder = Path(folder)
    description = read_description(folder)
    runs, samples_of_finished = read_runs(folder, description)
    finished = [run for run in runs if isinstance(run, FinishedRun)]
    if not finished:
        failed = [f"  {run.label}, seed {run.seed}: {run.error}" for run in runs if run.status == "failed"]
        reasons = ["these runs failed:", *failed] if failed else ["none has failed either: start or resume it"]
        raise UserError("\n".join([f"the study {folder} has no finished run, so there is no table;", *reasons]))
    require_comparable(finished, samples_of_finished)
    for label in description.models:
        _require_one_row(folder, [run for run in finished if run.label == label])
    samples = next((one for one in samples_of_finished if one.same_domain is not None), samples_of_finished[0])
    return Study(folder, description, tuple(runs), samples)


def read_runs(folder: Path, description: StudyDescription) -> tuple[list[Run], list[Samples]]:
    """The runs of a study, whether they are comparable or not, and the samples of the finished ones.

    Raises:
        UserError: a run that cannot be read, or two of one model and seed.
    """
    runs: list[Run] = []
    samples_of_finished: list[Samples] = []
    for label in description.models:
        for seed in description.seeds:
            run, samples = _read_run(folder, description.dataset, label, seed)
            runs.append(run)
            if samples is not None:
                samples_of_finished.append(samples)
    return runs, samples_of_finished


def _read_run(folder: Path, dataset: str, label: str, seed: int) -> tuple[Run, Samples | None]:
    """A run of the study, and its samples if it has finished."""
    parent = folder / RUNS_FOLDER / label_folder(label) / dataset
    found = find_run_folders(parent, label).get(seed, [])
    if not found:
        return Run(label=label, seed=seed, status="missing"), None
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise UserError(f"{parent} holds {len(found)} runs of {label} with seed {seed} ({names}): keep one of them")
    (run_folder,) = found
    if (run_folder / RESULT).exists():
        result, rank, samples = read_run(run_folder, seed)
        run = FinishedRun(label=label, seed=seed, status="finished", folder=run_folder, result=result, rank=rank)
        return run, samples
    if (run_folder / ERROR_FILE).exists():
        lines = (run_folder / ERROR_FILE).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        message = lines[-1].strip() if lines else "no message"
        return Run(label=label, seed=seed, status="failed", folder=run_folder, error=message), None
    return Run(label=label, seed=seed, status="unfinished", folder=run_folder), None


# ---------------------------------------------------------------------- comparability


def _require_one_row(folder: Path, runs: Sequence[FinishedRun]) -> None:
    """Refuse finished runs of one model with different parameters, whose mean would be that of no model."""
    for run in runs[1:]:
        if difference := differing_rows(runs[0].result, run.result):
            what, values = difference
            raise UserError(
                f"the runs of {run.label} in {folder} have different {what}, so their mean says nothing (seeds "
                f"{runs[0].seed} and {run.seed}{values and f': {values}'}): delete those of one kind and run these "
                "seeds again"
            )


def require_comparable(runs: Sequence[FinishedRun], samples: Sequence[Samples]) -> None:
    """Refuse runs that were not tested as the first one was.

    Args:
        runs: the finished runs, one or more.
        samples: the test samples of each.

    Raises:
        UserError: names the two runs and what differs.
    """
    first, first_samples = runs[0], samples[0]
    expected = _protocol(first.result)
    first_of_seed: dict[int, FinishedRun] = {}
    for run, run_samples in zip(runs, samples, strict=True):
        pair = f"{first.label} (seed {first.seed}) and {run.label} (seed {run.seed})"
        for name, value in _protocol(run.result).items():
            if value != expected[name]:
                raise UserError(
                    f"{pair} are not comparable: {name} {expected[name]} and {value}"
                    + ("; sampled and full ranking never share a table" if name == "candidates" else "")
                )
        if parts := differing_parts(first.result.identity or {}, run.result.identity or {}, ("result_format", *DATA)):
            raise UserError(
                f"{pair} are not comparable: they have different {name_parts(parts, run.result.domains)}. Delete the "
                "runs of one kind and run them again"
            )
        # The negatives of a sampled ranking are drawn once for a seed, so each seed has its own digest.
        same_seed = first_of_seed.setdefault(run.seed, run)
        digests = [one.result.candidates.digest for one in (same_seed, run)]
        if digests[0] != digests[1]:
            raise UserError(
                f"{same_seed.label} and {run.label} (seed {run.seed}) were tested on different candidates (digests "
                f"{digests[0]} and {digests[1]}): run them on the same data and candidates"
            )
        for column, one, other in (
            ("domain", first_samples.domain, run_samples.domain),
            ("user", first_samples.user, run_samples.user),
            ("item", first_samples.item, run_samples.item),
            ("same_domain", first_samples.same_domain, run_samples.same_domain),
        ):
            if one is not None and other is not None and not np.array_equal(one, other):
                raise UserError(f"{pair} have different test samples (column {column}): run them on the same data")


def _protocol(result: RunResult) -> dict[str, object]:
    """What must be equal in all runs of a table: its name in an error -> value."""
    return {
        "data set": result.dataset,
        "domains": result.domains,
        "candidates": result.candidates.mode,
        "history masked": result.candidates.history_masked,
        "split": result.split,
        "refit": result.refit,
    }
