"""The short form of the crash tests; ``make crash`` is the long one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.helpers.runs import process

CHECKOUT = Path(__file__).parents[2]
# Cheap jobs of each kind: files that replace others, a store that grows, and checkpoints.
JOBS = ("prepare-table-again", "profile", "train", "recommend")
KILLS = 2


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc, by which open files are found")
def test_killed_jobs_leave_whole_files_and_end_equal_after_a_restart(tmp_path):
    folder = str(tmp_path / "crash")
    arguments = [f"--kills={KILLS}", "--disks=1", "--folder", folder, "--jobs", ",".join(JOBS)]
    done = process("-m", "tests.crash", *arguments, cwd=CHECKOUT, PYTHONPATH=str(CHECKOUT))
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    counts = {row[0]: list(map(int, row[1:])) for row in rows if row and row[0] in JOBS and len(row) == 6}
    assert counts.keys() == set(JOBS)
    for name, (_, kills, equal, n_disks, failures) in counts.items():
        assert (kills, equal, n_disks, failures) == (KILLS, KILLS, 1, 0), name
