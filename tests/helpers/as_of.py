"""Users with several profiles, and who meets which of them.

The profiles that were made from k interactions are poisoned, which makes all numbers that they reach NaN. A target
must then be NaN where its newest profile is of k interactions, and nowhere else. The token of an item ends
with the number of the user's interactions before it, so that tests do not depend on what the plugin counts.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.data.loaders import data_preparation
from recbole_lecdsr.model.base import CrossDomainSequentialRecommender
from recbole_lecdsr.quick_start import load_dataset
from tests.helpers.pairs import PER_TARGET, Event, write_pair, write_profiles

SPLITS = {
    "leave one out": {"split": {"LS": "valid_and_test"}},
    "ratio": {"split": {"RS": [0.6, 0.2, 0.2]}},
    "time": {"split": {"RS": [0.6, 0.2, 0.2]}, "group_by": "none"},
}
EVENTS = 11  # of each user
USERS = [f"u{number}" for number in range(9)]
WITHOUT = "u8"  # has no profile
# Windows are shorter than what comes before most targets.
SETTINGS = {"MAX_ITEM_LIST_LENGTH": 4, "score_fusion": False, "dropout_prob": 0.0, "profile_dropout": 0.0}
NETWORKS = {
    "causal": {},
    "causal, single domain": {"sequence": "single"},
    "published": PER_TARGET,
    "published, single domain": {**PER_TARGET, "sequence": "single"},
}


def made_from(user: str) -> list[int]:
    """From how many interactions the user's profiles were made; some say more than there are."""
    number = int(user[1:])
    return [] if user == WITHOUT else [number % 2, 2 + number % 3, 6, 8, 9, 10, 11, 12]


def newest(user: str, n_earlier: int) -> int | None:
    """The profile that a target may meet, by how many interactions it was made from."""
    return max((k for k in made_from(user) if k <= n_earlier), default=None)


def place_of(item: str) -> int:
    """How many interactions of the user come before the one with this item."""
    return int(item.partition(".")[2])


def write_data(root, events: list[Event] | None = None) -> dict[str, object]:
    """A pair whose users have several profiles."""
    settings = write_pair(root, events or numbered_events())
    rng = np.random.default_rng(0)
    profiles = {(user, k): rng.normal(size=5) for user in USERS for k in made_from(user)}
    write_profiles(root / "pair" / "pair.useremb", profiles)
    return {**settings, **SETTINGS}


def prepared(root, model: str = "LeCDSR", **changes):
    """Data, model with profiles that matter, and loaders."""
    settings = write_data(root)
    if model != "LeCDSR":
        for name in ("adapter_hidden_size", "train_neg_sample_args", "profile_dropout"):
            del settings[name]
    data = load_dataset(model, config_dict={**settings, **changes})
    torch.manual_seed(0)
    return data, data.config.model_class(data.config, data), data_preparation(data.config, data)


def poison(model: CrossDomainSequentialRecommender, data: CrossDomainSequentialDataset, k: int) -> None:
    """Make NaN of every profile that was made from k interactions."""
    profiles = data.user_vectors()
    table = torch.from_numpy(profiles.vectors.copy())
    table[(torch.from_numpy(profiles.user) > 0) & (torch.from_numpy(profiles.events) == k)] = torch.nan
    model.network.user_text = table


Met = list[tuple[str, str, bool]]  # user and item of a target, and whether it met the poison


def numbered_events(n_users: int = 9, n_events: int = 11) -> list[Event]:
    """No two interactions have the same item, whose token ends with the number of the user's earlier interactions."""
    rng = np.random.default_rng(1)
    events = []
    for user in range(n_users):
        for number in range(n_events):
            domain = ("source", "target")[int(rng.integers(2)) if number > 1 else number]
            events.append((f"u{user}", f"{domain[0]}{user}.{number}", domain, number + user / 10))
    return [events[row] for row in rng.permutation(len(events))]


def assert_only_newest(met: Callable[[], Met], poisoning: Callable[[int], None], expected: int | None = None) -> Met:
    """Whichever profiles are poisoned, the targets that meet them are those whose newest they are.

    Args:
        met: who met the poison.
        poisoning: poisons the profiles that were made from so many interactions.
        expected: number of targets; None for any.

    Returns:
        the targets that ever met one.
    """
    ever = []
    for k in range(EVENTS + 2):
        poisoning(k)
        found = met()
        assert found and expected in (None, len(found))
        for user, item, is_poisoned in found:
            assert item.partition(".")[0][1:] == user[1:], "the item is of the user"
            if is_poisoned:
                assert k <= place_of(item), f"{user}: a profile of {k} interactions has seen {item}"
            assert is_poisoned == (newest(user, place_of(item)) == k), (user, item, k)
        ever += [one for one in found if one[2]]
    return ever
