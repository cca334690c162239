from __future__ import annotations

from pathlib import Path

import pytest
from optuna.trial import TrialState

from recbole_lecdsr.errors import DiskError
from recbole_lecdsr.tuning import tuner as module
from recbole_lecdsr.tuning.storage import JOURNAL
from recbole_lecdsr.tuning.tuner import Tuner
from tests.helpers.searches import make_tuner, trial_numbers


def test_a_trial_that_takes_the_place_of_an_interrupted_one_draws_the_same(files, cheap, monkeypatch):
    make_tuner(name="unbroken").run(3)
    unbroken, cheap[:] = list(cheap), []
    train = Tuner._train

    def killed(self, trial, values):
        raise KeyboardInterrupt

    monkeypatch.setattr(Tuner, "_train", killed)
    with pytest.raises(KeyboardInterrupt):
        make_tuner(name="broken").run(3)
    monkeypatch.setattr(Tuner, "_train", train)
    make_tuner(name="broken").run(3)
    assert cheap == unbroken


def test_a_trial_is_never_without_the_process_that_runs_it(files, cheap, monkeypatch):
    tuner = make_tuner()
    seen = []
    ask = tuner.study.ask

    def asked(*args, **kwargs):
        trial = ask(*args, **kwargs)
        seen.append(tuner.study.get_trials()[trial.number].user_attrs)
        return trial

    monkeypatch.setattr(tuner.study, "ask", asked)
    tuner.run(1)
    assert [attributes["process"] for attributes in seen] == [module.process_identity()]


def test_a_disk_error_ends_the_search_and_its_trial_does_not_count(files, cheap, monkeypatch):
    train = Tuner._train

    def full(self, trial, values):
        raise DiskError("runs/config.yaml cannot be written")

    monkeypatch.setattr(Tuner, "_train", full)
    with pytest.raises(DiskError):
        make_tuner().run(2)
    monkeypatch.setattr(Tuner, "_train", train)
    tuner = make_tuner()
    tuner.run(2)
    assert len(trial_numbers(tuner)) == 2 and len(trial_numbers(tuner, TrialState.FAIL)) == 1


def test_an_incomplete_last_line_of_the_journal_is_removed_by_the_next_writer(files, cheap):
    make_tuner().run(1)
    (journal,) = Path("runs").rglob(JOURNAL)
    with journal.open("ab") as file:
        file.write(b'{"op_code": 4, "work')
    tuner = make_tuner()
    tuner.run(2)
    assert len(trial_numbers(make_tuner())) == 2
    assert not list(journal.parent.glob("*.lock*"))
