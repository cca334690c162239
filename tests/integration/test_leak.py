"""No validation or test event reaches training, from files to weights."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from recbole_lecdsr.llm.encoders.embed import TokenVectors, average_item_vectors, write_vectors
from recbole_lecdsr.model.lecdsr import LeCDSR
from recbole_lecdsr.model.score_fusion.calibration import calibration_targets
from recbole_lecdsr.quick_start import load_data_and_model
from recbole_lecdsr.recommend.recommender import recommend
from tests.helpers.pairs import PER_TARGET, Event, random_events, write_pair
from tests.helpers.runs import assert_same_weights, load, loaders, read_run, train

SPLITS = {
    "leave one out": {"split": {"LS": "valid_and_test"}},
    "ratio": {"split": {"RS": [0.6, 0.2, 0.2]}},
}
WITH_TIME = {**SPLITS, "time": {"split": {"RS": [0.6, 0.2, 0.2]}, "group_by": "none"}}
HELD_OUT = 2  # events of a user of `random_events`, by either split


def in_order(events: list[Event]) -> dict[str, list[int]]:
    """Rows of each user's events, earliest first."""
    rows: dict[str, list[int]] = {}
    for row, event in sorted(enumerate(events), key=lambda pair: (pair[1][3], pair[1][2], pair[0])):
        rows.setdefault(event[0], []).append(row)
    return rows


def with_other_items(events: list[Event], place: int, seed: int = 1) -> list[Event]:
    """Each user's event at a place (-1: the last) has another item of its domain.

    They are exchanged among one another, so that every item has as many events as before.
    """
    shuffle = random.Random(seed)
    changed = list(events)
    for domain in ("source", "target"):
        rows = [own[place] for own in in_order(events).values() if events[own[place]][2] == domain]
        items = [events[row][1] for row in rows]
        shuffle.shuffle(items)
        for row, item in zip(rows, items, strict=True):
            user, _, _, time = events[row]
            changed[row] = (user, item, domain, time)
    assert sum(a != b for a, b in zip(events, changed, strict=True)) > len(in_order(events)) / 2
    return changed


class Recorder(LeCDSR):
    seen: list[dict[str, torch.Tensor]]

    def calculate_loss(self, interaction):
        self.seen.append({name: tensor.clone() for name, tensor in interaction.interaction.items()})
        return super().calculate_loss(interaction)


def trained(root: Path, events: list[Event], **changes):
    """What was trained on, and what a run came to."""
    recorder = type("LeCDSR", (Recorder,), {"seen": []})
    outcome = train(write_pair(root, events), recorder, **changes)
    return recorder.seen, outcome, read_run(outcome["run_directory"])


# ------------------------------------------------------------------ training


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("negatives", [{}, {"distribution": "popularity"}, {"exclude_user_items": True}], ids=str)
def test_other_test_items_leave_every_batch_and_weight_as_it_was(tmp_path, split, negatives):
    arguments = {"sample_num": 5, "shared": not negatives, **negatives}
    changes = {"eval_args": SPLITS[split], "train_neg_sample_args": arguments, **(PER_TARGET if negatives else {})}
    events = random_events()
    batches, outcome, run = trained(tmp_path / "one", events, **changes)
    other_batches, other_outcome, other_run = trained(tmp_path / "other", with_other_items(events, -1), **changes)
    assert len(batches) == len(other_batches) > 0
    for batch, other in zip(batches, other_batches, strict=True):
        assert batch.keys() == other.keys()
        assert all(torch.equal(batch[name], other[name]) for name in batch)
    assert_same_weights(run["weights"], other_run["weights"])
    assert outcome["best_valid_result"] == other_outcome["best_valid_result"]
    assert not np.array_equal(run["ranks"]["rank"], other_run["ranks"]["rank"]), "else the test shows nothing"


