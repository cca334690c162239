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
from recbole_lecdsr.leaderboard.study import ERROR_FILE
from tests.helpers.pairs import random_events, write_pair


@pytest.fixture
def settings(tmp_path):
    values = write_pair(tmp_path, random_events())
    # Overrides are for all models, so each model must have them.
    of_lecdsr = {"output_dir", "embedding_size", "adapter_hidden_size", "train_epochs"}
    return {key: value for key, value in values.items() if key not in of_lecdsr}


def results(study) -> dict[str, dict]:
    files = study.rglob("runs/**/result.json")
    return {str(path.relative_to(study)): json.loads(path.read_text())["test"] for path in files}


def test_a_label_is_a_model_with_parameters():
    assert runner.parse_label("SASRec") == ("SASRec", {})
    label = "LeCDSR:no_user_profile=True:eval_args.mode=uni9"
    assert runner.parse_label(label) == ("LeCDSR", {"no_user_profile": True, "eval_args": {"mode": "uni9"}})
    with pytest.raises(UserError, match="NAME:parameter=value"):
        runner.parse_label("SASRec:single")


def test_all_errors_are_reported_before_anything_runs(tmp_path, settings):
    with pytest.raises(UserError) as caught:
        runner.make_plan(tmp_path / "study", ["LeCDR", "LeCDSR:dropout=0.1", "Pop"], [1, 2], overrides=settings)
    text = str(caught.value)
    assert "LeCDR" in text and "LeCDSR:dropout=0.1: unknown parameter 'dropout'" in text
    assert len(text.splitlines()) == 2, "each once, whatever the number of seeds"
    assert not (tmp_path / "study").exists()


def test_embedding_files_that_a_model_reads_must_exist_before_anything_runs(tmp_path, settings):
    folder = tmp_path / "pair"
    (folder / "pair.useremb").unlink()
    (folder / "source" / "source.itememb").unlink()

    def check(*labels: str) -> None:
        runner.check_embedding_files(runner.make_plan(tmp_path / "study", labels, [1, 2], overrides=settings).tasks)

    check("Pop", "LeCDSR:no_user_profile=True:no_item_semantics=True")
    with pytest.raises(UserError) as caught:
        check("Pop", "LeCDSR", "LeCDSR:user_embedding_file=other.useremb")
    items, users, others = str(caught.value).splitlines()
    assert items.startswith(str(folder / "source" / "source.itememb"))
    assert users.startswith(str(folder / "pair.useremb"))
    assert others.startswith(str(folder / "other.useremb"))
    assert "`run_lecdsr.py embed --dataset pair --user_embedding_file=other.useremb …`" in others
    with pytest.raises(UserError, match=r"pair\.useremb does not exist"):
        check("LeCDSR:no_item_semantics=True")
    with pytest.raises(UserError) as caught:
        check("UniSRec:word_drop_file=drops.itememb")
    items, *augmented = str(caught.value).splitlines()
    assert items.startswith(str(folder / "source" / "source.itememb"))
    for line, domain in zip(augmented, ("source", "target"), strict=True):
        assert line.startswith(str(folder / domain / "drops.itememb"))
        assert "`run_lecdsr.py embed --dataset pair --item_embedding_file=drops.itememb …`" in line


def test_all_models_have_the_same_candidates_and_finished_runs_are_not_repeated(tmp_path, settings, monkeypatch):
    started = []
    monkeypatch.setattr(runner, "_log_progress", lambda task, total, seconds: started.append((len(seconds), total)))
    study = tmp_path / "study"
    overrides = {**settings, "epochs": 1}
    tasks = runner.make_plan(study, ["LeCDSR", "Pop"], [1, 2], overrides=overrides).tasks
    assert runner.run_tasks(tasks) == []
    assert started == [(0, 4), (1, 4), (2, 4), (3, 4)]
    assert len(results(study)) == 4
    found = [json.loads((task.folder / "result.json").read_text()) for task in tasks]
    assert len({(result["seed"], result["candidates"]["digest"]) for result in found}) == 2, "one set for each seed"
    written = {task.folder: (task.folder / "result.json").stat().st_mtime_ns for task in tasks}
    again = runner.make_plan(study, ["LeCDSR", "Pop"], [1, 2], overrides=overrides).tasks
    assert all(task.is_finished() for task in again)
    assert runner.run_tasks(again) == []
    assert written == {task.folder: (task.folder / "result.json").stat().st_mtime_ns for task in tasks}
    (other,) = runner.make_plan(study, ["LeCDSR"], [1], overrides={**overrides, "learning_rate": 0.01}).tasks
    assert not other.is_finished(), "different parameters make a different run"


