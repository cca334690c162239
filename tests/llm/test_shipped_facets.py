"""The profiles and facets of movielens that the plugin ships, against the data that they were written from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from recbole_lecdsr.data.constants import TRAIN
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.files import shipped
from recbole_lecdsr.llm.user_profiles import read_profiles
from recbole_lecdsr.prepare import movielens
from tests.helpers.runs import load

FACETS = ["action", "drama", "both", "next_action", "next_drama"]
FILES = {"early": "facets-early.jsonl", "full": "facets-full.jsonl"}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """A folder of data sets away from the checkout with what `prepare movielens` writes."""
    root = tmp_path_factory.mktemp("data")
    movielens.prepare(root / "movielens")
    return root


@pytest.fixture(scope="module")
def data(prepared) -> CrossDomainSequentialDataset:
    settings = {"dataset": "movielens", "data_path": str(prepared), "use_gpu": False}
    return load(settings, profile_file=list(FILES.values()))


def lines(name: str) -> list[dict[str, object]]:
    path = shipped("dataset") / "movielens" / name
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_events_of_the_facets_are_training_interactions_of_the_default_split(data):
    ids = {token: user for user, token in enumerate(data.user_token.tolist())}
    n_train = np.bincount(data.log.user[data.log.split == TRAIN], minlength=len(ids))
    events = {name: {line["user_id"]: line["events"] for line in lines(file)} for name, file in FILES.items()}
    assert events["early"].keys() == events["full"].keys() == ids.keys() - {"[PAD]"} and len(ids) == 944
    for user, count in events["full"].items():
        assert count == n_train[ids[user]]
        assert 1 <= events["early"][user] < count and abs(events["early"][user] - 0.7 * count) <= 0.5 + 1e-9


def test_every_line_has_all_facets_and_nothing_else():
    for file in FILES.values():
        for line in lines(file):
            assert list(line) == ["user_id", "events", *FACETS]
            assert all(line[name].strip() for name in FACETS[:3])
            assert all(3 <= len(line[name]) <= 4 and all(map(str.strip, line[name])) for name in FACETS[3:])


def test_embed_finds_both_files_away_from_the_checkout(data, prepared, caplog):
    assert not list(prepared.rglob("*.jsonl"))
    texts = read_profiles(data)
    assert len(texts.tokens) == len(texts.events) == 2 * 943 and list(texts.texts) == FACETS
    assert [path.parent for path in texts.paths] == [shipped("dataset") / "movielens"] * 2
    row = texts.tokens.index("100k_1")
    assert (texts.events[row], texts.texts["next_action"][row].count("; ")) == (153, 3)
    assert not caplog.records, "neither another split nor events beyond training"
