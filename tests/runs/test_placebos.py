"""A run with a placebo: what its result records, what makes it the same run, and that no file of the data changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recbole_lecdsr.data import placebo
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.quick_start import load_data_and_model
from recbole_lecdsr.runs.result import RunResult
from tests.helpers import as_of
from tests.helpers.pairs import random_events, write_pair
from tests.helpers.runs import load, train

BOTH = {"user_vectors": "random", "item_vectors": "permuted"}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    root = tmp_path_factory.mktemp("placebos")
    return {**write_pair(root / "dataset", random_events(12)), "train_epochs": ["BOTH:1"], "score_fusion": False}


@pytest.fixture(scope="module")
def trained(pair, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("runs"))
        return train(pair, **BOTH)


def test_the_result_records_kind_and_digest_and_the_identity_has_them(trained):
    result = RunResult.read(Path(trained["run_directory"]) / "result.json")
    assert {name: values["kind"] for name, values in result.placebos.items()} == BOTH
    assert result.identity["user_placebo"] == result.placebos["user_vectors"]["digest"]
    assert result.identity["item_placebo"] == result.placebos["item_vectors"]["digest"]
    assert result.coverage["users"] == {"with_embedding": 12, "total": 12, "file": "pair.useremb"}
    assert {"user_vectors", "source_item_vectors", "target_item_vectors"} <= result.identity.keys()


def test_a_run_without_placebo_records_none(pair, trained):
    truth, with_id = train(pair)["result"], train(pair, user_vectors="id")["result"]
    assert truth["placebos"] is None and with_id["placebos"] is None
    for result in (truth, with_id):
        assert not {"user_placebo", "item_placebo"} & result["identity"].keys()
    assert "user_vectors" not in with_id["identity"]
    digests = {result["identity"]["digest"] for result in (truth, with_id, trained["result"])}
    assert len(digests) == 3


def drawn(pair, **changes):
    data = load(pair, **changes)
    return data.llm_features.read_placebos(), data.user_vectors().vectors.tolist(), data.item_embedding().tolist()


def test_the_seed_makes_the_vectors_and_every_run_of_it_has_them(pair, trained):
    digests, users, items = drawn(pair, **BOTH)
    assert digests == {name: values["digest"] for name, values in trained["result"]["placebos"].items()}
    assert drawn(pair, **BOTH, embedding_size=4, score_fusion=True) == (digests, users, items)
    other, other_users, other_items = drawn(pair, **BOTH, seed=2023)
    assert all(other[name] != digests[name] for name in digests)
    assert other_users != users and other_items != items
    assert drawn(pair, user_vectors="permuted")[0]["user_vectors"] != digests["user_vectors"]


def test_permuted_vectors_of_items_stay_in_their_domain(pair):
    truth, dealt = load(pair).item_embedding(), load(pair, item_vectors="permuted").item_embedding()
    for items in load(pair).domain_items:  # no item is in both
        assert sorted(truth[items].tolist()) == sorted(dealt[items].tolist())
        assert not (truth[items] == dealt[items]).all(axis=1).any()


def test_an_item_of_both_domains_is_dealt_as_one_of_the_target(tmp_path):
    order = [(item, "source") for item in ("s1", "both", "s2")] + [(item, "target") for item in ("both", "t1", "t2")]
    events = [(f"u{n}", item, domain, float(t)) for n in range(6) for t, (item, domain) in enumerate(order)]
    items = {"source": {"s1": [1.0], "s2": [2.0], "both": [3.0]}, "target": {"t1": [4.0], "t2": [5.0], "both": [3.0]}}
    settings = write_pair(tmp_path / "dataset", events, items)
    data = load(settings, item_vectors="permuted")
    vectors = dict(zip(data.item_token, data.item_embedding()[:, 0].tolist(), strict=True))
    assert (vectors["s1"], vectors["s2"]) == (2.0, 1.0)
    assert sorted(vectors[item] for item in ("both", "t1", "t2")) == [3.0, 4.0, 5.0]
    assert vectors["both"] != 3.0


def test_no_file_of_the_data_set_changes(pair, trained):
    folder = Path(str(pair["data_path"]))
    before = {path: path.read_bytes() for path in sorted(folder.rglob("*.*emb*"))}
    train(pair, **{**BOTH, "user_vectors": "permuted"})
    assert {path: path.read_bytes() for path in sorted(folder.rglob("*.*emb*"))} == before


def test_trained_weights_come_back_with_their_placebo(trained):
    config, model, data, _, _, _ = load_data_and_model(trained["run_directory"])
    digests = {name: values["digest"] for name, values in trained["result"]["placebos"].items()}
    assert data.llm_features.read_placebos() == digests
    np.testing.assert_array_equal(model.network.user_text.cpu().numpy(), data.user_vectors().vectors)
    assert config["user_vectors"] == "random"


def test_another_draw_for_the_same_seed_is_noticed(pair, trained, monkeypatch):
    true = placebo._generator
    monkeypatch.setattr(placebo, "_generator", lambda name, seed: true(name, seed + 1))  # as by another NumPy
    with pytest.raises(UserError, match="trained with other placebo vectors of items"):
        load_data_and_model(trained["run_directory"])
    with pytest.raises(UserError, match="a run with other placebo vectors of items and placebo vectors of users"):
        train(pair, **BOTH)


def test_of_profiles_of_several_times_a_placebo_is_one_vector_or_all_those_of_another_user(tmp_path):
    settings = as_of.write_data(tmp_path)
    true = load(settings).user_vectors()
    random = load(settings, user_vectors="random").user_vectors()
    assert not random.is_as_of, "every target of the user meets it"
    with_profile = np.unique(true.user[1:])
    assert np.flatnonzero(random.vectors.any(axis=1)).tolist() == with_profile.tolist()
    permuted = load(settings, user_vectors="permuted").user_vectors()
    assert permuted.is_as_of and not permuted.vectors[0].any()
    assert np.unique(permuted.user[1:]).tolist() == with_profile.tolist()
    for user in with_profile:
        rows = permuted.user == user
        (giver,) = {
            int(true.user[np.flatnonzero((true.vectors == row).all(axis=1))[0]]) for row in permuted.vectors[rows]
        }
        assert giver != user
        assert permuted.events[rows].tolist() == true.events[true.user == giver].tolist()
        np.testing.assert_array_equal(permuted.vectors[rows], true.vectors[true.user == giver])
