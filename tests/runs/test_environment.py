from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from recbole_lecdsr import __version__
from recbole_lecdsr.runs import environment
from recbole_lecdsr.runs.environment import git_revision, versions


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
