"""Runs the models of a study, each with each seed, on the same samples and candidates.

A study is a folder (`recbole_lecdsr.leaderboard.study`). Every run in it is an ordinary run directory; one that is
finished is not run again, one that was interrupted goes on, and processes that share the folder share the work.
"""

from __future__ import annotations

import fcntl
import json
import logging
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.data.embeddings.paths import EMBEDDING_FILES, item_embedding_file, user_embedding_file
from recbole_lecdsr.errors import NotInstalledError, UserError
from recbole_lecdsr.files import write_whole
from recbole_lecdsr.leaderboard.study import ERROR, RUNS, STUDY, label_folder
from recbole_lecdsr.model.registry import find_model
from recbole_lecdsr.property_files import merge, split_command_line
from recbole_lecdsr.quick_start import run_lecdsr
from recbole_lecdsr.runs import run_directory
from recbole_lecdsr.runs.checkpoint import Checkpoint
from recbole_lecdsr.runs.comparison import differing_parameters
from recbole_lecdsr.runs.environment import reset_peak_memory

logger = logging.getLogger(__name__)

_POLL_SECONDS = 2.0


@dataclass(frozen=True)
class Task:
    """One run of a study.

    Attributes:
        label: the model as it was named: ``SASRec``, ``LeCDSR-paper``, or with parameters of its own,
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

    def finished(self) -> bool:
        """Whether it has a result of the same parameters."""
        path = self.folder / run_directory.RESULT
        if not path.exists():
            return False
        parameters = json.loads(path.read_text(encoding="utf-8"))["parameters"]
        return not differing_parameters(parameters, self.config.plain())


def split_label(label: str) -> tuple[str, dict[str, object]]:
    """``"SASRec:sequence=single"`` -> the model and its own parameters.

    Raises:
        UserError: what stands after a colon is not NAME=VALUE.
    """
    name, *own = label.split(":")
    values, strays = split_command_line([f"--{part}" for part in own])
    if strays or not name:
        raise UserError(f"model {label!r}: write it as NAME or NAME:parameter=value:parameter=value")
    return name, values


def configuration(label: str, config_files: Sequence[str], overrides: Mapping[str, object]) -> LeCDSRConfig:
    """The configuration of a model by its label.

    Raises:
        UserError: all its errors at once.
    """
    name, own = split_label(label)
    values = merge(overrides, own)
    return LeCDSRConfig(name, config_file_list=config_files, config_dict=values, command_line=[])


def installed(labels: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Which models can run here.

    Returns:
        the labels without those whose model nothing on this machine brings along, and the reason for each of these.
        Names that are wrong stay, for `plan` to refuse.
    """
    absent: dict[str, str] = {}
    for label in labels:
        try:
            find_model(split_label(label)[0].partition("-")[0])
        except NotInstalledError as error:
            absent[label] = str(error)
        except UserError:
            continue
    return [label for label in labels if label not in absent], absent


def plan(
    study: Path,
    labels: Sequence[str],
    seeds: Sequence[int],
    config_files: Sequence[str] = (),
    overrides: Mapping[str, object] | None = None,
) -> list[Task]:
    """The runs of a study, all models of a seed before the next seed.

    Raises:
        UserError: all errors of all models' configurations at once.
    """
    tasks, errors = [], []
    for seed in seeds:
        for label in labels:
            try:
                place = {"seed": seed, "output_dir": str(study / RUNS / label_folder(label))}
                config = configuration(label, config_files, merge(overrides or {}, place))
                tasks.append(Task(label, seed, config))
            except UserError as error:
                errors += [f"{label}: {line}" for line in str(error).splitlines()]
    if errors:
        raise UserError("\n".join(dict.fromkeys(errors)))
    return tasks


