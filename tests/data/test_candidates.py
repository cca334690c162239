from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from recbole_lecdsr.data.candidates import CandidateSpec, candidate_digest, draw_candidates, stored_candidates
from recbole_lecdsr.data.constants import TRAIN, VALID
from recbole_lecdsr.data.event_log import EventLog, build_event_log
from recbole_lecdsr.data.item_pool import DomainItems, UserItemIndex
from recbole_lecdsr.errors import UserError
from tests.helpers.runs import loaders

ITEMS = (torch.arange(1, 41), torch.arange(41, 101))
N_ITEMS = 101
USER, POSITIVE, DOMAIN = torch.tensor([1, 1, 2]), torch.tensor([3, 50, 60]), torch.tensor([0, 1, 1])


def draw(mode: str, excluded=None, popularity=None, seed: int = 1) -> np.ndarray:
    pool, spec = DomainItems(ITEMS, N_ITEMS, popularity), CandidateSpec(mode, excluded is None, seed)
    return draw_candidates(spec, pool=pool, excluded=excluded, user=USER, positive=POSITIVE, domain=DOMAIN)


@pytest.mark.parametrize("number", [5, 9, 30])
def test_candidates_are_distinct_items_of_the_domain_without_the_target(number):
    drawn = draw(f"uni{number}")
    for row, (positive, domain) in enumerate(zip(POSITIVE.tolist(), DOMAIN.tolist(), strict=True)):
        assert len(set(drawn[row])) == number
        assert set(drawn[row]) <= set(ITEMS[domain].tolist()) - {positive}


@pytest.mark.parametrize("number", [8, 30])
def test_candidates_are_never_the_users_own_items(number):
    excluded = UserItemIndex(torch.tensor([1] * 5 + [2] * 5), torch.arange(41, 51), N_ITEMS)
    drawn = draw(f"uni{number}", excluded)
    assert not set(drawn[1]) & set(range(41, 46))
    assert not set(drawn[2]) & set(range(46, 51))


@pytest.mark.parametrize("number", [4, 30])
def test_every_other_item_is_equally_likely(number):
    times = 600
    counts = np.zeros(N_ITEMS)
    for seed in range(times):
        counts[draw(f"uni{number}", seed=seed)[0]] += 1
    expected = times * number / 39
    assert counts[3] == 0
    assert counts[1:41].sum() == times * number
    spread = np.abs(np.delete(counts[1:41], 2) - expected).max() / np.sqrt(expected)
    assert spread < 5, "within five standard deviations"


def test_popular_items_are_drawn_by_their_counts_and_unseen_ones_never():
    popularity = torch.zeros(N_ITEMS)
    popularity[1:41] = 1
    popularity[41:51] = 5
    popularity[3] = 7
    drawn = draw("pop6", popularity=popularity)
    assert set(drawn[1]) <= set(range(41, 51))


def test_the_same_seed_draws_the_same_and_another_does_not():
    assert np.array_equal(draw("uni9"), draw("uni9"))
    assert not np.array_equal(draw("uni9"), draw("uni9", seed=2))


def test_too_many_candidates_are_refused_with_the_number_that_works():
    with pytest.raises(UserError, match=r"use full, a number up to 39"):
        draw("uni50")
    excluded = UserItemIndex(torch.tensor([1] * 10), torch.arange(1, 11), N_ITEMS)  # the target, 3, is among them
    with pytest.raises(UserError, match=r"up to 30"):
        draw("uni31", excluded)
    assert draw("uni30", excluded).shape == (3, 30)


def test_candidates_are_stored_once_and_read_back(tmp_path):
    calls = []

    def make():
        calls.append(1)
        return np.arange(6, dtype=np.int32).reshape(2, 3)

    spec = CandidateSpec("uni3", True, 7)
    first = stored_candidates(tmp_path / "candidates", "test", spec=spec, digest="abc", draw=make)
    second = stored_candidates(tmp_path / "candidates", "test", spec=spec, digest="abc", draw=make)
    assert calls == [1]
    assert np.array_equal(first.items, second.items)
    (path,) = (tmp_path / "candidates").iterdir()
    path.write_bytes(path.read_bytes()[:100])  # a torn file is drawn again
    again = stored_candidates(path.parent, "test", spec=spec, digest="abc", draw=make)
    assert np.array_equal(again.items, first.items)


def columns_left_out(items: np.ndarray) -> np.ndarray:
    return items[:, :-1]