@pytest.mark.parametrize("split", SPLITS)
def test_other_validation_items_leave_every_batch_as_it_was(tmp_path, split):
    changes = {"eval_args": SPLITS[split]}
    events = random_events()
    batches, outcome, _ = trained(tmp_path / "one", events, **changes)
    other_batches, other_outcome, _ = trained(tmp_path / "other", with_other_items(events, -2), **changes)
    for batch, other in zip(batches, other_batches, strict=True):
        assert all(torch.equal(batch[name], other[name]) for name in batch)
    losses = [[epoch["loss"] for epoch in run["result"]["history"]] for run in (outcome, other_outcome)]
    assert losses[0] == losses[1]
    assert outcome["best_valid_result"] != other_outcome["best_valid_result"], "else the test shows nothing"


def test_a_training_item_that_changes_is_noticed(tmp_path):
    """The tests above would see a leak."""
    events = random_events()
    batches, _, run = trained(tmp_path / "one", events)
    other_batches, _, other = trained(tmp_path / "other", with_other_items(events, -3))
    assert not all(
        torch.equal(batch["item_id"], other["item_id"]) for batch, other in zip(batches, other_batches, strict=True)
    )
    assert any(not torch.equal(run["weights"][name], other["weights"][name]) for name in run["weights"])


# ------------------------------------------------------------------ times


def staggered_events() -> list[Event]:
    """Users who begin one after the other, so that training times of some lie after held-out times of others."""
    return [(user, item, domain, time + 3 * int(user[1:])) for user, item, domain, time in random_events()]


def with_later_times(events: list[Event], place: int, shift: float) -> list[Event]:
    """Each user's event at a place (-1: the last) is later, but not later than the user's next one."""
    changed = list(events)
    for own in in_order(events).values():
        user, item, domain, time = events[own[place]]
        changed[own[place]] = (user, item, domain, time + shift)
    assert in_order(changed) == in_order(events)
    return changed


TIMES = {"time_embedding_size": 8, "score_fusion": True}


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize(("place", "shift"), [(-2, 0.9), (-1, 40.5)], ids=["validation", "test"])
def test_case_r29_other_held_out_times_leave_every_batch_weight_and_validation_as_they_were(
    tmp_path, split, place, shift
):
    changes = {"eval_args": SPLITS[split], **TIMES}
    events = staggered_events()
    batches, outcome, run = trained(tmp_path / "one", events, **changes)
    other_batches, other_outcome, other = trained(tmp_path / "other", with_later_times(events, place, shift), **changes)
    assert len(batches) == len(other_batches) > 0
    for batch, other_batch in zip(batches, other_batches, strict=True):
        assert all(torch.equal(batch[name], other_batch[name]) for name in batch)
    assert_same_weights(run["weights"], other["weights"])
    assert outcome["best_valid_result"] == other_outcome["best_valid_result"]


def test_case_r29_the_validation_time_of_one_user_changes_the_scores_of_no_other(tmp_path):
    events = staggered_events()
    (row,) = (own[-2] for user, own in in_order(events).items() if user == "u3")
    user, item, domain, time = events[row]
    others = [*events]
    others[row] = (user, item, domain, time + 0.9)
    scores = []
    for name, rows in (("one", events), ("other", others)):
        outcome = train(write_pair(tmp_path / name, rows), **TIMES)
        _, model, data, *_ = load_data_and_model(outcome["run_directory"])
        everyone = sorted(in_order(events))
        scores.append(recommend(model, data, everyone, k=5).set_index("user")["score"].drop("u3"))
    np.testing.assert_array_equal(*scores)


def test_case_r29_a_training_time_that_changes_is_noticed(tmp_path):
    """The tests above would see a leak of times."""
    events = staggered_events()
    batches, *_ = trained(tmp_path / "one", events, **TIMES)
    other_batches, *_ = trained(tmp_path / "other", with_later_times(events, -3, 0.9), **TIMES)
    name = "relative_time_list"
    assert not all(torch.equal(one[name], other[name]) for one, other in zip(batches, other_batches, strict=True))


