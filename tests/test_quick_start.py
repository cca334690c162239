from __future__ import annotations

import os
import shutil
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from recbole_cdr.quick_start import run_recbole_cdr

from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.model.lecdsr import LeCDSR
from recbole_lecdsr.model.score_fusion.calibration import calibration_targets
from recbole_lecdsr.quick_start import load_data_and_model, objective_function, run_lecdsr
from recbole_lecdsr.runs.result import RunResult
from recbole_lecdsr.trainer.reproducibility import seed
from recbole_lecdsr.trainer.trainer import CrossDomainSequentialTrainer
from tests.helpers.pairs import random_events, write_pair
from tests.helpers.runs import assert_same_run, assert_same_weights, read_run, train


@pytest.fixture
def pair(tmp_path) -> dict[str, object]:
    return {**write_pair(tmp_path / "dataset", random_events(12)), "train_epochs": ["BOTH:1"]}


# ------------------------------------------------------------------ a finished run again


def test_a_loaded_run_gives_the_ranks_that_it_gave(finished, tmp_path):
    folder = tmp_path / "copy"  # making a trainer writes into the run directory
    config, model, dataset, train_data, valid_data, test_data = load_data_and_model(
        finished["folder"] / "model.pth", {"output_dir": str(folder)}
    )
    assert not model.training
    trainer = CrossDomainSequentialTrainer(config, model)
    ranks = read_run(finished["folder"])["ranks"]
    np.testing.assert_array_equal(trainer.rank(test_data), ranks["rank"])
    np.testing.assert_array_equal(dataset.user_token[test_data.user], ranks["user"])
    np.testing.assert_array_equal(test_data.domain, ranks["domain"])
    valid = trainer.metrics(trainer.rank(valid_data), valid_data.domain)
    assert valid == finished["result"]["valid"]
    assert test_data.candidates.digest == finished["result"]["candidates"]["digest"]
    assert len(train_data.targets) + len(calibration_targets(dataset.log, dataset.targets("train"))) == 210


def test_a_run_of_data_that_were_moved_is_loaded_by_their_new_place(finished, tmp_path):
    shutil.copytree(Path(finished["settings"]["data_path"]) / "pair", tmp_path / "elsewhere" / "pair")
    _, model, dataset, *_ = load_data_and_model(
        finished["folder"] / "model.pth", {"data_path": str(tmp_path / "elsewhere")}
    )
    assert dataset.folders["source"] == tmp_path / "elsewhere" / "pair" / "source"
    assert_same_weights(model.state_dict(), read_run(finished["folder"])["weights"])


def test_a_run_whose_data_have_changed_is_not_loaded(pair, tmp_path):
    folder = Path(train(pair)["run_directory"])
    shutil.rmtree(tmp_path / "dataset" / "pair")
    write_pair(tmp_path / "dataset", random_events(12, n_items=30))
    with pytest.raises(UserError, match="do not fit"):
        load_data_and_model(folder / "model.pth")


@pytest.mark.parametrize("kind", ["item", "user"])
def test_case_r07_a_run_is_not_loaded_or_resumed_with_renamed_items_or_users(pair, tmp_path, kind):
    folder = Path(train(pair)["run_directory"])
    old, new = ("s3\t", "zz\t") if kind == "item" else ("u3\t", "zz\t")
    for suffix in ("inter", "itememb", "useremb"):
        for file in (tmp_path / "dataset" / "pair").rglob(f"*.{suffix}"):
            file.write_text(file.read_text().replace(old, new))
    with pytest.raises(UserError, match=f"do not fit the data in .*: its {kind}s are not those of the training"):
        load_data_and_model(folder / "model.pth")
    with pytest.raises(UserError, match=r"not those of the training|other interactions"):
        train(pair, train_epochs=["BOTH:4"], resume=True)


def test_more_interactions_of_known_items_are_allowed(pair, tmp_path):
    folder = Path(train(pair)["run_directory"])
    file = tmp_path / "dataset" / "pair" / "source" / "source.inter"
    last = file.read_text().splitlines()[-1].split("\t")
    with file.open("a") as more:
        more.write("\t".join([last[0], "s1", "999"]) + "\n")
    load_data_and_model(folder / "model.pth")


def test_a_file_that_is_no_run_is_not_loaded(tmp_path):
    (tmp_path / "model.pth").write_text("no")
    with pytest.raises(UserError, match=r"model\.pth"):
        load_data_and_model(tmp_path / "model.pth")


# ------------------------------------------------------------------ for hyper-parameter search


