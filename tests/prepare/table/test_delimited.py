from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import pandas as pd
import pytest

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.table.reader import read_table
from recbole_lecdsr.prepare.table.sources import FileSource
from tests.helpers.tables import ITEMS, TABLE, prepare, read, refuse, write_table


def test_tokens_of_many_blocks_and_files_are_kept_apart(monkeypatch):
    monkeypatch.setattr("recbole_lecdsr.prepare.table.delimited.BLOCK_BYTES", 300)
    rows = [(f"u{i % 7}", f"i{i % 31}", "food" if i % 3 else "home", i) for i in range(500)]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "domain", "timestamp"])
    frame[:400].to_csv("a.csv", index=False)
    frame[400:].to_csv("b.csv", index=False)
    prepare("a.csv", "b.csv", source="food")
    for domain in ("food", "home"):
        expected = frame[frame.domain == domain].drop(columns="domain").astype(str)
        assert read(domain).values.tolist() == expected.values.tolist()


def test_quotes_in_tsv_are_characters_unless_a_csv_writer_wrote_it():
    frame = pd.read_csv(io.StringIO(ITEMS), sep="\t", quoting=csv.QUOTE_NONE, keep_default_na=False)
    frame.to_csv("quoted.tsv", sep="\t", index=False)
    assert '"12"" pan"' in Path("quoted.tsv").read_text(encoding="utf-8")
    prepare(items="items.tsv")
    plain = read("home", "item")
    prepare(items="quoted.tsv")
    pd.testing.assert_frame_equal(read("home", "item"), plain)
    assert plain["title:token"].tolist() == [' "Cross" rack']


def test_lines_are_counted_over_blank_lines_quoted_line_breaks_and_files():
    write_table('user_id,item_id,domain,timestamp,note\n\nu1,a,food,1,"two\nlines"\nu1,b,home,soon,\n', "more.csv")
    refuse(r"more\.csv, line 5: timestamp 'soon'", "events.csv", "more.csv")


def test_text_that_is_not_utf_8_is_an_error_with_its_line():
    Path("events.csv").write_bytes(TABLE.replace("u2,y", "u2,ÿ").encode("latin-1"))
    assert "line 4" in refuse("save the file as UTF-8")
    Path("events.csv").write_bytes(TABLE.encode("utf-16"))
    refuse("line 1: not UTF-8")


def test_lines_that_are_not_utf_8_are_skipped_too():
    content = TABLE.encode() + b"u1,\xff,food,3\nu1\nu2,c,food,70\n"
    Path("events.csv").write_bytes(content)
    summary = prepare(skip_bad_lines=True)
    assert summary.skipped.count == 2
    assert summary.skipped.reports == ("events.csv, line 7: not UTF-8 text (and 1 more lines)",)
    assert read("food")["item_id:token"].tolist() == ["a", "b", "a", "c"]


@pytest.mark.parametrize("skip_bad_lines", [False, True])
def test_case_t5_gzip_within_gzip_is_named(skip_bad_lines):
    Path("events.csv.gz").write_bytes(gzip.compress(gzip.compress(TABLE.encode())))
    with pytest.raises(UserError, match=r"events\.csv\.gz is gzip within gzip: unpack it once"):
        prepare("events.csv.gz", skip_bad_lines=skip_bad_lines)


@pytest.mark.parametrize("skip_bad_lines", [False, True])
def test_case_t2_a_gzip_file_with_changed_bytes_is_named(skip_bad_lines):
    text = TABLE + "".join(f"u{row},i{row % 97},food,{row * 7919 % 1000}\n" for row in range(3000))
    packed = gzip.compress(text.encode())
    for place in range(12, len(packed) - 3, len(packed) // 60):
        Path("events.csv.gz").write_bytes(packed[:place] + b"\xff\x00\x55" + packed[place + 3 :])
        refuse(r"^events\.csv\.gz", "events.csv.gz", skip_bad_lines=skip_bad_lines)


def test_case_t2_a_cell_longer_than_the_csv_module_reads_is_a_cell():
    write_table("note," + TABLE.replace("\n", "\n" + "x" * 200_000 + ",", 5).replace("user_id,", "user_id,"))
    assert len(read_table([FileSource("events.csv")], [{"users": "user_id"}], {})) == 5
    write_table("n" * 200_000 + "," + TABLE.replace("\n", "\nx,", 5).replace(",10\n", ",soon\n", 1))
    refuse(r"events\.csv, line 2: timestamp 'soon' is not a number")


def test_case_t2_bad_lines_that_are_not_utf_8_are_skipped_and_shown(capfd):
    lines = TABLE.encode().splitlines()
    lines[2:2] = [b"\xff\xfe,too,few", b"u9,\xe9,food,3", "u8,绿茶,food,4".encode(), b"u9,a,b,c,d,e,f"]
    for start in (b"", b"\xef\xbb\xbf"):
        Path("events.csv").write_bytes(start + b"\n".join(lines) + b"\n")
        summary = prepare(skip_bad_lines=True)
        assert summary.skipped.count == 3
        assert "绿茶" in set(read("food")["item_id:token"])
        assert "line 3: '��,too,few' has 3 cells, not 4 (and 2 more lines)" in summary.skipped.reports[0]
    assert "Traceback" not in capfd.readouterr().err


def test_a_domain_without_texts_gets_no_item_file():
    write_table(TABLE)
    write_table("".join(ITEMS.splitlines(True)[:3]), "items.tsv")
    prepare(items="items.tsv")
    assert Path("out/food/food.item").exists() and not Path("out/home/home.item").exists()
    Path("out/home/home.item").write_text("item_id:token\n")
    refuse_again = pytest.raises(UserError, match=r"home\.item is from an earlier preparation")
    with refuse_again:
        prepare(items="items.tsv")
