"""A split at two moments: nothing that is later than a target reaches what ranks it (docs/protocol.md, 3)."""

from __future__ import annotations

import json
import logging
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from recbole_lecdsr.data.constants import TEST, TRAIN, VALID
from recbole_lecdsr.data.eval_loader import EvalLoader
from recbole_lecdsr.data.event_log import EventLog
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.leaderboard.standings import compute_standings
from recbole_lecdsr.leaderboard.statements import statements
from recbole_lecdsr.leaderboard.study import read_study
from recbole_lecdsr.llm.encoders.embed import TokenVectors, average_item_vectors
from recbole_lecdsr.llm.user_profiles import read_profiles
from recbole_lecdsr.model.score_fusion.calibration import calibration_targets, withhold_calibration
from recbole_lecdsr.prepare.property_file import read_split_rule
from recbole_lecdsr.quick_start import load_data_and_model
from tests.helpers import studies
from tests.helpers.pairs import Event, random_events, write_pair
from tests.helpers.runs import assert_same_weights, load, loaders, read_run, train
from tests.llm.generation.test_profiler import prompts

BY_TIME = {"split": {"RS": [0.6, 0.2, 0.2]}, "group_by": "none"}


def events_over_time() -> list[Event]:
    """Users who begin one after the other, some only when others are tested; no two interactions at one time."""
    return [
        (user, item, domain, time + int(user[1:]) / 2 + row * 1e-4)
        for row, (user, item, domain, time) in enumerate(random_events(40, 25))
    ]


def with_other_interactions_after(events: list[Event], moment: float) -> list[Event]:
    """What is later than a moment has other users and items, of the same domain."""
    shuffle, changed = random.Random(3), list(events)
    for domain in ("source", "target"):
        rows = [row for row, event in enumerate(events) if event[2] == domain and event[3] > moment]
        users = [events[row][0] for row in rows]
        shuffle.shuffle(users)
        items = shuffle.choices(sorted({item for _, item, own, _ in events if own == domain}), k=len(rows))
        for row, user, item in zip(rows, users, items, strict=True):
            changed[row] = (user, item, domain, events[row][3])
    return changed


def train_by_time(root: Path, events: list[Event], model: str, **changes) -> dict:
    """What a run with this split comes to."""
    settings = write_pair(root, events)
    if model != "LeCDSR":
        del settings["embedding_size"], settings["adapter_hidden_size"]
    return train(settings, model, eval_args=BY_TIME, **changes)


@pytest.fixture(scope="module")
def log(tmp_path_factory) -> EventLog:
    return load(write_pair(tmp_path_factory.mktemp("data"), events_over_time()), eval_args=BY_TIME).log


def test_all_interactions_are_split_at_two_moments(log):
    train, valid, test = (log.time[log.split == part] for part in (TRAIN, VALID, TEST))
    assert train.max() < valid.min() <= valid.max() < test.min()
    assert [len(train), len(valid), len(test)] == [240, 80, 80]


@pytest.mark.parametrize("given", ["none", "None", None])
def test_group_by_is_written_as_recbole_allows(tmp_path, given):
    data = load(write_pair(tmp_path, events_over_time()), eval_args={**BY_TIME, "group_by": given})
    assert data.config["eval_args"]["group_by"] == "none" and data.splits_by_time


# ------------------------------------------------------------------ leaks


def rankings(folder: str, until: float) -> dict[tuple[str, float], np.ndarray]:
    """By phase and time of each validation and test target up to a moment: the scores of all items; and, of ``rank``,
    the rank of each test target."""
    _, model, _, _, *evaluation = load_data_and_model(folder)
    found = {
        ("rank", time): rank
        for time, rank in zip(times_of(evaluation[1]), read_run(folder)["ranks"]["rank"], strict=True)
    }
    for loader in evaluation:
        with torch.no_grad(), model.scoring():
            scores = [model.full_sort_predict(batch).view(len(batch), -1) for batch, *_ in loader]
        found |= {
            (loader.phase, time): row for time, row in zip(times_of(loader), torch.cat(scores).numpy(), strict=True)
        }
    return {key: values for key, values in found.items() if key[1] <= until}


def times_of(loader: EvalLoader) -> list[float]:
    return loader.dataset.log.time[loader.targets].tolist()


MODELS = ["LeCDSR", "SASRec", "BPR", "ItemKNN", "ABXI", "C2DSR", "TriCDR", "LLMESR"]


