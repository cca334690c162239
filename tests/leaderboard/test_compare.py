"""`compare` from the command line, on a tiny pair of domains."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from recbole_lecdsr.cli.compare import compare
from tests.helpers.pairs import random_events, write_pair


@pytest.fixture
def run_compare(tmp_path, monkeypatch):
    """Calls `compare` with a study in ``tmp_path / "study"``; returns its exit status."""
    monkeypatch.chdir(tmp_path)
    of_lecdsr = {"output_dir", "embedding_size", "adapter_hidden_size", "train_epochs"}
    values = {key: value for key, value in write_pair(tmp_path, random_events()).items() if key not in of_lecdsr}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")

    def call(models: str, *arguments: str, seeds: int = 1) -> int:
        options = ["--models", models, "--seeds", str(seeds), "--study", "study", "--config_files", "tiny.yaml"]
        return compare([*options, *arguments])

    return call


def read_json(path: str) -> dict:
    return json.loads(Path(path).read_text(encoding="utf-8"))


def test_case_r04_a_model_that_is_added_does_not_become_the_reference(run_compare):
    assert run_compare("ItemKNN,Pop") == 0
    before = Path("study/report/leaderboard.csv").read_text(encoding="utf-8")
    assert run_compare("Random") == 0
    assert read_json("study/study.json")["reference"] == "ItemKNN"
    rows = set(Path("study/report/leaderboard.csv").read_text(encoding="utf-8").splitlines())
    assert {row for row in before.splitlines() if row.startswith(("model", "ItemKNN"))} <= rows
    assert "against ItemKNN" in Path("study/report/leaderboard.md").read_text(encoding="utf-8")
    assert run_compare("Random", "--reference", "Pop") == 0
    assert "against Pop" in Path("study/report/leaderboard.md").read_text(encoding="utf-8")
