from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.quick_start import load_data_and_model
from recbole_lecdsr.recommend import batches as module
from recbole_lecdsr.recommend.batches import to_frame
from recbole_lecdsr.recommend.recommender import Recommender, load_run, recommend, recommend_for_history
from recbole_lecdsr.recommend.vocabulary import Vocabulary
from recbole_lecdsr.runs import run_directory
from recbole_lecdsr.runs.checkpoint import Checkpoint
from tests.helpers.pairs import random_events, write_pair
from tests.helpers.runs import train
from tests.helpers.shop import HISTORY, WITHOUT_PROFILE, assert_equal_lists, listed, ranked, title


@pytest.mark.parametrize("include_history", [False, True])
def test_the_lists_are_the_best_of_all_items_of_the_domain_by_the_latest_events_of_all_splits(loaded, include_history):
    users = sorted(HISTORY)
    frame = recommend(*loaded, users, k=4, include_history=include_history)
    assert list(frame.columns) == ["user", "domain", "rank", "item", "title", "score"]
    assert list(dict.fromkeys(frame["user"])) == users
    for user in users:
        without = () if include_history else [item for item, _ in HISTORY[user]]
        for domain in ("source", "target"):
            expected = ranked(*loaded, user, HISTORY[user], domain, 4, without)
            assert_equal_lists(listed(frame, user, domain), expected)
    assert frame["title"].tolist() == [title(item) for item in frame["item"]]


def test_a_list_ends_with_the_last_item_that_may_be_recommended(shop, loaded):
    frame = recommend(*loaded, ["u0"], k=1000)
    had = {item for item, _ in HISTORY["u0"]}
    for domain, items in shop["items"].items():
        assert {item for item, _ in listed(frame, "u0", domain)} == set(items) - had


def test_a_history_on_the_command_line_is_scored_as_that_of_a_user_without_profile_at_the_end_of_the_data(loaded):
    history = [(domain, item) for item, domain in HISTORY[WITHOUT_PROFILE]]
    found = recommend_for_history(*loaded, history, k=5)
    assert found["user"].isna().all()
    without = [item for item, _ in HISTORY[WITHOUT_PROFILE]]
    for domain in ("source", "target"):
        expected = ranked(*loaded, WITHOUT_PROFILE, HISTORY[WITHOUT_PROFILE], domain, 5, without, now=True)
        assert_equal_lists(listed(found, None, domain), expected)


def test_a_history_shorter_than_the_window_is_scored_as_it_is(loaded):
    history = HISTORY["u1"][:2]
    found = recommend_for_history(*loaded, [(domain, item) for item, domain in history], k=3)
    without = [item for item, _ in history]
    for domain in ("source", "target"):
        expected = ranked(*loaded, None, history, domain, 3, without, now=True)
        assert_equal_lists(listed(found, None, domain), expected)


def test_it_works_on_what_load_data_and_model_returns(shop, loaded):
    _, model, dataset, *_ = load_data_and_model(shop["folder"] / run_directory.MODEL)
    pd.testing.assert_frame_equal(recommend(model, dataset, ["u5"]), recommend(*loaded, ["u5"]))


def test_small_batches_give_the_same_and_no_batch_scores_more_users_than_fit(loaded, monkeypatch):
    model, dataset = loaded
    vocabulary = Vocabulary(dataset)
    users = vocabulary.users_with_interactions
    whole = [to_frame(part, vocabulary) for part in Recommender(model, dataset).for_users(users, 3)]
    assert len(whole) == 1
    scored = []
    stock = model.score_items
    monkeypatch.setattr(model, "score_items", lambda batch, items: scored.append(len(batch)) or stock(batch, items))
    monkeypatch.setattr(module, "_MAX_SCORES", 4 * dataset.num_total_item)
    parts = [to_frame(part, vocabulary) for part in Recommender(model, dataset).for_users(users, 3)]
    assert max(scored) == 4
    assert sum(scored) == 2 * len(users), "once for each domain"
    small = pd.concat(parts, ignore_index=True)
    pd.testing.assert_frame_equal(small, whole[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("model", ["SASRec", "BPR", "Pop"])
def test_models_of_recbole_recommend_too_and_a_single_domain_hides_the_events_of_the_other(shop, model):
    settings = {key: value for key, value in shop["settings"].items() if not key.endswith("_size")}
    outcome = train(settings, model, sequence="single", train_epochs=["BOTH:1"], output_dir="runs")
    models, dataset = load_run(outcome["run_directory"])
    frame = recommend(models["source"], dataset, ["u0", "u1"], k=3)
    assert frame.groupby(["user", "domain"]).size().tolist() == [3] * 4
    both = [("source", shop["items"]["source"][0]), *(("target", item) for item in shop["items"]["target"][:2])]
    found = recommend_for_history(models["source"], dataset, both, k=3)
    alone = recommend_for_history(models["source"], dataset, both[:1], k=3)
    assert listed(found, None, "source") == listed(alone, None, "source")


def test_the_best_epoch_of_each_domain_recommends_the_items_of_that_domain(shop):
    outcome = train(shop["settings"], selection="per_domain_best", output_dir="runs")
    path = Path(outcome["run_directory"]) / run_directory.MODEL
    checkpoint = Checkpoint.load(path)
    best = checkpoint.best
    best["target"].state_dict["ema.network/item_id/weight"] *= -1  # certainly another epoch
    checkpoint.save(path)
    models, dataset = load_run(outcome["run_directory"])
    vocabulary = Vocabulary(dataset)
    (found,) = Recommender(models, dataset).for_users(vocabulary.user_ids(["u2"]), 4)
    for domain in ("source", "target"):
        model = models["source"]
        model.load_state_dict(best[domain].state_dict)
        expected = ranked(model, dataset, "u2", HISTORY["u2"], domain, 4, [item for item, _ in HISTORY["u2"]])
        assert_equal_lists(listed(to_frame(found, vocabulary), "u2", domain), expected)


def test_a_run_that_is_missing_unfinished_or_on_other_data_is_an_error_with_a_remedy(shop, tmp_path):
    with pytest.raises(UserError, match=r"LeCDSR-203 does not exist: there is .*LeCDSR-2022"):
        load_run(shop["folder"].parent / "LeCDSR-203")
    with pytest.raises(UserError, match="train first"):
        load_run(tmp_path / "nowhere" / "at" / "all")
    copy = tmp_path / "copy"
    shutil.copytree(shop["folder"], copy)
    (copy / run_directory.RESULT).unlink()
    load_run(copy)  # trained to its end, although there is no result of a test
    checkpoint = Checkpoint.load(copy / run_directory.MODEL)
    replace(checkpoint, training_ended=False).save(copy / run_directory.MODEL)
    with pytest.raises(UserError, match="not finished"):
        load_run(copy)
    (copy / run_directory.MODEL).write_bytes(b"rubbish")
    with pytest.raises(UserError, match="cannot be read"):
        load_run(copy)
    other = write_pair(tmp_path / "other", random_events(5, 20))
    with pytest.raises(UserError, match="do not fit the data"):
        load_run(shop["folder"], {"data_path": other["data_path"]})


def test_scores_that_are_no_numbers_are_not_ranked(loaded, monkeypatch):
    model, dataset = loaded
    monkeypatch.setattr(model, "score_items", lambda _, items: torch.full((1, len(items)), torch.nan))
    with pytest.raises(UserError, match="not numbers"):
        recommend(model, dataset, ["u1"])
