from __future__ import annotations

import numpy as np
import pytest
import torch

from recbole_lecdsr.data.candidates import CandidateSpec, candidate_digest, draw_candidates, stored_candidates
from recbole_lecdsr.data.item_pool import DomainItems, UserItemIndex
from recbole_lecdsr.errors import UserError

ITEMS = (torch.arange(1, 41), torch.arange(41, 101))
N_ITEMS = 101
USER, POSITIVE, DOMAIN = torch.tensor([1, 1, 2]), torch.tensor([3, 50, 60]), torch.tensor([0, 1, 1])


def draw(mode: str, own=None, popularity=None, seed: int = 1) -> np.ndarray:
    pool = DomainItems(ITEMS, N_ITEMS, popularity)
    return draw_candidates(pool, own, USER, POSITIVE, DOMAIN, CandidateSpec(mode, own is None, seed))


@pytest.mark.parametrize("number", [5, 9, 30])
def test_candidates_are_distinct_items_of_the_domain_without_the_target(number):
    drawn = draw(f"uni{number}")
    for row, (positive, domain) in enumerate(zip(POSITIVE.tolist(), DOMAIN.tolist(), strict=True)):
        assert len(set(drawn[row])) == number
        assert set(drawn[row]) <= set(ITEMS[domain].tolist()) - {positive}


@pytest.mark.parametrize("number", [8, 30])
def test_candidates_are_never_the_users_own_items(number):
    own = UserItemIndex(torch.tensor([1] * 5 + [2] * 5), torch.arange(41, 51), N_ITEMS)
    drawn = draw(f"uni{number}", own)
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
    own = UserItemIndex(torch.tensor([1] * 10), torch.arange(1, 11), N_ITEMS)  # the target, 3, is among them
    with pytest.raises(UserError, match=r"up to 30"):
        draw("uni31", own)
    assert draw("uni30", own).shape == (3, 30)


def test_candidates_are_stored_once_and_read_back(tmp_path):
    calls = []

    def make():
        calls.append(1)
        return np.arange(6, dtype=np.int32).reshape(2, 3)

    spec = CandidateSpec("uni3", True, 7)
    first = stored_candidates(tmp_path / "candidates", "test", spec, "abc", make)
    second = stored_candidates(tmp_path / "candidates", "test", spec, "abc", make)
    assert calls == [1]
    assert np.array_equal(first.items, second.items)
    (path,) = (tmp_path / "candidates").iterdir()
    path.write_bytes(path.read_bytes()[:100])  # a torn file is drawn again
    assert np.array_equal(stored_candidates(path.parent, "test", spec, "abc", make).items, first.items)


def test_another_split_has_another_digest():
    spec = CandidateSpec("uni3", True, 7)
    assert candidate_digest(spec, "test", np.arange(3)) == candidate_digest(spec, "test", np.arange(3))
    assert candidate_digest(spec, "test", np.arange(3)) != candidate_digest(spec, "test", np.arange(4))
    assert candidate_digest(spec, "test", np.arange(3)) != candidate_digest(spec, "valid", np.arange(3))