def test_the_objective_is_the_result_of_a_run(pair, tmp_path):
    found = objective_function({**pair, "model": "LeCDSR", "output_dir": str(tmp_path / "objective")})
    expected = train(pair)
    for key in ("best_valid_score", "valid_score_bigger", "best_valid_result", "test_result"):
        assert found[key] == expected[key]
    assert found["valid_score_bigger"] is True
    assert found["best_valid_score"] == pytest.approx(
        np.mean([found["best_valid_result"][f"{domain}_ndcg@10"] for domain in ("source", "target")])
    )


def test_the_objective_takes_files_and_values_over_them_and_no_arguments_of_the_program(pair, monkeypatch):
    Path("run.yaml").write_text(yaml.safe_dump(pair))
    monkeypatch.setattr("sys.argv", ["tune.py", "--learning_rate=7", "--trials", "9"])
    found = objective_function({"learning_rate": 0.02}, ["run.yaml"])
    assert found["result"]["parameters"]["learning_rate"] == 0.02


def test_a_run_returns_its_folder_epoch_and_metrics_typed(pair):
    result = train(pair, train_epochs=["BOTH:2"])
    assert isinstance(result, RunResult)
    read = RunResult.read(result.folder / "result.json")
    assert result == read and result.folder == read.folder == Path(result["run_directory"])
    assert result.best_epoch == read.best_epoch and set(result.best_epoch) == {"mean"}
    for metrics in (result.valid, result.test):
        assert set(metrics) == {"source", "target", "overall"}
        assert 0 <= metrics["overall"]["ndcg@10"] <= 1
    with pytest.raises(FrozenInstanceError):
        result.seed = 1
    again = train(pair, train_epochs=["BOTH:2"])
    assert again == result and dict(again) == dict(result), "a finished run is read"


def test_a_result_has_the_keys_of_recboles_quick_starts(pair):
    result = train(pair)
    stock = run_recbole_cdr("LeCDSR", config_dict={**pair, "output_dir": pair["output_dir"] + "-stock"})
    assert dict(result).keys() == stock.keys() | {"result", "run_directory"}
    assert {key: result[key] for key in stock} == stock
    assert result["result"] == result.to_dict()
    with pytest.raises(KeyError):
        result["test"]


def test_the_score_is_returned_as_recbole_would_minimise_it(pair):
    outcome = train(pair, valid_metric="Hit@5")
    assert outcome["best_valid_score"] == pytest.approx(
        np.mean([outcome["best_valid_result"][f"{domain}_hit@5"] for domain in ("source", "target")])
    )


@pytest.mark.parametrize("changes", [{}, {"score_fusion": False}, {"selection": "per_domain_best"}], ids=str)
def test_the_quick_start_of_recbole_cdr_leaves_the_same_run(pair, tmp_path, changes, caplog):
    pair = {**pair, **changes}
    caplog.set_level("INFO")
    ours = train(pair, output_dir=str(tmp_path / "ours"))
    outcome = run_recbole_cdr("LeCDSR", config_dict=pair)
    (folder,) = (Path(pair["output_dir"]) / "pair").iterdir()
    assert folder.name == ours.folder.name
    assert_same_run(folder, ours.folder)
    named = {"config.yaml", "result.json", "ranks.npz", "model.pth", "run.log"}
    for each in (folder, ours.folder):
        assert named <= {path.name for path in each.iterdir()}
        assert list(each.glob("events.out.tfevents.*")) and "epoch   0" in (each / "run.log").read_text()
    configs = [yaml.safe_load((each / "config.yaml").read_text()) for each in (folder, ours.folder)]
    assert configs[0] == {**configs[1], "output_dir": configs[0]["output_dir"]}
    assert outcome == {key: ours[key] for key in outcome}


def test_the_quick_start_of_recbole_cdr_refuses_what_it_would_leave_out(pair):
    with pytest.raises(UserError, match=r"refit: True needs recbole_lecdsr\.run_lecdsr"):
        run_recbole_cdr("LeCDSR", config_dict={**pair, "refit": True})


# ------------------------------------------------------------------ models as classes


class Doubled(LeCDSR):
    """LeCDSR whose first loss counts twice."""

    def calculate_loss(self, interaction):
        first, *others = super().calculate_loss(interaction)
        return (2 * first, *others)


def test_a_subclass_is_a_model_with_the_properties_of_its_parent(pair):
    outcome = train(pair, Doubled)
    plain = train(pair)
    assert outcome["result"]["model"] == "Doubled"
    assert Path(outcome["run_directory"]).name.startswith("Doubled-2022-")
    assert outcome["result"]["parameters"]["loss_type"] == plain["result"]["parameters"]["loss_type"]
    assert_doubled(outcome, plain)


