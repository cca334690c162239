from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import pandas as pd
import pytest

from recbole_lecdsr.errors import UserError
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
