from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.c2dsr_files import write_folder


@pytest.fixture
def raw_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in C2DSR's format inside the current folder."""
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "Food-Kitchen")
    return tmp_path / "Food-Kitchen"