@pytest.mark.parametrize(
    "damage",
    [
        columns_left_out,
        np.zeros_like,
        lambda items: items[::-1],
        lambda items: items.astype(np.int64),
        lambda items: items + 10**6,
        lambda items: items[:1],
        np.asfortranarray,
        "empty",
        "bit",
        "header",
        "other samples",
    ],
)
def test_case_r06_a_stored_file_with_other_content_is_drawn_again_with_a_warning(pair, damage, caplog):
    changes = {"eval_args": {"mode": "uni4"}}
    expected = [np.array(loader.candidates.items) for loader in loaders(pair, **changes)[1:]]
    folder = Path(str(pair["data_path"])) / "pair" / "candidates"
    (path,), (other,) = folder.glob("test-*"), folder.glob("valid-*")
    whole = path.read_bytes()
    if callable(damage):
        np.save(path, damage(expected[1]))
    else:
        path.write_bytes(
            {
                "empty": b"",
                "bit": whole[:200] + bytes([whole[200] ^ 1]) + whole[201:],
                "header": whole[:8] + b"\xff\xff" + whole[10:],
                "other samples": other.read_bytes(),
            }[damage]
        )
    for times in (1, 1):  # drawn again, then read
        found = loaders(pair, **changes)[2].candidates.items
        np.testing.assert_array_equal(found, expected[1])
        assert found.dtype == np.int32
        assert caplog.text.count("its candidates are drawn again") == times
    assert path.read_bytes() == whole


def digest(log: EventLog, targets: np.ndarray, mode: str = "uni3", phase: str = "test") -> str:
    items = (np.arange(1, 5), np.arange(3, 9))
    return candidate_digest(CandidateSpec(mode, True, 7), phase, log=log, targets=targets, domain_items=items)


def small_log() -> EventLog:
    user, item, domain = np.repeat([1, 2], 4), np.array([1, 2, 3, 4, 5, 6, 7, 8]), np.repeat([0, 1], 4)
    return build_event_log(user, item, domain, np.arange(8.0), split={"LS": "valid_and_test"})


def test_another_split_has_another_digest():
    log = small_log()
    assert digest(log, np.arange(3)) == digest(log, np.arange(3))
    assert digest(log, np.arange(3)) != digest(log, np.arange(4))
    assert digest(log, np.arange(3)) != digest(log, np.arange(3), phase="valid")


def test_case_r23_popular_candidates_of_two_splits_have_two_digests_and_uniform_ones_one():
    log = small_log()
    other = replace(log, split=np.where(log.split == VALID, np.int8(TRAIN), log.split))
    targets = np.array([3, 7])
    assert digest(log, targets, "pop3") != digest(other, targets, "pop3")
    assert digest(log, targets, "uni3") == digest(other, targets, "uni3")


def test_digests_of_uniform_and_full_candidates_are_those_that_results_have_recorded():
    log, targets = small_log(), np.array([3, 7])
    assert [digest(log, targets, mode) for mode in ("full", "uni3")] == ["6cc95295794fe9a2", "0d310915cc9996ab"]


@pytest.mark.parametrize("mode", ["uni5", "uni30", "pop4"])
def test_no_samples_have_no_candidates_and_they_are_stored_as_any_others(mode, tmp_path):
    spec, none = CandidateSpec(mode, False, 1), torch.zeros(0, dtype=torch.int64)
    excluded = UserItemIndex(torch.tensor([1]), torch.tensor([3]), N_ITEMS)
    pool = DomainItems(ITEMS, N_ITEMS, torch.ones(N_ITEMS) if spec.by_popularity else None)

    def make() -> np.ndarray:
        return draw_candidates(spec, pool=pool, excluded=excluded, user=none, positive=none, domain=none)

    for _ in range(2):  # drawn, then read
        found = stored_candidates(tmp_path, "valid", spec=spec, digest="abc", draw=make)
        assert found.items.shape == (0, spec.num) and found.items.dtype == np.int32


@pytest.mark.parametrize("mode", ["full", "uni4", "pop4"])
@pytest.mark.parametrize(("held_out", "empty"), [("test_only", 1), ("valid_only", 2)])
def test_a_split_without_samples_gives_no_batches(pair, mode, held_out, empty):
    changes = {"eval_args": {"mode": mode, "split": {"LS": held_out}}, "repeatable": False}
    for _ in range(2):  # drawn, then read
        loader = loaders(pair, **changes)[empty]
        assert len(loader) == len(list(loader)) == len(loader.shard().targets) == 0


@pytest.mark.parametrize("mode", ["uni5", "pop5"])
@pytest.mark.parametrize("own", [False, True])
def test_case_r24_a_domain_without_samples_may_have_fewer_items_than_candidates(mode, own):
    items = torch.arange(1, 41), torch.tensor([41, 42])
    pool = DomainItems(items, 43, torch.ones(43) if mode == "pop5" else None)
    excluded = UserItemIndex(torch.tensor([1, 2]), torch.tensor([7, 8]), 43) if own else None
    user, positive, domain = torch.tensor([1, 2]), torch.tensor([3, 9]), torch.tensor([0, 0])
    spec = CandidateSpec(mode, not own, 1)
    drawn = draw_candidates(spec, pool=pool, excluded=excluded, user=user, positive=positive, domain=domain)
    assert drawn.shape == (2, 5) and set(drawn.flatten()) <= set(range(1, 41))
