"""The comparison of two versions, on a toy project whose runs are made in no time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RUN = """
import json, os, pathlib, sys
options = dict(part[2:].split("=", 1) for part in sys.argv if "=" in part)
assert os.environ["PYTHONPATH"] == os.path.dirname(os.path.abspath(__file__)) and os.environ["OMP_NUM_THREADS"]
pair = pathlib.Path(options["data_path"], "movielens")
assert (pair / "items.jsonl").read_text() == "the base's" and not (pair / "candidates.npz").exists()
for name in ("candidates.npz", "movielens.useremb"):
    (pair / name).write_text("made by a run")
folder = pathlib.Path(options["output_dir"], "movielens", "SASRec-1")
folder.mkdir(parents=True)
metrics = {"source": {"ndcg@10": VALUE, "mrr": None}, "target": {"ndcg@10": 0.25}}
(folder / "result.json").write_text(json.dumps({"valid": metrics, "test": metrics}))
"""


@pytest.fixture
def same_numbers(monkeypatch, tmp_path):
    """The script, with a repository of one commit in place of the checkout."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    monkeypatch.delitem(sys.modules, "same_numbers", raising=False)
    import same_numbers

    monkeypatch.setattr(same_numbers, "CHECKOUT", tmp_path / "checkout")
    texts = tmp_path / "checkout" / "dataset" / "movielens"
    texts.mkdir(parents=True)
    (texts / "items.jsonl").write_text("the base's")
    write_run(tmp_path, 0.125)
    who = ["-c", "user.name=tests", "-c", "user.email=tests@localhost"]
    for command in (["init", "-q"], ["add", "-A"], [*who, "commit", "-q", "-m", "Start"]):
        subprocess.run(["git", "-C", str(tmp_path / "checkout"), *command], check=True)
    (texts / "items.jsonl").write_text("the other's")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(same_numbers.tempfile, "tempdir", str(tmp_path / "temporary"))
    return same_numbers


def write_run(tmp_path: Path, value: object) -> None:
    (tmp_path / "checkout" / "run_lecdsr.py").write_text(RUN.replace("VALUE", str(value)))


def left_behind(tmp_path: Path) -> tuple[list[Path], int]:
    """Temporary files, and worktrees besides the checkout itself."""
    listed = subprocess.run(
        ["git", "-C", str(tmp_path / "checkout"), "worktree", "list"], capture_output=True, text=True, check=True
    )
    return list((tmp_path / "temporary").iterdir()), len(listed.stdout.splitlines()) - 1


def test_equal_metrics(same_numbers, tmp_path, capsys):
    write_run(tmp_path, "0.125 + 1e-13")
    assert same_numbers.main(["--base", "HEAD", "--models", "SASRec"]) == 0
    assert "SASRec: equal (6 metrics)" in capsys.readouterr().out
    assert left_behind(tmp_path) == ([], 0)


def test_metrics_that_differ_are_shown_with_both_values(same_numbers, tmp_path, capsys):
    write_run(tmp_path, "0.125 + 1e-9")
    assert same_numbers.main(["--base", "HEAD", "--models", "SASRec"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "SASRec: 2 of 6 metrics differ" in lines
    assert ["valid", "source", "ndcg@10", "0.125", "0.125000001"] in [line.split() for line in lines]


def test_missing_metrics_differ(same_numbers):
    first = {"valid": {}, "test": {"source": {"mrr": float("nan"), "hit@1": 0.5}}}
    second = {"valid": {}, "test": {"source": {"mrr": float("nan"), "hit@5": None}}}
    assert same_numbers.differences(first, second) == [
        ("test source hit@1", "0.5", "absent"),
        ("test source hit@5", "absent", "null"),
    ]


def test_a_run_that_fails_ends_the_comparison_with_its_last_lines(same_numbers, tmp_path):
    write_run(tmp_path, "no_such_name")
    with pytest.raises(SystemExit, match="NameError: name 'no_such_name'"):
        same_numbers.main(["--base", "HEAD", "--models", "SASRec"])
    assert left_behind(tmp_path) == ([], 0)


def test_what_is_no_commit_is_refused(same_numbers, tmp_path):
    with pytest.raises(SystemExit, match=r"'no-such-branch' is no commit"):
        same_numbers.main(["--base", "no-such-branch"])
    assert left_behind(tmp_path) == ([], 0)


def test_runs_are_kept_where_that_is_asked_for(same_numbers, tmp_path, capsys):
    assert same_numbers.main(["--base", "HEAD", "--models", "SASRec", "--keep"]) == 0
    (folder,), worktrees = left_behind(tmp_path)
    assert f"data, runs and logs are in {folder}" in capsys.readouterr().out
    assert worktrees == 0
    assert (folder / "current" / "runs" / "SASRec" / "movielens" / "SASRec-1" / "result.json").exists()
