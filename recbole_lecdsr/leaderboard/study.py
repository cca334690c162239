"""A study folder read back: which runs there are, how each ended, and that they can stand in one table.

``study.json`` names the data set, the models and the seeds; each run has its directory under
``runs/<label>/<dataset>/``. A run is

- *finished* when its directory holds result.json (and then ranks.npz),
- *failed* when it holds error.txt instead,
- *unfinished* when it holds neither,
- *missing* when there is no directory.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.errors import UserError

STUDY, RUNS, RESULT, RANKS, ERROR = "study.json", "runs", "result.json", "ranks.npz", "error.txt"
FINISHED, FAILED, UNFINISHED, MISSING = "finished", "failed", "unfinished", "missing"
_NEEDED = (
    "model", "dataset", "domains", "seed", "test", "test_samples", "candidates", "history", "parameters", "seconds",
    "peak_memory_bytes", "device", "recommended",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Samples:
    """What is known of each test sample, the same for every run of a study.

    Attributes:
        domain: (S,) int8, 0 source, 1 target.
        user, item: (S,) str, tokens of the user and of the target.
        history: (S,) int64, earlier events of the user.
        popularity: (S,) int64, events of the target in training.
    """

    domain: np.ndarray
    user: np.ndarray
    item: np.ndarray
    history: np.ndarray
    popularity: np.ndarray

    @cached_property
    def parts(self) -> dict[str, np.ndarray]:
        """``overall``, ``source`` and ``target`` (those that have samples) -> (S,) bool."""
        parts = {name: self.domain == code for code, name in enumerate(DOMAINS) if np.any(self.domain == code)}
        return {"overall": np.ones(len(self.domain), dtype=bool), **parts}


@dataclass(frozen=True, eq=False)
class Run:
    """One (model, seed) of a study.

    Attributes:
        label: the model's label in the study, such as ``SASRec:sequence=single``.
        seed: its seed.
        folder: its run directory, or None when missing.
        status: ``finished``, ``failed``, ``unfinished`` or ``missing``.
        result: result.json of a finished run.
        rank: (S,) int64 from 1, of a finished run; 0 for all samples of a domain that the model does not score.
        error: the message of a failed run.
    """

    label: str
    seed: int
    folder: Path | None
    status: str
    result: Mapping | None = None
    rank: np.ndarray | None = None
    error: str | None = None


@dataclass(frozen=True, eq=False)
class Study:
    """All runs of a study, models in the order of study.json and seeds within.

    Attributes:
        folder: of the study.
        dataset: name of the pair of domains.
        models: labels; the first is the one that the others are compared with.
        seeds: the seeds asked for.
        runs: one for each model and seed.
        samples: the test samples that all finished runs share.
    """

    folder: Path
    dataset: str
    models: tuple[str, ...]
    seeds: tuple[int, ...]
    runs: tuple[Run, ...]
    samples: Samples

    def with_status(self, *status: str) -> list[Run]:
        """Runs that ended so."""
        return [run for run in self.runs if run.status in status]

    def finished(self, label: str) -> list[Run]:
        """Finished runs of a model, by seed."""
        return [run for run in self.runs if run.label == label and run.status == FINISHED]

    def scored_parts(self, label: str) -> dict[str, np.ndarray]:
        """The parts of the samples that a model scores in all its finished runs: name -> (S,) bool."""
        runs = self.finished(label)
        return {
            name: chosen for name, chosen in self.samples.parts.items() if all(run.rank[chosen].all() for run in runs)
        }

    @property
    def any_result(self) -> Mapping:
        """The result of the first finished run, for what all share."""
        return self.with_status(FINISHED)[0].result

    @property
    def part_names(self) -> dict[str, str]:
        """``overall``, ``source`` and ``target`` (those with samples) -> name to show."""
        names = {**self.any_result["domains"], "overall": "both domains"}
        return {part: names[part] for part in self.samples.parts}


def label_folder(label: str) -> str:
    """Name of a label's folder: characters other than letters, digits, ``.``, ``_``, ``=``, ``-`` become ``_``."""
    return re.sub(r"[^\w.=-]", "_", label)


def read_study(folder: str | Path) -> Study:
    """Read a study, finished or not.

    Args:
        folder: the study folder.

    Raises:
        UserError: no study there, no run of it finished, a run that cannot be read, or runs that cannot stand in one
            table: of another data set, split or kind of candidates, or of other test samples.
    """
    folder = Path(folder)
    dataset, models, seeds = _read_description(folder)
    pairs = [_read_run(folder, dataset, label, seed) for label in models for seed in seeds]
    runs = tuple(run for run, _ in pairs)
    finished = [(run, samples) for run, samples in pairs if run.status == FINISHED]
    if not finished:
        failed = [f"  {run.label}, seed {run.seed}: {run.error}" for run in runs if run.status == FAILED]
        reasons = ["these runs failed:", *failed] if failed else ["none has failed either: start or resume it"]
        raise UserError("\n".join([f"no run of the study {folder} is finished, so there is no table;", *reasons]))
    _refuse_mixtures(finished)
    return Study(folder, dataset, models, seeds, runs, finished[0][1])


def _read_description(folder: Path) -> tuple[str, tuple[str, ...], tuple[int, ...]]:
    path = folder / STUDY
    values = _read_json(path, f"{folder} is not the folder of a study (no {STUDY}): give what `compare` wrote")
    models, seeds = values.get("models"), values.get("seeds")
    wrong = [
        f"{path}: {key} must be {wanted}, not {values.get(key)!r}"
        for key, wanted, good in (
            ("dataset", "a name", isinstance(values.get("dataset"), str)),
            ("models", "a list of distinct labels", _distinct(models, str)),
            ("seeds", "a list of distinct whole numbers", _distinct(seeds, int)),
        )
        if not good
    ]
    if wrong:
        raise UserError("\n".join(wrong))
    by_folder: dict[str, str] = {}
    for label in models:
        other = by_folder.setdefault(label_folder(label), label)
        if other != label:
            raise UserError(f"{path}: the labels {other!r} and {label!r} share the folder {label_folder(label)}")
    return values["dataset"], tuple(models), tuple(seeds)


