"""Data sets of two domains: ids, features, embeddings, samplers and the configuration that loads them."""

from __future__ import annotations

from collections import ChainMap
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import recbole_cdr
import torch
import yaml
from recbole.utils import FeatureType
from recbole_cdr.config import CDRConfig
from recbole_cdr.data import create_dataset
from recbole_cdr.data.dataset import CrossDomainDataset, CrossDomainSingleDataset
from recbole_cdr.sampler import CrossDomainSourceSampler

from recbole_lecdsr.compat import apply
from recbole_lecdsr.compat.checkpoints import stock_torch_load
from tests.helpers.domains import ITEMS, NAMES, USERS, CommonFactors, age, write

SIDES = ["source", "target"]


def configure(domains, both=None, **changes) -> CDRConfig:
    """A configuration; ``both`` are changes for each of the domains."""
    sides = {f"{side}_domain": {**domains[f"{side}_domain"], **(both or {})} for side in SIDES}
    return CDRConfig(CommonFactors, config_dict={**domains, **sides, **changes})


def load(domains, both=None, **changes) -> CrossDomainDataset:
    return create_dataset(configure(domains, both, **changes))


def part(dataset, side: str) -> CrossDomainSingleDataset:
    return getattr(dataset, f"{side}_domain_dataset")


# ------------------------------------------------------------------ ids


def table_of_items(tokens: list[str], user_feat=None) -> SimpleNamespace:
    """What `_remap_fields` needs of a data set."""
    return SimpleNamespace(
        field2id_token={},
        field2token_id={},
        field2type={"item": FeatureType.TOKEN},
        inter_feat=pd.DataFrame({"item": tokens}),
        item_feat=pd.DataFrame({"item": tokens}),
        user_feat=user_feat,
        feat_name_list=["inter_feat", "item_feat", *(["user_feat"] if user_feat is not None else [])],
    )


IDS = ChainMap({"both1": 1, "both2": 2, "[PAD]": 0}, {"own1": 5, "own2": 6})


def test_the_framework_does_not_order_tokens_by_id(without):
    data = table_of_items(["own1", "both2"], user_feat=pd.DataFrame({"user": ["u", "v"]}))
    without(CrossDomainSingleDataset, "_remap_fields")
    CrossDomainSingleDataset._remap_fields(data, ["item"], IDS)
    assert list(data.field2id_token["item"]) != ["[PAD]", "both1", "both2", "own1", "own2"]
    assert data.item_feat["item"].tolist() == ["own1", "both2"], "item ids were written into the table of users"
    assert data.user_feat["item"].tolist() == [5, 2]


def test_tokens_are_in_id_order_and_items_are_remapped_in_their_own_table():
    data = table_of_items(["own1", "both2"], user_feat=pd.DataFrame({"user": ["u", "v"]}))
    CrossDomainSingleDataset._remap_fields(data, ["item"], IDS)
    assert list(data.field2id_token["item"]) == ["[PAD]", "both1", "both2", "", "", "own1", "own2"]
    assert data.item_feat["item"].tolist() == data.inter_feat["item"].tolist() == [5, 2]
    assert list(data.user_feat) == ["user"]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("kind", "tokens"), [("user", USERS), ("item", ITEMS)])
def test_each_token_has_an_id_that_leads_back_to_it(domains, side, kind, tokens):
    data = part(load(domains), side)
    field = data.uid_field if kind == "user" else data.iid_field
    for token in tokens[side]:
        assert data.id2token(field, data.token2id(field, token)) == token
    assert data.id2token(field, 0) == "[PAD]"
    assert data.num(field) == len(tokens[side]) + 1


def test_ids_are_of_both_domains_first_then_of_the_target_then_of_the_source(domains):
    dataset = load(domains)
    ids = [part(dataset, side).field2token_id[f"{side}_item_id"] for side in SIDES]
    both = [f"both{number}" for number in range(4)]
    assert [[own[token] for token in both] for own in ids] == [[1, 2, 3, 4]] * 2
    assert sorted(ids[1][token] for token in ITEMS["target"][4:]) == list(range(5, 19))
    assert sorted(ids[0][token] for token in ITEMS["source"][4:]) == list(range(19, 33))
    assert (dataset.num_overlap_item, dataset.num_target_only_item, dataset.num_total_item) == (5, 14, 33)


def test_the_framework_cannot_load_item_files(domains, without):
    without(CrossDomainDataset, "calculate_user_item_from_both_domain")
    with pytest.raises(KeyError, match="user_id"):
        load(domains)


def test_the_framework_counts_the_gap_among_the_items_of_the_source(domains, without):
    without(CrossDomainSingleDataset, "num")
    data = part(load(domains), "source")
    assert data.num(data.iid_field) != len(ITEMS["source"]) + 1


