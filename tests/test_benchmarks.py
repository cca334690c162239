"""The benchmarks' data set in memory has what loaders and models use of a real one."""

from __future__ import annotations

import argparse
import csv
import json
import re
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import torch

from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.data.collator import SequenceCollator
from recbole_lecdsr.data.eval_loader import EvalLoader
from recbole_lecdsr.data.train_loader import TrainLoader
from recbole_lecdsr.evaluation.metrics import ModelScorer
from recbole_lecdsr.evaluation.ranking import rank_samples
from recbole_lecdsr.model.score_fusion.wrapper import ScoreFusionMixin
from recbole_lecdsr.property_files import PROPERTIES, read_property_file
from tests.helpers.pairs import random_events, write_pair

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    """Imports a module of `benchmarks/` by its name."""
    monkeypatch.syspath_prepend(FOLDER)

    def load(name: str) -> ModuleType:
        monkeypatch.delitem(sys.modules, name, raising=False)
        return import_module(name)

    return load


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_what_a_benchmark_imports_is_there(path, benchmark):
    assert benchmark(path.stem).__doc__


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


def test_histories_are_answered_from_either_index(benchmark):
    pytest.importorskip("faiss", reason="exports need faiss: pip install faiss-cpu")
    synthetic, serving = map(benchmark, ("synthetic", "serving"))
    data = synthetic.RandomDataset(n_users=40, n_source=120, n_target=90, llm_size=12, min_history=1)
    histories = serving.make_histories(data.log, 30)
    recommenders = serving.make_recommenders(data)
    assert set(recommenders) == {"exact", "approximate"}
    for recommender in recommenders.values():
        found = recommender.recommend(histories=histories, k=10, domain="target")
        assert len(found) == 30 * 10
        figures = serving.measure(recommender, histories, repeats=1)
        assert figures["histories_per_second"] > 0 and figures["query_cpu_ms_per_1000"] > 0


def test_seconds_to_a_quality_count_training_and_validation(benchmark):
    quality = benchmark("quality")
    history = [{"seconds": 2.0, "valid_score": 0.1}, {"seconds": 3.0, "valid_score": 0.3}]
    result = {"history": history, "seconds": {"valid": 1.0}}
    assert [quality.seconds_to(result, goal) for goal in (0.05, 0.2, 0.4)] == [2.5, 6.0, None]


def test_trials_start_with_the_settings_as_they_are_and_take_turns(tmp_path, benchmark, capsys):
    trials = benchmark("trials")
    settings = write_pair(tmp_path / "dataset", random_events(12))
    of_the_pair = ("dataset", "data_path", "output_dir", "source_domain", "target_domain")
    fixed = {name: settings[name] for name in of_the_pair} | {"embedding_size": 8, "train_epochs": ["BOTH:2"]}
    arguments = ["--models", "UniSRec", "C2DSR", "--csv", str(tmp_path / "trials.csv")]
    arguments += [f"--{name}={json.dumps(value)}" for name, value in fixed.items()]
    trials.main([*arguments, "--trials", "1"])
    trials.main([*arguments, "--trials", "2"])
    assert re.findall(r"(\w+): trial (\d):.*=", capsys.readouterr().out) == [
        ("UniSRec", "0"), ("C2DSR", "0"), ("UniSRec", "1"), ("C2DSR", "1"),
    ]  # fmt: skip
    with open(tmp_path / "trials.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["model"], row["trial"]) for row in rows] == [
        ("UniSRec", "0"), ("UniSRec", "1"), ("C2DSR", "0"), ("C2DSR", "1"),
    ]  # fmt: skip
    for first, second in (rows[:2], rows[2:]):
        config = LeCDSRConfig(first["model"], config_dict=fixed, command_line=[]).plain()
        values = dict(setting.split("=") for setting in first["settings"].split(" "))
        assert {name: json.loads(value.lower()) for name, value in values.items()} == {
            name: config[name] for name in values
        }
        assert first["settings"] != second["settings"]
        chosen = max((first, second), key=lambda row: float(row["valid_NDCG@10"]))
        assert [row["chosen"] for row in (first, second)] == ["*" if row is chosen else "" for row in (first, second)]
        assert all(row["epochs"] == "2" and int(row["best_epoch"]) in (1, 2) for row in (first, second))
        assert all(int(row["cpu_seconds"]) >= 0 for row in (first, second))


def test_the_rivals_have_the_settings_that_the_recorded_trials_chose():
    with open(Path(__file__).parents[1] / "benchmarks/results/trials-rivals-movielens.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    models = {row["model"] for row in rows}
    assert models == {"ABXI", "C2DSR", "TriCDR", "LLM4CDSR", "LLMESR", "UniSRec", "AlphaFuse"}
    assert len({len([row for row in rows if row["model"] == model]) for model in models}) == 1, "as many trials of each"
    chosen = [row for row in rows if row["chosen"]]
    assert {row["model"] for row in chosen} == models and len(chosen) == len(models)
    for row in chosen:
        assert float(row["valid_NDCG@10"]) == max(
            float(other["valid_NDCG@10"]) for other in rows if other["model"] == row["model"]
        )
        values = read_property_file(PROPERTIES / "model" / f"{row['model']}.yaml")
        for name, text in (setting.split("=") for setting in row["settings"].split(" ")):
            outer, _, inner = name.partition(".")
            value = values[outer][inner] if inner else values[outer]
            assert value == pytest.approx(json.loads(text), rel=0.03), (row["model"], name)
