from __future__ import annotations

import csv
import gzip
import io
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_lecdsr.data.atomic_files import atomic_file
from recbole_lecdsr.data.atomic_files.reserved_tokens import RESERVED
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare import atomic_pair
from recbole_lecdsr.prepare.table import convert
from recbole_lecdsr.property_files import read_property_file

EVENTS = """\
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


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with events.csv and items.tsv."""
    monkeypatch.chdir(tmp_path)
    Path("events.csv").write_text(EVENTS, encoding="utf-8")
    Path("items.tsv").write_text(ITEMS, encoding="utf-8")
    return tmp_path


def prepare(*files: str, **options):
    return convert.prepare(files or ["events.csv"], "out", "pair", **options)


def events(text: str, name: str = "events.csv") -> None:
    Path(name).write_text(text, encoding="utf-8")


def refused(match: str, *files: str, **options) -> str:
    """The message of the error, after which nothing must have been written."""
    with pytest.raises(UserError, match=match) as caught:
        prepare(*files, **options)
    assert not [path for path in Path("out").rglob("*") if path.is_file()]
    return str(caught.value)


def read(domain: str, kind: str = "inter") -> pd.DataFrame:
    path = Path("out", domain, f"{domain}.{kind}")
    return pd.read_csv(path, sep="\t", dtype=str, quoting=csv.QUOTE_NONE, keep_default_na=False)


# ---------------------------------------------------------------------- what is written


def test_a_table_becomes_a_pair_in_the_order_of_its_rows(work):
    summary = prepare()
    assert Path("out/food/food.inter").read_text(encoding="utf-8") == (
        "user_id:token\titem_id:token\ttimestamp:float\nu1\ta\t10\nu1\tb\t10\nu2\ta\t7\n"
    )
    assert read("home")["item_id:token"].tolist() == ["x", "y"]
    assert not Path("out/food/food.item").exists()
    assert {key: summary[key] for key in ("food (source)", "home (target)", "both domains")} == {
        "food (source)": {"users": 2, "items": 2, "items with text": 0, "items without events": 0, "events": 3},
        "home (target)": {"users": 2, "items": 2, "items with text": 0, "items without events": 0, "events": 2},
        "both domains": {"users": 2, "users of both": 2, "items that are in both": 0, "events": 5},
    }


def test_the_property_file_names_the_domains(work):
    prepare(source="home")
    text = Path("out/pair.yaml").read_text(encoding="utf-8")
    assert text.startswith("# The domains of pair")
    assert read_property_file("out/pair.yaml") == {
        "source_domain": {"dataset": "home"}, "target_domain": {"dataset": "food"},
    }  # fmt: skip


def test_domains_named_like_numbers_or_truth_values_stay_names(work):
    events(EVENTS.replace("food", "no").replace("home", "1"))
    prepare()
    assert read_property_file("out/pair.yaml")["source_domain"] == {"dataset": "no"}
    assert read_property_file("out/pair.yaml")["target_domain"] == {"dataset": "1"}


def test_parameters_added_to_the_property_file_survive_a_second_preparation(work):
    prepare()
    with open("out/pair.yaml", "a", encoding="utf-8") as file:
        file.write("topk: [10]\n")
    prepare()
    assert read_property_file("out/pair.yaml")["topk"] == [10]
    with pytest.raises(UserError, match=r"pair\.yaml has 'food' as source .* not 'home' and 'food'"):
        prepare(source="home")


def test_every_format_gives_the_same_files(work):
    prepare()
    expected = {path: path.read_bytes() for path in Path("out").rglob("*.*")}
    frame = pd.read_csv(io.StringIO(EVENTS))
    frame.to_csv("t.tsv", sep="\t", index=False)
    frame.to_parquet("t.parquet", index=False)
    frame.astype({"user_id": "category", "timestamp": float}).to_parquet("c.parquet", index=False)
    Path("t.csv.gz").write_bytes(gzip.compress(b"\xef\xbb\xbf" + EVENTS.replace("\n", "\r\n").encode()))
    Path("t.TSV.GZ").write_bytes(gzip.compress(Path("t.tsv").read_bytes()))
    for name in ("t.tsv", "t.parquet", "c.parquet", "t.csv.gz", "t.TSV.GZ"):
        prepare(name)
        assert {path: path.read_bytes() for path in expected} == expected, name


