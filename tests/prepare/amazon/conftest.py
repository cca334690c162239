from __future__ import annotations

from pathlib import Path

import pytest

from recbole_lecdsr.prepare.amazon import line_blocks, reviews


@pytest.fixture(autouse=True)
def small_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder; files are read in many small blocks, and tokens encoded in many batches."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(line_blocks, "BLOCK_BYTES", 700)
    monkeypatch.setattr(reviews, "BATCH_ROWS", 2)
    return tmp_path
