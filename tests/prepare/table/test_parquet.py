from __future__ import annotations

import io

import pandas as pd

from tests.helpers.tables import TABLE, refuse


def test_rows_of_parquet_are_counted_from_one():
    frame = pd.read_csv(io.StringIO(TABLE))
    frame.loc[2, "user_id"] = None
    frame.to_parquet("t.parquet")
    refuse(r"t\.parquet, row 3: user_id is empty", "t.parquet")


def test_columns_of_parquet_that_are_no_text_are_an_error():
    frame = pd.read_csv(io.StringIO(TABLE))
    frame["item_id"] = [["a"], ["b"], ["c"], ["d"], ["e"]]
    frame.to_parquet("t.parquet")
    refuse(r"column 'item_id' is of type list<.*convert it", "t.parquet")
