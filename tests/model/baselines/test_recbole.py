from __future__ import annotations

import pkgutil

import numpy as np
import pytest
import torch
from recbole.data.interaction import Interaction
from recbole.model import sequential_recommender
from recbole.quick_start import load_data_and_model as load_stock
from recbole.quick_start import run_recbole

from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.data.constants import TRAIN, VALID
from recbole_lecdsr.data.loaders import data_preparation
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.model.baselines.recbole import baseline_class, recbole_class, right_padded
from recbole_lecdsr.quick_start import load_data_and_model, load_dataset, run_lecdsr
from recbole_lecdsr.trainer.trainer import CrossDomainSequentialTrainer
from tests.helpers.pairs import QUICK, random_events, write_pair

ID_MODELS = [
    "BERT4Rec", "Caser", "CORE", "FEARec", "FOSSIL", "FPMC", "GCSAN", "GRU4Rec", "HGN", "HRM", "LightSANs", "NARM",
    "NextItNet", "NPE", "RepeatNet", "SASRec", "SHAN", "SINE", "SRGNN", "STAMP", "TransRec", "Pop", "BPR", "LightGCN",
    "NeuMF", "ItemKNN", "EASE",
]  # fmt: skip
CPR_MODELS = ["GRU4RecCPR", "SASRecCPR"]
TEXT_MODELS = ["SASRecF", "FDSA", "GRU4RecF"]
# Sequential models of RecBole that need features of users, a knowledge graph or labels of items.
MORE_THAN_IDS = ["DIEN", "DIN", "GRU4RecKG", "KSR", "S3Rec"]
OWN = {"adapter_hidden_size", "embedding_size", "train_neg_sample_args", "train_epochs"}  # of LeCDSR in QUICK


@pytest.fixture
def pair(tmp_path):
    settings = write_pair(tmp_path, random_events(), size=40)
    return {key: value for key, value in settings.items() if key not in OWN} | {"epochs": 1}


def test_windows_are_turned_to_recbole_s_side():
    item_seq, length = right_padded(torch.tensor([[0, 0, 5, 6], [1, 2, 3, 4], [0, 0, 0, 0]]))
    assert item_seq.tolist() == [[5, 6, 0, 0], [1, 2, 3, 4], [0, 0, 0, 0]]
    assert length.tolist() == [2, 4, 0]


@pytest.mark.parametrize("name", [*ID_MODELS, *TEXT_MODELS])
def test_models_of_recbole_train_and_are_read_back(pair, name):
    outcome = run_lecdsr(name, config_dict=pair)
    tested = outcome["result"]["test"]
    assert outcome["result"]["model"] == name
    assert 0 < tested["overall"]["ndcg@10"] <= 1
    config, model, _, _, _, test_data = load_data_and_model(f"{outcome['run_directory']}/model.pth")
    trainer = CrossDomainSequentialTrainer(config, model)
    ranks = trainer.rank(test_data)
    assert np.array_equal(ranks, np.load(f"{outcome['run_directory']}/ranks.npz")["rank"])


def test_what_lies_outside_the_parameters_is_put_back_on_the_device_of_the_model(pair):
    data = load_dataset("Pop", config_dict=pair, command_line=[])
    model = data.config.model_class(data.config, data)
    model.recbole_model.item_cnt += 1
    state = model.get_extra_state()
    model.to("meta").set_extra_state(state)
    assert state["values"]["item_cnt"]["value"].device.type == "cpu"
    assert model.recbole_model.item_cnt.device.type == "meta"


def test_scores_are_on_the_device_of_the_batch(pair, monkeypatch):
    data = load_dataset("EASE", config_dict=pair, command_line=[])
    model = data.config.model_class(data.config, data)
    batch = next(iter(data_preparation(data.config, data)[2]))[0]
    scores = torch.ones(len(batch) * data.num_total_item)
    monkeypatch.setattr(model.recbole_model, "full_sort_predict", lambda _: scores)
    assert model.full_sort_predict(batch.to("meta")).device.type == "meta"


@pytest.mark.parametrize("mode", ["full", "uni5"])
@pytest.mark.parametrize("name", CPR_MODELS)
def test_models_that_rank_the_best_hundred_items_again_train_where_there_are_so_many(pair, name, mode):
    outcome = run_lecdsr(name, config_dict={**pair, "reranker_CAN_NUM": 5, "eval_args": {"mode": mode}})
    assert 0 < outcome["result"]["test"]["overall"]["ndcg@10"] <= 1


