from __future__ import annotations

import pytest

from recbole_lecdsr.recommend.recommender import load_run
from tests.helpers.shop import train_shop


@pytest.fixture(scope="session")
def shop(tmp_path_factory) -> dict[str, object]:
    """A finished run on data with titles and profiles."""
    return train_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def loaded(shop) -> tuple:
    """Its model and its data set."""
    models, dataset = load_run(shop["folder"])
    return models["source"], dataset
