"""What the pages say about the repository."""

from __future__ import annotations

import re
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]


def test_every_path_of_the_table_of_stages_is_there():
    page = (CHECKOUT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page[page.index("## Where is …") : page.index("## Who may import whom")]
    paths = re.findall(r"`(recbole_lecdsr/[\w/.]*)`", table)
    assert len(paths) > 40
    assert [path for path in paths if not (CHECKOUT / path).exists()] == []


def test_every_package_of_the_code_is_in_the_table_of_stages():
    page = (CHECKOUT / "docs" / "architecture.md").read_text(encoding="utf-8")
    folders = {path.parent.name for path in (CHECKOUT / "recbole_lecdsr").glob("*/__init__.py")}
    assert {name for name in folders if f"recbole_lecdsr/{name}/" not in page} == set()