def test_several_files_follow_one_another_and_may_differ_in_other_columns(work):
    events("timestamp,note,domain,item_id,user_id\n9,hello,food,c,u3\n", "more.csv")
    prepare("more.csv", "events.csv")
    assert read("food")["item_id:token"].tolist() == ["c", "a", "b", "a"]


def test_columns_can_have_other_names(work):
    events("who;what,item,shop,when\n1,a,food,1\n1,b,home,2\n".replace(";what", ""))
    prepare(user="who", item="item", domain="shop", time="when")
    assert read("food").values.tolist() == [["1", "a", "1"]]


def test_an_item_of_both_domains_is_allowed_and_counted(work):
    events(EVENTS + "u2,a,home,9\n")
    assert prepare()["both domains"]["items that are in both"] == 1


def test_tokens_of_many_blocks_and_files_are_kept_apart(work, monkeypatch):
    monkeypatch.setattr("recbole_lecdsr.prepare.table.reader._BLOCK_BYTES", 300)
    rows = [(f"u{i % 7}", f"i{i % 31}", "food" if i % 3 else "home", i) for i in range(500)]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "domain", "timestamp"])
    frame[:400].to_csv("a.csv", index=False)
    frame[400:].to_csv("b.csv", index=False)
    prepare("a.csv", "b.csv", source="food")
    for domain in ("food", "home"):
        expected = frame[frame.domain == domain].drop(columns="domain").astype(str)
        assert read(domain).values.tolist() == expected.values.tolist()


token = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=6).filter(
    lambda text: text.strip() and not text.startswith('"') and text not in RESERVED
)


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.tuples(token, token, st.integers(0, 2**40)), min_size=1, max_size=8))
def test_recbole_reads_back_every_token_that_is_accepted(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("pair")
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])
    both = pd.concat([frame.assign(domain="a"), frame.assign(domain="b")])
    both.to_csv(folder / "t.csv", index=False)
    convert.prepare([folder / "t.csv"], folder, "pair")
    back = pd.read_csv(folder / "a" / "a.inter", delimiter="\t", dtype=str, encoding="utf-8", engine="python")
    assert back.values.tolist() == frame.astype(str).values.tolist()


def test_reserved_words_are_those_that_recbole_reads_as_missing():
    column = pd.read_csv(io.StringIO("\n".join(["t", *RESERVED])), dtype=str, engine="python")["t"]
    assert column[column.notna()].tolist() == ["[PAD]"]


# ---------------------------------------------------------------------- times


@pytest.mark.parametrize(
    ("given", "written"),
    [
        (["3", "1", "2"], ["3", "1", "2"]),
        (["1.5", "-2", "1e3"], ["1.5", "-2", "1000"]),
        (["1404217800123.0", "0", "5"], ["1404217800123", "0", "5"]),
        (["2014-07-01", "2014-07-01T12:30:00+02:00", "1969-12-31 23:59:59Z"], ["1404172800", "1404210600", "-1"]),
        (["2014-07-01T00:00:00.250", "2014-07-01", "2014-07-01T00:00"], ["1404172800.25", "1404172800", "1404172800"]),
    ],
)
def test_times_are_numbers_or_iso_dates(work, given, written):
    events("user_id,item_id,domain,timestamp\n" + "".join(f"u,{i},food,{time}\n" for i, time in enumerate(given))
           + f"u,x,home,{given[0]}\n")  # fmt: skip
    prepare()
    assert np.array_equal(read("food")["timestamp:float"].astype(float), np.array(written, float))


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_times_of_parquet_become_seconds(work, unit, zone):
    times = pd.Series(pd.to_datetime([1404210600, 1404210601], unit="s", utc=True)).dt.tz_convert(zone)
    frame = pd.DataFrame({"user_id": [7, 7], "item_id": [1, 2], "domain": ["food", "home"],
                          "timestamp": times.dt.as_unit(unit)})  # fmt: skip
    frame.to_parquet("t.parquet")
    prepare("t.parquet")
    assert read("food").values.tolist() == [["7", "1", "1404210600"]]


