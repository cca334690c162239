"""Hyper-parameter search by Optuna, on validation samples only; several processes may share a study.

A study is a folder (trials' logs, ``best.yaml`` and, unless another storage is given, the journal). A trial is a
training without checkpoints and without a test; its value is the run's best validation score.
"""

from __future__ import annotations

import gc
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
import torch
import yaml
from optuna.trial import FrozenTrial, TrialState

from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.data.loaders import data_preparation
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import write_whole
from recbole_lecdsr.property_files import merge, nest, split_command_line
from recbole_lecdsr.quick_start import load_dataset, make_trainer
from recbole_lecdsr.tuning.resumable_sampler import NumberedSampler
from recbole_lecdsr.tuning.search_space import read_space, shown
from recbole_lecdsr.tuning.storage import is_dead, open_storage, this_process

BEST = "best.yaml"
PRUNERS = {
    "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=2),
    "halving": lambda: optuna.pruners.SuccessiveHalvingPruner(),
    "none": lambda: optuna.pruners.NopPruner(),
}
# Of the process, not of the result: what may differ between the processes of a study.
_FREE = {
    "output_dir", "data_path", "resume", "show_progress", "state", "gpu_id", "use_gpu", "worker", "log_wandb",
    "wandb_project", "eval_batch_size",
}  # fmt: skip
# Attributes of trials, and of the study.
ERROR, _PROCESS, _SURPLUS = "error", "process", "surplus"
_SPACE, _SETTINGS = "space", "settings"


@dataclass(frozen=True)
class Standing:
    """How a study stands.

    Attributes:
        finished: trials that count: complete, pruned and failed ones.
        best: the best complete trial, or None.
        interrupted, running: how many trials never ended, and how many are under way.
    """

    finished: list[FrozenTrial]
    best: FrozenTrial | None
    interrupted: int
    running: int


