"""The result of a run, and what its directory holds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.quick_start import run_lecdsr
from recbole_lecdsr.runs.result import CandidateInfo, RunResult
from recbole_lecdsr.runs.training import EpochRecord
from tests.helpers.pairs import random_events
from tests.helpers.runs import MEASURED, assert_same_run, assert_same_weights, lasting, loaders, read_run, train


def metrics_by_hand(rank: np.ndarray, topk: list[int]) -> dict[str, float]:
    values = {}
    for k in topk:
        hit = rank <= k
        values[f"hit@{k}"] = hit.mean()
        values[f"ndcg@{k}"] = np.where(hit, 1 / np.log2(rank + 1), 0).mean()
        values[f"mrr@{k}"] = np.where(hit, 1 / rank, 0).mean()
    return {**values, "mrr": (1 / rank).mean()}


def test_the_metrics_of_the_result_are_those_of_the_ranks(finished):
    run = read_run(finished["folder"])
    rank, domain = run["ranks"]["rank"], run["ranks"]["domain"]
    parts = {"source": domain == 0, "target": domain == 1, "overall": domain >= 0}
    assert run["result"]["test"].keys() == parts.keys()
    for name, chosen in parts.items():
        expected = metrics_by_hand(rank[chosen], [1, 5, 10, 20])
        assert run["result"]["test"][name] == pytest.approx(expected, abs=1e-9), name
        if name != "overall":
            assert run["result"]["test_samples"][name] == chosen.sum()


def test_what_is_returned_is_what_is_written(finished):
    written = json.loads((finished["folder"] / "result.json").read_text(encoding="utf-8"))
    assert finished["result"] == written
    for name, value in finished["test_result"].items():
        part, metric = name.split("_")
        assert written["test"][part][metric] == value
    for name, value in finished["best_valid_result"].items():
        part, metric = name.split("_")
        assert written["valid"][part][metric] == value


def test_the_ranks_are_of_the_test_events_of_each_user(finished):
    ranks = read_run(finished["folder"])["ranks"]
    last = {}
    for user, _, domain, time in random_events():
        if time >= last.get(user, (-1,))[0]:
            last[user] = (time, ("source", "target").index(domain))
    found = dict(zip(ranks["user"].tolist(), ranks["domain"].tolist(), strict=True))
    assert found == {user: domain for user, (_, domain) in last.items()}
    assert len(ranks["rank"]) == len(last)


def test_the_ranks_say_whether_the_last_interaction_was_in_the_domain_of_the_target(finished):
    ranks = read_run(finished["folder"])["ranks"]
    domains: dict[str, list[str]] = {}
    for user, _, domain, _ in sorted(random_events(), key=lambda event: event[3]):
        domains.setdefault(user, []).append(domain)
    found = dict(zip(ranks["user"].tolist(), ranks["same_domain"].tolist(), strict=True))
    assert found == {user: names[-1] == names[-2] for user, names in domains.items()}
    assert {True, False} == set(found.values())


def test_the_result_says_what_was_run(finished):
    result = finished["result"]
    assert result.keys() >= MEASURED
    assert result["model"] == "LeCDSR" and result["dataset"] == "pair" and result["seed"] == 2022
    assert result["domains"] == {"source": "source", "target": "target"}
    assert result["epochs"] == len(result["history"]) == 3
    assert result["candidates"]["mode"] == "full" and result["candidates"]["history_masked"] is True
    assert result["coverage"]["users"] == {"with_embedding": 30, "total": 30, "file": "pair.useremb"}
    assert result["peak_memory_bytes"]["process"] > 0
    assert set(result["seconds"]) == {"load", "train", "valid", "test"}
    assert result["parameters"]["learning_rate"] == 0.01


def test_the_reference_depends_on_training_popularity_only(finished):
    rank = []
    *_, test_data = loaders(finished["settings"])
    dataset, log = test_data.dataset, test_data.dataset.log
    count = np.bincount(log.item[log.split == 0], minlength=dataset.num_total_item)
    for target in test_data.targets.tolist():
        history = set(log.item[log.first[target] : target].tolist())
        items = set(dataset.domain_items[log.domain[target]].tolist()) - history - {log.item[target]}
        rank.append(1 + sum(count[item] >= count[log.item[target]] for item in items))
    expected = metrics_by_hand(np.array(rank), [1, 5, 10, 20])
    assert finished["result"]["reference"]["popularity"]["overall"] == pytest.approx(expected, abs=1e-9)


def test_tensorboard_holds_the_validation_of_each_epoch(finished):
    events = EventAccumulator(str(finished["folder"]))
    events.Reload()
    for domain in ("source", "target"):
        scalars = events.Scalars(f"valid/{domain}/ndcg@10")
        assert [scalar.step for scalar in scalars] == [0, 1, 2]
        expected = [entry["valid"][domain]["ndcg@10"] for entry in finished["result"]["history"]]
        assert [scalar.value for scalar in scalars] == pytest.approx(expected, rel=1e-6)


def test_the_configuration_of_a_run_repeats_it(finished, tmp_path):
    file = finished["folder"] / "config.yaml"
    assert yaml.safe_load(file.read_text(encoding="utf-8")) == finished["result"]["parameters"]
    again = run_lecdsr(
        config_file_list=[str(file)], config_dict={"output_dir": str(tmp_path / "again")}, command_line=[]
    )
    assert_same_run(finished["folder"], again["run_directory"])


def test_the_weights_of_a_run_are_those_of_its_best_epoch(finished, tmp_path):
    best = finished["result"]["best_epoch"]["mean"]
    short = train(finished["settings"], train_epochs=[f"BOTH:{best + 1}"], output_dir=str(tmp_path / "short"))
    assert_same_weights(read_run(finished["folder"])["weights"], read_run(short["run_directory"])["weights"])


def test_nothing_is_left_of_files_being_written(finished):
    names = {path.name for path in finished["folder"].iterdir() if path.is_file()}
    own = {"run.log", "config.yaml", "result.json", "ranks.npz", "model.pth"}
    assert own <= names
    assert all(name.startswith("events.") for name in names - own)


def test_a_new_run_of_the_same_name_replaces_the_former_one_if_it_may(pair):
    former = read_run(train(pair, learning_rate=0.1, run_name="mine")["run_directory"])
    outcome = train(pair, run_name="mine", overwrite=True)
    new = read_run(outcome["run_directory"])
    assert former["result"] != new["result"]
    assert new["result"] == lasting(outcome["result"])


# ------------------------------------------------------------------ as a record


def test_a_result_is_written_as_it_was_read(finished, tmp_path):
    result = RunResult.read(finished["folder"] / "result.json")
    result.write(tmp_path / "result.json")
    assert (tmp_path / "result.json").read_text() == (finished["folder"] / "result.json").read_text()
    assert result.candidates == CandidateInfo("full", True, finished["result"]["candidates"]["digest"])
    assert [(epoch.phase, epoch.epoch) for epoch in result.history] == [(0, 0), (0, 1), (0, 2)]
    assert isinstance(result.history[0], EpochRecord)


def test_the_keys_of_the_result_are_those_of_0_1_0_in_their_order_and_later_ones(finished):
    assert list(finished["result"]) == [
        "model", "dataset", "domains", "seed", "versions", "git_revision", "device", "processes",
        "trainable_parameters", "seconds", "samples_per_second", "peak_memory_bytes", "selection", "best_epoch",
        "epochs", "valid", "test", "test_samples", "candidates", "reference", "recommended", "coverage", "history",
        "parameters", "unseen_users", "identity", "ranks_digest", "conditions", "placebos",
        "format", "checksum",
    ]  # fmt: skip
    assert list(finished["result"]["candidates"]) == ["mode", "history_masked", "digest"]
    assert list(finished["result"]["history"][0]) == ["phase", "epoch", "loss", "seconds", "valid", "valid_score"]


@pytest.fixture
def edited(finished, tmp_path):
    """Writes a result.json with other content."""

    def edit(change) -> Path:
        values = json.loads((finished["folder"] / "result.json").read_text())
        for name in ("format", "checksum", "ranks_digest"):  # which results of 0.1.0 did not have
            del values[name]
        change(values)
        path = tmp_path / "result.json"
        path.write_text(json.dumps(values))
        return path

    return edit


def test_results_before_those_of_several_processes_and_with_keys_of_other_versions_are_read(edited):
    def change(values) -> None:
        del values["processes"], values["history"][1]["valid"], values["history"][1]["valid_score"]
        values["energy"] = values["candidates"]["colour"] = values["history"][0]["mood"] = 3

    result = RunResult.read(edited(change))
    assert result.processes == 1
    assert result.history[1].valid is None and "valid" not in result.to_dict()["history"][1]


def test_a_result_that_lacks_values_is_an_error_that_names_them(edited):
    path = edited(lambda values: [values.pop(name) for name in ("test", "seed")])
    with pytest.raises(UserError, match=r"result\.json has no seed, test: .*start it again"):
        RunResult.read(path)


@pytest.mark.parametrize("change", [
    lambda values: values["candidates"].pop("mode"), lambda values: values["history"][1].pop("loss"),
    lambda values: values.update(history=3),
], ids=["no mode", "no loss", "no list"])  # fmt: skip
def test_a_result_with_parts_of_another_form_is_an_error_with_a_remedy(edited, change):
    with pytest.raises(UserError, match=r"result\.json lacks a value or has one that cannot be .*start it again"):
        RunResult.read(edited(change))


@pytest.mark.parametrize("content", ["", "{", "[1]", "\xff"])
def test_a_result_that_cannot_be_read_is_an_error_with_a_remedy(tmp_path, content):
    path = tmp_path / "result.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError, match=r"result\.json .*start .* again"):
        RunResult.read(path)


def test_a_result_that_is_not_there_is_an_error_with_a_remedy(tmp_path):
    with pytest.raises(UserError, match=r"absent\.json does not exist: .*--resume=True"):
        RunResult.read(tmp_path / "absent.json")
