from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.table import convert
from tests.helpers.tables import TABLE, prepare, read, refuse, write_table


def test_every_format_gives_the_same_files():
    prepare()
    expected = {path: path.read_bytes() for path in Path("out").rglob("*.*")}
    frame = pd.read_csv(io.StringIO(TABLE))
    frame.to_csv("t.tsv", sep="\t", index=False)
    frame.to_parquet("t.parquet", index=False)
    frame.astype({"user_id": "category", "timestamp": float}).to_parquet("c.parquet", index=False)
    Path("t.csv.gz").write_bytes(gzip.compress(b"\xef\xbb\xbf" + TABLE.replace("\n", "\r\n").encode()))
    Path("t.TSV.GZ").write_bytes(gzip.compress(Path("t.tsv").read_bytes()))
    for name in ("t.tsv", "t.parquet", "c.parquet", "t.csv.gz", "t.TSV.GZ"):
        prepare(name)
        assert {path: path.read_bytes() for path in expected} == expected, name


def test_several_files_follow_one_another_and_may_differ_in_other_columns():
    write_table("timestamp,note,domain,item_id,user_id\n9,hello,food,c,u3\n", "more.csv")
    prepare("more.csv", "events.csv")
    assert read("food")["item_id:token"].tolist() == ["c", "a", "b", "a"]


def test_columns_can_have_other_names():
    write_table("who;what,item,shop,when\n1,a,food,1\n1,b,home,2\n".replace(";what", ""))
    prepare(user="who", item="item", domain="shop", time="when")
    assert read("food").values.tolist() == [["1", "a", "1"]]


@pytest.mark.parametrize(
    ("files", "match"),
    [
        ([], "no file is given"),
        (["absent.csv"], "absent.csv does not exist"),
        (["."], "none of the suffixes"),
        (["events.txt"], r"events\.txt has none of the suffixes \.csv, \.csv\.gz, .*rename it"),
        (["events.csv", "./events.csv"], "given twice"),
    ],
)
def test_files_that_are_not_there_or_of_another_kind_are_errors(files, match):
    Path("events.txt").write_text(TABLE, encoding="utf-8")
    with pytest.raises(UserError, match=match):
        convert.prepare(files, "out", "pair")


def test_an_absent_column_is_an_error_with_the_nearest_names():
    refuse(r"no column 'item-id', only 'user_id', 'item_id'.*: did you mean 'item_id'", item="item-id")
    refuse(r"no column 'when', only .*: set --time", time="when")


def test_a_column_that_is_there_twice_is_an_error():
    write_table("user_id,item_id,domain,timestamp,user_id\nu,i,food,1,v\n")
    refuse("2 columns 'user_id'")


def test_an_empty_table_is_an_error():
    write_table("")
    refuse(r"events\.csv is empty")
    write_table("user_id,item_id,domain,timestamp\n")
    refuse("no interactions, only a header")


@pytest.mark.parametrize("name", ["t.parquet", "t.csv.gz"])
def test_a_damaged_file_is_an_error(name):
    frame = pd.concat([pd.read_csv(io.StringIO(TABLE))] * 2000)
    frame["item_id"] = np.random.default_rng(0).integers(0, 1 << 40, len(frame))
    frame.to_parquet(name) if "parquet" in name else frame.to_csv(name, index=False)
    whole = Path(name).read_bytes()
    Path(name).write_bytes(whole[: len(whole) // 2])
    refuse(f"{name} cannot be read", name)
    Path(name).write_bytes(b"something else")
    refuse(f"{name} cannot be read", name)