@pytest.mark.parametrize("model", MODELS)
def test_other_interactions_after_a_test_target_change_no_score_and_no_rank_of_it(tmp_path, log, model):
    moment = float(np.median(log.time[log.split == TEST]))
    events = events_over_time()
    outcomes = [
        train_by_time(tmp_path / name, rows, model, score_fusion=model in ("LeCDSR", "SASRec"))
        for name, rows in (("one", events), ("other", with_other_interactions_after(events, moment)))
    ]
    one, other = (read_run(outcome["run_directory"]) for outcome in outcomes)
    assert_same_weights(one["weights"], other["weights"])
    assert outcomes[0]["best_valid_result"] == outcomes[1]["best_valid_result"]
    found, others = (rankings(outcome["run_directory"], moment) for outcome in outcomes)
    assert found.keys() == others.keys() and len(found) > 100
    for key, values in found.items():
        np.testing.assert_array_equal(values, others[key], err_msg=str(key))
    assert one["result"]["test"] != other["result"]["test"], "else the test shows nothing"


@pytest.mark.parametrize("model", ["LeCDSR", "SASRec", "BPR"])
def test_other_validation_interactions_leave_the_training_as_it_was(tmp_path, log, model):
    events, moment = events_over_time(), float(log.time[log.split == TRAIN].max())
    outcomes = [
        train_by_time(tmp_path / name, rows, model)
        for name, rows in (("one", events), ("other", with_other_interactions_after(events, moment)))
    ]
    losses, others = ([epoch["loss"] for epoch in outcome["result"]["history"]] for outcome in outcomes)
    assert losses == others
    assert outcomes[0]["best_valid_result"] != outcomes[1]["best_valid_result"], "else the test shows nothing"


def test_calibration_knows_of_nothing_later_than_its_targets(tmp_path):
    data = load(write_pair(tmp_path, events_over_time()), eval_args=BY_TIME, score_fusion=True)
    targets = calibration_targets(data.log, data.targets("train"), by_time=True)
    withheld = withhold_calibration(data)
    assert len(targets) == 20, "a quarter of the test interactions"
    assert data.log.time[withheld.log.split == TRAIN].max() < data.log.time[targets].min()
    assert not np.isin(withheld.targets("train"), targets).any()
    assert len(loaders(write_pair(tmp_path, events_over_time()), eval_args=BY_TIME)[0].targets) == len(
        withheld.targets("train")
    )


