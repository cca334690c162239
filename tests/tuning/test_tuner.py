from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from recbole_lecdsr.errors import DiskError, UserError
from recbole_lecdsr.tuning import tuner as module
from recbole_lecdsr.tuning.storage import has_ended, process_identity
from recbole_lecdsr.tuning.tuner import ERROR, Tuner
from tests.helpers.pairs import random_events, write_pair
from tests.helpers.searches import SPACE, make_tuner, trial_numbers, write_search_files


def test_a_trial_is_pruned_by_its_scores_of_the_last_phase(files, monkeypatch):
    class PruneThird(optuna.pruners.BasePruner):
        def prune(self, study, trial):
            return trial.number == 0 and trial.last_step >= 1

    monkeypatch.setattr(module, "make_pruner", lambda name: PruneThird())
    search = make_tuner("--train_epochs=['SOURCE:3', 'BOTH:4']", space=SPACE.rpartition("train_epochs")[0])
    progress = search.run(2)
    pruned, complete = progress.finished
    assert pruned.state == TrialState.PRUNED
    assert list(pruned.intermediate_values) == [0, 1]
    assert list(complete.intermediate_values) == [0, 1, 2, 3]
    assert complete.value == max(complete.intermediate_values.values())


def test_a_split_without_validation_samples_is_a_failure_that_says_so(files):
    progress = make_tuner("--eval_args.split={LS: test_only}").run(1)
    assert "no validation sample" in progress.finished[0].user_attrs[ERROR]


def test_a_resumed_search_runs_only_the_missing_trials_and_draws_what_an_uninterrupted_one_draws(files, cheap):
    make_tuner().run(3)
    assert len(cheap) == 3
    make_tuner().run(3)
    assert len(cheap) == 3, "nothing is missing"
    progress = make_tuner().run(14)
    assert len(progress.finished) == 14
    resumed = list(cheap)
    cheap.clear()
    uninterrupted = make_tuner(name="other")
    uninterrupted.run(14)
    assert cheap == resumed
    cheap.clear()
    make_tuner("--seed=5", name="third").run(14)
    assert cheap != resumed


def test_a_search_takes_no_trials_on_other_data(files, tmp_path, cheap):
    settings = write_pair(tmp_path / "dataset", random_events(12))
    write_search_files(settings)
    make_tuner().run(1)
    shutil.rmtree(tmp_path / "dataset")
    write_pair(tmp_path / "dataset", random_events(12), size=3)
    with pytest.raises(UserError, match="started with other item vectors of source, item vectors of target and user v"):
        make_tuner().run(2)
    assert len(cheap) == 1


def test_failed_trials_count_and_interrupted_ones_are_repeated(files, monkeypatch):
    def fails(self, trial, values):
        if trial.number == 0:
            raise RuntimeError("out of memory\nand a long explanation")
        if trial.number == 1:
            raise KeyboardInterrupt
        return 0.5

    monkeypatch.setattr(Tuner, "_train", fails)
    lines = []
    with pytest.raises(KeyboardInterrupt):
        make_tuner().run(3, lines.append)
    assert any("failed: RuntimeError: out of memory" in line for line in lines)
    progress = make_tuner().run(3)
    assert [trial.number for trial in progress.finished] == [0, 2, 3]
    assert progress.finished[0].user_attrs[ERROR] == "RuntimeError: out of memory"
    assert progress.interrupted == 1


def test_trials_of_killed_processes_are_repeated_and_those_of_living_ones_count(files, cheap):
    search = make_tuner()
    running, killed, elsewhere = (search.study.ask() for _ in range(3))
    running.set_user_attr("process", process_identity())
    host = process_identity().split()[0]
    killed.set_user_attr("process", f"{host} {os.getpid()} 1.5")  # another process has its number now
    elsewhere.set_user_attr("process", "another.machine 1 1.5")
    progress = search.run(4)
    assert [trial.number for trial in progress.finished] == [3, 4]
    assert trial_numbers(search, TrialState.RUNNING) == [0, 2]
    assert progress.interrupted == 1