def test_linked_tokens_are_one_user(domains, tmp_path):
    write(tmp_path / "link.user", ["source_user:token\ttarget_user:token", "a-reader\tb-viewer"])
    links = {"user_link_file_path": str(tmp_path / "link.user")}
    for side in SIDES:
        rename(domains, side)
    dataset = load(domains, **links)
    source, target = (part(dataset, side) for side in SIDES)
    assert "a-reader" not in source.field2token_id[source.uid_field]
    assert source.token2id(source.uid_field, "b-viewer") == target.token2id(target.uid_field, "b-viewer")


def rename(domains, side: str) -> None:
    """Give the users of a domain a field of their own, as link files need it."""
    values = domains[f"{side}_domain"]
    folder = Path(values["data_path"]) / values["dataset"]
    for path in folder.iterdir():
        path.write_text(path.read_text().replace("user_id:token", f"{side}_user:token"))
    swap = {"user_id": f"{side}_user"}
    columns = {suffix: [swap.get(name, name) for name in names] for suffix, names in values["load_col"].items()}
    domains[f"{side}_domain"] = {**values, "load_col": columns, "USER_ID_FIELD": f"{side}_user"}


# ------------------------------------------------------------------ features


@pytest.mark.parametrize("side", SIDES)
def test_each_user_has_its_own_features(domains, side):
    data = part(load(domains), side)
    data._change_feat_format()
    ids = data.token2id(data.uid_field, np.array(USERS[side]))
    assert data.user_feat[f"{side}_age"][ids].tolist() == [age(user) for user in USERS[side]]


def test_the_framework_does_not_order_rows_by_id(without):
    without(CrossDomainSingleDataset, "_user_item_feat_preparation")
    data = SimpleNamespace(
        uid_field="user",
        field2token_id={"user": IDS},
        user_feat=pd.DataFrame({"user": [1, 2, 5, 6]}),
        item_feat=None,
        logger=SimpleNamespace(debug=lambda message: None),
    )
    CrossDomainSingleDataset._user_item_feat_preparation(data)
    assert data.user_feat["user"].tolist() != sorted(IDS.values())


@pytest.mark.parametrize("side", SIDES)
def test_each_item_has_its_own_features_and_missing_cells_are_filled(domains, side):
    data = part(load(domains), side)
    data._change_feat_format()
    ids = data.token2id(data.iid_field, np.array(ITEMS[side]))
    titles = data.id2token(f"{side}_title", data.item_feat[f"{side}_title"][ids]).tolist()
    prices = data.item_feat[f"{side}_price"][ids].tolist()
    tags = data.item_feat[f"{side}_tags"][ids]
    whole = [number for number in range(len(ids)) if number != 2]
    assert [titles[number] for number in whole] == [f"Title of {ITEMS[side][number]}" for number in whole]
    assert [prices[number] for number in whole] == whole
    assert titles[2] == "[PAD]" and prices[2] == pytest.approx(np.mean(whole))
    assert (tags != 0).sum(1).tolist() == [2, 2, 0, *([2] * (len(ids) - 3))]
    assert data.id2token(f"{side}_tags", tags[4]).tolist() == ["tag1", "tag4"]


def test_features_of_the_source_have_a_row_for_each_of_its_items_and_none_for_the_gap(domains):
    data = part(load(domains), "source")
    data._change_feat_format()
    found = data.get_item_feature()["source_item_id"].tolist()
    assert found == sorted(data.field2token_id["source_item_id"].values())


def test_the_framework_lacks_presets_that_loading_needs(domains, without):
    without(CrossDomainSingleDataset, "_get_preset")
    with pytest.raises(AttributeError, match="field2bucketnum"):
        load(domains)


# ------------------------------------------------------------------ embeddings


VECTORS = {"load_col": {"inter": ["user_id", "item_id"], "vec": ["vec_item", "vector"]}}
PRELOAD = {
    **VECTORS,
    "additional_feat_suffix": "vec",
    "alias_of_item_id": ["vec_item"],
    "preload_weight": {"vec_item": "vector"},
}


def vector(item: str) -> list[float]:
    return [float(len(item)), float(sum(item.encode()))]


@pytest.fixture
def with_vectors(domains):
    for side, name in NAMES.items():
        lines = [f"{item}\t{' '.join(map(str, vector(item)))}" for item in reversed(ITEMS[side])]
        folder = Path(domains[f"{side}_domain"]["data_path"]) / name
        write(folder / f"{name}.vec", ["vec_item:token\tvector:float_seq", *lines])
    return domains


