"""Hyper-parameter search by Optuna, on validation samples only; several processes may share a search.

A search has a folder, with the logs of its trials, ``best.yaml`` and, unless another storage is given, Optuna's
journal. A trial is a training without checkpoints and without a test; its value is the best validation score.
"""

from __future__ import annotations

import gc
import itertools
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import torch
import yaml
from optuna.trial import FrozenTrial, TrialState

from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.data.loaders import data_preparation
from recbole_lecdsr.errors import DiskError, UserError
from recbole_lecdsr.files import is_disk_error, report_disk_errors, write_whole
from recbole_lecdsr.json_files import parse_plain
from recbole_lecdsr.property_files import merge, nest, split_command_line
from recbole_lecdsr.quick_start import load_dataset, make_trainer
from recbole_lecdsr.runs.identity import DATA, VECTORS, differing_parts, identify, name_parts
from recbole_lecdsr.schema import WITHOUT_INFLUENCE
from recbole_lecdsr.tuning.pruners import make_pruner
from recbole_lecdsr.tuning.resumable_sampler import DRAWS, ResumableSampler
from recbole_lecdsr.tuning.search_space import format_values, read_search_space
from recbole_lecdsr.tuning.storage import has_ended, open_storage, process_identity, report_damaged_records

BEST_FILE = "best.yaml"
ERROR = "error"  # attribute of a failed trial: its message
# Further attributes of trials, and attributes of Optuna's study.
_PROCESS, _SURPLUS = "process", "surplus"
_SPACE, _SETTINGS, _DATA = "space", "settings", "data"
_COMPARED = ("result_format", *DATA, *VECTORS)  # the parts of a run's identity that all trials share
_DISK_REMEDY = "make room or get permission there, then run the same command again: it resumes"


@dataclass(frozen=True)
class Progress:
    """How far a search has come.

    Attributes:
        finished: the trials that count: complete, pruned and failed ones.
        best: the best complete trial, or None.
        interrupted: number of trials that were interrupted and do not count.
        running: number of trials that are running now.
    """

    finished: list[FrozenTrial]
    best: FrozenTrial | None
    interrupted: int
    running: int


