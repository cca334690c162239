"""The same seed gives the same run, however often it breaks and resumes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from recbole_lecdsr.cli.compare import DEFAULT_MODELS
from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.property_files import split_command_line
from recbole_lecdsr.quick_start import make_trainer
from recbole_lecdsr.runs.checkpoint import Checkpoint
from recbole_lecdsr.trainer.trainer import CrossDomainSequentialTrainer
from tests.helpers.pairs import random_events, write_pair
from tests.helpers.runs import assert_same_run, process, read_run, train

# ------------------------------------------------------------------ the same seed, the same result


def test_the_same_seed_gives_the_same_result_ranks_and_weights(pair, tmp_path):
    one, other = (train(pair, output_dir=str(tmp_path / name)) for name in ("one", "other"))
    assert_same_run(one["run_directory"], other["run_directory"])


def test_another_seed_gives_other_weights_in_a_folder_of_its_own(pair):
    one, other = train(pair), train(pair, seed=3)
    assert Path(other["run_directory"]).name.startswith("LeCDSR-3-")
    weights = [read_run(outcome["run_directory"])["weights"] for outcome in (one, other)]
    assert not torch.equal(weights[0]["network.item_id.weight"], weights[1]["network.item_id.weight"])


def test_a_process_with_another_hash_seed_gives_the_same_result(finished, tmp_path):
    code = (
        "import json, sys; from recbole_lecdsr.quick_start import run_lecdsr; "
        "run_lecdsr(config_dict=json.loads(sys.argv.pop()), command_line=[])"
    )
    settings = json.dumps({**finished["settings"], "output_dir": str(tmp_path / "runs")})
    done = process("-c", code, settings, cwd=tmp_path, PYTHONHASHSEED="12345")
    assert done.returncode == 0, done.stderr
    assert_same_run(finished["folder"], tmp_path / "runs" / "pair" / finished["folder"].name)


# ------------------------------------------------------------------ resuming


class Broken(Exception):
    """A process that ends in the middle of its work."""


PHASES = {"train_epochs": ["SOURCE:2", "BOTH:3"], "stopping_step": 1, "learning_rate": 0.03}


@pytest.fixture(scope="module", params=["mean", "per_domain_best"])
def unbroken(request, tmp_path_factory):
    """A run in two phases, and its settings."""
    root = tmp_path_factory.mktemp("unbroken")
    settings = {**write_pair(root / "dataset", random_events()), **PHASES, "selection": request.param}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        outcome = train(settings)
    return settings, outcome["run_directory"]


def breaks_after(monkeypatch, phase: int, epoch: int) -> None:
    """Training breaks when an epoch is trained and neither validated nor saved."""
    original = CrossDomainSequentialTrainer._train_epoch

    def train_epoch(self, train_data, epoch_idx, *args, **kwargs):
        loss = original(self, train_data, epoch_idx, *args, **kwargs)
        if (self.phase, epoch_idx) == (phase, epoch):
            raise Broken
        return loss

    monkeypatch.setattr(CrossDomainSequentialTrainer, "_train_epoch", train_epoch)


@pytest.mark.parametrize("at", [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)], ids=str)
def test_a_run_that_breaks_in_any_epoch_resumes_to_the_result_of_the_unbroken_one(unbroken, tmp_path, monkeypatch, at):
    settings, expected = unbroken
    settings = {**settings, "output_dir": str(tmp_path / "runs")}
    with monkeypatch.context() as patch:
        breaks_after(patch, *at)
        with pytest.raises(Broken):
            train(settings)
    outcome = train(settings, resume=True)
    assert_same_run(expected, outcome["run_directory"])


def test_a_run_that_breaks_before_its_test_resumes_to_the_same_result(unbroken, tmp_path, monkeypatch):
    settings, expected = unbroken
    settings = {**settings, "output_dir": str(tmp_path / "runs")}
    with monkeypatch.context() as patch:
        patch.setattr(CrossDomainSequentialTrainer, "test", lambda *args, **kwargs: (_ for _ in ()).throw(Broken))
        with pytest.raises(Broken):
            train(settings)
    assert_same_run(expected, train(settings, resume=True)["run_directory"])


def test_a_run_that_breaks_twice_resumes_to_the_same_result(unbroken, tmp_path, monkeypatch):
    settings, expected = unbroken
    settings = {**settings, "output_dir": str(tmp_path / "runs")}
    for at, resume in (((0, 1), False), ((1, 1), True)):
        with monkeypatch.context() as patch:
            breaks_after(patch, *at)
            with pytest.raises(Broken):
                train(settings, resume=resume)
    assert_same_run(expected, train(settings, resume=True)["run_directory"])


def test_a_finished_run_that_is_resumed_with_more_epochs_is_the_longer_run(pair, tmp_path):
    long = train(pair, train_epochs=["BOTH:4"], output_dir=str(tmp_path / "long"))
    train(pair, train_epochs=["BOTH:2"])
    resumed = train(pair, train_epochs=["BOTH:4"], resume=True)
    assert_same_run(long["run_directory"], resumed["run_directory"])


def test_resuming_without_a_checkpoint_starts_a_new_run(pair, tmp_path):
    fresh = train(pair, output_dir=str(tmp_path / "fresh"))
    assert_same_run(fresh["run_directory"], train(pair, resume=True)["run_directory"])


def test_resuming_with_different_parameters_starts_another_run_and_names_them(pair, caplog):
    outcome = train(pair)
    before = (Path(outcome["run_directory"]) / "model.pth").read_bytes()
    other = train(pair, resume=True, learning_rate=0.5, topk=[10])
    (message,) = (line for line in caplog.messages if "to resume" in line)
    assert f"it starts in {other['run_directory']}; {outcome['run_directory']} differs in" in message
    assert message.endswith("learning_rate 0.01 and 0.5, topk [1, 5, 10, 20] and [10]")
    assert (Path(outcome["run_directory"]) / "model.pth").read_bytes() == before
    assert other["result"]["epochs"] == outcome["result"]["epochs"]


def test_a_checkpoint_of_a_run_with_different_parameters_is_refused_naming_them(pair):
    outcome = train(pair)
    config = LeCDSRConfig("LeCDSR", config_dict={**pair, "learning_rate": 0.5, "topk": [10]}, command_line=[])
    trainer = make_trainer(config, CrossDomainSequentialDataset(config))
    with pytest.raises(UserError) as caught:
        trainer.resume_checkpoint(Path(outcome["run_directory"]) / "model.pth")
    message = str(caught.value)
    assert "model.pth was trained with different parameters: " in message
    assert "learning_rate was 0.01 and is 0.5" in message
    assert "topk was [1, 5, 10, 20] and is [10]" in message
    assert "output_dir" in message
    assert "seed" not in message


def test_resuming_with_other_data_is_refused(pair, tmp_path):
    train(pair)
    shutil.rmtree(tmp_path / "dataset" / "pair")
    write_pair(tmp_path / "dataset", random_events(n_items=20))
    with pytest.raises(UserError, match=r"holds a run with other interactions"):
        train(pair, resume=True)
    with pytest.raises(UserError, match=r"weights of .*model\.pth do not fit this data set"):
        train(pair, resume=True, train_epochs=["BOTH:4"])


def test_an_unfinished_run_that_starts_again_is_warned_of(pair, monkeypatch, caplog):
    with monkeypatch.context() as patch:
        breaks_after(patch, 0, 1)
        with pytest.raises(Broken):
            train(pair)
    (path,) = Path(pair["output_dir"]).rglob("model.pth")
    assert not Checkpoint.load(path).training_ended
    train(pair)
    assert "--resume=True" in caplog.text


@pytest.mark.parametrize("label", DEFAULT_MODELS.split(","))
def test_case_r11_every_model_of_a_comparison_resumes_to_the_result_of_the_unbroken_run(tmp_path, label):
    pair = write_pair(tmp_path / "dataset", random_events())
    settings = {name: value for name, value in pair.items() if not name.endswith("_size")} | {"stopping_step": 9}
    model, _, changes = label.partition(":")
    settings |= split_command_line([f"--{change}" for change in changes.split(":") if change])[0]
    unbroken = train(settings, model, train_epochs=["BOTH:3"], output_dir=str(tmp_path / "unbroken"))
    train(settings, model, train_epochs=["BOTH:1"], output_dir=str(tmp_path / "resumed"))
    resumed = train(settings, model, train_epochs=["BOTH:3"], output_dir=str(tmp_path / "resumed"), resume=True)
    one, other = read_run(unbroken["run_directory"]), read_run(resumed["run_directory"])
    assert one["result"]["history"] == other["result"]["history"]
    assert_same_run(unbroken["run_directory"], resumed["run_directory"])
