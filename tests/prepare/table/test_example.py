from __future__ import annotations

import re
import shlex
from pathlib import Path

import pandas as pd
import pytest

from recbole_lecdsr.cli import main
from tests.helpers.pages import read

SECTION = re.search(r"^## Your own tables\n(.*?)^## ", read("data.md"), re.M | re.S)[1]
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", SECTION, re.M | re.S)
COMMAND, PRINTED, FOOD = [block for language, block in BLOCKS if not language]
(PYTHON,) = [block for language, block in BLOCKS if language == "python"]
TABLES = dict(zip(re.findall(r"`(\w+\.csv)`", SECTION)[:4], [block for language, block in BLOCKS if language == "csv"],
                  strict=True))  # fmt: skip


@pytest.fixture(autouse=True)
def tables(work: Path) -> None:
    for name, text in TABLES.items():
        Path(name).write_text(text, encoding="utf-8")


def test_case_h1_the_example_of_the_page_prints_and_writes_what_the_page_shows(capsys):
    assert main(shlex.split(COMMAND.replace("\\\n", ""))[2:]) == 0
    assert capsys.readouterr().out == PRINTED
    assert Path("dataset/shop/food/food.inter").read_text(encoding="utf-8") == FOOD


def test_case_h1_the_example_in_python_writes_the_same_files(capsys):
    assert main(shlex.split(COMMAND.replace("\\\n", ""))[2:]) == 0
    Path("dataset").rename("of_files")
    names = {name: pd.read_csv(f"{name}.csv", sep=None, engine="python") for name in ("food", "kitchen")}
    names |= {f"{name}_items": pd.read_csv(f"{name}_items.csv") for name in ("food", "kitchen")}
    exec(PYTHON, names)
    assert names["summary"].counts.both.common_users == 3
    files = [path.relative_to("dataset") for path in Path("dataset").rglob("*.*")]
    assert len(files) == 8
    assert all(Path("dataset", file).read_bytes() == Path("of_files", file).read_bytes() for file in files)