@pytest.mark.parametrize("bad", ["soon", "2014-07-01", "nan", "inf", "12:30", "1,0"])
def test_a_time_that_is_no_number_is_named_with_its_line(work, bad):
    events(EVENTS.replace("home,5", f'home,"{bad}"'))
    refused(rf"events\.csv, line 4: timestamp '{bad}' is not a number, as most times are; give every event")


@pytest.mark.parametrize("bad", ["today", "2014", "01/07/2014", "2014-02-30"])
def test_a_time_that_is_no_date_is_named_with_its_line(work, bad):
    events(EVENTS.replace(",10\n", ",2014-01-01\n").replace("home,5", f"home,{bad}").replace(",7", ",2014-01-02"))
    refused(rf"events\.csv, line 4: timestamp '{bad}' is not an ISO 8601 date")


def test_times_that_floats_cannot_tell_apart_are_refused(work):
    events(EVENTS.replace(",10\n", ",1404210600123456789\n"))
    refused("line 2: timestamp '1404210600123456789' is too large .*and so in 2 more rows.*give seconds")


# ---------------------------------------------------------------------- items


def test_items_become_item_files_with_their_texts(work):
    summary = prepare(items="items.tsv")
    assert Path("out/food/food.item").read_text(encoding="utf-8") == (
        'item_id:token\ttitle:token\tbrand:token\na\t12" pan\tAcme\nb\t\t\n'
    )
    assert [summary[part]["items with text"] for part in ("food (source)", "home (target)")] == [1, 1]
    assert summary["home (target)"]["items"] == 2  # y has no row in the table of items


def test_text_columns_can_be_chosen(work):
    prepare(items="items.tsv", text=["brand"])
    assert list(read("food", "item").columns) == ["item_id:token", "brand:token"]


def test_texts_are_put_on_one_line_and_never_start_a_quoted_cell(work):
    title = '" Tab\there,\r\n\x00 break\u2028and   blanks "'
    pd.DataFrame({"item_id": ["a", "b"], "domain": "food", "title": [title, None]}).to_parquet("items.parquet")
    prepare(items="items.parquet")
    assert read("food", "item")["title:token"].tolist() == [' " Tab here, break and blanks "', ""]
    as_recbole = pd.read_csv("out/food/food.item", delimiter="\t", dtype=str, engine="python")
    assert as_recbole["title:token"].tolist()[0] == ' " Tab here, break and blanks "'


def test_quotes_in_tsv_are_characters_unless_a_csv_writer_wrote_it(work):
    frame = pd.read_csv(io.StringIO(ITEMS), sep="\t", quoting=csv.QUOTE_NONE, keep_default_na=False)
    frame.to_csv("quoted.tsv", sep="\t", index=False)
    assert '"12"" pan"' in Path("quoted.tsv").read_text(encoding="utf-8")
    prepare(items="items.tsv")
    plain = read("home", "item")
    prepare(items="quoted.tsv")
    pd.testing.assert_frame_equal(read("home", "item"), plain)
    assert plain["title:token"].tolist() == [' "Cross" rack']


def test_an_item_given_twice_must_have_the_same_texts(work):
    events(ITEMS + 'a\tfood\t12"  pan\tAcme\na\thome\tOther\t\n', "items.tsv")
    prepare(items="items.tsv")  # equal once blanks are, and in another domain it is another row
    assert len(read("food", "item")) == 2
    with open("items.tsv", "a", encoding="utf-8") as file:
        file.write("b\tfood\tBread\t\n")
    with pytest.raises(UserError, match=r"items\.tsv, line 7: the item 'b' of 'food' has other .* items\.tsv, line 3;"):
        prepare(items="items.tsv")


def test_items_of_other_domains_are_left_out(work):
    events(ITEMS + "z\ttoys\tBall\t\n", "items.tsv")
    prepare(items="items.tsv")
    assert len(read("food", "item")) + len(read("home", "item")) == 3
    Path("out/pair.yaml").unlink()
    events(ITEMS.replace("food", "Food").replace("home", "Home"), "items.tsv")
    with pytest.raises(UserError, match="holds 'Food', 'Home', but neither 'food' nor 'home'"):
        prepare(items="items.tsv")