def test_calibration_targets_of_one_moment_are_thinned_and_never_all():
    user = np.repeat(np.arange(1, 41), 3)
    time = np.tile([1.0, 2.0, 9.0], 40)
    label = np.where(time > 2, TEST, TRAIN).astype(np.int8)
    names = ("item", "domain", "source_before", "n_earlier", "relative_time")
    columns = {name: np.zeros(120, dtype=np.int8) for name in names}
    log = EventLog(user=user, split=label, first=np.arange(120) // 3 * 3, time=time, **columns)
    target = np.flatnonzero(time == 2)
    assert len(calibration_targets(log, np.flatnonzero(time <= 2), by_time=True)) in range(10, 20)
    assert not len(calibration_targets(log, target, by_time=True)), "all are of one moment"


# ------------------------------------------------------------------ profiles


def test_profiles_are_made_of_training_interactions_and_refused_with_another_split(tmp_path, log):
    events = events_over_time()
    end = log.time[log.split == TRAIN].max()
    settings = write_pair(tmp_path, [(user, f"{item}.{time}", domain, time) for user, item, domain, time in events])
    found = prompts(settings, eval_args=BY_TIME, llm={"prompt": "lecdsr"})
    assert sorted(found) == sorted({user for user, *_, time in events if time <= end})
    for user, text in found.items():
        shown = {time for own, item, _, time in events if own == user and f"] {item}.{time}\\n" in text}
        assert shown == {time for own, *_, time in events if own == user and time <= end}
    folder = tmp_path / "pair"
    (folder / "profiles.jsonl").write_text('{"user_id": "u1", "profile": "likes x"}\n')
    note = {"split": BY_TIME["split"], "benchmark_filename": None}  # of a split by user, from before there were others
    (folder / "profiles.jsonl.json").write_text(json.dumps(note))
    with pytest.raises(UserError, match="made for group_by user, but group_by is now none"):
        read_profiles(load(settings, eval_args=BY_TIME, profile_file="profiles.jsonl"))
    read_profiles(load(settings, eval_args={"split": BY_TIME["split"]}, profile_file="profiles.jsonl"))


def test_user_vectors_are_those_of_users_with_training_interactions(tmp_path, log, caplog):
    data = load(write_pair(tmp_path, events_over_time()), eval_args=BY_TIME)
    tokens = {domain: [t for t in data.token_ids(domain, "item") if t != "[PAD]"] for domain in ("source", "target")}
    items = {domain: TokenVectors(own, np.ones((len(own), 4), dtype=np.float32)) for domain, own in tokens.items()}
    trained = np.unique(data.log.user[data.log.split == TRAIN])
    assert sorted(average_item_vectors(data, items).tokens) == sorted(data.user_token[trained])
    assert len(trained) < 40
    (tmp_path / "pair" / "pair.useremb.json").write_text(json.dumps({"split": BY_TIME["split"], "group_by": "user"}))
    data.user_vectors()
    assert "made for group_by user, but this run has none" in caplog.text


# ------------------------------------------------------------------ users without training interactions


def test_users_without_training_interactions_are_ranked_and_counted(tmp_path, log, caplog):
    events = [*events_over_time(), ("late", "s1", "source", 998.0), ("late", "t1", "target", 999.0)]
    with caplog.at_level(logging.INFO):
        outcome = train_by_time(tmp_path, events, "SASRec")
    ranks = read_run(outcome["run_directory"])["ranks"]
    found = outcome["result"]["unseen_users"]
    rows = ranks["user"] == "late"
    assert rows.sum() == 1 and ranks["history"][rows].tolist() == [1] and (ranks["rank"] > 0).all()
    assert found["left_out"] == 1 and found["users"] > 1 and found["test_samples"] > found["users"]
    assert "1 interactions of the test split are the first of their user and no samples" in caplog.text
    assert f"{found['test_samples']} test samples are of {found['users']} users without training" in caplog.text


def test_a_report_says_that_the_split_is_by_time_and_who_was_not_trained_on(tmp_path):
    arguments = {**BY_TIME, "order": "TO", "mode": {"valid": "full", "test": "full"}}
    used = {"valid_metric": "NDCG@10", "benchmark_filename": None, "eval_args": arguments}
    samples = studies.make_samples(20)
    studies.describe(tmp_path, ["A", "B"], [1])
    for label in ("A", "B"):
        rank = np.arange(len(samples["domain"])) % 20 + 1
        counts = {"users": 3, "test_samples": 1200, "left_out": 7}
        studies.write_run(tmp_path, label, 1, samples, rank, parameters=used, unseen_users=counts)
    sentences = statements(compute_standings(read_study(Path(tmp_path))))
    assert sentences["Split"].startswith("By time, RS [0.6, 0.2, 0.2] of all interactions (group_by: none)")
    assert "1,200 of the samples are of 3 users without training interactions" in sentences["Test samples"]
    assert "7 test interactions that are the first of their user" in sentences["Test samples"]


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eval_args": {"group_by": "none"}}, r"group_by: none splits .* not \{'LS': 'valid_and_test'\}"),
        ({"eval_args": {**BY_TIME, "order": "RO"}}, "eval_args.order must be TO, not 'RO'"),
        ({"eval_args": BY_TIME, "benchmark_filename": ["train", "valid", "test"]}, "leave out eval_args.group_by"),
    ],
)
def test_combinations_that_are_refused(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        load(write_pair(tmp_path, events_over_time()), **changes)


def test_times_that_are_too_coarse_are_refused(tmp_path):
    events = [(user, item, domain, float(time > 4)) for user, item, domain, time in random_events()]
    with pytest.raises(UserError, match=r"leaves the valid split empty.*150 of 300 have the time"):
        load(write_pair(tmp_path, events), eval_args={"split": {"RS": [0.5, 0.2, 0.3]}, "group_by": "none"})


def test_statistics_of_a_preparation_are_of_the_split_in_the_property_file(tmp_path):
    path = tmp_path / "pair.yaml"
    for given in ("none", "~"):
        path.write_text(f"eval_args:\n  split: {{RS: [0.6, 0.2, 0.2]}}\n  group_by: {given}\n", encoding="utf-8")
        assert read_split_rule(path) == {"RS": [0.6, 0.2, 0.2], "group_by": "none"}
    path.write_text("eval_args:\n  split: {RS: [0.6, 0.2, 0.2]}\n  group_by: user\n", encoding="utf-8")
    assert read_split_rule(path) == {"RS": [0.6, 0.2, 0.2]}
