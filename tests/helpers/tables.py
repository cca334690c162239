"""A table of interactions and one of items for the tests of `prepare table`, and what becomes of them."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd
import pytest

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.summary import PreparationSummary
from recbole_lecdsr.prepare.table import convert
from recbole_lecdsr.prepare.table.options import TableOptions

TABLE = """\
user_id,item_id,domain,timestamp
u1,a,food,10
u1,x,home,10
u2,y,home,5
u1,b,food,10
u2,a,food,7
"""
ITEMS = """\
item_id\tdomain\ttitle\tbrand
a\tfood\t12" pan\tAcme
b\tfood\t\t
x\thome\t"Cross" rack\tAcme
"""


def write_table(text: str, name: str = "events.csv") -> None:
    """A file in the current folder."""
    Path(name).write_text(text, encoding="utf-8")


def prepare(*files: str, source: str | None = None, items: str | None = None, **options) -> PreparationSummary:
    """`convert.prepare` of events.csv, or of other files, into the folder out."""
    return convert.prepare(
        files or ["events.csv"],
        "out",
        "pair",
        source=source,
        items={None: [items]} if items else None,
        options=TableOptions(**options),
    )


def refuse(match: str, *files: str, **options) -> str:
    """The message of the error that `prepare` must raise; nothing must have been written."""
    with pytest.raises(UserError, match=match) as caught:
        prepare(*files, **options)
    assert not [path for path in Path("out").rglob("*") if path.is_file()]
    return str(caught.value)


def read(domain: str, kind: str = "inter") -> pd.DataFrame:
    """A file that `prepare` wrote, as text."""
    path = Path("out", domain, f"{domain}.{kind}")
    return pd.read_csv(path, sep="\t", dtype=str, quoting=csv.QUOTE_NONE, keep_default_na=False)
