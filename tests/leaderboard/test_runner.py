from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.leaderboard import runner
from recbole_lecdsr.leaderboard import study as study_files
from tests.helpers.pairs import random_events, write_pair


@pytest.fixture
def settings(tmp_path):
    values = write_pair(tmp_path, random_events())
    # An override goes to all models, so it must be one that all of them know.
    own = {"output_dir", "embedding_size", "adapter_hidden_size", "train_epochs"}
    return {key: value for key, value in values.items() if key not in own}


def results(study) -> dict[str, dict]:
    files = study.rglob("runs/**/result.json")
    return {str(path.relative_to(study)): json.loads(path.read_text())["test"] for path in files}


def test_a_label_is_a_model_with_parameters_of_its_own():
    assert runner.split_label("SASRec") == ("SASRec", {})
    label = "LeCDSR:no_user_profile=True:eval_args.mode=uni9"
    assert runner.split_label(label) == ("LeCDSR", {"no_user_profile": True, "eval_args": {"mode": "uni9"}})
    with pytest.raises(UserError, match="NAME:parameter=value"):
        runner.split_label("SASRec:single")


def test_all_mistakes_are_told_before_anything_runs(tmp_path, settings):
    with pytest.raises(UserError) as told:
        runner.plan(tmp_path / "study", ["LeCDR", "LeCDSR:dropout=0.1", "Pop"], [1, 2], (), settings)
    text = str(told.value)
    assert "LeCDR" in text and "LeCDSR:dropout=0.1: unknown parameter 'dropout'" in text
    assert len(text.splitlines()) == 2, "each once, whatever the number of seeds"
    assert not (tmp_path / "study").exists()


def test_all_models_see_the_same_candidates_and_finished_runs_are_left_alone(tmp_path, settings, monkeypatch):
    told = []
    monkeypatch.setattr(runner, "_announce", lambda task, number, total, seconds: told.append((number, total)))
    study = tmp_path / "study"
    tasks = runner.plan(study, ["LeCDSR", "Pop"], [1, 2], (), {**settings, "epochs": 1})
    assert runner.work(tasks) == []
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert len(results(study)) == 4
    found = [json.loads((task.folder / "result.json").read_text()) for task in tasks]
    assert len({(result["seed"], result["candidates"]["digest"]) for result in found}) == 2, "one set for each seed"
    written = {task.folder: (task.folder / "result.json").stat().st_mtime_ns for task in tasks}
    again = runner.plan(study, ["LeCDSR", "Pop"], [1, 2], (), {**settings, "epochs": 1})
    assert all(task.finished() for task in again)
    assert runner.work(again) == []
    assert written == {task.folder: (task.folder / "result.json").stat().st_mtime_ns for task in tasks}
    other = runner.plan(study, ["LeCDSR"], [1], (), {**settings, "epochs": 1, "learning_rate": 0.01})
    assert not other[0].finished(), "other settings are another run"


def test_a_failed_run_leaves_its_error_and_the_others_go_on(tmp_path, settings):
    tasks = runner.plan(tmp_path / "study", ["S3Rec", "Pop"], [1], (), {**settings, "epochs": 1})
    failed = runner.work(tasks)
    assert [task.label for task in failed] == ["S3Rec"]
    last = (failed[0].folder / study_files.ERROR).read_text().splitlines()[-1]
    assert last.startswith("UserError: S3Rec needs more")
    assert tasks[1].finished()


def test_a_study_keeps_the_models_and_seeds_of_earlier_calls(tmp_path):
    runner.write_study(tmp_path / "study", "pair", ["LeCDSR", "Pop"], [1, 2])
    runner.write_study(tmp_path / "study", "pair", ["LeCDSR", "BPR"], [3])
    content = json.loads((tmp_path / "study" / "study.json").read_text())
    assert content == {"dataset": "pair", "models": ["LeCDSR", "BPR", "Pop"], "seeds": [1, 2, 3]}
    with pytest.raises(UserError, match="a study of pair, not of other"):
        runner.write_study(tmp_path / "study", "other", ["LeCDSR"], [1])


WORKER = """
import sys, json
from recbole_lecdsr.leaderboard import runner
from recbole_lecdsr.leaderboard import study as study_files
study, settings = sys.argv[1], json.loads(sys.argv[2])
from pathlib import Path
failed = runner.work(runner.plan(Path(study), ["LeCDSR", "BPR"], [1, 2], (), settings))
sys.exit(len(failed))
"""


def start(study, settings) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(study), json.dumps({**settings, "epochs": 4})], cwd=study.parent,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


def test_a_study_that_is_killed_ends_as_if_it_had_not_been_and_processes_share_one(tmp_path, settings):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    workers = [start(whole, settings), start(whole, settings)]
    assert [worker.wait(timeout=300) for worker in workers] == [0, 0]
    victim = start(broken, settings)
    deadline = time.monotonic() + 200
    while not list(broken.rglob("model.pth")) and time.monotonic() < deadline:  # in the middle of a run
        time.sleep(0.05)
    os.killpg(victim.pid, signal.SIGKILL)
    victim.wait()
    assert len(results(broken)) < 4
    assert start(broken, settings).wait(timeout=300) == 0
    assert results(broken) == results(whole)
    for path in whole.rglob("ranks.npz"):
        assert np.array_equal(np.load(path)["rank"], np.load(broken / path.relative_to(whole))["rank"])
