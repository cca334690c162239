"""The short form of the crash tests; ``make crash`` is the long one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.helpers.runs import process

CHECKOUT = Path(__file__).parents[2]
# A kill of each: prepare, profile and recommend, which are cheap, and a training.
SHORT = {"prepare-table-again": 3, "profile": 3, "train": 3, "recommend": 3}


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc, by which open files are found")
def test_killed_jobs_leave_whole_files_and_end_equal_after_a_restart(tmp_path):
    arguments = ["--kills", "3", "--disks", "1", "--folder", str(tmp_path / "crash"), "--jobs", ",".join(SHORT)]
    done = process("-m", "tests.crash", *arguments, cwd=CHECKOUT, PYTHONPATH=str(CHECKOUT))
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    counts = {row[0]: list(map(int, row[1:])) for row in rows if row and row[0] in SHORT and len(row) == 6}
    assert counts.keys() == SHORT.keys()
    for name, (events, kills, equal, _, failures) in counts.items():
        assert events > 10, name
        # At a random time, a job may have ended already.
        assert SHORT[name] - 1 <= kills == equal, name
        assert failures == 0, name
