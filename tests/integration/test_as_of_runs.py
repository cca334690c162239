"""Whole runs with several profiles of each user: other profiles of k interactions change what comes after them alone.

Users have ten interactions: the first eight are trained on, the ninth is validated and the last one tested.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from recbole_cdr.quick_start import run_recbole_cdr

from recbole_lecdsr.quick_start import load_data_and_model
from recbole_lecdsr.recommend.recommender import recommend
from tests.helpers.pairs import PER_TARGET, random_events, write_pair, write_profiles
from tests.helpers.runs import assert_same_weights, read_run, train
from tests.integration.test_leak import in_order
from tests.test_distributed import PLAIN, train_alone_and_in_two

MADE_FROM = (2, 7, 8, 9, 10)
USERS = [f"u{number}" for number in range(30)]
WITH_TEACHERS = {"train_neg_sample_args": {"sample_num": 1}, "embedding_size": 8, "MAX_ITEM_LIST_LENGTH": 6}
MODELS = {
    "LeCDSR": ("LeCDSR", {"score_fusion": False}),
    "LeCDSR + fusion": ("LeCDSR", {"score_fusion": True}),
    "published": ("LeCDSR", PER_TARGET),
    "LLM4CDSR": ("LLM4CDSR", {"user_align_weight": 1.0}),
    "LLMESR": ("LLMESR", {"user_loss_weight": 1.0}),
}


def pair_with(root: Path, model: str, changed: int | None = None) -> dict[str, object]:
    """A pair with random profiles; those of ``changed`` interactions are others."""
    settings = write_pair(root / "dataset", random_events())
    profiles = {}
    for k in MADE_FROM:
        rng = np.random.default_rng(100 * (k == changed) + k)
        profiles |= {(user, k): 5 * rng.normal(size=5) for user in USERS}
    write_profiles(root / "dataset" / "pair" / "pair.useremb", profiles)
    if model != "LeCDSR":
        settings = {name: value for name, value in settings.items() if name != "adapter_hidden_size"} | WITH_TEACHERS
    return {**settings, "learning_rate": 0.05, "output_dir": str(root / "runs")}


def outcome_of(root: Path, model: str, changes: dict[str, object], changed: int | None = None) -> dict[str, object]:
    """What a run came to: losses, validation, weights, ranks of the test and recommendations."""
    outcome = train(pair_with(root, model, changed), model, **changes)
    run = read_run(outcome["run_directory"])
    _, trained, data, *_ = load_data_and_model(outcome["run_directory"])
    history = run["result"]["history"]
    return {
        "losses": [epoch["loss"] for epoch in history],
        "validation": [epoch["valid"] for epoch in history if "valid" in epoch],
        "weights": run["weights"],
        "test": outcome["result"]["test"],
        "recommended": recommend(trained, data, USERS, k=5)["score"].tolist(),
    }


def same_parts(one: dict[str, object], other: dict[str, object]) -> set[str]:
    found = {name for name in one if name != "weights" and one[name] == other[name]}
    try:
        assert_same_weights(one["weights"], other["weights"])
    except AssertionError:
        return found
    return found | {"weights"}


EVERYTHING = {"losses", "validation", "weights", "test", "recommended"}


@pytest.mark.parametrize("name", MODELS)
def test_other_profiles_change_only_what_comes_after_the_interactions_they_were_made_from(tmp_path, name):
    model, changes = MODELS[name]
    teaches = name in ("LLM4CDSR", "LLMESR")  # profiles are read in training alone
    before = outcome_of(tmp_path / "before", model, changes)
    same = {
        k: same_parts(before, outcome_of(tmp_path / str(k), model, changes, changed=k))
        for k in (7, 9, 10, *([8] if teaches else []))
    }
    assert "losses" not in same[7] and "weights" not in same[7], "the newest training target has seven before it"
    if teaches:
        assert same[8] == same[9] == same[10] == EVERYTHING
    else:
        assert same[9] == EVERYTHING - {"test"}
        assert same[10] == EVERYTHING - {"recommended"}


def test_profiles_of_validation_targets_reach_them_and_no_loss(tmp_path):
    changes = {"score_fusion": False, "train_epochs": ["BOTH:2"]}
    one, other = (outcome_of(tmp_path / str(k), "LeCDSR", changes, changed=k) for k in (None, 8))
    assert one["losses"] == other["losses"] and one["validation"] != other["validation"]


@pytest.mark.parametrize("name", ["LeCDSR + fusion", "published"])
def test_a_refit_learns_from_validation_targets_with_profiles_made_before_them(tmp_path, name):
    model, changes = MODELS[name]
    before, *others = (outcome_of(tmp_path / str(k), model, {**changes, "refit": True}, k) for k in (None, 8, 9, 10))
    of_validation, of_test, of_everything = (same_parts(before, other) for other in others)
    assert not of_validation & {"weights", "test"}, "the validation targets are trained on"
    assert of_test == EVERYTHING - {"test"}
    assert of_everything == EVERYTHING - {"recommended"}


def test_the_frameworks_own_entry_point_runs_and_is_as_blind(tmp_path):
    results = []
    for k in (None, 9, 10):
        settings = pair_with(tmp_path / str(k), "LeCDSR", k)
        results.append(run_recbole_cdr("LeCDSR", config_dict={**settings, "score_fusion": False}))
    before, of_test, of_everything = results
    assert before["best_valid_result"] == of_test["best_valid_result"]
    assert before["test_result"] != of_test["test_result"]
    assert before == of_everything


def test_two_processes_learn_what_one_does(tmp_path):
    settings = {**pair_with(tmp_path, "LeCDSR"), "learning_rate": 0.1}
    train_alone_and_in_two(settings, tmp_path, "LeCDSR", {**PLAIN, "learning_rate": 0.1})


@pytest.mark.parametrize("network", ["causal", "published"])
def test_a_profile_that_names_an_interaction_helps_those_alone_who_may_meet_it(tmp_path, network):
    """Items are drawn at random, so nothing but a profile can tell the next one."""
    events = random_events(n_users=60, n_items=20)
    rows = in_order(events)
    rng = np.random.default_rng(0)
    code = {item: 3 * rng.normal(size=16) for _, item, _, _ in events}
    # A profile of k interactions that names the interaction which comes next, or the newest one of the k.
    next_named = {(user, k): code[events[own[k]][1]] for user, own in rows.items() for k in range(1, 10)}
    newest_named = {(user, k + 1): vector for (user, k), vector in next_named.items()}
    settings = {
        "learning_rate": 0.02, "train_epochs": ["BOTH:16"], "stopping_step": 100, "embedding_size": 16,
        "adapter_hidden_size": 32, "score_fusion": False, "repeatable": True,
    }  # fmt: skip
    settings |= (
        {"dropout_prob": 0.0, "profile_dropout": 0.0, "learning_rate": 0.05, "weight_decay": 0.0}
        if network == "causal"
        else PER_TARGET
    )
    found = []
    for number, profiles in enumerate((next_named, newest_named)):
        pair = write_pair(tmp_path / str(number), events)
        write_profiles(tmp_path / str(number) / "pair" / "pair.useremb", profiles)
        found.append(train({**pair, **settings})["result"]["test"]["overall"]["mrr"])
    chance = np.mean(1 / np.arange(1, 21))
    assert found[0] > 3 * chance, "the network can read a profile"
    assert found[1] < 1.5 * chance
