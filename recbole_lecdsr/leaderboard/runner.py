"""Runs the models of a study, each with each seed, on the same samples and candidates.

A study is a folder (`recbole_lecdsr.leaderboard.study`). Every run in it is an ordinary run directory: a finished run
is not run again, an interrupted one resumes, and processes that use the same folder share the work.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.data.embeddings.paths import EMBEDDING_FILES
from recbole_lecdsr.errors import DiskError, NotInstalledError, UserError
from recbole_lecdsr.files import report_disk_errors, write_whole
from recbole_lecdsr.leaderboard.locks import try_lock
from recbole_lecdsr.leaderboard.model_names import parse_label
from recbole_lecdsr.leaderboard.row_parameters import (
    differing_in_row,
    read_identities,
    read_parameters,
    require_same_parameters,
)
from recbole_lecdsr.leaderboard.study import ERROR_FILE
from recbole_lecdsr.leaderboard.study_description import RUNS_FOLDER, StudyDescription, label_folder, run_folder
from recbole_lecdsr.model.registry import find_model
from recbole_lecdsr.property_files import merge
from recbole_lecdsr.quick_start import load_dataset, run_lecdsr
from recbole_lecdsr.runs.checkpoint import Checkpoint
from recbole_lecdsr.runs.comparison import can_continue
from recbole_lecdsr.runs.environment import reset_peak_memory
from recbole_lecdsr.runs.identity import (
    DATA,
    SCORING_VECTORS,
    VECTORS,
    differing_parts,
    embedding_files,
    identify,
    name_parts,
    vector_digests,
)
from recbole_lecdsr.runs.run_directory import MODEL, RESULT

logger = logging.getLogger(__name__)

_POLL_SECONDS = 2.0


@dataclass(frozen=True)
class Task:
    """One run of a study.

    Attributes:
        label: the model as the user named it: ``SASRec``, ``LeCDSR-paper``, or with parameters,
            ``SASRec:sequence=single``.
        seed: its seed.
        config: its whole configuration.
    """

    label: str
    seed: int
    config: LeCDSRConfig

    @property
    def folder(self) -> Path:
        """The run directory."""
        return self.config.run_directory

    def is_finished(self) -> bool:
        """Whether the run directory holds a result of the same parameters, the training budget included."""
        parameters = read_parameters(self.folder)
        return parameters is not None and not differing_in_row(parameters, self.config.plain())

    def require_same_parameters(self) -> None:
        """Refuse this run if its model has finished runs with different parameters, of this seed or another one.

        Raises:
            UserError: names what differs.
        """
        require_same_parameters(self.folder.parent, self.label, self.config.plain())

    def can_resume(self) -> bool:
        """Whether an interrupted run of the same parameters, or a smaller budget, left a readable checkpoint."""
        path = self.folder / MODEL
        if not path.exists() or (self.folder / RESULT).exists():
            return False
        try:
            parameters = Checkpoint.load(path).parameters
        except UserError:
            return False
        return can_continue(parameters, self.config.plain())


@dataclass(frozen=True)
class StudyPlan:
    """The runs that make up a study, finished or not.

    Attributes:
        folder: of the study.
        description: its data set, models, seeds and reference, for ``study.json``.
        tasks: the runs, all models of a seed before the next seed.
    """

    folder: Path
    description: StudyDescription
    tasks: tuple[Task, ...]


def configure(label: str, config_files: Sequence[str], overrides: Mapping[str, object]) -> LeCDSRConfig:
    """The configuration of a model by its label.

    Raises:
        UserError: all its errors at once.
    """
    name, parameters = parse_label(label)
    return LeCDSRConfig(name, config_file_list=config_files, config_dict=merge(overrides, parameters), command_line=[])


def select_installed(labels: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Separate the models that can run here from those that are not installed.

    Returns:
        The labels of installed models, and label -> reason for the others. Misspelt names are among the former;
        `make_plan` reports them.
    """
    absent: dict[str, str] = {}
    for label in labels:
        try:
            find_model(parse_label(label)[0].partition("-")[0])
        except NotInstalledError as error:
            absent[label] = str(error)
        except UserError:
            continue
    return [label for label in labels if label not in absent], absent


def make_plan(
    folder: Path,
    labels: Sequence[str],
    seeds: Sequence[int],
    *,
    config_files: Sequence[str] = (),
    overrides: Mapping[str, object] | None = None,
) -> StudyPlan:
    """Configure every run of a study.

    Args:
        folder: of the study.
        labels: the models; the first is the reference of a new study.
        seeds: of each model.
        config_files: property files for all models.
        overrides: parameters for all models, which every model must have.

    Raises:
        UserError: all errors of all models' configurations at once.
    """
    tasks: list[Task] = []
    errors: list[str] = []
    for seed in seeds:
        for label in labels:
            try:
                values = {
                    "seed": seed,
                    "output_dir": str(folder / RUNS_FOLDER / label_folder(label)),
                    "run_name": run_folder(label, seed),
                }
                tasks.append(Task(label, seed, configure(label, config_files, merge(overrides or {}, values))))
            except UserError as error:
                errors += [f"{label}: {line}" for line in str(error).splitlines()]
    own_names = all(task.folder.name == run_folder(task.label, task.seed) for task in tasks)
    if not own_names or "run_name" in (overrides or {}):
        errors.append("run_name: the runs of a study are named after model and seed; leave it out")
    if any(task.config["overwrite"] for task in tasks):
        errors.append("overwrite: a finished run of a study stays; delete its folder, or give another --study")
    if errors:
        raise UserError("\n".join(dict.fromkeys(errors)))
    description = StudyDescription(tasks[0].config.dataset, tuple(dict.fromkeys(labels)), tuple(dict.fromkeys(seeds)))
    return StudyPlan(folder, description, tuple(tasks))