def test_of_two_trials_claimed_at_the_same_moment_the_later_is_dropped(files, cheap):
    first, second = make_tuner(), make_tuner()
    stock = second._trials
    seen = []

    def just_before(*_):
        trials = stock()
        if not seen:
            seen.append(first._claim_trial(1))
        return trials

    second._end_abandoned_trials = lambda: None
    second._trials = just_before
    assert second._claim_trial(1) is None
    assert seen[0].number == 0
    assert second.progress().interrupted == 0


def test_a_search_with_another_space_or_other_settings_is_refused(files, cheap):
    make_tuner().run(1)
    make_tuner("--show_progress=True", "--eval_batch_size=9")
    with pytest.raises(UserError, match=r"different settings.*weight_decay was 0.3 and is 0.5.*--name"):
        make_tuner("--weight_decay=0.5")
    with pytest.raises(UserError, match=r"different search space.*learning_rate"):
        make_tuner(space=SPACE.replace("1e-3", "1e-4"))


def test_names_and_values_that_the_model_refuses_are_reported_before_the_first_trial(files):
    space = "learnin_rate: {type: float, low: 0.1, high: 1}\nloss_type: {type: categorical, choices: [softmax, hinge]}"
    with pytest.raises(UserError) as caught:
        make_tuner(space=space)
    first, second = str(caught.value).splitlines()
    assert "space.yaml: learnin_rate" in first
    assert "did you mean learning_rate" in first
    assert "space.yaml: loss_type = 'hinge'" in second
    assert not Path("runs").exists()


def test_what_is_searched_cannot_be_fixed_on_the_command_line(files):
    with pytest.raises(UserError, match="embedding_size is searched and given on the command line"):
        make_tuner("--embedding_size=4")
    with pytest.raises(UserError, match="sample_num is searched and given"):
        make_tuner("--train_neg_sample_args.sample_num=4")


# ------------------------------------------------------------------ damaged records, full disks


def journal(folder: Path) -> Path:
    return next(folder.glob("**/journal.log"))


@pytest.mark.parametrize(
    "damage",
    [lambda lines: ["{", *lines], lambda lines: ["[]", *lines], lambda lines: ["\0" * 40, *lines],
     lambda lines: [lines[0].replace("op_code", "op_kode"), *lines[1:]],
     lambda lines: [line.replace('"space"', '"space": 3, "x"') for line in lines],
     lambda lines: [line.replace("user_attr", "user_atr") for line in lines]],
    ids=["no json", "no mapping", "zeros", "no operation", "no search space", "no attribute"],
)  # fmt: skip
def test_case_t2_a_damaged_journal_is_one_error_with_file_and_remedy(files, cheap, damage):
    make_tuner().run(2)
    path = journal(files)
    path.write_text("\n".join(damage(path.read_text(encoding="utf-8").splitlines())) + "\n", encoding="utf-8")
    with pytest.raises(
        UserError, match=r"journal\.log cannot be used .*delete it, or start another .*--name"
    ) as caught:
        make_tuner().run(3)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("process", [3, "", "host", "host x y", "host 1 2 3"])
def test_case_t2_a_record_of_a_process_that_is_none_is_no_process_that_has_ended(process):
    assert not has_ended(process)


def test_case_t3_a_full_disk_ends_a_search_with_one_error_and_the_trial_does_not_count(files, cheap, monkeypatch):
    make_tuner().run(1)

    def fail(*_):
        raise DiskError("model.pth cannot be written")

    with monkeypatch.context() as patch:
        patch.setattr(Tuner, "_train", fail)
        with pytest.raises(UserError, match=r"model\.pth cannot be written"):
            make_tuner().run(3)
    search = make_tuner()
    assert search.progress().interrupted == 1 and len(search.progress().finished) == 1
    assert len(search.run(2).finished) == 2


def test_case_t3_a_full_disk_leaves_the_best_settings_as_they_were(files, cheap, monkeypatch):
    search = make_tuner()
    search.run(1)
    before = (search.folder / "best.yaml").read_bytes()

    def fail(**_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("tempfile.mkstemp", fail)
    with pytest.raises(UserError, match=r"best\.yaml cannot be written \(No space left .*make room"):
        search.write_best()
    assert (search.folder / "best.yaml").read_bytes() == before
