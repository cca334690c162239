from __future__ import annotations

import io

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_lecdsr.data.atomic_files.reserved_tokens import RESERVED
from recbole_lecdsr.prepare.table import convert
from recbole_lecdsr.prepare.table.options import TableOptions
from tests.helpers.tables import TABLE, refuse, write_table

token = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters="\ufeff"), min_size=1, max_size=6
).filter(lambda text: text.strip() and not text.startswith('"') and text not in RESERVED)


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.tuples(token, token, st.integers(0, 2**40)), min_size=1, max_size=8))
def test_recbole_reads_back_every_token_that_is_accepted(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("pair")
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])
    both = pd.concat([frame.assign(domain="a"), frame.assign(domain="b")])
    both.to_csv(folder / "t.csv", index=False)
    convert.prepare([folder / "t.csv"], folder, "pair", options=TableOptions(time_format="s"))
    back = pd.read_csv(folder / "a" / "a.inter", delimiter="\t", dtype=str, encoding="utf-8", engine="python")
    assert back.values.tolist() == frame.astype(str).values.tolist()


def test_reserved_words_are_those_that_recbole_reads_as_missing():
    column = pd.read_csv(io.StringIO("\n".join(["t", *RESERVED])), dtype=str, engine="python")["t"]
    assert column[column.notna()].tolist() == ["[PAD]"]


@pytest.mark.parametrize(
    ("row", "match"),
    [
        (",x,home,10", "line 3: user_id is empty; fill the cell"),
        ("u1,  ,home,10", "line 3: item_id is empty"),
        ("u1,x,,10", "line 3: domain is empty"),
        ("u1,x,home,", "line 3: timestamp is empty"),
        ('u1,"x\ty",home,10', r"line 3: item_id 'x\\ty' holds a tab"),
        ('u1,"x\ny",home,10', r"line 3: item_id 'x\\ny' holds a tab, a line break"),
        ("u1,\ufeffx,home,10", r"line 3: item_id '\\ufeffx' holds a tab"),
        ("u1,NA,home,10", "line 3: item_id 'NA' is a word"),
        ('u1,"""x",home,10', "line 3: item_id '\"x' starts with a quotation mark"),
        ("u1,x,home", "line 3: 'Expected 4 columns, got 3: u1,x,home'"),
        ("u1,x,home,10,11", "line 3: 'Expected 4 columns, got 5"),
    ],
)
def test_a_bad_row_is_named_with_file_and_line(row, match):
    write_table(TABLE.replace("u1,x,home,10", row))
    refuse(rf"events\.csv, {match}")
