from __future__ import annotations

import pytest

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.llm import text_files

# ------------------------------------------------------------------ JSON lines


def read(tmp_path, content: str | bytes, id_field: str = "item_id") -> text_files.Records:
    path = tmp_path / "items.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return text_files.read_json_lines(path, id_field)


def test_the_fields_of_each_token_are_read_as_text(tmp_path):
    records = read(tmp_path, '{"item_id": "a", "title": "Ä\\u00df", "year": 1979, "gone": null}\n\n{"item_id": 7}\n')
    assert records == {"a": {"title": "Äß", "year": "1979"}, "7": {}}


def test_lines_may_end_as_on_any_system(tmp_path):
    assert read(tmp_path, '{"item_id": "a"}\r\n{"item_id": "b"}') == {"a": {}, "b": {}}


def test_a_line_separator_within_a_text_does_not_end_the_line(tmp_path):
    assert read(tmp_path, '{"item_id": "a", "title": "one\u2028two\x85three\x0cfour"}\n'.replace("\x0c", "\\f")) == {
        "a": {"title": "one\u2028two\x85three\x0cfour"}
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"item_id": "a"}\n{"item_id": \n', r"line 2: not JSON .*correct or delete the line"),
        ('{"item_id": "a"}\n\n{"item_id": "b"}{}\n', r"line 3: not JSON"),
        ('["a", "b"]\n', r"line 1: must be an object with 'item_id', not '\[\"a\", \"b\"\]'"),
        ('{"id": "a"}\n', r"line 1: must be an object with 'item_id'"),
        ('{"item_id": "a"}\n{"item_id": "b"}\n{"item_id": "a"}\n', r"line 3: item_id 'a' occurs in an earlier line"),
        ('{"item_id": 1}\n{"item_id": "1"}\n', r"line 2: item_id '1' occurs in an earlier line"),
        (b'{"item_id": "\xff"}\n', r"not UTF-8 .*save it as UTF-8"),
    ],
)
def test_errors_name_file_and_line(tmp_path, content, message):
    with pytest.raises(UserError, match=rf"items\.jsonl.*{message}"):
        read(tmp_path, content)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"absent\.jsonl does not exist"):
        text_files.read_json_lines(tmp_path / "absent.jsonl", "item_id")


# ------------------------------------------------------------------ columns of .item


def test_all_columns_are_read_as_text_and_empty_cells_left_out(tmp_path):
    path = tmp_path / "book.item"
    path.write_text('title:token\titem_id:token\tyear:float\nNA\t01\t1979\n\t1\t\n"Quoted\t2\t1e3\n', encoding="utf-8")
    assert text_files.read_item_columns(path) == {
        "01": {"title": "NA", "year": "1979"}, "1": {}, "2": {"title": '"Quoted', "year": "1e3"},
    }  # fmt: skip


def test_a_table_without_the_item_column_is_named_with_its_columns(tmp_path):
    (tmp_path / "book.item").write_text("id:token\ttitle:token\na\tb\n")
    with pytest.raises(UserError, match=r"book\.item has no column 'item_id', only id, title"):
        text_files.read_item_columns(tmp_path / "book.item")


# ------------------------------------------------------------------ one text of several


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ({"title": "Alien", "description": "A ship."}, "Alien. A ship."),
        ({"description": "A ship.", "title": "Alien"}, "Alien. A ship."),
        ({"title": "Who?", "description": "A ship"}, "Who? A ship"),
        ({"title": " Alien ", "description": "  "}, "Alien"),
        ({"description": "A ship."}, "A ship."),
    ],
)
def test_the_given_fields_are_joined_in_their_order(record, text):
    assert text_files.compose_texts({"a": record}, ["title", "description"]) == {"a": text}


def test_a_record_without_any_of_the_fields_has_no_text():
    assert text_files.compose_texts({"a": {"year": "1979"}, "b": {"title": ""}, "c": {"title": "x"}}, ["title"]) == {
        "c": "x"
    }
