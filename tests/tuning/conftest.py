from __future__ import annotations

from pathlib import Path

import pytest

from recbole_lecdsr.tuning.tuner import Tuner
from tests.helpers.pairs import random_events, write_pair
from tests.helpers.searches import write_search_files


@pytest.fixture(scope="session")
def search_data(tmp_path_factory) -> dict[str, object]:
    """Settings of quick runs on a small pair."""
    return write_pair(tmp_path_factory.mktemp("tune") / "dataset", random_events(12))


@pytest.fixture
def files(search_data, tmp_path) -> Path:
    """base.yaml and space.yaml in the test's own folder, in which runs are written too."""
    write_search_files(search_data)
    return tmp_path


@pytest.fixture
def cheap(monkeypatch) -> list[dict[str, object]]:
    """Trials compute a value instead of training; returns the values that they were given."""
    seen = []

    def value(self, trial, values):
        seen.append(values)
        return -abs(values["learning_rate"] - 0.02) - 0.01 * values["train_neg_sample_args.sample_num"]

    monkeypatch.setattr(Tuner, "_train", value)
    return seen
