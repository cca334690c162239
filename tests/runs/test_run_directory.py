from __future__ import annotations

import importlib.metadata
import os
import pickle
import re
import resource
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from recbole_lecdsr import __version__
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import write_whole
from recbole_lecdsr.runs import environment, run_directory
from recbole_lecdsr.runs.checkpoint import load_checkpoint, save_checkpoint
from recbole_lecdsr.runs.environment import git_revision, versions

STATE = {"state_dict": {"weight": torch.arange(4.0)}, "parameters": {"seed": 1}}


# ------------------------------------------------------------------ whole or not at all


class Unwritable:
    """Breaks off the writing of whatever it stands in."""

    def __init__(self, error: BaseException):
        self.error = error

    def __reduce__(self):
        raise self.error


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt()], ids=repr)
def test_a_checkpoint_that_breaks_off_leaves_the_last_good_one_and_nothing_else(tmp_path, error):
    path = tmp_path / "model.pth"
    save_checkpoint(path, STATE)
    before = path.read_bytes()
    with pytest.raises(type(error)):
        save_checkpoint(path, {**STATE, "weights": torch.ones(1000), "last": Unwritable(error)})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@contextmanager
def full_disk():
    """Files cannot grow beyond 20,000 bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_the_last_good_checkpoint_and_tells_the_remedy(tmp_path):
    path = tmp_path / "model.pth"
    save_checkpoint(path, STATE)
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"model\.pth cannot be written .*make room .*--resume=True"), full_disk():
        save_checkpoint(path, {**STATE, "weights": torch.ones(100_000)})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_last_good_result(tmp_path):
    run_directory.write_result(tmp_path, {"seed": 1})
    with pytest.raises(UserError, match=r"result\.json cannot be written"), full_disk():
        run_directory.write_result(tmp_path, {"text": "x" * 100_000})
    assert [path.read_text() for path in tmp_path.iterdir()] == ['{\n  "seed": 1\n}\n']


def test_a_file_has_the_permissions_that_open_would_give_it(tmp_path):
    (tmp_path / "plain").write_text("")
    with write_whole(tmp_path / "whole") as file:
        file.write("ä")
    assert (tmp_path / "whole").read_bytes() == "ä".encode()
    assert (tmp_path / "whole").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_reader_of_the_former_file_keeps_it(tmp_path):
    path = tmp_path / "file"
    path.write_text("former")
    with path.open() as reader:
        with write_whole(path) as file:
            file.write("new")
        assert reader.read() == "former"
    assert path.read_text() == "new"


# ------------------------------------------------------------------ reading


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_checkpoint_is_an_error_with_the_file_and_a_remedy(tmp_path, share):
    path = tmp_path / "model.pth"
    save_checkpoint(path, {**STATE, "weights": torch.ones(1000)})
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(UserError, match=rf"{re.escape(str(path))} \(\d+ bytes\).*truncated.*delete it and train again"):
        load_checkpoint(path)


@pytest.mark.parametrize("content", [b"no checkpoint\n", pickle.dumps({"a": 1}, protocol=2), b"PK\x03\x04" + bytes(60)])
def test_a_file_that_is_no_checkpoint_is_an_error_with_a_remedy(tmp_path, content):
    path = tmp_path / "model.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"{re.escape(str(path))}.*(delete it|give another file)"):
        load_checkpoint(path)


@pytest.mark.parametrize("content", [{"weight": torch.ones(2)}, [1, 2], torch.ones(2), {"state_dict": {}}], ids=str)
def test_a_checkpoint_of_something_else_is_an_error_with_a_remedy(tmp_path, content):
    torch.save(content, tmp_path / "model.pth")
    with pytest.raises(UserError, match=r"model\.pth holds no LeCDSR run.*give another file"):
        load_checkpoint(tmp_path / "model.pth")


def test_a_checkpoint_that_is_not_there_is_an_error_with_a_remedy(tmp_path):
    with pytest.raises(UserError, match=r"absent\.pth does not exist: train first"):
        load_checkpoint(tmp_path / "absent.pth")


def test_code_in_a_checkpoint_is_never_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "done"),)

    torch.save({**STATE, "evil": Evil()}, tmp_path / "model.pth")
    with pytest.raises(UserError, match=r"model\.pth"):
        load_checkpoint(tmp_path / "model.pth")
    assert not (tmp_path / "done").exists()


def plain(value) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, (str, int)) and plain(item) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(plain, value))
    return value is None or isinstance(value, (bool, int, float, str, torch.Tensor))


def test_the_checkpoint_of_a_run_holds_tensors_and_plain_data_only(finished):
    state = torch.load(finished["folder"] / run_directory.MODEL, weights_only=True)
    assert plain(state)
    assert state["parameters"]["dataset"] == "pair"


# ------------------------------------------------------------------ where a result comes from


def test_versions_are_those_installed():
    found = versions()
    assert found["recbole_lecdsr"] == __version__
    for name in ("recbole", "recbole-cdr", "torch", "numpy", "pandas", "scipy"):
        assert found[name] == importlib.metadata.version(name)


def test_outside_a_checkout_there_is_no_revision(tmp_path, monkeypatch):
    (tmp_path / "run.py").write_text("")
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "run.py"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    assert git_revision() is None


def test_without_git_there_is_no_revision(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert git_revision() is None


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Path:
    """A repository with one commit of a file that is taken for the package's."""
    if not shutil.which("git"):
        pytest.skip("needs git")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    (tmp_path / "run.py").write_text("first\n")
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    for command in (["init", "-q"], ["add", "run.py"], [*identity, "commit", "-q", "-m", "one"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    monkeypatch.setattr(environment, "__file__", str(tmp_path / "run.py"))
    return tmp_path


def test_the_revision_is_the_commit_and_says_when_files_differ(checkout):
    clean = git_revision()
    assert re.fullmatch(r"[0-9a-f]{40}", clean)
    (checkout / "run.py").write_text("second\n")
    assert git_revision() == f"{clean}+"


def test_a_package_installed_inside_another_checkout_does_not_take_its_revision(checkout, monkeypatch):
    installed = checkout / ".venv" / "recbole_lecdsr"
    installed.mkdir(parents=True)
    (installed / "run.py").write_text("")
    monkeypatch.setattr(environment, "__file__", str(installed / "run.py"))
    assert git_revision() is None
