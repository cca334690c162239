"""Finished runs from elsewhere, such as another machine, join a study: checked, then copied whole or not at all.

The data of the runs need not be on this machine: what a run was trained and tested on is compared by the digests that
its result holds, and its test samples one by one.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from recbole_lecdsr.data.constants import VECTOR_PARAMETERS
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import report_disk_errors, write_whole
from recbole_lecdsr.leaderboard.locks import LOCK_FILE, try_lock, wait_for_lock
from recbole_lecdsr.leaderboard.model_names import parse_label
from recbole_lecdsr.leaderboard.row_parameters import differing_in_row, differing_rows
from recbole_lecdsr.leaderboard.run_results import read_run
from recbole_lecdsr.leaderboard.study import FinishedRun, read_runs, require_comparable
from recbole_lecdsr.leaderboard.study_description import (
    DESCRIPTION_FILE,
    RUNS_FOLDER,
    StudyDescription,
    find_run_folders,
    label_folder,
    read_description,
    run_folder,
    update_description,
)
from recbole_lecdsr.model.aids import with_aids
from recbole_lecdsr.model.registry import find_model
from recbole_lecdsr.runs.checkpoint import Checkpoint
from recbole_lecdsr.runs.comparison import describe_difference, differing_parameters
from recbole_lecdsr.runs.ranks import Samples
from recbole_lecdsr.runs.result import RunResult
from recbole_lecdsr.runs.run_directory import CONFIG, MODEL, RANKS, RESULT
from recbole_lecdsr.runs.run_folders import read_recorded_parameters
from recbole_lecdsr.schema.data import is_name

logger = logging.getLogger(__name__)

_FILES = (CONFIG, MODEL, RANKS, RESULT)  # that are copied, those that there are
_MOST_PARTS = 3  # parameters in a label that is offered
_STAGING = re.compile(r"\.run\.[a-z0-9_]{8}\.tmp")  # folders in which runs are made whole


@dataclass(frozen=True, eq=False)
class Addition:
    """A run that is to join a study.

    Attributes:
        run: with its present folder, and the label that it gets.
        samples: its test samples.
    """

    run: FinishedRun
    samples: Samples

    def place(self, study: Path) -> Path:
        """Its run directory in a study."""
        run = self.run
        return _row_folder(study, run.result.dataset, run.label) / run_folder(run.label, run.seed)


def _row_folder(study: Path, dataset: str, label: str) -> Path:
    return study / RUNS_FOLDER / label_folder(label) / dataset


def parse_addition(text: str) -> tuple[str | None, Path]:
    """Split ``[LABEL=]RUN_FOLDER``; both can hold equals signs, and the longest end that is a folder is taken for it.

    Raises:
        UserError: no part at the end is a folder.
    """
    if Path(text).is_dir():
        return None, Path(text)
    for match in re.finditer("=", text):
        label, folder = text[: match.start()], text[match.end() :]
        if label and folder and Path(folder).is_dir():
            return label, Path(folder)
    raise UserError(f"--add {text}: there is no such folder; give that of a finished run, as RUN or as LABEL=RUN")


def read_addition(text: str) -> Addition:
    """Read and check a finished run by itself.

    Args:
        text: ``[LABEL=]RUN_FOLDER``; without a label it gets the name of its model.

    Raises:
        UserError: no run there, one that has not finished, files that are damaged or do not belong together, or a label
            that contradicts the run.
    """
    given, folder = parse_addition(text)
    result = RunResult.read(folder / RESULT)
    _, rank, samples = read_run(folder, result.seed)
    _check_other_files(folder, result)
    label = given or result.model
    name, parameters = parse_label(label)
    if name != result.model:
        raise UserError(
            f"--add {text}: {folder} is a run of {result.model}, so its label must be {result.model} or "
            f"{result.model}:NAME=VALUE, not {label}"
        )
    if not is_name(result.dataset) or not is_name(result.model) or os.sep in result.model:
        raise UserError(f"{folder / RESULT}: {result.model!r} on {result.dataset!r} cannot name folders of a study")
    parameters |= _resolve_vectors(result, parameters)
    if wrong := [key for key, value in parameters.items() if not _holds(result.parameters.get(key), value)]:
        raise UserError(
            f"--add {text}: the label does not fit the run, in which "
            + ", ".join(f"{key} is {_text(result.parameters.get(key))}" for key in wrong)
        )
    if not result.identity:
        logger.warning("%s does not say on which data it was trained: an earlier version wrote it", folder)
    run = FinishedRun(label=label, seed=result.seed, status="finished", folder=folder, result=result, rank=rank)
    return Addition(run, samples)


def _resolve_vectors(result: RunResult, parameters: Mapping[str, object]) -> dict[str, Any]:
    """What a label with a choice of vectors, such as ``user_vectors=none``, says of the parameters of a run."""
    names = set(VECTOR_PARAMETERS.values())
    if not parameters.keys() & names or not names <= result.parameters.keys():  # those of a former version have neither
        return {}
    model = with_aids(find_model(result.model), result.parameters)
    return model.resolve_vectors({**result.parameters, **parameters})


def read_additions(texts: Sequence[str]) -> list[Addition]:
    """`read_addition` of each text.

    Raises:
        UserError: all that is wrong, at once.
    """
    additions: list[Addition] = []
    errors: list[str] = []
    for text in texts:
        try:
            additions.append(read_addition(text))
        except UserError as error:
            errors.append(str(error))
    if errors:
        raise UserError("\n".join(errors))
    return additions


def _check_other_files(folder: Path, result: RunResult) -> None:
    """Refuse a config.yaml or model.pth that is damaged or of another run."""
    recorded = read_recorded_parameters(folder)
    if recorded is not None and (names := differing_parameters(recorded, result.parameters)):
        raise UserError(
            f"{folder / CONFIG} is not that of {RESULT}: it cannot be read, or differs in {', '.join(names[:6])}; copy "
            "the run again"
        )
    if (folder / MODEL).exists():
        Checkpoint.load(folder / MODEL)


def _holds(recorded: object, value: object) -> bool:
    """Whether a recorded parameter has the value that a label gives, or for a mapping those values."""
    if isinstance(value, Mapping):
        return isinstance(recorded, Mapping) and all(_holds(recorded.get(key), one) for key, one in value.items())
    return recorded in (value, [value])  # a list of one can be written without brackets


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


# ---------------------------------------------------------------------- joining


def add_runs(study: Path, additions: Sequence[Addition], *, reference: str | None = None) -> list[str]:
    """Copy finished runs into a study, which begins with them if there is none; all are checked before any is copied.

    Args:
        study: its folder.
        additions: from `read_addition`.
        reference: as of `update_description`.

    Returns:
        A sentence on each run: that it was added, or that the same run is in the study.

    Raises:
        UserError: runs that do not belong in the study, all of them named with what differs; or a disk error. A run is
            then in the study whole or not at all.
    """
    runs_folder = study / RUNS_FOLDER
    with wait_for_lock(runs_folder):  # against other processes that add; of a run itself, see `_copy`
        for path in study.iterdir():
            if _STAGING.fullmatch(path.name):  # of a process that was killed
                shutil.rmtree(path, ignore_errors=True)
        new = _check(study, additions)
        for addition in new:
            _copy(study, addition)
    labels = tuple(dict.fromkeys(one.run.label for one in additions))
    seeds = tuple(sorted({one.run.seed for one in additions}))
    update_description(study, StudyDescription(additions[0].run.result.dataset, labels, seeds), reference=reference)
    texts = {True: "added {} as {}, seed {}", False: "{} is in the study already, as {}, seed {}"}
    return [texts[one in new].format(one.run.folder, one.run.label, one.run.seed) for one in additions]


def _check(study: Path, additions: Sequence[Addition]) -> list[Addition]:
    """The runs that are not in the study yet; refuses those that do not belong in it, all with what differs."""
    runs: list[FinishedRun] = []
    samples: list[Samples] = []
    dataset = additions[0].run.result.dataset
    if (study / DESCRIPTION_FILE).exists():
        description = read_description(study)
        dataset = description.dataset
        found, samples = read_runs(study, description)
        runs = [run for run in found if isinstance(run, FinishedRun)]
    new: list[Addition] = []
    errors: list[str] = []
    for addition in additions:
        run = addition.run
        try:
            if run.result.dataset != dataset:
                raise UserError(f"it is of the data set {run.result.dataset}, the study of {dataset}")
            if _is_present(study, addition, runs):
                continue
            _require_row(addition, [one for one in runs if one.label == run.label])
            require_comparable([*runs, run], [*samples, addition.samples])
        except UserError as error:
            errors.append(f"{run.folder} cannot join {study}: {error}")
            continue
        new.append(addition)
        runs.append(run)
        samples.append(addition.samples)
    if errors:
        raise UserError("\n".join(errors))
    return new


def _is_present(study: Path, addition: Addition, runs: Sequence[FinishedRun]) -> bool:
    """Whether the same run is in the study, or among those that are being added; refuses another one in its place."""
    run = addition.run
    others = [one for one in runs if (one.label, one.seed) == (run.label, run.seed)]
    for folder in find_run_folders(_row_folder(study, run.result.dataset, run.label), run.label).get(run.seed, []):
        if any(one.folder == folder for one in others):
            continue
        if (folder / RESULT).exists():  # a process was killed before it was in study.json
            result, rank, _ = read_run(folder, run.seed)
            others.append(
                FinishedRun(label=run.label, seed=run.seed, status="finished", folder=folder, result=result, rank=rank)
            )
        elif any(path.name != LOCK_FILE for path in folder.iterdir()):
            raise UserError(f"{folder} holds a failed or unfinished run of {run.label}, seed {run.seed}: delete it")
    for other in others:
        one, two = other.result.to_dict(), run.result.to_dict()
        if one != two:
            names = differing_parameters(other.result.parameters, run.result.parameters)
            parameters = f" ({describe_difference(names, other.result.parameters, run.result.parameters)})"
            keys = [field.name for field in fields(RunResult) if one.get(field.name) != two.get(field.name)]
            raise UserError(
                f"{other.folder} is another run of {run.label}, seed {run.seed}, which differs in {', '.join(keys)}"
                f"{parameters if names else ''}: delete that one, or {_offer_row(addition, other)}"
            )
    return bool(others)


def _require_row(addition: Addition, row: Sequence[FinishedRun]) -> None:
    """Refuse a run with other parameters or other embedding files than the finished runs of its row."""
    run = addition.run
    for other in row:
        if difference := differing_rows(other.result, run.result):
            what, values = difference
            raise UserError(
                f"the runs of {run.label} in the study have different {what} (seed {other.seed} and this run"
                f"{values and f': {values}'}): {_offer_row(addition, other)}"
            )


def _offer_row(addition: Addition, other: FinishedRun) -> str:
    """How to add a run as a row of its own; its label names what differs from another run, where that is short."""
    run = addition.run
    values = {
        name: run.result.parameters.get(name)
        for name in differing_in_row(other.result.parameters, run.result.parameters)
    }
    parts = [f"{name}={value}" for name, value in values.items()]
    is_plain = all(isinstance(value, (bool, int, float, str)) for value in values.values())
    if not is_plain or not 0 < len(parts) <= _MOST_PARTS or any(re.search(r"[:,\s]|=.*=", part) for part in parts):
        parts = ["NAME=VALUE"]
    return f"give this one a row of its own: --add {':'.join([run.label, *parts])}={run.folder}"


def _copy(study: Path, addition: Addition) -> None:
    """Copy the files of a run into a temporary folder of the study, read them again, and rename it to the place.

    Raises:
        UserError: another process works on the run, or the files have changed.
        DiskError: they cannot be written.
    """
    source, place = addition.run.folder, addition.place(study)
    with try_lock(place) as acquired, report_disk_errors(place):
        if not acquired:
            raise UserError(f"another process is running {addition.run.label}, seed {addition.run.seed}: wait for it")
        with _staging(study) as folder:
            for name in _FILES:
                if (source / name).exists():
                    with (source / name).open("rb") as old, write_whole(folder / name, "wb") as new:
                        shutil.copyfileobj(old, new)
            result, _, _ = read_run(folder, addition.run.seed)
            if result.to_dict() != addition.run.result.to_dict():
                raise UserError(f"{source} has changed while it was copied: add it again")
            (place / LOCK_FILE).unlink()
            os.rename(folder, place)  # which holds nothing


@contextmanager
def _staging(study: Path) -> Iterator[Path]:
    """A temporary folder, removed at the end unless it was renamed."""
    folder = Path(tempfile.mkdtemp(prefix=".run.", suffix=".tmp", dir=study))
    try:
        umask = os.umask(0)
        os.umask(umask)
        folder.chmod(0o777 & ~umask)  # as of mkdir; mkdtemp's is for the owner only
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
