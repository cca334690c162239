from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole_lecdsr.data.atomic_files import atomic_file, reader
from recbole_lecdsr.errors import UserError

COLUMNS = {"user_id": "token", "item_id": "token", "timestamp": "float"}
HEADER = "user_id:token\titem_id:token\ttimestamp:float\n"


def given_file(tmp_path, text: str | bytes):
    path = tmp_path / "food.inter"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def complaint(path, columns=COLUMNS, **settings) -> str:
    with pytest.raises(UserError) as error:
        atomic_file.read(path, columns, **settings)
    assert str(path) in str(error.value)
    return str(error.value)


def test_the_wanted_columns_come_in_the_order_asked_for(tmp_path):
    path = given_file(tmp_path, "rating:float\tuser_id:token\titem_id:token\n5\tu1\ti1\nfine\tu2\ti2\n")
    frame = atomic_file.read(path, {"item_id": "token", "user_id": "token"})
    assert frame.to_dict("list") == {"item_id": ["i1", "i2"], "user_id": ["u1", "u2"]}


def test_tokens_are_str_objects_and_floats_float64(tmp_path):
    frame = atomic_file.read(given_file(tmp_path, HEADER + "007\tnan\t8.5e8\n"), COLUMNS)
    assert frame["user_id"].dtype == object and frame["timestamp"].dtype == np.float64
    assert frame.iloc[0].tolist() == ["007", "nan", 8.5e8]
    assert type(frame["user_id"][0]) is str