class Tuner:
    """A study of one model on one data set.

    Args:
        model, dataset, config_file_list, command_line: the run, as of `recbole_lecdsr.quick_start.run_lecdsr`.
        space_file: YAML file of the space, for `read_space`.
        name: of the study; default the model's.
        storage: Optuna's storage URL, such as ``sqlite:///tune.db``; default a journal in the study's folder.
        pruner: median, halving or none.

    Attributes:
        folder: ``<output_dir>/<dataset>/tune-<name>``.

    Raises:
        UserError: a fault of the space or the settings; a study of this name that searches something else.
    """

    def __init__(
        self,
        model: str | None,
        dataset: str | None,
        config_file_list: Sequence[str],
        command_line: Sequence[str],
        space_file: str | Path,
        name: str | None = None,
        storage: str | None = None,
        pruner: str = "median",
    ):
        self.arguments = (model, dataset, list(config_file_list))
        self.command_line = list(command_line)
        config = self._configure({})
        self.space = read_space(space_file)
        self._check_space(space_file)
        self.name = name or config.model_name
        self.folder = Path(config["output_dir"]) / config["dataset"] / f"tune-{self.name}"
        self.seed, self.model_name = config["seed"], config.model_name
        self.metric = config["valid_metric"]
        self.bigger = bool(config["valid_metric_bigger"])
        self.folder.mkdir(parents=True, exist_ok=True)
        self.study = self._open(config, storage, pruner)

    def _configure(self, values: Mapping[str, object]) -> LeCDSRConfig:
        model, dataset, files = self.arguments
        if dataset is not None:
            values = {**values, "dataset": dataset}
        return LeCDSRConfig(model, files, values, self.command_line)

    def _check_space(self, path: str | Path) -> None:
        """Names and values that the configuration refuses, and such as the command line would override."""
        given, _ = split_command_line(self.command_line)
        errors = []
        for parameter in self.space:
            where = f"{path}: {parameter.name}"
            outer, *inner = parameter.name.split(".")
            fixed = given.get(outer)
            for key in inner:
                fixed = fixed.get(key) if isinstance(fixed, Mapping) else None
            if fixed is not None:
                errors.append(f"{where} is searched and given on the command line ({fixed!r}): leave one of them out")
                continue
            for value in parameter.examples:
                try:
                    self._configure(nest(parameter.name, value))
                except UserError as error:
                    errors.append(f"{where} = {value!r}: {error}")
                    break
        if errors:
            raise UserError("\n".join(errors))

    def _open(self, config: LeCDSRConfig, storage: str | None, pruner: str) -> optuna.Study:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(
            study_name=f"{config['dataset']}-{self.name}",
            storage=open_storage(storage, self.folder),
            sampler=NumberedSampler(self.seed),
            pruner=PRUNERS[pruner](),
            direction="maximize" if self.bigger else "minimize",
            load_if_exists=True,
        )
        fixed = {key: value for key, value in config.plain().items() if key not in _FREE}
        searched = {parameter.name: parameter.plain for parameter in self.space}
        for key, now, remedy in ((_SPACE, searched, "space"), (_SETTINGS, fixed, "settings")):
            then = study.user_attrs.get(key)
            if then is None:
                study.set_user_attr(key, now)
            elif differing := sorted(name for name in now.keys() | then.keys() if now.get(name) != then.get(name)):
                listed = "; ".join(f"{name} was {then.get(name)!r} and is {now.get(name)!r}" for name in differing)
                raise UserError(
                    f"the study in {self.folder} was begun with other {remedy}, and its scores cannot be compared "
                    f"({listed}): restore them, or begin another with --name"
                )
        return study

    # ------------------------------------------------------------------ running

    def run(self, n_trials: int, report: Callable[[str], None] = lambda line: None) -> Standing:
        """Run trials until the study has ``n_trials`` finished ones, those of other processes included.

        Args:
            n_trials: in total.
            report: told in a line what happens.
        """
        while (trial := self._claim(n_trials)) is not None:
            started = time.perf_counter()
            try:
                values = {parameter.name: parameter.suggest(trial) for parameter in self.space}
                report(f"trial {trial.number}: {shown(values)}")
                score = self._train(trial, values)
                self._tell(trial, TrialState.COMPLETE, score)
                outcome = f"{self.metric} {score:.4f}"
            except optuna.TrialPruned:
                self._tell(trial, TrialState.PRUNED)
                outcome = "pruned"
            except Exception as error:
                reason = str(error).splitlines()[0] if str(error) else "no message"
                outcome = f"failed: {type(error).__name__}: {reason}"
                trial.set_user_attr(ERROR, f"{type(error).__name__}: {reason}")
                self._tell(trial, TrialState.FAIL)
            except BaseException:
                self._tell(trial, TrialState.FAIL)  # without an error: it is done again
                raise
            standing = self.standing()
            best = f"; best {standing.best.value:.4f} of trial {standing.best.number}" if standing.best else ""
            report(
                f"trial {trial.number}: {outcome} ({time.perf_counter() - started:.0f} s){best}; "
                f"{len(standing.finished)} of {n_trials} finished"
            )
            if standing.best and standing.best.number == trial.number:
                self.write_best()
        return self.standing()

    def _tell(self, trial: optuna.Trial, state: TrialState, value: float | None = None) -> None:
        self.study.tell(trial, value, state, skip_if_finished=True)

    def _claim(self, n_trials: int) -> optuna.Trial | None:
        """A trial that belongs to the first ``n_trials`` of those that are finished or under way; else None."""
        self._bury()
        counted = [trial for trial in self._trials() if _counts(trial) or trial.state == TrialState.RUNNING]
        if len(counted) >= n_trials:
            return None
        trial = self.study.ask()
        trial.set_user_attr(_PROCESS, this_process())
        # Another process may have asked at the same moment: the lower numbers have it.
        counted = [other for other in self._trials() if _counts(other) or other.state == TrialState.RUNNING]
        if sum(other.number < trial.number for other in counted) >= n_trials:
            trial.set_user_attr(_SURPLUS, True)
            self._tell(trial, TrialState.FAIL)
            return None
        return trial

    def _bury(self) -> None:
        """End the trials of processes of this machine that are no more (killed), so that others are run instead."""
        for trial in self._trials():
            if trial.state == TrialState.RUNNING and is_dead(trial.user_attrs.get(_PROCESS)):
                self.study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)

    def _train(self, trial: optuna.Trial, values: Mapping[str, object]) -> float:
        """Train without checkpoints, by validation alone; returns the best validation score."""
        gc.collect()  # what the trial before has left, in cycles
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        data = load_dataset(
            self.arguments[0], self.arguments[1], self.arguments[2],
            merge(*(nest(*item) for item in values.items())), self._trial_line(trial),
        )  # fmt: skip
        config = data.config
        train_data, valid_data, _ = data_preparation(config, data)
        if not len(valid_data.targets):
            raise UserError("the split has no validation sample, and tuning goes by nothing else: see eval_args.split")
        trainer = make_trainer(config, data)

        def end_of_epoch(epoch: int, score: float) -> None:
            # An earlier phase trains and validates something else.
            if trainer.phase == len(trainer.train_modes) - 1:
                trial.report(score, epoch)
                if trial.should_prune():
                    raise optuna.TrialPruned

        try:
            score, _ = trainer.fit(
                train_data, valid_data, saved=False, verbose=False, show_progress=config["show_progress"],
                callback_fn=end_of_epoch,
            )  # fmt: skip
        finally:
            trainer.tensorboard.close()
        if not math.isfinite(score):
            raise UserError(f"no epoch was validated: eval_step is {config['eval_step']}, more than the epochs")
        return float(score)

    def _trial_line(self, trial: optuna.Trial) -> list[str]:
        """The command line of a trial: its folder is its own."""
        others = [text for text in self.command_line if not text.startswith(("--output_dir=", "--resume="))]
        return [*others, f"--output_dir={json.dumps(str(self.folder / 'trials' / str(trial.number)))}"]

    # ------------------------------------------------------------------ results

    def _trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def standing(self) -> Standing:
        """How the study stands now."""
        trials = self._trials()
        complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
        # Of equal ones the first, whatever the order in which they ended.
        order = sorted(complete, key=lambda trial: (-trial.value if self.bigger else trial.value, trial.number))
        return Standing(
            finished=[trial for trial in trials if _counts(trial)],
            best=order[0] if order else None,
            interrupted=sum(
                trial.state == TrialState.FAIL and trial.user_attrs.keys().isdisjoint((ERROR, _SURPLUS))
                for trial in trials
            ),
            running=sum(trial.state == TrialState.RUNNING for trial in trials),
        )

    def values(self, trial: FrozenTrial) -> dict[str, object]:
        """The values of a trial's parameters."""
        drawn = trial.params
        return {one.name: one.value(drawn[one.name]) for one in self.space if one.name in drawn}

    def write_best(self) -> Path | None:
        """Write ``best.yaml``, a property file that repeats the run of the best trial; None where there is none."""
        standing = self.standing()
        if standing.best is None:
            return None
        values = self.values(standing.best)
        config = self._configure(merge(*(nest(*item) for item in values.items())))
        given = config.external_config_dict.items()
        settings = {"model": self.model_name, "dataset": config["dataset"]}
        settings |= {key: value for key, value in given if key not in _FREE or key == "data_path"}
        path = self.folder / BEST
        with write_whole(path) as file:
            file.write(
                f"# Validation {self.metric} {standing.best.value!r}: trial {standing.best.number}, the best of "
                f"{len(standing.finished)} trials on {config['dataset']}.\n"
                f"# Searched: {shown(values)}\n"
                f"# run_lecdsr.py --config_files {path}\n"
            )
            yaml.safe_dump(json.loads(json.dumps(settings)), file, sort_keys=False, allow_unicode=True)
        return path


def _counts(trial: FrozenTrial) -> bool:
    """Finished by itself: an interrupted trial is done again, one that failed would fail again."""
    return trial.state in (TrialState.COMPLETE, TrialState.PRUNED) or (
        trial.state == TrialState.FAIL and ERROR in trial.user_attrs
    )