@pytest.mark.parametrize("name", [*CPR_MODELS, "SASRec", "BPR", "ConvNCF", "NeuMF"])
def test_a_model_scores_candidates_as_it_scores_all_items(pair, name):
    """RecBole's models read an item of the batch in full ranking (CPR), score all items at once, or pairs only."""
    data = load_dataset(name, config_dict={**pair, "reranker_CAN_NUM": 5} if name in CPR_MODELS else pair)
    model = data.config.model_class(data.config, data).eval()
    batch = next(iter(data_preparation(data.config, data)[2]))[0]
    with torch.no_grad():
        every = model.full_sort_predict(batch)
        candidates = torch.randint(1, data.num_total_item, (len(batch), 7))
        scores = model.predict(Interaction({**batch.interaction, "item_id": candidates}))
        torch.testing.assert_close(scores, every.gather(1, candidates), rtol=0, atol=0)
        one = model.predict(batch)
    torch.testing.assert_close(one, every.gather(1, batch["item_id"].unsqueeze(1)).squeeze(1), rtol=0, atol=0)


def test_every_sequential_model_of_recbole_is_tried():
    modules = {info.name for info in pkgutil.iter_modules(sequential_recommender.__path__)}
    tried = {name.lower() for name in [*ID_MODELS, *CPR_MODELS, *TEXT_MODELS, *MORE_THAN_IDS]}
    assert modules <= tried


def test_a_model_without_a_property_file_has_the_settings_of_all_baselines(pair):
    config = LeCDSRConfig("STAMP", config_dict=pair, command_line=[])
    assert config["train_neg_sample_args"]["sample_num"] == 1
    assert config["embedding_size"] == 64, "RecBole's own"


def test_a_single_domain_window_holds_the_last_events_of_the_target_s_domain(pair):
    data = load_dataset("SASRec", config_dict={**pair, "sequence": "single", "MAX_ITEM_LIST_LENGTH": 3})
    _, _, test_data = data_preparation(data.config, data)
    log = data.log
    for batch, _, _ in test_data:
        for row, target in enumerate(test_data.targets[: len(batch)]):
            own = [i for i in range(log.first[target], target) if log.domain[i] == log.domain[target]][-3:]
            assert [i for i in batch["item_id_list"][row].tolist() if i] == log.item[own].tolist()
        break


def test_a_batch_without_any_history_teaches_a_sequential_model_nothing(pair):
    data = load_dataset("SASRec", config_dict=pair)
    train_data, _, _ = data_preparation(data.config, data)
    model = data.config.model_class(data.config, data)
    batch = next(iter(train_data))
    batch.interaction["item_id_list"].zero_()
    loss = model.calculate_loss(batch)
    loss.backward()
    assert loss == 0
    assert not any(weight.grad.any() for weight in model.parameters())


def test_a_general_model_of_single_domains_knows_a_user_as_two(pair):
    run = run_lecdsr("BPR", config_dict={**pair, "sequence": "single"})
    weights = torch.load(f"{run['run_directory']}/model.pth", weights_only=True)["state_dict"]
    mixed = run_lecdsr("BPR", config_dict={**pair, "seed": 7})
    other = torch.load(f"{mixed['run_directory']}/model.pth", weights_only=True)["state_dict"]
    name = "recbole_model.user_embedding.weight"
    assert len(weights[name]) == 2 * len(other[name])


@pytest.mark.parametrize("score_fusion", [False, True])
@pytest.mark.parametrize("name", ["Pop", "BPR", "NeuMF", "SASRec"])
def test_case_r26_general_models_learn_every_training_interaction_sequential_ones_all_but_the_first(
    pair, name, score_fusion
):
    data = load_dataset(name, config_dict={**pair, "score_fusion": score_fusion}, command_line=[])
    train_data, valid_data, _ = data_preparation(data.config, data)
    log = train_data.dataset.log
    learned = np.sort(np.concatenate([batch["item_id"].numpy() for batch in train_data]))
    every = log.split == TRAIN
    expected = every if name != "SASRec" else every & (log.history_length > 0)
    assert every.sum() - (every & (log.history_length > 0)).sum() == 30, "each user's first interaction"
    np.testing.assert_array_equal(learned, np.sort(log.item[expected]))
    assert len(train_data.targets) == train_data.num_samples == expected.sum()
    assert (valid_data.dataset.log.history_length[valid_data.targets] > 0).all()