@pytest.mark.parametrize(
    ("content", "options", "match"),
    [
        ("item_id\tdomain\na\tfood\n", {}, "no column of text"),
        ("item_id\tdomain\ttitle\n", {}, "no items, only a header"),
        ("item_id\tdomain\ta:b\na\tfood\tx\n", {}, "column 'a:b' cannot be a text"),
        ("\titem_id\tdomain\ttitle\n0\ta\tfood\tx\n", {}, "column '' cannot be a text"),
        ("item_id\tdomain\ttitle\n\tfood\tx\n", {}, "line 2: item_id is empty"),
        (ITEMS, {"text": ["titel"]}, "no column 'titel', only .*did you mean 'title'"),
    ],
)
def test_tables_of_items_that_are_wrong_are_errors(work, content, options, match):
    events(content, "items.tsv")
    refused(match, items="items.tsv", **options)


def test_text_columns_that_no_table_has_are_an_error(work):
    refused("no column 'title', .*or give a table of items with --items", text=["title"])


def test_item_files_of_former_data_are_not_left_beside_new_events(work):
    prepare(items="items.tsv")
    before = Path("out/food/food.inter").read_bytes()
    events(EVENTS + "u2,c,food,70\n")
    with pytest.raises(UserError, match=r"food\.item is there from before.*give --items or --text, or remove it"):
        prepare()
    assert Path("out/food/food.inter").read_bytes() == before


# ---------------------------------------------------------------------- what is refused


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
def test_files_that_are_not_there_or_of_another_kind_are_errors(work, files, match):
    Path("events.txt").write_text(EVENTS, encoding="utf-8")
    with pytest.raises(UserError, match=match):
        convert.prepare(files, "out", "pair")


def test_an_absent_column_is_an_error_with_the_nearest_names(work):
    events(EVENTS.replace("item_id", "Item_ID"))
    refused(r"no column 'item_id', only 'user_id', 'Item_ID'.*: did you mean 'Item_ID'")
    events(EVENTS.replace("timestamp", "when"))
    refused(r"no column 'timestamp', only .*: set --user, --item, --domain and --time")


def test_a_column_that_stands_there_twice_is_an_error(work):
    events("user_id,item_id,domain,timestamp,user_id\nu,i,food,1,v\n")
    refused("2 columns 'user_id'")


def test_one_column_for_two_purposes_is_an_error(work):
    refused("need a column each", item="user_id")


def test_an_empty_table_is_an_error(work):
    events("")
    refused(r"events\.csv is empty")
    events("user_id,item_id,domain,timestamp\n")
    refused("no events, only a header")


@pytest.mark.parametrize(
    ("row", "match"),
    [
        (",x,home,10", "line 3: user_id is empty; fill the cell"),
        ("u1,  ,home,10", "line 3: item_id is empty"),
        ("u1,x,,10", "line 3: domain is empty"),
        ("u1,x,home,", "line 3: timestamp is empty"),
        ('u1,"x\ty",home,10', r"line 3: item_id 'x\\ty' holds a tab"),
        ('u1,"x\ny",home,10', r"line 3: item_id 'x\\ny' holds a tab, a line break"),
        ("u1,NA,home,10", "line 3: item_id 'NA' is a word"),
        ('u1,"""x",home,10', "line 3: item_id '\"x' starts with a quotation mark"),
        ("u1,x,home", "line 3: 'Expected 4 columns, got 3: u1,x,home'"),
        ("u1,x,home,10,11", "line 3: 'Expected 4 columns, got 5"),
    ],
)
def test_a_bad_row_is_named_with_file_and_line(work, row, match):
    events(EVENTS.replace("u1,x,home,10", row))
    refused(rf"events\.csv, {match}")


def test_lines_are_counted_over_blank_lines_quoted_line_breaks_and_files(work):
    events('user_id,item_id,domain,timestamp,note\n\nu1,a,food,1,"two\nlines"\nu1,b,home,soon,\n', "more.csv")
    refused(r"more\.csv, line 5: timestamp 'soon'", "events.csv", "more.csv")


def test_rows_of_parquet_are_counted_from_one(work):
    frame = pd.read_csv(io.StringIO(EVENTS))
    frame.loc[2, "user_id"] = None
    frame.to_parquet("t.parquet")
    refused(r"t\.parquet, row 3: user_id is empty", "t.parquet")