def assert_doubled(outcome, plain) -> None:
    first, _ = plain["result"]["history"][0]["loss"]
    assert outcome["result"]["history"][0]["loss"][0] == pytest.approx(2 * first, rel=0.1)
    weights = [read_run(each["run_directory"])["weights"]["network.position"] for each in (outcome, plain)]
    assert not torch.equal(*weights)


def test_a_subclass_of_the_models_name_takes_its_place(pair, tmp_path):
    outcome = train(pair, type("LeCDSR", (Doubled,), {}), output_dir=str(tmp_path / "class"))
    assert_doubled(outcome, train(pair))


def test_the_models_own_class_is_the_model_of_its_name(pair, tmp_path):
    by_class = train(pair, LeCDSR, output_dir=str(tmp_path / "class"))
    assert_same_run(by_class["run_directory"], train(pair, "LeCDSR")["run_directory"])


# ------------------------------------------------------------------ nothing saved


def test_an_unsaved_run_tests_its_last_epoch_and_writes_no_model(pair, tmp_path):
    pair = {**pair, "train_epochs": ["BOTH:3"], "learning_rate": 0.05}
    outcome = train(pair, saved=False)
    folder = Path(outcome["run_directory"])
    assert not (folder / "model.pth").exists()
    assert (folder / "result.json").exists() and (folder / "ranks.npz").exists()
    last = train(pair, output_dir=str(tmp_path / "last"), eval_args={"split": {"LS": "valid_and_test"}}, eval_step=3)
    assert last["result"]["best_epoch"] == {"mean": 2}
    assert outcome["test_result"] == last["test_result"]


# ------------------------------------------------------------------ where settings come from


def test_the_arguments_of_the_program_count_where_no_command_line_is_given(pair, monkeypatch):
    monkeypatch.setattr("sys.argv", ["notebook", "--f=kernel.json", "--seed=9"])
    outcome = run_lecdsr(config_dict=pair)
    assert outcome["result"]["seed"] == 9


def test_the_dataset_is_named_by_argument_or_setting(pair):
    named = {key: value for key, value in pair.items() if key != "dataset"}
    assert run_lecdsr(dataset="pair", config_dict=named, command_line=[])["result"]["dataset"] == "pair"


def test_settings_are_not_changed_by_a_run(pair):
    before = yaml.safe_dump(pair)
    train(pair)
    assert yaml.safe_dump(pair) == before


def test_a_run_does_not_depend_on_the_runs_before_it_in_the_process(pair, tmp_path):
    first = train(pair, output_dir=str(tmp_path / "first"))
    train(pair, seed=5, learning_rate=0.3)
    torch.rand(7)
    np.random.rand(3)
    assert_same_run(first["run_directory"], train(pair, output_dir=str(tmp_path / "again"))["run_directory"])


@pytest.fixture
def any_algorithm(monkeypatch):
    """Torch's choice of algorithms as it is at first, and again afterwards."""
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    torch.use_deterministic_algorithms(False)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize(("model", "only_warns"), [("LeCDSR", False), ("TextSASRec", False), ("BPR", True)])
def test_a_device_computes_the_same_each_time_if_it_is_to_be_reproducible(
    pair, any_algorithm, model, only_warns, device
):
    where = {name: pair[name] for name in ("dataset", "data_path", "source_domain", "target_domain", "use_gpu")}
    config = LeCDSRConfig(model, config_dict={**where, "reproducibility": True}, command_line=[])
    config["device"] = torch.device(device)
    seed(config)
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.is_deterministic_algorithms_warn_only_enabled() == only_warns
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8", "else cuBLAS refuses"
    config["reproducibility"] = False
    seed(config)
    assert not torch.are_deterministic_algorithms_enabled()


def test_the_threads_of_a_cpu_add_up_gradients_in_the_same_order_each_time(pair, any_algorithm):
    threads = torch.get_num_threads()
    seed(LeCDSRConfig("LeCDSR", config_dict=pair, command_line=[]))
    table, rows = torch.zeros(50, 64, requires_grad=True), torch.randint(0, 50, (4096,))
    weight = torch.randn(len(rows), 64)
    torch.set_num_threads(4)
    try:
        first, *others = (torch.autograd.grad((table[rows] * weight).sum(), table)[0] for _ in range(20))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(first, other) for other in others)
