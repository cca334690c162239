"""The benchmarks' data set in memory has what loaders and models use of a real one."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import torch

from recbole_lecdsr.data.collator import SequenceCollator
from recbole_lecdsr.data.eval_loader import EvalLoader
from recbole_lecdsr.data.train_loader import TrainLoader
from recbole_lecdsr.evaluation.metrics import ModelScorer
from recbole_lecdsr.evaluation.ranking import rank_samples
from recbole_lecdsr.model.score_fusion.wrapper import ScoreFusionMixin


@pytest.fixture
def benchmark(monkeypatch):
    """Imports a module of `benchmarks/` by its name."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")

    def load(name: str) -> ModuleType:
        monkeypatch.delitem(sys.modules, name, raising=False)
        return import_module(name)

    return load


@pytest.mark.parametrize("model", ["LeCDSR", "LeCDSR-paper"])
def test_random_interactions_are_learned_and_ranked(model, tmp_path, benchmark):
    synthetic = benchmark("synthetic")
    small = {"embedding_size": 8, "MAX_ITEM_LIST_LENGTH": 5, "eval_args": {"mode": {"valid": "uni9", "test": "uni9"}}}
    config = synthetic.settings(model, "cpu", pair_path=str(tmp_path), **small)
    dataset = synthetic.RandomDataset(
        n_users=40, n_source=120, n_target=90, llm_size=12, min_history=config["MIN_ITEM_LIST_LENGTH"]
    )
    model_class = synthetic.model_class(config)
    assert issubclass(model_class, ScoreFusionMixin) == (model == "LeCDSR"), "as a run of this name has it"
    lecdsr = model_class(config, dataset)
    collator = SequenceCollator(config, dataset)
    losses = [
        sum(lecdsr.calculate_loss(batch)) for batch in TrainLoader(config, lecdsr.training_data(dataset), collator)
    ]
    assert losses and torch.stack(losses).isfinite().all()
    loader = EvalLoader(config, dataset, collator, "test")
    ranks = rank_samples(loader, ModelScorer(lecdsr.eval(), loader.item_field))
    assert len(ranks) == len(dataset.targets("test"))
    assert (ranks >= 1).all() and (ranks <= 10).all()


@pytest.mark.parametrize("loss_type", ["all_pairs_hinge", "own_sample_hinge"])
def test_the_literal_implementation_has_the_loss_and_the_gradients_of_the_plugin(loss_type, benchmark):
    synthetic, training_step, plain = map(benchmark, ("synthetic", "training_step", "plain"))
    config = synthetic.settings("LeCDSR-paper", "cpu", embedding_size=8, train_batch_size=20, loss_type=loss_type)
    sizes = {"n_users": 20, "n_source": 120, "n_target": 90, "llm_size": 12}
    dataset = synthetic.RandomDataset(**sizes, min_history=2)
    torch.manual_seed(0)
    model = synthetic.model_class(config)(config, dataset)
    batch = next(iter(TrainLoader(config, dataset, SequenceCollator(config, dataset))))
    ranking_loss = plain.broadcast_hinge if loss_type == "all_pairs_hinge" else training_step.PLAIN["plain"]
    _, loss = training_step._plain(model.network, ranking_loss, config)
    totals = sum(model.calculate_loss(batch)), loss(batch)
    torch.testing.assert_close(*totals, rtol=1e-5, atol=0)
    gradients = [torch.autograd.grad(total, list(model.parameters())) for total in totals]
    for ours, literal in zip(*gradients, strict=True):
        assert (ours - literal).abs().max() <= 1e-4 * literal.abs().max()


def test_all_implementations_take_steps_on_the_same_batches(monkeypatch, benchmark):
    synthetic, training_step = map(benchmark, ("synthetic", "training_step"))
    monkeypatch.setattr(synthetic, "FOOD_KITCHEN", {"n_users": 20, "n_source": 120, "n_target": 90})
    settings = synthetic.settings
    small = {"embedding_size": 8, "adapter_hidden_size": 8, "train_batch_size": 20}
    monkeypatch.setattr(synthetic, "settings", lambda model, device: settings(model, device, **small))
    loss = {}
    for name in ("plugin", "plugin_bf16", "broadcast", "plain"):
        options = argparse.Namespace(
            model="LeCDSR-paper", steps=1, llm_size=12, device="cpu", amp=False, only=name
        )  # fmt: skip
        figures = training_step.measure(options)
        assert len(figures["seconds"]) == 1
        loss[name] = figures["loss_of_first_step"]
    assert loss["plugin"] == pytest.approx(loss["broadcast"], rel=1e-5)
    assert loss["plugin"] == pytest.approx(loss["plugin_bf16"], rel=2e-2)
    assert loss["plain"] < loss["broadcast"], "fewer pairs"


def test_seconds_to_a_quality_count_training_and_validation(benchmark):
    quality = benchmark("quality")
    history = [{"seconds": 2.0, "valid_score": 0.1}, {"seconds": 3.0, "valid_score": 0.3}]
    result = {"history": history, "seconds": {"valid": 1.0}}
    assert [quality.seconds_to(result, goal) for goal in (0.05, 0.2, 0.4)] == [2.5, 6.0, None]