class Tuner:
    """A search for one model on one data set.

    Args:
        space_file: YAML file of the search space, for `read_search_space`.
        model, dataset, config_file_list, command_line: of the runs, as in `recbole_lecdsr.quick_start.run_lecdsr`.
        name: of the search; default the model's name.
        storage: Optuna's storage URL, such as ``sqlite:///tune.db``; default a journal in the folder of the search.
        pruner: ``median``, ``halving`` or ``none``.

    Attributes:
        folder: ``<output_dir>/<dataset>/tune-<name>``.
        study: Optuna's study.
        space: the search space.
        metric, bigger_is_better: the validation metric that is optimised.

    Raises:
        UserError: a wrong search space, settings or pruner; or a search of this name with other ones, whose records
            are damaged, or whose folder cannot be written to.
    """

    def __init__(
        self,
        space_file: str | Path,
        *,
        model: str | None = None,
        dataset: str | None = None,
        config_file_list: Sequence[str] = (),
        command_line: Sequence[str] = (),
        name: str | None = None,
        storage: str | None = None,
        pruner: str = "median",
    ):
        self.model, self.dataset, self.config_file_list = model, dataset, list(config_file_list)
        self.command_line = list(command_line)
        config = self._configure({})
        self.space = read_search_space(space_file)
        self._check_space(space_file)
        self.name = name or config.model_name
        self.folder = Path(config["output_dir"]) / config["dataset"] / f"tune-{self.name}"
        self.seed, self.model_name = config["seed"], config.model_name
        self.metric: str = config["valid_metric"]
        self.bigger_is_better = bool(config["valid_metric_bigger"])
        with report_disk_errors(self.folder, _DISK_REMEDY):
            self.folder.mkdir(parents=True, exist_ok=True)
            self.study = self._open_study(config, storage, pruner)

    def _configure(self, values: Mapping[str, object]) -> LeCDSRConfig:
        if self.dataset is not None:
            values = {**values, "dataset": self.dataset}
        return LeCDSRConfig(self.model, self.config_file_list, values, self.command_line)

    def _check_space(self, path: str | Path) -> None:
        """Refuse names and values that the configuration refuses, and parameters that the command line fixes."""
        given, _ = split_command_line(self.command_line)
        errors = []
        for dimension in self.space:
            where = f"{path}: {dimension.name}"
            outer, *inner = dimension.name.split(".")
            fixed = given.get(outer)
            for key in inner:
                fixed = fixed.get(key) if isinstance(fixed, Mapping) else None
            if fixed is not None:
                errors.append(f"{where} is searched and given on the command line ({fixed!r}): leave one of them out")
                continue
            for value in dimension.examples:
                try:
                    self._configure(nest(dimension.name, value))
                except UserError as error:
                    errors.append(f"{where} = {value!r}: {error}")
                    break
        if errors:
            raise UserError("\n".join(errors))

    def _open_study(self, config: LeCDSRConfig, storage: str | None, pruner: str) -> optuna.Study:
        """Create Optuna's study or load it, and refuse one with another search space or other settings."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with report_damaged_records(storage, self.folder):
            study = optuna.create_study(
                study_name=f"{config['dataset']}-{self.name}",
                storage=open_storage(storage, self.folder),
                sampler=ResumableSampler(self.seed),
                pruner=make_pruner(pruner),
                direction="maximize" if self.bigger_is_better else "minimize",
                load_if_exists=True,
            )
            attributes = {key: parse_plain(dict[str, Any], value) for key, value in study.user_attrs.items()}
            study.get_trials(deepcopy=False)
        fixed = {key: value for key, value in config.plain().items() if key not in WITHOUT_INFLUENCE}
        searched: dict[str, object] = {dimension.name: dimension.as_plain_data() for dimension in self.space}
        for key, values, what in ((_SPACE, searched, "search space"), (_SETTINGS, fixed, "settings")):
            earlier = attributes.get(key)
            if earlier is None:
                study.set_user_attr(key, values)
                continue
            names = values.keys() | earlier.keys()
            if differing := sorted(name for name in names if values.get(name) != earlier.get(name)):
                changes = "; ".join(
                    f"{name} was {earlier.get(name)!r} and is {values.get(name)!r}" for name in differing
                )
                raise UserError(
                    f"the search in {self.folder} was started with a different {what}, so its scores are not "
                    f"comparable ({changes}): restore them, or start another search with --name"
                )
        return study

    # ------------------------------------------------------------------ running

    def run(self, n_trials: int, report: Callable[[str], None] = lambda line: None) -> Progress:
        """Run trials until the search has ``n_trials`` finished ones, those of other processes included.

        Args:
            n_trials: in total.
            report: is called with a line about each trial that starts or ends.

        Raises:
            DiskError: a full or read-only disk; the finished trials are kept.
            UserError: the search was started on other data.
        """
        with report_disk_errors(self.folder, _DISK_REMEDY):
            self._require_same_data()
            self._run_trials(n_trials, report)
        return self.progress()

    def _run_trials(self, n_trials: int, report: Callable[[str], None]) -> None:
        while (trial := self._claim_trial(n_trials)) is not None:
            started = time.perf_counter()
            try:
                values = {dimension.name: dimension.suggest(trial) for dimension in self.space}
                report(f"trial {trial.number}: {format_values(values)}")
                score = self._train(trial, values)
                self._end_trial(trial, TrialState.COMPLETE, score)
                outcome = f"{self.metric} {score:.4f}"
            except optuna.TrialPruned:
                self._end_trial(trial, TrialState.PRUNED)
                outcome = "pruned"
            except Exception as error:
                if isinstance(error, DiskError) or is_disk_error(error):  # that the next trial would meet as well
                    self._end_trial(trial, TrialState.FAIL)  # without an error: it does not count
                    raise
                reason = str(error).splitlines()[0] if str(error) else "no message"
                outcome = f"failed: {type(error).__name__}: {reason}"
                trial.set_user_attr(ERROR, f"{type(error).__name__}: {reason}")
                self._end_trial(trial, TrialState.FAIL)
            except BaseException:
                self._end_trial(trial, TrialState.FAIL)  # without an error: it does not count
                raise
            progress = self.progress()
            best = f"; best {progress.best.value:.4f} of trial {progress.best.number}" if progress.best else ""
            report(
                f"trial {trial.number}: {outcome} ({time.perf_counter() - started:.0f} s){best}; "
                f"{len(progress.finished)} of {n_trials} finished"
            )
            if progress.best and progress.best.number == trial.number:
                self.write_best()

    def _require_same_data(self) -> None:
        """Refuse to add trials to a search whose trials had other data or embedding files."""
        data = load_dataset(self.model, self.dataset, self.config_file_list, command_line=self.command_line)
        now = {name: value for name, value in identify(data.config, data).items() if name in _COMPARED}
        earlier = self.study.user_attrs.get(_DATA)
        if earlier is None:
            self.study.set_user_attr(_DATA, now)
        elif differing := differing_parts(earlier, now, _COMPARED):
            raise UserError(
                f"the search in {self.folder} was started with other {name_parts(differing, data.config)}, so its "
                "scores are not comparable: restore them, or start another search with --name"
            )

    def _end_trial(self, trial: optuna.Trial, state: TrialState, value: float | None = None) -> None:
        self.study.tell(trial, value, state, skip_if_finished=True)

    def _claim_trial(self, n_trials: int) -> optuna.Trial | None:
        """A new trial, unless ``n_trials`` are finished or running; then None."""
        self._end_abandoned_trials()
        if len(self._counted_or_running()) >= n_trials:
            return None
        process = process_identity()
        if not any(trial.state == TrialState.WAITING for trial in self._trials()):  # left by a process that was killed
            # It has its process from the start: if it got it later, a crash before would leave it running for ever.
            self.study.enqueue_trial({}, user_attrs={_PROCESS: process, DRAWS: self._free_draws()})
        trial = self.study.ask()
        if trial.user_attrs.get(_PROCESS) != process:
            trial.set_user_attr(_PROCESS, process)
        # Another process may have claimed one at the same moment: the trials with the lowest numbers are kept.
        if sum(other.number < trial.number for other in self._counted_or_running()) >= n_trials:
            trial.set_user_attr(_SURPLUS, True)
            self._end_trial(trial, TrialState.FAIL)
            return None
        return trial

    def _free_draws(self) -> int:
        """The lowest number of a random generator that no trial has which counts or runs."""
        taken = {trial.user_attrs.get(DRAWS, trial.number) for trial in self._counted_or_running()}
        return next(number for number in itertools.count() if number not in taken)

    def _end_abandoned_trials(self) -> None:
        """End the running trials of processes of this machine that were killed, so that others take their place."""
        for trial in self._trials():
            if trial.state == TrialState.RUNNING and has_ended(trial.user_attrs.get(_PROCESS)):
                self.study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)

    def _train(self, trial: optuna.Trial, values: Mapping[str, object]) -> float:
        """Train without checkpoints and without a test; returns the best validation score."""
        gc.collect()  # reference cycles keep the previous trial's memory
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        data = load_dataset(
            model=self.model,
            dataset=self.dataset,
            config_file_list=self.config_file_list,
            config_dict=merge(*(nest(*item) for item in values.items())),
            command_line=self._command_line_of(trial),
        )
        config = data.config
        train_data, valid_data, _ = data_preparation(config, data)
        if not len(valid_data.targets):
            raise UserError("the split has no validation sample, by which settings are chosen: change eval_args.split")
        trainer = make_trainer(config, data)

        def report_epoch(epoch: int, score: float) -> None:
            # Scores of an earlier phase are of another training objective.
            if trainer.phase == len(trainer.train_modes) - 1:
                trial.report(score, epoch)
                if trial.should_prune():
                    raise optuna.TrialPruned

        try:
            score, _ = trainer.fit(
                train_data,
                valid_data,
                saved=False,
                verbose=False,
                show_progress=config["show_progress"],
                callback_fn=report_epoch,
            )
        finally:
            trainer.tensorboard.close()
        if not math.isfinite(score):
            raise UserError(
                f"no epoch was validated: eval_step ({config['eval_step']}) is larger than the number of epochs"
            )
        return float(score)

    def _command_line_of(self, trial: optuna.Trial) -> list[str]:
        """The command line with the trial's own output folder."""
        others = [text for text in self.command_line if not text.startswith(("--output_dir=", "--resume="))]
        return [*others, f"--output_dir={json.dumps(str(self.folder / 'trials' / str(trial.number)))}"]

    # ------------------------------------------------------------------ results

    def _trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def _counted_or_running(self) -> list[FrozenTrial]:
        return [trial for trial in self._trials() if _counts(trial) or trial.state == TrialState.RUNNING]

    def progress(self) -> Progress:
        """How far the search has come."""
        trials = self._trials()
        complete = self.ranked([trial for trial in trials if trial.state == TrialState.COMPLETE])
        return Progress(
            finished=[trial for trial in trials if _counts(trial)],
            best=complete[0] if complete else None,
            interrupted=sum(
                trial.state == TrialState.FAIL and trial.user_attrs.keys().isdisjoint((ERROR, _SURPLUS))
                for trial in trials
            ),
            running=sum(trial.state == TrialState.RUNNING for trial in trials),
        )

    def ranked(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """The trials that have a value, best first, of equal ones the lowest number.

        The value of a pruned trial is its last score, not its best, so pruned trials come after the complete ones.
        """

        def order(trial: FrozenTrial) -> tuple[bool, float, int]:
            value = trial.value if trial.value is not None else math.nan
            return trial.state != TrialState.COMPLETE, -value if self.bigger_is_better else value, trial.number

        return sorted((trial for trial in trials if trial.value is not None), key=order)

    def values(self, trial: FrozenTrial) -> dict[str, object]:
        """The values of the searched parameters in a trial."""
        stored = trial.params
        return {
            dimension.name: dimension.value_of(stored[dimension.name])
            for dimension in self.space
            if dimension.name in stored
        }

    def write_best(self) -> Path | None:
        """Write ``best.yaml``, a property file that repeats the run of the best trial; None where there is none."""
        progress = self.progress()
        if progress.best is None:
            return None
        values = self.values(progress.best)
        config = self._configure(merge(*(nest(*item) for item in values.items())))
        settings: dict[str, object] = {"model": self.model_name, "dataset": config["dataset"]}
        settings |= {
            key: value
            for key, value in config.external_config_dict.items()
            if key not in WITHOUT_INFLUENCE or key == "data_path"
        }
        path = self.folder / BEST_FILE
        with report_disk_errors(path), write_whole(path) as file:
            file.write(
                f"# Validation {self.metric} {progress.best.value!r}: trial {progress.best.number}, the best of "
                f"{len(progress.finished)} trials on {config['dataset']}.\n"
                f"# Searched: {format_values(values)}\n"
                f"# run_lecdsr.py --config_files {path}\n"
            )
            yaml.safe_dump(json.loads(json.dumps(settings)), file, sort_keys=False, allow_unicode=True)
        return path


def _counts(trial: FrozenTrial) -> bool:
    """Whether a trial ended by itself. An interrupted one is repeated; a failed one is not, as it would fail again."""
    return trial.state in (TrialState.COMPLETE, TrialState.PRUNED) or (
        trial.state == TrialState.FAIL and ERROR in trial.user_attrs
    )
