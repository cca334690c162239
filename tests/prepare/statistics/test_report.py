from __future__ import annotations

import json

from recbole_lecdsr.prepare.statistics.report import write_statistics
from tests.helpers.interactions import INTER, ITEMS


def test_files_are_written_and_the_markdown_shows_the_plot(tmp_path):
    write_statistics(tmp_path, "pair <&>", INTER, ITEMS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["statistics.json", "statistics.md", "statistics.svg"]
    text = (tmp_path / "statistics.md").read_text(encoding="utf-8")
    assert text.startswith("# pair <&>\n")
    assert "| events | 3 | 3 | 6 |" in text
    assert "| items | 3 | 2 | 4 |" in text
    assert "- 1 of 1 (100.0%) test targets" in text
    assert "(statistics.svg)" in text
    assert json.loads((tmp_path / "statistics.json").read_text(encoding="utf-8"))["both"]["events"] == 6