@pytest.mark.parametrize("side", SIDES)
def test_preloaded_vectors_are_in_the_rows_of_their_ids(with_vectors, side):
    data = part(load(with_vectors, PRELOAD), side)
    weight = data.get_preload_weight(f"{side}_vec_item")
    for item in ITEMS[side]:
        assert weight[data.token2id(data.iid_field, item)].tolist() == vector(item)
    assert weight.shape == (max(data.field2token_id[data.iid_field].values()) + 1, 2)


@pytest.mark.parametrize("side", SIDES)
def test_additional_files_have_ids_and_names_of_their_domain(with_vectors, side):
    data = part(load(with_vectors, PRELOAD), side)
    assert list(data.vec_feat) == [f"{side}_vec_item", f"{side}_vector"]
    tokens = data.id2token(data.iid_field, data.vec_feat[f"{side}_vec_item"].to_numpy())
    assert tokens.tolist() == list(reversed(ITEMS[side]))


@pytest.mark.parametrize(("name", "error"), [
    ("_preload_weight_matrix", IndexError),  # ids of the source reach beyond its number of items
    ("_rename_columns", (KeyError, ValueError)),
])  # fmt: skip
def test_the_framework_cannot_preload_vectors(with_vectors, without, name, error):
    without(CrossDomainSingleDataset, name)
    with pytest.raises(error):
        part(load(with_vectors, PRELOAD), "source").get_preload_weight("source_vec_item")


def test_the_framework_leaves_additional_files_as_tokens(without):
    without(CrossDomainSingleDataset, "_remap_fields")
    data = table_of_items(["own1"], user_feat=pd.DataFrame({"user": ["u"]}))
    data.vec_feat, data.feat_name_list = pd.DataFrame({"item": ["own1"]}), ["inter_feat", "vec_feat"]
    CrossDomainSingleDataset._remap_fields(data, ["item"], IDS)
    assert data.vec_feat["item"].tolist() == ["own1"]


# ------------------------------------------------------------------ sampler of the source


def sampler_of(dataset, *arguments) -> CrossDomainSourceSampler:
    part(dataset, "source")._change_feat_format()
    return CrossDomainSourceSampler("train", dataset, *arguments)


def test_negatives_of_the_source_are_all_of_its_items_and_no_other(domains):
    dataset = load(domains)
    own = set(part(dataset, "source").field2token_id["source_item_id"].values()) - {0}
    sampler = sampler_of(dataset, [part(dataset, "source")])
    assert set(sampler.item_id_list.tolist()) == own
    assert set(sampler.user_id_list.tolist()) == set(dataset.source_user_ID_remap_dict.values()) - {0}


def test_the_framework_shifts_the_border_of_the_source_by_one(domains, without):
    without(CrossDomainSourceSampler, "__init__")
    dataset = load(domains)
    own = set(part(dataset, "source").field2token_id["source_item_id"].values()) - {0}
    drawn = set(sampler_of(dataset, [part(dataset, "source")]).item_id_list.tolist())
    assert drawn - own == {dataset.num_overlap_item}, "an item of the target"
    assert own - drawn == {dataset.num_overlap_item + dataset.num_target_only_item}


def test_negatives_by_popularity_are_items_of_the_source_where_it_is_not_split(domains, without):
    dataset = load(domains)
    sampler = sampler_of(dataset, "popularity").set_phase("train")
    drawn = set(sampler.sampling(300).tolist())
    assert drawn and drawn <= set(part(dataset, "source").inter_feat["source_item_id"].tolist())
    without(CrossDomainSourceSampler, "__init__")
    assert sampler_of(load(domains), "popularity").distribution == "uniform", "the distribution was taken for data sets"


# ------------------------------------------------------------------ configuration


def test_what_recbole_reads_has_a_value(domains):
    config = configure(domains)
    expected = {"worker": 0, "shuffle": True, "enable_amp": False, "enable_scaler": False, "numerical_features": []}
    assert {name: config[name] for name in expected} == expected
    assert config["single_spec"] is True and config["local_rank"] == 0


@pytest.mark.parametrize(("given", "valid", "test"), [
    ("full", "full", "full"), ("uni9", "uni9", "uni9"), ({"valid": "uni9"}, "uni9", "uni9"),
    ({"valid": "uni9", "test": "full"}, "uni9", "full"),
], ids=str)  # fmt: skip
def test_the_mode_of_evaluation_is_that_of_each_phase(domains, given, valid, test):
    config = configure(domains, eval_args={"mode": given})
    assert config["eval_args"]["mode"] == {"valid": valid, "test": test}
    assert config["valid_neg_sample_args"]["distribution"] == "uniform"
    assert config["valid_neg_sample_args"]["sample_num"] == (9 if valid == "uni9" else "none")