def _distinct(values: object, kind: type) -> bool:
    return (
        isinstance(values, list)
        and len(values) > 0
        and all(isinstance(value, kind) for value in values)
        and len(set(values)) == len(values)
    )


def _read_json(path: Path, missing: str) -> dict:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(missing) from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}): delete the run and start it again") from None
    if not isinstance(values, dict):
        raise UserError(f"{path} must hold a mapping, not {type(values).__name__}")
    return values


# ---------------------------------------------------------------------- runs


def _read_run(folder: Path, dataset: str, label: str, seed: int) -> tuple[Run, Samples | None]:
    parent = folder / RUNS / label_folder(label) / dataset
    places = [place for place in _folders(parent) if place.name.rpartition("-")[2] == str(seed)]
    if not places:
        return Run(label, seed, None, MISSING), None
    if len(places) > 1:
        names = ", ".join(place.name for place in places)
        raise UserError(f"{parent} holds {len(places)} runs of {label} with seed {seed} ({names}): keep one")
    place = places[0]
    if (place / RESULT).exists():
        return _finished_run(place, label, seed)
    if (place / ERROR).exists():
        lines = (place / ERROR).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return Run(label, seed, place, FAILED, error=lines[-1].strip() if lines else "no message"), None
    return Run(label, seed, place, UNFINISHED), None


def _folders(parent: Path) -> Iterator[Path]:
    return (place for place in sorted(parent.iterdir()) if place.is_dir()) if parent.is_dir() else iter(())


def _finished_run(place: Path, label: str, seed: int) -> tuple[Run, Samples]:
    result = _read_json(place / RESULT, "")
    lacking = [key for key in _NEEDED if key not in result]
    if lacking:
        raise UserError(f"{place / RESULT} has no {', '.join(lacking)}: it is of another version; run it again")
    if result["seed"] != seed:
        raise UserError(f"{place / RESULT} is of seed {result['seed']}, its folder of seed {seed}: run it again")
    rank, samples = _read_ranks(place / RANKS)
    counts = {name: int(samples.parts[name].sum()) for name in DOMAINS if name in samples.parts}
    said = {name: count for name, count in result["test_samples"].items() if count}
    if counts != said:
        raise UserError(f"{place}: {RANKS} holds {counts} test samples, {RESULT} says {said}: run it again")
    return Run(label, seed, place, FINISHED, result, rank), samples


def _read_ranks(path: Path) -> tuple[np.ndarray, Samples]:
    names = ("rank", "domain", "user", "item", "history", "popularity")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in names if name in file.files}
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} cannot be read ({error}): delete the run and start it again") from None
    lacking = [name for name in names if name not in arrays]
    if lacking:
        raise UserError(f"{path} has no {', '.join(lacking)}: it is of another version; run it again")
    shapes = {array.shape for array in arrays.values()}
    if len(shapes) != 1 or arrays["rank"].ndim != 1:
        raise UserError(f"{path}: its arrays must have one length, not {sorted(shapes)}")
    rank = arrays.pop("rank")
    domains = [rank[arrays["domain"] == code] for code in range(len(DOMAINS))]
    if not rank.any() or any(part.min() < 1 for part in domains if part.any()):
        raise UserError(f"{path}: ranks must be whole numbers from 1 on (0 for a whole domain only), at least one")
    return rank.astype(np.int64), Samples(**arrays)


# ---------------------------------------------------------------------- one table


def _refuse_mixtures(finished: list[tuple[Run, Samples]]) -> None:
    """Every run must have been tested as the first was."""
    (first, samples), *others = finished
    digests = {first.seed: first}
    for run, its in others:
        names = f"{first.label} (seed {first.seed}) and {run.label} (seed {run.seed})"
        for what, of in _PROTOCOL.items():
            if of(first.result) != of(run.result):
                raise UserError(
                    f"{names} cannot stand in one table: {what} {of(first.result)} and {of(run.result)}"
                    + ("; sampled and full ranking never stand in one table" if what == "candidates" else "")
                )
        # The candidates of a sampled ranking are drawn once for a seed, so each seed has a digest of its own.
        same_seed = digests.setdefault(run.seed, run)
        pair = [one.result["candidates"]["digest"] for one in (same_seed, run)]
        if pair[0] != pair[1]:
            raise UserError(
                f"{same_seed.label} and {run.label} (seed {run.seed}) were tested on other candidates (digests "
                f"{pair[0]} and {pair[1]}): run them on the same data and candidates"
            )
        for name in ("domain", "user", "item"):
            if not np.array_equal(getattr(samples, name), getattr(its, name)):
                raise UserError(f"{names} have other test samples (column {name}): run them on the same data")


def _split(result: Mapping) -> object:
    parameters = result["parameters"]
    if parameters.get("benchmark_filename"):
        return parameters["benchmark_filename"]
    arguments = parameters["eval_args"]
    return {key: arguments.get(key) for key in ("split", "order", "group_by")}


_PROTOCOL = {
    "data set": lambda result: result["dataset"],
    "domains": lambda result: result["domains"],
    "candidates": lambda result: result["candidates"]["mode"],
    "history masked": lambda result: result["candidates"]["history_masked"],
    "split": _split,
    "refit": lambda result: bool(result["parameters"].get("refit")),
}