# ------------------------------------------------------------------ windows


def distinct(n_users: int = 12, n_events: int = 9) -> list[Event]:
    """No two events have the same item, so that an item tells which event it is."""
    rng = np.random.default_rng(4)
    return [
        (f"u{user}", f"{domain[0]}{user}.{time}", domain, float(time))
        for user in range(n_users)
        for time in range(n_events)
        for domain in [("source", "target")[int(rng.integers(2)) if time > 1 else time]]
    ]


@pytest.mark.parametrize("sequence", ["mixed", "single"])
@pytest.mark.parametrize("split", WITH_TIME)
def test_windows_hold_the_users_earlier_events_only_and_never_the_target(tmp_path, split, sequence):
    events = distinct()
    settings = write_pair(tmp_path, events)
    if sequence == "single":
        settings["sequence"] = sequence
    time_of = {item: time for _, item, _, time in events}
    user_of = {item: user for user, item, _, _ in events}
    for loader in loaders(settings, eval_args=WITH_TIME[split], MAX_ITEM_LIST_LENGTH=20):
        tokens = loader.dataset.item_token
        for batch in loader:
            batch = batch[0] if isinstance(batch, tuple) else batch
            for user, target, window in zip(
                batch["user_id"].tolist(), batch["item_id"].tolist(), batch["item_id_list"].tolist(), strict=True
            ):
                window = [tokens[item] for item in window if item]
                assert tokens[target] not in window
                assert user_of[tokens[target]] == loader.dataset.user_token[user]
                assert {user_of[item] for item in window} <= {user_of[tokens[target]]}
                times = [time_of[item] for item in window]
                assert times == sorted(times) and all(time < time_of[tokens[target]] for time in times)


@pytest.mark.parametrize("split", WITH_TIME)
def test_windows_of_validation_and_test_hold_all_earlier_events(tmp_path, split):
    events = distinct()
    _, *evaluation = loaders(write_pair(tmp_path, events), eval_args=WITH_TIME[split], MAX_ITEM_LIST_LENGTH=20)
    for loader in evaluation:
        tokens = loader.dataset.item_token
        for batch, *_ in loader:
            for target, window in zip(batch["item_id"].tolist(), batch["item_id_list"].tolist(), strict=True):
                user, time = tokens[target][1:].split(".")
                expected = [f".{earlier}" for earlier in range(int(time))]
                assert [tokens[item][len(user) + 1 :] for item in window if item] == expected


@pytest.mark.parametrize("split", SPLITS)
def test_targets_of_training_come_before_those_of_validation_and_these_before_those_of_test(tmp_path, split):
    events = distinct()
    found = {}
    train, valid, test = loaders(write_pair(tmp_path, events), eval_args=SPLITS[split])
    data = test.dataset  # in that of the training loader they are withheld
    for phase, loader in {"train": train, "valid": valid, "test": test}.items():
        held_out = calibration_targets(data.log, data.targets("train")) if phase == "train" else []
        for target in [*np.asarray(loader.targets), *held_out]:
            user, _, time = loader.dataset.item_token[loader.dataset.log.item[target]][1:].partition(".")
            found.setdefault(user, {}).setdefault(phase, set()).add(int(time))
    assert len(found) == 12
    for phases in found.values():
        assert max(phases["train"]) < min(phases["valid"]) <= max(phases["valid"]) < min(phases["test"])
        assert set().union(*phases.values()) == set(range(1, 9))


# ------------------------------------------------------------------ what else is made of events


