"""`user_vectors` and `item_vectors`: which models can have which, and what takes the place of texts in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.model.causal_network import CausalNetwork
from recbole_lecdsr.quick_start import load_dataset
from recbole_lecdsr.runs.run_folders import take_run_directory
from recbole_lecdsr.schema import parameter_digest
from tests.helpers.pairs import PER_TARGET, random_events, write_pair

READS_BOTH, READS_ITEMS = ("LeCDSR", "LeCDSR-paper", "LLM4CDSR", "LLMESR"), (
    "TextSASRec", "UniSRec", "AlphaFuse", "SASRecF",
)  # fmt: skip


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return write_pair(tmp_path_factory.mktemp("placebos") / "dataset", random_events(12))


@pytest.fixture(scope="module")
def settings(pair):
    """For any model: without the sizes of LeCDSR."""
    return {key: value for key, value in pair.items() if not key.endswith("_size") and not key.startswith("train_")}


def configure(settings, model="LeCDSR", **changes) -> LeCDSRConfig:
    return LeCDSRConfig(model, config_dict={**settings, **changes}, command_line=[])


def make(settings, model="LeCDSR", **changes):
    data = load_dataset(model, config_dict={**settings, **changes}, command_line=[])
    return data.config.model_class(data.config, data), data


# ------------------------------------------------------------------ every model that reads vectors


@pytest.mark.parametrize("kind", ["random", "permuted"])
@pytest.mark.parametrize("model", READS_BOTH + READS_ITEMS)
def test_every_model_that_reads_vectors_takes_their_placebos(settings, model, kind):
    truth = load_dataset(model, config_dict=settings, command_line=[])
    changes = {"item_vectors": kind, **({"user_vectors": kind} if model in READS_BOTH else {})}
    _, data = make(settings, model, score_fusion=False, **changes)
    assert set(data.llm_features.placebos) == set(changes)
    assert (data.item_embedding().any(axis=1) == truth.item_embedding().any(axis=1)).all()
    assert not (data.item_embedding() == truth.item_embedding()).all(axis=1)[1:].any()
    conditions = data.config.model_class.describe_conditions(data.config.final_config_dict)
    assert not conditions.item_texts and not conditions.user_profiles


def test_score_fusion_reads_the_placebo_too(settings):
    true, _ = make(settings, "SASRec", score_fusion=True)
    fused, data = make(settings, "SASRec", score_fusion=True, item_vectors="random")
    assert data.llm_features.placebos["item_vectors"]["kind"] == "random"
    assert not torch.allclose(true._texts.vector, fused._texts.vector)


# ------------------------------------------------------------------ the model's own switch


@pytest.mark.parametrize(
    ("model", "choice", "switch"),
    [
        ("LeCDSR", {"user_vectors": "none"}, {"no_user_profile": True}),
        ("LeCDSR", {"item_vectors": "none"}, {"no_item_semantics": True}),
        ("LeCDSR-paper", {"user_vectors": "none"}, {"no_user_profile": True}),
        ("LeCDSR-paper", {"user_vectors": "id"}, {"no_user_profile": True}),
        ("TextSASRec", {"item_vectors": "none"}, {"no_item_semantics": True}),
        ("LLM4CDSR", {"user_vectors": "none"}, {"user_align_weight": 0}),
        ("LLMESR", {"user_vectors": "none"}, {"user_loss_weight": 0}),
        ("SASRec", {"user_vectors": "none", "item_vectors": "none"}, {}),
        ("SASRec", {"item_vectors": "none", "score_fusion": True}, {"no_item_semantics": True, "score_fusion": True}),
        ("LeCDSR", {"user_vectors": "none", "no_user_profile": True}, {"no_user_profile": True}),
        ("LeCDSR-paper", {"user_vectors": "id", "no_user_profile": True}, {"no_user_profile": True}),
    ],
)
def test_none_is_the_models_own_switch_and_the_same_run(settings, model, choice, switch):
    one, other = configure(settings, model, **choice), configure(settings, model, **switch)
    assert one.plain() == other.plain()
    assert parameter_digest(one.plain()) == parameter_digest(other.plain())
    assert take_run_directory(one) == take_run_directory(other)


def test_the_folder_of_a_run_without_profile_does_not_have_the_name_of_a_default_one(settings):
    assert configure(settings, user_vectors="none").run_directory.name.startswith("LeCDSR-2022-")


@pytest.mark.parametrize(
    ("model", "changes", "error"),
    [
        (
            "LeCDSR",
            {"user_vectors": "random", "no_user_profile": True},
            "no_user_profile: True leaves out the profiles",
        ),
        ("LeCDSR", {"user_vectors": "id", "no_user_profile": True}, "that user_vectors: id replaces"),
        ("LeCDSR", {"item_vectors": "permuted", "no_item_semantics": True}, "no_item_semantics: True leaves out"),
        ("TextSASRec", {"user_vectors": "permuted"}, "no_user_profile: True leaves out"),
        ("LLM4CDSR", {"item_vectors": "none"}, "LLM4CDSR cannot do without item texts: leave item_vectors: none out"),
        ("LLMESR", {"item_vectors": "none"}, "LLMESR cannot do without item texts"),
        ("UniSRec", {"item_vectors": "none"}, "UniSRec cannot do without item texts"),
        ("AlphaFuse", {"item_vectors": "none"}, "AlphaFuse cannot do without item texts"),
        ("SASRecF", {"item_vectors": "none"}, "SASRecF cannot do without item texts"),
        ("LLM4CDSR", {"user_vectors": "id"}, "LLM4CDSR has no place for a trainable vector of each user: use"),
        ("SASRec", {"user_vectors": "random"}, "SASRec reads no user profiles that user_vectors: random could replace"),
        ("SASRec", {"user_vectors": "id"}, "SASRec reads no user profiles"),
        ("SASRec", {"item_vectors": "permuted"}, "SASRec reads no item texts"),
        ("LLMESR", {"user_vectors": "random", "user_loss_weight": 0}, "LLMESR reads no user profiles"),
        (
            "UniSRec",
            {"item_vectors": "random", "word_drop_file": "a.itememb"},
            "word_drop_file has vectors of the texts",
        ),
        ("LeCDSR", {"user_vectors": "text"}, "user_vectors must be one of profiles, random, permuted, id, none"),
        ("LeCDSR", {"item_vectors": "id"}, "item_vectors must be one of text, random, permuted, none"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(settings, model, changes, error):
    with pytest.raises(UserError) as caught:
        configure(settings, model, score_fusion=False, **changes)
    (line,) = str(caught.value).splitlines()
    assert error in line


def test_a_choice_of_vectors_that_score_fusion_alone_reads_is_allowed(settings):
    assert configure(settings, "SASRec", score_fusion=True, item_vectors="permuted")["item_vectors"] == "permuted"


# ------------------------------------------------------------------ a user ID in the profile's place


def test_an_id_takes_the_profiles_place_and_needs_no_profiles(pair, tmp_path):
    own = {**pair, **write_pair(tmp_path / "dataset", random_events(12))}
    profiles = Path(str(own["data_path"])) / "pair" / "pair.useremb"
    with_profile, _ = make(own)
    profiles.unlink()
    model, data = make(own, user_vectors="id", score_fusion=False)
    network = model.network
    assert isinstance(network, CausalNetwork) and network.user_text is None
    assert network.user_id.weight.shape == (data.num_total_user, own["embedding_size"])
    assert network.profile_weight.shape == with_profile.network.profile_weight.shape
    assert not network.profile_weight.any(), "as that of a profile, it starts at zero"
    assert "users" not in data.coverage


def id_network(**changes) -> CausalNetwork:
    torch.manual_seed(0)
    settings = {"n_items": 12, "max_length": 6, "embedding_size": 8, "hidden_size": 4, "item_embedding": None}
    network = CausalNetwork(
        **{**settings, "user_vectors": None, "n_user_ids": 5, "init_from_text": False, "dropout": 0.0, **changes}
    )
    torch.nn.init.ones_(network.profile_weight)
    return network


def test_the_id_is_added_to_the_query_by_the_weight_of_the_domain():
    network = id_network().eval()
    state, domain, user = torch.randn(4, 8), torch.tensor([0, 1, 0, 1]), torch.tensor([3, 3, 1, 4])
    with torch.no_grad():
        network.profile_weight[1] = 0.5
        query = network.queries(state, domain, user, user)
        expected = state + torch.tensor([1, 0.5, 1, 0.5]).unsqueeze(1) * network.user_id.weight[user]
    assert torch.allclose(query, expected)


def test_the_id_has_the_dropout_of_a_profile():
    state, many = torch.zeros(2000, 8), torch.full((2000,), 2)
    network = id_network(profile_dropout=0.25).train()
    kept = network.queries(state, many * 0, many, many).ne(0).any(dim=1)
    assert 0.7 < kept.float().mean() < 0.8
    network = id_network(profile_dropout=0.0, dropout=0.5).train()
    users = torch.arange(2000) % 5
    dropped = network.queries(state, users * 0, users, users).eq(0).float().mean()
    assert 0.2 < dropped < 0.8, "of the five vectors themselves, as of an adapted profile"


def test_ids_are_trained(pair):
    model, _ = make(pair, user_vectors="id", score_fusion=False)
    network = model.network
    with torch.no_grad():
        network.profile_weight += 0.1
    user = torch.tensor([1, 2])
    network.queries(torch.zeros(2, 8), user * 0, user, user).sum().backward()
    moved = network.user_id.weight.grad.abs().sum(dim=1)
    assert np.flatnonzero(moved.numpy()).tolist() in ([1, 2], [1], [2])  # profile_dropout may take one
    assert network.profile_weight.grad is not None


def test_the_published_network_has_its_own_table(pair):
    model, _ = make(pair, "LeCDSR", **PER_TARGET, user_vectors="id", score_fusion=False)
    assert model.network.user_text is None and model.network.user_id.weight.shape[1] == pair["embedding_size"]
