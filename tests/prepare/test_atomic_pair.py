from __future__ import annotations

import pandas as pd
import pytest

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare import atomic_pair


def test_a_cell_that_an_atomic_file_cannot_hold_is_never_written(tmp_path):
    for bad in ("a\tb", "a\nb", None):
        with pytest.raises(UserError, match=r"x\.item, column 't:token', row 1: .*(is missing|contains)|must be text"):
            atomic_pair.write_pair(tmp_path, {"x.item": pd.DataFrame({"item_id:token": ["i"], "t:token": [bad]})})
    assert not list(tmp_path.iterdir())