def test_columns_of_parquet_that_are_no_text_are_an_error(work):
    frame = pd.read_csv(io.StringIO(EVENTS))
    frame["item_id"] = [["a"], ["b"], ["c"], ["d"], ["e"]]
    frame.to_parquet("t.parquet")
    refused(r"column 'item_id' is of type list<.*convert it", "t.parquet")


def test_text_that_is_not_utf_8_is_an_error_with_its_line(work):
    Path("events.csv").write_bytes(EVENTS.replace("u2,y", "u2,ÿ").encode("latin-1"))
    assert "line 4" in refused("save the file as UTF-8")
    Path("events.csv").write_bytes(EVENTS.encode("utf-16"))
    refused("line 1: not UTF-8")


@pytest.mark.parametrize("name", ["t.parquet", "t.csv.gz"])
def test_a_damaged_file_is_an_error(work, name):
    frame = pd.concat([pd.read_csv(io.StringIO(EVENTS))] * 2000)
    frame["item_id"] = np.random.default_rng(0).integers(0, 1 << 40, len(frame))
    frame.to_parquet(name) if "parquet" in name else frame.to_csv(name, index=False)
    whole = Path(name).read_bytes()
    Path(name).write_bytes(whole[: len(whole) // 2])
    refused(f"{name} cannot be read", name)
    Path(name).write_bytes(b"something else")
    refused(f"{name} cannot be read", name)


def test_one_or_three_domains_are_an_error_that_counts_them(work):
    events(EVENTS.replace("home", "food"))
    refused(r"must hold two domains, but holds 1: 'food' \(5 rows\)")
    events(EVENTS + "u1,q,toys,3\n")
    refused(r"holds 3: 'food' \(3 rows\), 'home' \(2 rows\), 'toys' \(1 rows\); keep the rows of two")


@pytest.mark.parametrize("domain", ["a/b", "..", ".hidden", "a\\b", " home", "x" * 101, "FOOD", "a:b"])
def test_domains_that_cannot_be_folders_are_refused(work, domain):
    events(EVENTS.replace("home", domain))
    refused("is to be the name of a folder|differ in case only")


@pytest.mark.parametrize("name", ["", "../pair", "a b\n"])
def test_a_pair_that_cannot_be_a_folder_is_refused(work, name):
    with pytest.raises(UserError, match="choose another --name"):
        convert.prepare(["events.csv"], "out", name)


def test_a_source_that_is_no_domain_is_an_error(work):
    refused("--source 'foods' is neither 'food' nor 'home'", source="foods")


def test_domains_without_a_common_user_are_an_error(work):
    events("user_id,item_id,domain,timestamp\nu1,a,food,1\nu2,b,home,2\n")
    refused("'food' and 'home' have no common user")


def test_a_write_that_fails_leaves_the_former_pair_whole(work, monkeypatch):
    prepare(items="items.tsv")
    before = {path: path.read_bytes() for path in Path("out").rglob("*.*")}
    events(EVENTS.replace(",10\n", ",11\n"))
    write, calls = atomic_file.write_to, []

    def full(*args, **kwargs):
        calls.append(args)
        if len(calls) == 4:
            raise OSError(28, "No space left on device")
        write(*args, **kwargs)

    monkeypatch.setattr(atomic_file, "write_to", full)
    with pytest.raises(UserError, match="No space left on device"):
        prepare(items="items.tsv")
    assert {path: path.read_bytes() for path in Path("out").rglob("*.*")} == before


def test_a_cell_that_an_atomic_file_cannot_hold_is_never_written(tmp_path):
    for bad in ("a\tb", "a\nb", None):
        with pytest.raises(UserError, match=r"x\.item, column 't:token', row 1: .*(is missing|contains)|must be text"):
            atomic_pair.write_pair(tmp_path, {"x.item": pd.DataFrame({"item_id:token": ["i"], "t:token": [bad]})})
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------------- texts of events, bad lines, names, statistics


def test_texts_may_be_columns_of_the_events(work):
    events(
        "user_id,item_id,domain,timestamp,title,brand\nu1,a,food,10,,Acme\nu1,x,home,10,Rack,\nu2,a,food,7,Apple,Other\n"
        "u2,b,food,8,,\n"
    )
    summary = prepare(text=["title", "brand"])
    assert Path("out/food/food.item").read_text(encoding="utf-8") == (
        "item_id:token\ttitle:token\tbrand:token\na\tApple\tAcme\nb\t\t\n"
    )
    assert read("home", "item").values.tolist() == [["x", "Rack", ""]]
    assert summary["food (source)"]["items with text"] == 1


def test_bad_lines_are_skipped_and_counted_on_request(work):
    bad = ["u1,,food,3", "u1,z,food,soon", "u9,NA,home,4", "u1,z,food", "u3,z,,5", "u4,z,food,", "u1,z,food,6,7"]
    events(EVENTS + "".join(f"{line}\n" for line in bad) + "u2,c,food,70\n")
    with pytest.raises(UserError, match=r"events\.csv, line 10: 'Expected 4 columns, got 3: u1,z,food'"):
        prepare()
    assert not Path("out").exists()
    summary = prepare(skip_bad_lines=True)
    assert summary["skipped lines"] == len(bad)
    assert [line.partition(": ")[0] for line in summary["skipped"]] == [
        "events.csv, line 10", "events.csv, line 7", "events.csv, line 9", "events.csv, line 12", "events.csv, line 8",
        "events.csv, line 11",
    ]  # fmt: skip
    assert "has 3 cells, not 4 (and 1 more lines)" in summary["skipped"][0]
    assert read("food").values.tolist() == [["u1", "a", "10"], ["u1", "b", "10"], ["u2", "a", "7"], ["u2", "c", "70"]]
    assert summary["food (source)"]["events"] == 4


def test_lines_that_are_not_utf_8_are_skipped_too(work):
    content = EVENTS.encode() + b"u1,\xff,food,3\nu1\nu2,c,food,70\n"
    Path("events.csv").write_bytes(content)
    summary = prepare(skip_bad_lines=True)
    assert summary["skipped lines"] == 2
    assert summary["skipped"] == ["events.csv, line 7: not UTF-8 text (and 1 more lines)"]
    assert read("food")["item_id:token"].tolist() == ["a", "b", "a", "c"]


def test_a_name_of_shipped_data_needs_their_domains(work):
    with pytest.raises(UserError, match=r"a property file for data named 'movielens'.*has 'action' as source.*--name"):
        convert.prepare(["events.csv"], "out", "movielens")
    assert not Path("out").exists()
    events(EVENTS.replace("home", "kitchen"))
    summary = convert.prepare(["events.csv"], "out", "amazon-food-kitchen")
    assert Path(summary["properties"]).parts[-3:] == ("properties", "dataset", "amazon-food-kitchen.yaml")
    assert not Path("out/amazon-food-kitchen.yaml").exists()
    assert prepare()["properties"] == "out/pair.yaml"


def test_statistics_are_written_beside_the_data(work):
    summary = prepare()
    assert summary["statistics"] == "out/statistics.md"
    assert "| events | 3 | 2 | 5 |" in Path("out/statistics.md").read_text(encoding="utf-8")
    (warning,) = summary["warnings"]
    assert warning.startswith("1 of 1 (100.0%) test targets of the split LS: valid_and_test have the same time as")


@pytest.mark.skipif("AMAZON_FOOD_KITCHEN" not in os.environ, reason="AMAZON_FOOD_KITCHEN names no folder with the data")
def test_amazon_food_kitchen_has_the_counts_of_its_publication(tmp_path):
    place = Path(os.environ["AMAZON_FOOD_KITCHEN"])
    summary = convert.prepare(
        [place / "interactions.tsv"], tmp_path / "out", "amazon-food-kitchen", source="food", items=place / "items.tsv"
    )
    assert summary["both domains"] == {
        "users": 7_144, "users of both": 7_144, "items that are in both": 0, "events": 173_548
    }  # fmt: skip
    assert [summary[part]["items"] for part in ("food (source)", "kitchen (target)")] == [11_837, 16_258]
    values = json.loads((tmp_path / "out" / "statistics.json").read_text(encoding="utf-8"))
    assert values["events of a split"]["test"] == {"food": 2_419, "kitchen": 4_725}
