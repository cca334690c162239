"""A target-domain event that follows from a source-domain event is predicted from it, and not without it."""

from __future__ import annotations

import numpy as np
import pytest

from tests.helpers.pairs import Event, write_pair
from tests.helpers.runs import train

GROUPS = 6
SETTINGS = {
    # The last event, of the target domain, is tested; there is no validation, so the last epoch is.
    "eval_args": {"split": {"LS": "test_only"}},
    "repeatable": True,
    "train_epochs": ["TARGET:80"],
    "learning_rate": 0.02,
    "embedding_size": 16,
    "dropout_prob": 0.1,
}


def planted(source_tells: bool) -> list[Event]:
    """Users who now and then take a source item of some group, later a target item of the same group.

    In between are events of either domain that tell nothing. The groups of a user's pairs are independent of one
    another, so target items alone cannot tell the next one. Without ``source_tells`` every such source event has the
    same item. Users begin at different times, so that the time does not tell what comes next.
    """
    rng, clock = np.random.default_rng(11), np.random.default_rng(12)
    events: list[Event] = []
    for user in range(80):
        time = clock.uniform(0, 100)
        for _ in range(5):
            group = int(rng.integers(GROUPS))
            told = group if source_tells else 0
            between = [(f"t.noise{rng.integers(3)}", "target"), (f"s.noise{rng.integers(3)}", "source")]
            if rng.integers(2):
                between.reverse()
            for item, domain in [(f"s.group{told}", "source"), *between, (f"t.group{group}", "target")]:
                events.append((f"u{user}", item, domain, time))
                time += 1
    return events


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> dict[str, dict]:
    """Test metrics with and without what the source domain tells, and with it by the target domain's events alone."""
    root = tmp_path_factory.mktemp("transfer")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        return {
            name: train(write_pair(root / name, planted(tells)), **SETTINGS, **changes)["result"]["test"]["target"]
            for name, tells, changes in (
                ("told", True, {}),
                ("not told", False, {}),
                ("told, not read", True, {"sequence": "single"}),
            )
        }


def test_the_source_domain_tells_the_next_target_item(outcomes):
    assert outcomes["told"]["hit@1"] > 0.8


def test_without_what_the_source_domain_tells_it_is_guessed(outcomes):
    assert outcomes["not told"]["hit@1"] < 2.5 / GROUPS
    assert outcomes["told"]["hit@1"] > 2 * outcomes["not told"]["hit@1"]


def test_without_mixed_sequences_it_is_guessed(outcomes):
    assert outcomes["told, not read"]["hit@1"] < 2.5 / GROUPS