def check_embedding_files(tasks: Sequence[Task]) -> None:
    """Refuse runs on feature files of their own that are not there, before anything runs.

    Raises:
        UserError: all missing files at once, with the command that makes them.
    """
    missing = {}
    for config in (task.config for task in tasks):
        named = [key for key in EMBEDDING_FILES if config[key]]
        paths = [item_embedding_file(config, domain) for domain in DOMAINS] if config["item_embedding_file"] else []
        paths += [user_embedding_file(config)] if config["user_embedding_file"] else []
        names = "".join(f" --{key}={config[key]}" for key in named)
        command = f"run_lecdsr.py embed --dataset {config.dataset}{names}"
        missing |= {path: command for path in paths if not path.exists()}
    if missing:
        raise UserError("\n".join(f"{path} does not exist: make it with `{how} …`" for path, how in missing.items()))


def write_study(study: Path, dataset: str, labels: Sequence[str], seeds: Sequence[int]) -> None:
    """Write study.json; models and seeds of an earlier call stay in the study, after those of this one.

    Raises:
        UserError: the folder holds a study of another data set.
    """
    path = study / STUDY
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"models": [], "seeds": []}
    if before.get("dataset", dataset) != dataset:
        raise UserError(f"{study} is a study of {before['dataset']}, not of {dataset}: give another --study")
    study.mkdir(parents=True, exist_ok=True)
    content = {
        "dataset": dataset,
        "models": list(dict.fromkeys([*labels, *before["models"]])),
        "seeds": sorted({*seeds, *before["seeds"]}),
    }
    with write_whole(path) as file:
        json.dump(content, file, indent=2)
        file.write("\n")


def work(tasks: Sequence[Task]) -> list[Task]:
    """Run what is not finished; a run that another process holds is left to it and waited for.

    Returns:
        The tasks that failed; each has left its error in error.txt of its run directory.
    """
    waiting = [task for task in tasks if not task.finished()]
    if len(waiting) < len(tasks):
        logger.info("%d of %d runs are finished", len(tasks) - len(waiting), len(tasks))
    failed, seconds, number = [], [], 0
    while waiting:
        left, total = [], number + len(waiting)
        for task in waiting:
            with _hold(task.folder) as held:
                if not held:
                    left.append(task)
                    continue
                if task.finished():  # by another process
                    continue
                number += 1
                _announce(task, number, total, seconds)
                started = time.perf_counter()
                if not _run(task):
                    failed.append(task)
                seconds.append(time.perf_counter() - started)
        if len(left) == len(waiting):
            time.sleep(_POLL_SECONDS)
        waiting = [task for task in left if not task.finished()]
    return failed


def _announce(task: Task, number: int, total: int, seconds: Sequence[float]) -> None:
    rest = f", about {sum(seconds) / len(seconds) * (total - number + 1) / 60:.0f} min left" if seconds else ""
    logger.info("run %d of %d: %s, seed %d%s", number, total, task.label, task.seed, rest)


def _run(task: Task) -> bool:
    """Run a task; False, and error.txt, if it fails."""
    error_file = task.folder / ERROR
    error_file.unlink(missing_ok=True)
    values = {**task.config.plain(), "resume": _can_resume(task)}
    reset_peak_memory()  # of the run before
    try:
        run_lecdsr(config_dict=values, command_line=[])
    except Exception as error:  # whatever it is, the others can still run
        with write_whole(error_file) as file:
            file.write(traceback.format_exc())
            message = " ".join(str(error).split()) or "no message"
            file.write(f"{type(error).__name__}: {message}\n")
        logger.error("%s, seed %d failed: %s", task.label, task.seed, error)
        return False
    return True


def _can_resume(task: Task) -> bool:
    """Whether an interrupted run of the same parameters left a good checkpoint."""
    path = task.folder / run_directory.MODEL
    if not path.exists() or (task.folder / run_directory.RESULT).exists():
        return False
    try:
        parameters = Checkpoint.load(path).parameters
    except UserError:
        return False
    return not differing_parameters(parameters, task.config.plain())


@contextmanager
def _hold(folder: Path) -> Iterator[bool]:
    """Hold a run directory against other processes and machines; False if another holds it. Ends with the process."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
