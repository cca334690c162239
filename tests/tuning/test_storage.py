from __future__ import annotations

from pathlib import Path

import pytest

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.tuning.storage import has_ended, process_identity
from tests.helpers.searches import make_tuner


def test_sqlite_can_hold_a_search(files, cheap):
    make_tuner(storage="sqlite:///study.db").run(2)
    progress = make_tuner(storage="sqlite:///study.db").run(3)
    assert len(progress.finished) == 3
    assert not Path("runs/pair/tune-LeCDSR/journal.log").exists()
    with pytest.raises(UserError, match=r"sqlite:///tune\.db"):
        make_tuner(storage="no url")


def test_a_process_of_this_machine_has_ended_when_its_number_is_free_or_belongs_to_another():
    host, pid, start = process_identity().split()
    assert not has_ended(process_identity())
    assert not has_ended(f"{host} {pid} {float(start) + 5}"), "the clock may have been adjusted"
    assert has_ended(f"{host} {pid} 1.5")
    assert has_ended(f"{host} {2**22 + 1} {start}")


def test_of_other_machines_and_of_trials_without_a_process_nothing_is_known():
    assert not has_ended("another.machine 1 1.5")
    assert not has_ended(None)