def check_embedding_files(tasks: Sequence[Task]) -> None:
    """Refuse runs of models whose embedding files do not exist, before anything runs.

    Raises:
        UserError: all missing files at once, each with the command that makes it.
    """
    command_of_missing: dict[Path, str] = {}
    for config in (task.config for task in tasks):
        for part, path in embedding_files(config).items():
            if path.exists():
                continue
            names = {key: config[key] for key in EMBEDDING_FILES if config[key]}
            if part not in SCORING_VECTORS:  # a further file of other item texts
                names["item_embedding_file"] = path.name
            options = "".join(f" --{key}={name}" for key, name in names.items())
            command_of_missing[path] = f"run_lecdsr.py embed --dataset {config.dataset}{options}"
    if command_of_missing:
        raise UserError(
            "\n".join(
                f"{path} does not exist: make it with `{command} …`" for path, command in command_of_missing.items()
            )
        )


def check_rows(tasks: Sequence[Task]) -> None:
    """Refuse runs whose models are in the study with different parameters, before anything runs.

    Raises:
        UserError: names what differs, for all models at once.
    """
    errors = []
    for task in {task.label: task for task in tasks}.values():
        try:
            task.require_same_parameters()
        except UserError as error:
            errors.append(str(error))
    if errors:
        raise UserError("\n".join(errors))


def check_data(tasks: Sequence[Task]) -> None:
    """Refuse to add to a study whose finished runs had other data or, in the same row, other embedding files.

    Args:
        tasks: of this call, none of which has started.

    Raises:
        UserError: names what differs; or data that cannot be read.
    """
    first = tasks[0]
    finished = read_identities(first.folder.parents[2], first.config.dataset)
    if not finished:
        return
    data = load_dataset(config_dict=first.config.plain(), command_line=[])
    now = identify(data.config, data)
    vectors = {label_folder(task.label): vector_digests(task.config) for task in tasks}
    for folder, recorded in finished.items():
        parts = differing_parts(recorded, now, ("result_format", *DATA))
        if (own := vectors.get(folder.parents[1].name)) is not None:
            parts += [part for part in VECTORS if recorded.get(part) != own.get(part)]
        if parts:
            raise UserError(
                f"{folder} was run with other {name_parts(parts, first.config)}: restore them, or give another --study"
            )


def run_tasks(tasks: Sequence[Task]) -> list[Task]:
    """Run what is not finished; wait for runs that other processes are working on.

    Returns:
        The tasks that failed; each has left its error in error.txt of its run directory.

    Raises:
        DiskError: a file of a run cannot be written.
        UserError: another process has meanwhile finished a run of the same model with different parameters.
    """
    waiting = [task for task in tasks if not task.is_finished()]
    if len(waiting) < len(tasks):
        logger.info("%d of %d runs are finished", len(tasks) - len(waiting), len(tasks))
    failed: list[Task] = []
    seconds: list[float] = []
    while waiting:
        locked: list[Task] = []
        total = len(seconds) + len(waiting)
        for task in waiting:
            with try_lock(task.folder) as acquired:
                if not acquired:
                    locked.append(task)
                    continue
                if task.is_finished():  # by another process
                    continue
                task.require_same_parameters()
                _log_progress(task, total, seconds)
                started = time.perf_counter()
                if not _run_task(task):
                    failed.append(task)
                seconds.append(time.perf_counter() - started)
        if len(locked) == len(waiting):
            time.sleep(_POLL_SECONDS)
        waiting = [task for task in locked if not task.is_finished()]
    return failed


def _log_progress(task: Task, total: int, seconds: Sequence[float]) -> None:
    """Log which run starts; ``seconds`` are those of the runs that this process has done."""
    done = len(seconds)
    rest = f", about {sum(seconds) / done * (total - done) / 60:.0f} min left" if seconds else ""
    logger.info("run %d of %d: %s, seed %d%s", done + 1, total, task.label, task.seed, rest)


def _run_task(task: Task) -> bool:
    """Run a task; if it fails, write error.txt and return False."""
    error_file = task.folder / ERROR_FILE
    with report_disk_errors(error_file):
        error_file.unlink(missing_ok=True)
    resume = task.can_resume()
    values = {**task.config.plain(), "resume": resume, "overwrite": not resume}  # no finished run is in its folder
    reset_peak_memory()  # of the previous run
    try:
        run_lecdsr(config_dict=values, command_line=[])
    except DiskError:  # the other runs would fail as well, and error.txt could not be written
        raise
    except Exception as error:  # whatever it is, the other runs do not depend on it
        message = " ".join(str(error).split()) or "no message"
        text = f"{traceback.format_exc()}{type(error).__name__}: {message}\n"
        with report_disk_errors(error_file), write_whole(error_file) as file:  # without space, no other run can succeed
            file.write(text)
        logger.error("%s, seed %d failed: %s", task.label, task.seed, error)
        return False
    return True
