from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from recbole_lecdsr import files
from recbole_lecdsr.files import write_whole

CHECKOUT = Path(__file__).parents[1]
WRITER = """
import sys, time
from recbole_lecdsr.files import write_whole
with write_whole("file.txt") as file:
    file.write("half")
    file.flush()
    print("writing", flush=True)
    time.sleep(600)
"""


def killed_writer(folder: Path) -> None:
    """Leave behind what a writer of file.txt leaves that is killed in the midst."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER], cwd=folder, stdout=subprocess.PIPE, env={"PYTHONPATH": str(CHECKOUT)}
    )
    assert process.stdout.readline() == b"writing\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_remains_of_a_killed_writer_are_removed_by_the_next(tmp_path):
    killed_writer(tmp_path)
    (remains,) = names(tmp_path)
    assert remains.startswith(".file.txt.") and remains.endswith(".tmp")
    with write_whole(tmp_path / "file.txt") as file:
        file.write("whole")
    assert names(tmp_path) == ["file.txt"]
    assert (tmp_path / "file.txt").read_text() == "whole"


def test_remains_of_other_files_stay(tmp_path):
    kept = [".file.txt.old.abcdefgh.tmp", ".other.txt.abcdefgh.tmp", ".file.txt.tmp", "file.txt.abcdefgh.tmp"]
    for name in kept:
        (tmp_path / name).touch()
    with write_whole(tmp_path / "file.txt"):
        pass
    assert names(tmp_path) == sorted([*kept, "file.txt"])


def test_a_writer_at_work_is_left_alone(tmp_path):
    path = tmp_path / "file.txt"
    with write_whole(path) as first:
        with write_whole(path) as second:
            second.write("second")
        assert path.read_text() == "second"
        first.write("first")
    assert path.read_text() == "first"
    assert names(tmp_path) == ["file.txt"]


def test_a_temporary_file_that_is_removed_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    flock, made = files.fcntl.flock, []

    def removed_once(handle: int, operation: int) -> None:
        if operation == files.fcntl.LOCK_EX and not made:
            made.extend(tmp_path.glob(".file.txt.*"))
            made[0].unlink()
        flock(handle, operation)

    monkeypatch.setattr(files.fcntl, "flock", removed_once)
    with write_whole(tmp_path / "file.txt") as file:
        file.write("whole")
    assert made and names(tmp_path) == ["file.txt"]


def test_files_are_written_where_there_are_no_locks(tmp_path, monkeypatch):
    def unsupported(handle: int, operation: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(files.fcntl, "flock", unsupported)
    (tmp_path / ".file.txt.abcdefgh.tmp").touch()
    with write_whole(tmp_path / "file.txt") as file:
        file.write("whole")
    assert names(tmp_path) == [".file.txt.abcdefgh.tmp", "file.txt"]