@pytest.mark.parametrize("word", ["NA", "null", "None", '"open', 'a"b"', "'", "Pokémon, 2 (1998)", " x ", "\x85"])
def test_no_character_and_no_word_is_special_in_a_token(tmp_path, word):
    frame = atomic_file.read(given_file(tmp_path, HEADER + f"u1\t{word}\t1\nu2\ti2\t2\n"), COLUMNS)
    assert frame["item_id"].tolist() == [word, "i2"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_line_end_will_do_and_empty_lines_do_not_count(tmp_path, end):
    path = given_file(tmp_path, HEADER + f"u1\ti1\t1{end}{end}u2\ti2\t2")
    assert atomic_file.read(path, COLUMNS)["item_id"].tolist() == ["i1", "i2"]


def test_unusual_numbers_are_read(tmp_path):
    cells = ["+1", " 2", "3.", ".5", "1E3", "-0"]
    path = given_file(tmp_path, HEADER + "".join(f"u\ti\t{cell}\n" for cell in cells))
    assert atomic_file.read(path, COLUMNS)["timestamp"].tolist() == [1, 2, 3, 0.5, 1000, 0]


def test_a_column_is_read_as_recbole_reads_it(tmp_path):
    text = HEADER + 'u1\ta "quoted" word\t881250949\r\n\nu2\tb\t0.1\n'
    path = given_file(tmp_path, text)
    ours = atomic_file.read(path, COLUMNS)
    # as in recbole.data.dataset.Dataset._load_feat
    theirs = pd.read_csv(path, delimiter="\t", dtype={"timestamp:float": np.float64}, encoding="utf-8", engine="python")
    assert ours.to_numpy().tolist() == theirs.to_numpy().tolist()


# ---------------------------------------------------------------------------------- what is refused


def test_a_missing_file_is_named(tmp_path):
    assert "does not exist" in complaint(tmp_path / "absent.inter")


def test_a_folder_is_no_file(tmp_path):
    assert "cannot be read" in complaint(tmp_path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "line 1: the file is empty"),
        (HEADER, "line 2: there are no rows"),
        (HEADER + "\n\n", "no rows"),
        ("user_id\titem_id\ttimestamp\nu\ti\t1\n", "line 1: 'user_id' is not name:type"),
        ("user_id:token\titem_id:text\nu\ti\n", "'item_id:text' is not name:type"),
        ("user_id:token,item_id:token,timestamp:float\nu,i,1\n", "line 1: 'user_id:token,item_id:token"),
        ("user_id:token\tuser_id:token\nu\tu\n", "'user_id' occurs twice"),
        (b"\xef\xbb\xbf" + HEADER.encode() + b"u\ti\t1\n", "byte order mark"),
        (b"user_\xff:token\n", "line 1: b'\\xff:token\\n' is not UTF-8"),
        (HEADER.replace("timestamp", "time"), "no column 'timestamp', only user_id, item_id, time (nearest: 'time')"),
        (HEADER.replace("timestamp:float", "timestamp:token"), "type 'token'; it must be timestamp:float"),
        (HEADER + "u1\ti1\t1\nu2\ti2\n", "line 3: 2 fields where the header has 3: 'u2\\ti2'"),
        (HEADER + "u1\ti1\t1\nu2\ti\t2\t2\n", "line 3: 4 fields"),
        (HEADER + "u1\ti1\t1\n\n\r\nu2\t\t2\n", "line 5: item_id is empty"),
        (HEADER + "u1\ti1\t1\nu2\ti2\tyesterday\n", "line 3: timestamp is 'yesterday', not a finite number"),
        (HEADER + "u1\ti1\t\n", "line 2: timestamp is ''"),
        (HEADER + "u1\ti1\tNaN\n", "line 2: timestamp is 'NaN'"),
        (HEADER + "u1\ti1\t-inf\n", "line 2: timestamp is '-inf'"),
        (HEADER + "u1\ti1\t1e999\n", "line 2: timestamp is '1e999'"),
        (HEADER + "u1\ti1\t1_000\n", "line 2: timestamp is '1_000'"),
        (HEADER + "u1\ti1\t1,5\n", "line 2: timestamp is '1,5'"),
        (HEADER.encode() + b"u1\ti1\t1\nu2\tPok\xe9mon\t2\n", "line 3: b'\\xe9mon\\t2\\n' is not UTF-8"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_reported_with_line_and_value(tmp_path, text, told):
    assert told in complaint(given_file(tmp_path, text))


def test_a_long_value_is_cut_in_the_message(tmp_path):
    assert len(complaint(given_file(tmp_path, HEADER + "u\ti\t" + "9" * 5000 + "x\n"))) < 400


@pytest.mark.parametrize("separator", ["::", "", "é", "\n"])
def test_a_separator_is_one_character(tmp_path, separator):
    with pytest.raises(UserError, match="field_separator"):
        atomic_file.read(given_file(tmp_path, HEADER), COLUMNS, field_separator=separator)


def test_lines_are_counted_over_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(reader, "_BLOCK", 64)
    rows = [f"u{number}\ti\t{number}\n" for number in range(100)]
    frame = atomic_file.read(given_file(tmp_path, HEADER + "".join(rows)), COLUMNS)
    assert frame["timestamp"].tolist() == list(range(100))
    rows[3] = "\r\n\r\r\n"  # three lines
    rows[70] = "u70\t\t70\n"
    assert "line 74: item_id is empty" in complaint(given_file(tmp_path, HEADER + "".join(rows)))


# ---------------------------------------------------------------------------------- writing

TEXT = st.text(st.characters(exclude_characters="\t\n\r", exclude_categories=["Cs"]), min_size=1)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(st.tuples(TEXT, NUMBERS), min_size=1))
def test_what_is_written_is_read_again(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("atomic") / "food.item"
    tokens, numbers = map(list, zip(*rows, strict=True))
    atomic_file.write(path, {"item_id:token": tokens, "price:float": np.array(numbers)})
    frame = atomic_file.read(path, {"item_id": "token", "price": "float"})
    assert frame["item_id"].tolist() == tokens
    assert frame["price"].to_numpy().tobytes() == np.array(numbers).tobytes()


def test_a_file_is_written_as_plain_text(tmp_path):
    path = tmp_path / "food.item"
    columns = {
        "item_id:token": np.array([3, 4]),
        "title:token": pd.Series(['The "Best"', "b"]),
        "class:token_seq": [["x", "y"], ""],
        "price:float": [1.5, 2],
        "view:float_seq": [[1, 2], [3.5]],
    }
    atomic_file.write(path, columns)
    header, first, second = path.read_text("utf-8").splitlines()
    assert header == "\t".join(columns)
    assert first.split("\t") == ["3", 'The "Best"', "x y", "1.5", "1 2"]
    assert second.split("\t") == ["4", "b", "", "2", "3.5"]


def test_many_rows_are_written_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic_file, "_ROWS", 2)
    atomic_file.write(tmp_path / "food.item", {"item_id:token": list("abcde")}, field_separator=",")
    assert (tmp_path / "food.item").read_text("utf-8") == "item_id:token\na\nb\nc\nd\ne\n"


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"item_id:token": ["a", "b\tc"]}, "'item_id:token', row 2: the value 'b\\tc' contains the field separator"),
        ({"item_id:token": ["a\nb"]}, "row 1: the value 'a\\nb' contains a line feed"),
        ({"item_id:token": ["a\rb"]}, "contains a carriage return"),
        ({"item_id:token": ["a", ""]}, "row 2: the value '' is empty"),
        ({"item_id:token": ["a", None]}, "row 2: the value None is missing"),
        ({"item_id:token": ["a", np.nan]}, "row 2: the value None is missing"),
        ({"item_id:token": [None, None]}, "row 1: the value None is missing"),
        ({"item_id:token": ["a", 2]}, "tokens must be text"),
        ({"item_id:token": [0.5]}, "tokens must be text"),
        ({"item_id:token": ["\ud800"]}, "tokens must be text"),
        ({"class:token_seq": [["a", "b\tc"]]}, "row 1"),
        ({"time:float": [1, np.nan]}, "'time:float', row 2: None is not a finite number"),
        ({"time:float": np.array([1, np.inf])}, "row 2: inf is not a finite number"),
        ({"time:float": ["yesterday"]}, "yesterday"),
        ({"item_id": ["a"]}, "column 'item_id' must be given as name:type"),
        ({"item_id:text": ["a"]}, "column 'item_id:text'"),
        ({"item_id:token": ["a"], "time:float": [1, 2]}, "item_id:token: 1, time:float: 2"),
        ({}, "none"),
    ],
)  # fmt: skip
def test_what_a_file_cannot_hold_is_refused_and_the_former_file_stays(tmp_path, columns, told):
    path = tmp_path / "food.item"
    path.write_text("former")
    with pytest.raises(UserError) as error:
        atomic_file.write(path, columns)
    assert told in str(error.value) and str(path) in str(error.value)
    assert path.read_text() == "former" and list(tmp_path.iterdir()) == [path]
