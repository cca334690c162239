from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.tables import ITEMS, TABLE, write_table


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with events.csv and items.tsv."""
    monkeypatch.chdir(tmp_path)
    write_table(TABLE)
    write_table(ITEMS, "items.tsv")
    return tmp_path
