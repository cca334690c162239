"""Faults of the frameworks that parts of the plugin other than `compat` make unreachable."""

from __future__ import annotations

import inspect
import os
from pathlib import Path

import numpy as np
import pytest
import recbole.trainer
import torch
from recbole_cdr.config import CDRConfig
from recbole_cdr.data import create_dataset, data_preparation

from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.quick_start import run_lecdsr
from tests.helpers.domains import CommonFactors, write_domains
from tests.helpers.pairs import random_events, write_pair


@pytest.fixture
def pair(tmp_path):
    return write_pair(tmp_path / "dataset", random_events(10))


def run(pair, **changes) -> dict[str, object]:
    return run_lecdsr("LeCDSR", config_dict={**pair, **changes}, command_line=[])


@pytest.fixture
def finished(pair):
    return run(pair)


def test_both_domains_are_evaluated(finished):
    assert {"source", "target", "overall"} <= set(finished["result"]["test"])
    assert {"source_ndcg@10", "target_ndcg@10"} <= set(finished["test_result"])


def test_a_checkpoint_holds_nothing_but_tensors_and_plain_values(finished):
    path = Path(finished["run_directory"]) / "model.pth"
    assert torch.load(path, weights_only=True)["state_dict"]


def test_metrics_are_not_rounded_to_four_places(finished):
    ranks = np.load(Path(finished["run_directory"]) / "ranks.npz")
    hits = np.where(ranks["rank"] <= 10, 1 / np.log2(ranks["rank"] + 1), 0)
    assert finished["test_result"]["overall_ndcg@10"] == pytest.approx(hits.mean(), abs=1e-9)


def test_two_runs_are_ranked_on_the_same_candidates(pair, tmp_path):
    found = [run(pair, output_dir=str(tmp_path / str(rate)), learning_rate=rate) for rate in (0.1, 0.001)]
    digests = [one["result"]["candidates"]["digest"] for one in found]
    assert digests[0] == digests[1]


def test_a_result_says_whether_the_history_is_masked_in_full_ranking(pair, tmp_path):
    for repeatable in (True, False):
        changes = {"repeatable": repeatable, "eval_args": {"mode": "full"}, "output_dir": str(tmp_path / "out")}
        assert run(pair, **changes)["result"]["candidates"]["history_masked"] is not repeatable


def test_gradients_are_clipped_by_their_own_size_where_they_are_scaled(pair, tmp_path):
    assert "unscale_" not in inspect.getsource(recbole.trainer.Trainer._train_epoch)
    losses = []
    for scaled in (False, True):
        changes = {"enable_scaler": scaled, "clip_grad_norm": 0.01, "output_dir": str(tmp_path / str(scaled))}
        losses.append([epoch["loss"] for epoch in run(pair, **changes)["result"]["history"]])
    assert np.array(losses[0]) == pytest.approx(np.array(losses[1]), rel=1e-5)


def test_no_interaction_after_the_held_out_ones_of_a_user_is_training_data_in_either_domain(pair):
    log = CrossDomainSequentialDataset(LeCDSRConfig("LeCDSR", config_dict=pair, command_line=[])).log
    for user in np.unique(log.user):
        assert np.all(np.diff(log.split[log.user == user]) >= 0), "interactions of a user are in temporal order"
    assert set(log.domain[log.split > 0]) == {0, 1}


def test_the_framework_trains_on_the_whole_source_unless_source_is_a_train_mode(tmp_path):
    domains = write_domains(tmp_path / "dataset")
    for phases, whole in ((["BOTH:1"], True), (["SOURCE:1"], False)):
        config = CDRConfig(CommonFactors, config_dict={**domains, "train_epochs": phases})
        dataset = create_dataset(config)
        events = len(dataset.source_domain_dataset.inter_feat)
        assert (len(data_preparation(config, dataset)[0].source_dataset) == events) is whole


def test_values_are_evaluated_as_code_in_the_framework_and_are_text_in_the_plugin(pair, tmp_path):
    code = "__import__('os').getpid()"
    domains = write_domains(tmp_path / "plain")
    assert CDRConfig(CommonFactors, config_dict={**domains, "alpha": code})["alpha"] == os.getpid()
    config = LeCDSRConfig("LeCDSR", config_dict={**pair, "wandb_project": code}, command_line=[])
    assert config["wandb_project"] == code


def test_a_misspelt_name_is_ignored_by_the_framework_and_refused_by_the_plugin(pair, tmp_path):
    CDRConfig(CommonFactors, config_dict={**write_domains(tmp_path / "plain"), "learnin_rate": 0.5})
    with pytest.raises(UserError, match="learning_rate"):
        LeCDSRConfig("LeCDSR", config_dict={**pair, "learnin_rate": 0.5}, command_line=[])
