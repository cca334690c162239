"""What the trainer requires of a model (`recbole_lecdsr.model.base`), and when it calls it."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.data.loaders import data_preparation
from recbole_lecdsr.model.lecdsr import LeCDSR
from recbole_lecdsr.quick_start import make_trainer
from recbole_lecdsr.runs.checkpoint import Checkpoint
from tests.helpers.runs import assert_same_run, train


def variant(**members) -> type:
    """A model with LeCDSR's name, and thus its properties."""
    return type("LeCDSR", (LeCDSR,), members)


def learning_rates(outcome) -> list[float]:
    """Of each parameter group in the last epoch that was saved."""
    return [
        group["lr"] for group in Checkpoint.load(Path(outcome["run_directory"]) / "model.pth").optimizer["param_groups"]
    ]


# ------------------------------------------------------------------ the optimizer


def test_a_model_without_groups_has_one_of_all_parameters_in_their_order(pair):
    config = LeCDSRConfig("LeCDSR", config_dict={**pair, "learner": "adamw", "weight_decay": 0.25}, command_line=[])
    trainer = make_trainer(config, CrossDomainSequentialDataset(config))
    (group,) = trainer.optimizer.param_groups
    assert all(one is other for one, other in zip(group["params"], trainer.model.parameters(), strict=True))
    plain = torch.optim.AdamW(trainer.model.parameters(), lr=0.01, weight_decay=0.25, fused=True)
    assert {**plain.param_groups[0], "params": None} == {**group, "params": None}


def two_groups(self):
    table = self.network.item_id.weight
    others = [parameter for parameter in self.parameters() if parameter is not table]
    return [{"params": [table], "lr": 0.0, "weight_decay": 0.0}, {"params": others}]


@pytest.mark.parametrize("learner", ["adam", "sgd"])
def test_the_groups_of_a_model_have_their_own_settings(pair, learner):
    start = train(pair, variant(learning_rate_factor=lambda *_, **__: 0.0), train_epochs=["BOTH:1"])
    before = Checkpoint.load(Path(start["run_directory"]) / "model.pth").state_dict
    outcome = train(pair, variant(parameter_groups=two_groups), learner=learner, weight_decay=0.5)
    after = Checkpoint.load(Path(outcome["run_directory"]) / "model.pth").state_dict
    assert torch.equal(before["network.item_id.weight"], after["network.item_id.weight"])
    assert not torch.equal(before["network.position"], after["network.position"])
    assert learning_rates(outcome) == [0.0, 0.01]


# ------------------------------------------------------------------ learning rates


def test_the_factor_is_computed_before_each_epoch_and_applied_to_the_rate_of_each_group(pair):
    called = []

    def factor(self, epoch, epochs_without_improvement):
        called.append((epoch, epochs_without_improvement))
        return 0.5**epoch

    def groups(self):
        return [{**group, "lr": rate} for group, rate in zip(two_groups(self), (0.08, 0.01), strict=True)]

    model = variant(learning_rate_factor=factor, parameter_groups=groups)
    outcome = train(pair, model, train_epochs=["SOURCE:2", "BOTH:4"], stopping_step=9)
    assert [epoch for epoch, _ in called] == [0, 1, 0, 1, 2, 3]
    scores = [entry["valid_score"] for entry in outcome["result"]["history"]][2:]
    for epoch, without_improvement in called[3:]:
        best = max(range(epoch), key=lambda number: (scores[number], number))
        assert without_improvement == epoch - 1 - best
    assert learning_rates(outcome) == [0.08 * 0.5**3, 0.01 * 0.5**3]


def test_a_factor_of_one_leaves_the_run_as_it_is_bit_by_bit(pair, tmp_path):
    plain = train(pair, "LeCDSR", learning_rate=0.03, output_dir=str(tmp_path / "plain"))
    other = train(pair, variant(learning_rate_factor=lambda *_, **__: 1.0), learning_rate=0.03)
    assert_same_run(plain["run_directory"], other["run_directory"])


def test_a_schedule_resumes_where_it_was(pair, tmp_path):
    model = variant(learning_rate_factor=lambda self, epoch, epochs_without_improvement: 1 / (1 + epoch))
    long = train(pair, model, train_epochs=["BOTH:4"], output_dir=str(tmp_path / "long"))
    train(pair, model, train_epochs=["BOTH:2"])
    resumed = train(pair, model, train_epochs=["BOTH:4"], resume=True)
    assert_same_run(long["run_directory"], resumed["run_directory"])


def test_a_refit_is_scheduled_as_a_training_without_validation(pair):
    called = []

    def factor(self, epoch, epochs_without_improvement):
        called.append((epoch, epochs_without_improvement))
        return 1.0

    model = variant(learning_rate_factor=factor)
    result = train(pair, model, train_epochs=["BOTH:9"], learning_rate=0.1, stopping_step=1, refit=True)["result"]
    trained, again = result["epochs"], result["best_epoch"]["mean"] + 1
    assert trained > again, "otherwise the test shows nothing"
    assert called[trained:] == [(epoch, 0) for epoch in range(again)]


# ------------------------------------------------------------------ scoring


@pytest.mark.parametrize("mode", ["full", "uni5"])
def test_all_batches_that_are_ranked_are_scored_in_one_context(pair, mode):
    entered = []

    @contextmanager
    def scoring(self):
        assert not self.training and not torch.is_grad_enabled()
        entered.append(True)
        self.cached = True
        yield
        self.cached = False

    def score(self, interaction, candidates):
        assert self.cached or self.training
        return LeCDSR.score(self, interaction, candidates)

    model = variant(scoring=scoring, score=score, cached=False)
    train(pair, model, train_epochs=["BOTH:2"], eval_args={"mode": mode}, score_fusion=False)
    # Full ranking finds the top items in the same pass.
    assert len(entered) == 2 + 1 + (mode != "full"), "validations, test, top items"


# ------------------------------------------------------------------ phases


def test_a_model_gets_the_name_of_a_phase_and_the_samples_of_its_mode(pair):
    begun = []
    model = variant(set_phase=lambda self, phase: begun.append(phase), phases={"PRETRAIN": "SOURCE"})
    settings = {**pair, "train_epochs": ["PRETRAIN:1", "BOTH:1"]}
    config = LeCDSRConfig(model, config_dict=settings, command_line=[])
    data = CrossDomainSequentialDataset(config)
    train_data, valid_data, _ = data_preparation(config, data)
    trainer = make_trainer(config, data)
    trainer.fit(train_data, valid_data)
    assert begun == ["PRETRAIN", "BOTH"]
    first, second = trainer.history
    assert first.valid_score == first.valid["source"]["ndcg@10"], "the phase is one of the source domain"
    assert second.valid_score != second.valid["source"]["ndcg@10"]
    source = int((data.log.domain[train_data.targets] == 0).sum())
    assert trainer.samples_seen == source + len(train_data.targets)


def test_a_model_that_is_fitted_at_once_has_one_epoch(pair):
    result = train(pair, variant(fitted_once=True), train_epochs=["BOTH:5"], eval_step=3, ema_decay=0.0)["result"]
    assert result["epochs"] == 1 and result["best_epoch"] == {"mean": 0}
    again = train(pair, variant(fitted_once=True), train_epochs=["BOTH:5"], eval_step=3, resume=True, ema_decay=0.0)[
        "result"
    ]
    assert again["test"] == result["test"] and again["epochs"] == 1
