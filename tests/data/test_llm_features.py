"""Embeddings in the order of ids: every row must be that of its token."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.quick_start import load_dataset
from tests.helpers.pairs import random_events, write_pair, write_profiles, write_vectors
from tests.helpers.runs import load
from tests.helpers.token_pair import ITEMS, USERS, assert_aligned, shuffled_vectors, vector


def test_other_files_of_vectors_are_read_by_name(token_pair, tmp_path):
    folder = tmp_path / "dataset" / "pair"
    for domain in DOMAINS:
        write_vectors(folder / domain / "other.itememb", "item", {token: [1.0, 2.0] for token in ITEMS[domain]})
    write_vectors(folder / "other.useremb", "user", {token: [3.0] for token in USERS})
    dataset = load(token_pair, item_embedding_file="other.itememb", user_embedding_file="other.useremb")
    assert dataset.item_embedding()[1:].tolist() == [[1.0, 2.0]] * (len(dataset.item_token) - 1)
    assert dataset.user_vectors().vectors[1:].tolist() == [[3.0]] * len(USERS)
    assert {values["file"] for values in dataset.coverage.values()} == {"other.itememb", "other.useremb"}


@pytest.mark.parametrize("name", ["../x.itememb", "other.useremb", "other", 3])
def test_a_name_of_another_file_that_cannot_be_one(token_pair, name):
    with pytest.raises(UserError, match=r"item_embedding_file must be the name of a file.*\.itememb"):
        load(token_pair, item_embedding_file=name)


def test_another_file_that_is_missing_is_named_with_the_command_that_makes_it(token_pair):
    dataset = load(token_pair, user_embedding_file="history.useremb")
    with pytest.raises(
        UserError,
        match=r"history\.useremb does not exist.*=history\.useremb --profile_file=profiles\.jsonl`",
    ):
        dataset.user_vectors()


def test_the_vector_of_an_item_of_both_domains_may_stand_in_either_file(token_pair, tmp_path):
    files = {domain: tmp_path / "dataset" / "pair" / domain / f"{domain}.itememb" for domain in DOMAINS}
    write_vectors(files["source"], "item", shuffled_vectors(set(ITEMS["source"]) - {"both0", "both1"}))
    write_vectors(files["target"], "item", shuffled_vectors(set(ITEMS["target"]) - {"both2", "both3"}))
    assert_aligned(load(token_pair))


def test_the_rows_of_the_embedding_files_may_stand_in_any_order(token_pair, tmp_path):
    before = load(token_pair)
    item, user = np.array(before.item_embedding()), np.array(before.user_vectors().vectors)
    for domain in DOMAINS:
        path = tmp_path / "dataset" / "pair" / domain / f"{domain}.itememb"
        write_vectors(path, "item", shuffled_vectors(ITEMS[domain], seed=8))
    write_vectors(tmp_path / "dataset" / "pair" / "pair.useremb", "user", shuffled_vectors(USERS, seed=9))
    after = load(token_pair)
    np.testing.assert_array_equal(after.item_embedding(), item)
    np.testing.assert_array_equal(after.user_vectors().vectors, user)


def test_rows_fit_their_tokens_when_they_come_from_the_cache(token_pair, tmp_path):
    load(token_pair).item_embedding()
    assert list((tmp_path / "dataset" / "pair").rglob("*.itememb.cache"))
    assert_aligned(load(token_pair))


def test_tokens_without_a_vector_get_zeros_and_are_counted(token_pair, tmp_path, caplog):
    path = tmp_path / "dataset" / "pair" / "target" / "target.itememb"
    write_vectors(path, "item", shuffled_vectors(set(ITEMS["target"]) - {"film3", "film4"}))
    dataset = load(token_pair)
    matrix, ids = dataset.item_embedding(), dataset.token_ids("target", "item")
    assert not matrix[[ids["film3"], ids["film4"]]].any()
    assert matrix[ids["film5"]].tolist() == vector("film5")
    assert dataset.coverage["target items"] == {"with_embedding": 11, "total": 13, "file": "target.itememb"}
    assert "2 of 13 target items have no LLM embedding" in caplog.text


def test_case_r16_vectors_of_zeros_are_counted_and_warned_of(token_pair, tmp_path, caplog):
    load(token_pair).item_embedding()
    assert "zeros only" not in caplog.text
    path = tmp_path / "dataset" / "pair" / "target" / "target.itememb"
    zero = {item: [0.0, -0.0, 0.0] if item in ("film3", "film4") else vector(item) for item in ITEMS["target"]}
    write_vectors(path, "item", zero)
    write_vectors(tmp_path / "dataset" / "pair" / "pair.useremb", "user", {user: [0.0] for user in USERS})
    dataset = load(token_pair)
    dataset.item_embedding()
    dataset.user_vectors()
    assert "target.itememb: 2 of 13 vectors hold zeros only" in caplog.text
    assert "pair.useremb: 14 of 14 vectors hold zeros only" in caplog.text
    assert dataset.coverage["target items"]["with_embedding"] == 13


def test_the_vectors_are_not_copied_when_the_data_set_is_read(token_pair):
    assert not any(isinstance(value, np.ndarray) and value.ndim == 2 for value in vars(load(token_pair)).values())


def test_embeddings_of_two_sizes_are_an_error_with_the_file(token_pair, tmp_path):
    path = tmp_path / "dataset" / "pair" / "target" / "target.itememb"
    write_vectors(path, "item", {item: [*vector(item), 1.0] for item in ITEMS["target"]})
    with pytest.raises(UserError, match=r"target\.itememb: its vectors have 4 numbers, those of the other domain 3"):
        load(token_pair).item_embedding()


ITEMS_OF_SOURCE, PROFILES = "source/source.itememb", "pair.useremb"
# What a model reads, and how it does without, if it can.
SETTINGS = [
    ("LeCDSR", ITEMS_OF_SOURCE, "--no_item_semantics=True"),
    ("LeCDSR", PROFILES, "--no_user_profile=True"),
    ("TextSASRec", ITEMS_OF_SOURCE, "--no_item_semantics=True"),
    ("LLM4CDSR", PROFILES, "--user_align_weight=0"),
    ("LLMESR", PROFILES, "--user_loss_weight=0"),
    ("LLM4CDSR", ITEMS_OF_SOURCE, None),
    ("LLMESR", ITEMS_OF_SOURCE, None),
    ("UniSRec", ITEMS_OF_SOURCE, None),
    ("AlphaFuse", ITEMS_OF_SOURCE, None),
    ("SASRecF", ITEMS_OF_SOURCE, None),
]
OF_FUSION = ("SASRec", ITEMS_OF_SOURCE, "--no_item_semantics=True")


@pytest.mark.parametrize(
    ("score_fusion", "model", "name", "setting"),
    [*((False, *one) for one in SETTINGS), *((True, *one) for one in (*SETTINGS, OF_FUSION))],
)
def test_a_missing_embedding_says_how_to_make_it_and_how_the_model_does_without(
    token_pair, tmp_path, model, name, setting, score_fusion
):
    of_lecdsr = ("adapter_hidden_size", "embedding_size", "train_neg_sample_args")
    settings = {key: value for key, value in token_pair.items() if key not in of_lecdsr}
    settings |= {"score_fusion": score_fusion}
    (tmp_path / "dataset" / "pair" / name).unlink()

    def make(*command_line: str) -> None:
        data = load_dataset(model, config_dict=settings, command_line=command_line)
        data.config.model_class(data.config, data)

    with pytest.raises(UserError, match=rf"{Path(name).name} does not exist: .*embed --dataset pair") as error:
        make()
    if setting is None:
        assert str(error.value).endswith(f"`; {model} cannot do without it")
    else:
        assert str(error.value).endswith(f"`, or train without it by {setting}")
        make(setting)


# ------------------------------------------------------------------ profiles of several times


def profiles_file(tmp_path: Path) -> Path:
    return tmp_path / "dataset" / "pair" / "pair.useremb"


def test_profiles_without_events_are_said_to_have_seen_the_training_targets(token_pair, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    users = load(token_pair).user_vectors()
    said = [record.getMessage() for record in caplog.records if "pair.useremb" in record.getMessage()]
    assert sum("in training, targets meet profiles that have seen them" in message for message in said) == 1
    assert not users.is_as_of and users.user.tolist() == list(range(len(USERS) + 1))


def test_it_is_said_how_many_targets_of_each_split_meet_a_profile(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    settings = write_pair(
        tmp_path / "dataset", random_events(5)
    )  # ten interactions each, of which the first is no target
    profiles = {("u0", 0): [1.0], ("u1", 4): [2.0], ("u2", 8): [3.0], ("u3", 9): [4.0], ("u3", 11): [5.0]}
    write_profiles(profiles_file(tmp_path), profiles)
    dataset = load(settings)
    users = dataset.user_vectors()
    # u0 has 7 training targets, u1 those from the fifth interaction on, which are 4.
    assert (
        "a profile of earlier interactions for 11 of 35 training, 3 of 5 validation and 4 of 5 test targets"
        in caplog.text
    )
    assert "have seen them" not in caplog.text
    assert "1 of 5 profiles were made from more interactions than the user has here" in caplog.text
    assert dataset.coverage["users"] == {"with_embedding": 4, "total": 5, "file": "pair.useremb"}
    assert "1 of 5 users have no LLM embedding" in caplog.text
    assert dataset.user_vectors() is users is dataset.with_validation_for_training().user_vectors()


def test_profiles_of_all_interactions_that_there_are_can_be_met_by_recommendations(tmp_path, caplog):
    settings = write_pair(tmp_path / "dataset", random_events(5))
    write_profiles(profiles_file(tmp_path), {(f"u{user}", 10): [1.0] for user in range(5)})
    load(settings).user_vectors()
    assert "more interactions than the user has" not in caplog.text


def test_profiles_of_several_times_may_be_made_for_any_split(tmp_path, caplog):
    """Whatever is validated or tested, a target meets those alone that were made before it."""
    settings = write_pair(tmp_path / "dataset", random_events(5))
    path = profiles_file(tmp_path)
    path.with_name("pair.useremb.json").write_text('{"split": {"RS": [0.8, 0.1, 0.1]}}')
    load(settings).user_vectors()
    assert "may contain validation or test interactions" in caplog.text
    caplog.clear()
    write_profiles(path, {("u0", 3): [1.0]})
    load(settings).user_vectors()
    assert "may contain" not in caplog.text


def test_zeros_among_profiles_of_several_times_are_counted_by_rows(tmp_path, caplog):
    settings = write_pair(tmp_path / "dataset", random_events(5))
    write_profiles(profiles_file(tmp_path), {("u0", 3): [0.0], ("u0", 4): [1.0], ("u1", 4): [0.0]})
    load(settings).user_vectors()
    assert "2 of 3 vectors hold zeros only" in caplog.text
