from __future__ import annotations

from pathlib import Path

import pytest

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.amazon.bad_lines import BadLines


def test_a_bad_line_ends_the_work_unless_bad_lines_are_counted():
    with pytest.raises(UserError, match=r"f\.json, line 7: no JSON; correct .* --skip_bad_lines"):
        BadLines(skip=False).add(Path("f.json"), 7, "no JSON")
    bad = BadLines(skip=True)
    for line in (7, 9):
        bad.add(Path("f.json"), line, f"problem of {line}")
    assert bad.report() == {"f.json": "2 left out; the first, line 7: problem of 7"}
