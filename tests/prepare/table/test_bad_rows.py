from __future__ import annotations

from pathlib import Path

import pytest

from recbole_lecdsr.errors import UserError
from tests.helpers.tables import TABLE, prepare, read, write_table


def test_bad_lines_are_skipped_and_counted_on_request():
    bad = ["u1,,food,3", "u1,z,food,soon", "u9,NA,home,4", "u1,z,food", "u3,z,,5", "u4,z,food,", "u1,z,food,6,7"]
    write_table(TABLE + "".join(f"{line}\n" for line in bad) + "u2,c,food,70\n")
    with pytest.raises(UserError, match=r"events\.csv, line 10: 'Expected 4 columns, got 3: u1,z,food'"):
        prepare()
    assert not Path("out").exists()
    summary = prepare(skip_bad_lines=True)
    assert summary.skipped.count == len(bad)
    assert [line.partition(": ")[0] for line in summary.skipped.reports] == [
        "events.csv, line 10", "events.csv, line 7", "events.csv, line 9", "events.csv, line 12", "events.csv, line 8",
        "events.csv, line 11",
    ]  # fmt: skip
    assert "has 3 cells, not 4 (and 1 more lines)" in summary.skipped.reports[0]
    assert read("food").values.tolist() == [["u1", "a", "10"], ["u1", "b", "10"], ["u2", "a", "7"], ["u2", "c", "70"]]
    assert summary.counts.domains["food"].interactions == 4