@pytest.mark.parametrize(("old", "new"), [
    ({"uniform": 1}, {"distribution": "uniform", "sample_num": 1, "dynamic": False, "candidate_num": 0}),
    ({"popularity": 3}, {"distribution": "popularity", "sample_num": 3, "dynamic": False, "candidate_num": 0}),
    ({"uniform": 1, "dynamic": 5}, {"distribution": "uniform", "sample_num": 1, "dynamic": True, "candidate_num": 5}),
], ids=str)  # fmt: skip
def test_neg_sampling_of_recbole_1_0_is_converted(domains, old, new):
    found = configure(domains, neg_sampling=old)["train_neg_sample_args"]
    assert {name: found[name] for name in new} == new


def test_missing_keys_of_train_neg_sample_args_have_defaults(domains):
    found = configure(domains, train_neg_sample_args={"sample_num": 4})["train_neg_sample_args"]
    assert (found["distribution"], found["sample_num"], found["alpha"]) == ("uniform", 4, 1.0)


def test_no_configuration_of_the_framework_can_be_made(domains, without, stock):
    assert stock["cdr_configuration"].startswith("TypeError") and "phase" in stock["cdr_configuration"]
    without(CDRConfig, "_set_eval_neg_sample_args")
    with pytest.raises(TypeError, match="phase"):
        configure(domains)


def test_a_configuration_of_the_framework_lacks_what_recbole_reads(domains, without):
    without(CDRConfig, "_load_internal_config_dict")
    config = configure(domains)
    assert [config[name] for name in ("worker", "shuffle", "enable_amp", "numerical_features")] == [None] * 4


def test_a_configuration_of_the_framework_draws_no_negatives_for_training(domains, without):
    assert configure(domains)["train_neg_sample_args"]["distribution"] == "uniform"
    without(CDRConfig, "_set_train_neg_sample_args")
    assert configure(domains)["train_neg_sample_args"]["distribution"] == "none"


def test_both_domains_separate_sequences_alike(domains):
    sample = Path(recbole_cdr.__file__).parent / "properties" / "dataset" / "sample.yaml"
    stated = yaml.safe_load(sample.read_text(encoding="utf-8"))
    assert stated["source_domain"]["seq_separator"] != stated["target_domain"]["seq_separator"]
    assert [configure(domains)[f"{side}_domain"]["seq_separator"] for side in SIDES] == [" ", " "]


def test_a_separator_that_is_given_stays(domains):
    assert configure(domains, {"seq_separator": "|"})["target_domain"]["seq_separator"] == "|"


def test_timestamps_are_loaded_where_interactions_are_ordered_by_time(domains):
    dataset = load(domains, eval_args={"order": "TO", "split": {"RS": [0.6, 0.2, 0.2]}, "mode": "full"})
    train, valid, test = (
        {user: times.tolist() for user, times in events(built)} for built in part(dataset, "target").build()
    )
    assert all(max(train[user]) <= min(valid[user]) and max(valid[user]) <= min(test[user]) for user in test)
    assert configure(domains)["source_domain"]["load_col"]["inter"] == ["user_id", "item_id", "rating"]


def events(dataset):
    frame = pd.DataFrame({name: dataset.inter_feat[f"target_{name}"] for name in ("user_id", "timestamp")})
    return frame.groupby("user_id")["timestamp"]


def test_the_names_of_the_domains_name_the_files_of_a_run(domains, without):
    assert configure(domains)["dataset"] == "book-film"
    without(CDRConfig, "_check_cross_domain")
    assert isinstance(configure(domains)["dataset"], dict)


# ------------------------------------------------------------------ where there is no fault


CHANGED = [CDRConfig, CrossDomainDataset, CrossDomainSingleDataset, CrossDomainSourceSampler]
CHANGED += [value for value in vars(recbole_cdr.data.dataloader).values() if isinstance(value, type)]
CHANGED += [recbole_cdr.trainer.CrossDomainTrainer, recbole_cdr.data.utils]


@pytest.mark.parametrize("adaptation", [
    "cdr_configuration", "cdr_ids", "cdr_features", "cdr_source_sampler", "cdr_dataloaders", "cdr_evaluation",
    "cdr_model_package",
])  # fmt: skip
def test_a_framework_without_the_fault_is_left_alone(adaptation):
    before = [dict(vars(owner)) for owner in CHANGED]
    getattr(apply, adaptation)()
    assert [dict(vars(owner)) for owner in CHANGED] == before


def test_all_adaptations_are_made_once(domains):
    before = [dict(vars(owner)) for owner in CHANGED]
    apply.apply()
    assert [dict(vars(owner)) for owner in CHANGED] == before
    assert torch.load is stock_torch_load
