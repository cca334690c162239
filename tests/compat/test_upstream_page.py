"""docs/upstream.md names adaptations and tests that exist, and all adaptations."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from recbole_lecdsr.compat import apply

CHECKOUT = Path(__file__).parents[2]
PAGE = (CHECKOUT / "docs" / "upstream.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in PAGE.splitlines() if line.startswith("| ")]


def undefined(text: str, folder: Path, prefix: str = "") -> list[tuple[str, str]]:
    """The names, as ``(file, name)``, that a cell gives after a file of the folder and the file does not define."""
    found = []
    for file, names in re.findall(r"`(\w+\.py)`: ((?:`\w+`(?:, )?)+)", text):
        code = (folder / file).read_text(encoding="utf-8")
        found += [(file, name) for name in re.findall(r"\w+", names) if f"def {prefix}{name}(" not in code]
    return found


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_adaptations_and_tests_of_a_row_exist(row):
    assert undefined(row[-2], CHECKOUT / "recbole_lecdsr" / "compat") == []
    assert undefined(row[-1], CHECKOUT / "tests" / "compat", "test_") == []


def test_paths_exist():
    paths = re.findall(r"`((?:recbole_lecdsr|tests|benchmarks|properties)/[\w/.]+)`", PAGE)
    assert len(paths) > 10
    assert [path for path in paths if not (CHECKOUT / path).exists()] == []


def test_each_adaptation_is_on_the_page():
    assert [adapt.__name__ for adapt in apply.ADAPTATIONS if f"`{adapt.__name__}`" not in PAGE] == []