@pytest.mark.parametrize("refit", [False, True])
def test_case_r26_pop_counts_what_recbole_s_would(pair, refit):
    # A batch of RecBole's Pop counts an item once (docs/upstream.md).
    settings = {**pair, "refit": refit, "train_batch_size": 1}
    outcome = run_lecdsr("Pop", config_dict=settings, command_line=[])
    _, model, data, *_ = load_data_and_model(outcome["run_directory"])
    known = data.log.split <= (VALID if refit else TRAIN)
    count = np.bincount(data.log.item[known], minlength=data.num_total_item)
    assert model.recbole_model.item_cnt[:, 0].tolist() == count.tolist()


@pytest.mark.parametrize("name", MORE_THAN_IDS)
def test_a_model_that_needs_more_than_ids_says_so(pair, name):
    with pytest.raises(UserError, match=f"{name} needs more of a data set than ids"):
        run_lecdsr(name, config_dict=pair)


def test_only_general_and_sequential_models_are_baselines():
    assert recbole_class("DeepFM") is None
    assert recbole_class("NoSuchModel") is None
    assert baseline_class(recbole_class("SASRec")).__name__ == "SASRec"


@pytest.mark.parametrize(("name", "repeatable"), [("SASRec", True), ("BPR", False)])
def test_the_numbers_are_those_of_recbole_s_own_run(tmp_path, name, repeatable):
    """On one domain, by full ranking: RecBole masks a user's items for general models only."""
    rng = np.random.default_rng(3)
    events = [(f"u{u}", f"t{rng.integers(40)}", "target", float(t + 1)) for u in range(50) for t in range(12)]
    events.append(("u0", "s0", "source", 0.0))  # a second domain must be there
    settings = write_pair(tmp_path, events)
    shared = {"MAX_ITEM_LIST_LENGTH": 6, "use_gpu": False, "show_progress": False, "metric_decimal_place": 12}
    stock = {
        **shared, "data_path": str(tmp_path / "pair"), "checkpoint_dir": str(tmp_path / "stock"), "epochs": 2,
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]}, "topk": [5, 10], "metrics": ["Hit", "NDCG", "MRR"],
        "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user", "mode": "full"},
        "valid_metric": "MRR@10",
    }  # fmt: skip
    if name == "SASRec":
        stock["train_neg_sample_args"] = None
    theirs = run_recbole(name, "target", config_dict=stock)["test_result"]
    (checkpoint,) = (tmp_path / "stock").glob("*.pth")
    _, stock_model, stock_data, *_ = load_stock(str(checkpoint))

    values = {**settings, **shared, "repeatable": repeatable, "sequence": "single"}
    data = load_dataset(name, config_dict={key: value for key, value in values.items() if key not in OWN})
    _, _, test_data = data_preparation(data.config, data)
    model = data.config.model_class(data.config, data)
    _copy_by_token(stock_model, stock_data, model.recbole_model, data)
    trainer = CrossDomainSequentialTrainer(data.config, model)
    ours = trainer.metrics(trainer.rank(test_data), test_data.domain)["target"]
    assert QUICK["MAX_ITEM_LIST_LENGTH"] == 6
    for metric, value in theirs.items():
        assert ours[metric] == pytest.approx(value, abs=1e-6), metric


def _copy_by_token(stock_model, stock_data, model, data) -> None:
    """Copy weights; rows of items and users go to the ids that their tokens have here."""
    items, users = stock_data.field2id_token["item_id"], stock_data.field2id_token["user_id"]
    item_ids, user_ids = data.token_ids("target", "item"), data.token_ids("target", "user")
    offset = data.num_total_user  # of users of the target domain, single domains apart
    state = model.state_dict()
    for key, value in stock_model.state_dict().items():
        if key.startswith("item_embedding"):
            state[key][[item_ids[token] for token in items]] = value
        elif key.startswith("user_embedding"):
            state[key][[user_ids[token] + offset for token in users]] = value
        else:
            state[key] = value
    model.load_state_dict(state)