def test_case_r01_an_unfinished_run_may_resume_with_more_epochs_and_starts_again_with_fewer(tmp_path, settings):
    def task(epochs: int, study: str = "study") -> runner.Task:
        return runner.make_plan(tmp_path / study, ["SASRec"], [1], overrides={**settings, "epochs": epochs}).tasks[0]

    assert runner.run_tasks([task(2)]) == []
    (task(2).folder / "result.json").unlink()  # as if killed after its second epoch
    assert task(2).can_resume() and task(3).can_resume()
    assert not task(1).can_resume()
    assert runner.run_tasks([task(3)]) == []
    assert runner.run_tasks([task(3, "unbroken")]) == []
    resumed, unbroken = (json.loads((one.folder / "result.json").read_text()) for one in (task(3), task(3, "unbroken")))
    assert resumed["epochs"] == unbroken["epochs"] == 3
    assert resumed["test"] == unbroken["test"]


def test_case_r02_a_run_with_different_parameters_that_another_process_finished_is_not_replaced(tmp_path, settings):
    plans = [
        runner.make_plan(tmp_path / "study", ["SASRec"], [1, 2], overrides={**settings, "epochs": 1, **values}).tasks
        for values in ({}, {"learning_rate": 0.01})
    ]
    for tasks in plans:
        runner.check_rows(tasks)  # neither has a finished run when both start
    assert runner.run_tasks(plans[0][:1]) == []
    result = (plans[0][0].folder / "result.json").read_bytes()
    for seed in (0, 1):
        with pytest.raises(UserError, match=r"learning_rate 0\.0025 and 0\.01"):
            runner.run_tasks(plans[1][seed:])
    assert (plans[0][0].folder / "result.json").read_bytes() == result
    assert not plans[1][1].is_finished() and not (plans[1][1].folder / ERROR_FILE).exists()


def test_a_failed_run_leaves_its_error_and_the_others_are_run(tmp_path, settings):
    tasks = runner.make_plan(tmp_path / "study", ["S3Rec", "Pop"], [1], overrides={**settings, "epochs": 1}).tasks
    failed = runner.run_tasks(tasks)
    assert [task.label for task in failed] == ["S3Rec"]
    last = (failed[0].folder / ERROR_FILE).read_text().splitlines()[-1]
    assert last.startswith("UserError: S3Rec needs more")
    assert tasks[1].is_finished()


WORKER = """
import sys, json
from recbole_lecdsr.leaderboard import runner
study, settings = sys.argv[1], json.loads(sys.argv[2])
from pathlib import Path
failed = runner.run_tasks(runner.make_plan(Path(study), ["LeCDSR", "BPR"], [1, 2], overrides=settings).tasks)
sys.exit(len(failed))
"""


def start(study, settings) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(study), json.dumps({**settings, "epochs": 4})], cwd=study.parent,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


def test_a_killed_study_resumes_to_the_same_results_and_processes_share_one(tmp_path, settings):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    workers = [start(whole, settings), start(whole, settings)]
    assert [worker.wait(timeout=300) for worker in workers] == [0, 0]
    victim = start(killed, settings)
    deadline = time.monotonic() + 200
    while not list(killed.rglob("model.pth")) and time.monotonic() < deadline:  # in the middle of a run
        time.sleep(0.05)
    os.killpg(victim.pid, signal.SIGKILL)
    victim.wait()
    assert len(results(killed)) < 4
    assert start(killed, settings).wait(timeout=300) == 0
    assert results(killed) == results(whole)
    for path in whole.rglob("ranks.npz"):
        assert np.array_equal(np.load(path)["rank"], np.load(killed / path.relative_to(whole))["rank"])