def vectors_of(dataset) -> dict[str, dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    vectors = {token: rng.normal(size=4).astype(np.float32) for token in sorted(set(dataset.item_token[1:]))}
    return {
        domain: {token: vectors[token] for token in dataset.token_ids(domain, "item") if token != "[PAD]"}
        for domain in ("source", "target")
    }


def as_token_vectors(vectors: dict[str, dict[str, np.ndarray]]) -> dict[str, TokenVectors]:
    return {domain: TokenVectors(list(rows), np.stack(list(rows.values()))) for domain, rows in vectors.items()}


@pytest.mark.parametrize("split", SPLITS)
def test_user_vectors_of_history_are_means_of_training_events(tmp_path, split):
    events = random_events(10)
    dataset = load(write_pair(tmp_path, events), eval_args=SPLITS[split])
    vectors = vectors_of(dataset)
    users = average_item_vectors(dataset, as_token_vectors(vectors))
    assert sorted(users.tokens) == sorted(in_order(events))
    for user, row in users.by_token().items():
        n_train = len(in_order(events)[user]) - HELD_OUT
        own = [vectors[events[e][2]][events[e][1]] for e in in_order(events)[user][:n_train]]
        mean = np.mean(own, axis=0)
        np.testing.assert_allclose(row, mean / np.linalg.norm(mean), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("place", [-1, -2])
def test_other_held_out_items_leave_the_user_vectors_of_history_as_they_were(tmp_path, place):
    events = random_events()
    one, other = (
        load(write_pair(tmp_path / name, rows))
        for name, rows in (("one", events), ("other", with_other_items(events, place)))
    )
    items = as_token_vectors(vectors_of(one))
    users, same_users = average_item_vectors(one, items), average_item_vectors(other, items)
    assert users.tokens == same_users.tokens
    np.testing.assert_array_equal(users.matrix, same_users.matrix)


def test_popular_candidates_are_drawn_by_training_events(tmp_path):
    events = random_events(n_items=20)
    for own in in_order(events).values():
        user, _, domain, time = events[own[-1]]
        events[own[-1]] = (user, f"{domain} item of test events", domain, time)
    _, valid, test = loaders(write_pair(tmp_path, events), eval_args={"mode": "pop4"})
    log = test.dataset.log
    popular = np.bincount(log.item[log.split == 0], minlength=test.dataset.num_total_item)
    assert (popular == 0).sum() == 3, "padding and both items of test events"
    for loader in (valid, test):
        assert (popular[np.asarray(loader.candidates.items)] > 0).all()


def test_candidates_are_never_what_the_user_had_unless_repeatable(tmp_path):
    events = random_events(n_items=30)
    settings = write_pair(tmp_path, events)
    had = {}
    for user, item, _, _ in events:
        had.setdefault(user, set()).add(item)
    for repeatable in (False, True):
        _, *evaluation = loaders(settings, eval_args={"mode": "uni9"}, repeatable=repeatable)
        for loader in evaluation:
            tokens, users = loader.dataset.item_token, loader.dataset.user_token[loader.user]
            rows = [set(tokens[row]) for row in np.asarray(loader.candidates.items)]
            own = [row & had[user] for row, user in zip(rows, users, strict=True)]
            assert any(own) is repeatable
            assert all(tokens[item] not in row for item, row in zip(loader.item, rows, strict=True))


def test_vectors_made_for_another_split_are_warned_of(tmp_path, caplog):
    settings = write_pair(tmp_path, random_events(5))
    (tmp_path / "pair" / "pair.useremb.json").write_text(json.dumps({"split": {"RS": [0.8, 0.1, 0.1]}}))
    load(settings).user_vectors()
    assert "may contain validation or test interactions" in caplog.text
    caplog.clear()
    load(settings, eval_args={"split": {"RS": [0.8, 0.1, 0.1]}}).user_vectors()
    assert "may contain" not in caplog.text


def test_what_was_embedded_says_of_which_split(tmp_path):
    dataset = load(write_pair(tmp_path, random_events(5)))
    vectors = TokenVectors(["u0"], np.ones((1, 2)))
    write_vectors(tmp_path / "x.useremb", "user_id", vectors, {"split": {"LS": "valid_and_test"}})
    assert json.loads((tmp_path / "x.useremb.json").read_text())["split"] == dataset.config["eval_args"]["split"]
