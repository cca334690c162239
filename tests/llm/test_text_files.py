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


def test_a_list_of_texts_is_one_text(tmp_path):
    records = read(tmp_path, '{"item_id": "a", "genres": ["Drama ", "", "War"], "of": [], "n": [1, 2]}\n')
    assert records == {"a": {"genres": "Drama; War", "of": "", "n": "[1, 2]"}}
    with pytest.raises(UserError, match=r"line 1: genres contains '\\udc00', half of a surrogate pair"):
        read(tmp_path, '{"item_id": "a", "genres": ["x", "\\udc00"]}\n')


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
        (b'{"item_id": "\xff"}\n', r"line 1, is not UTF-8 .*save it as UTF-8"),
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
    ("content", "message"),
    [
        (
            '{"item_id": "a"}\n{"item_id": "b", "title": "\\ud800"}\n',
            r"line 2: title contains '\\ud800', half of a surrog",
        ),
        (
            '{"item_id": "\\udc00"}\n',
            r"line 1: item_id contains '\\udc00', half of a surrogate pair.*delete or complete",
        ),
        ("[" * 100_000, r"line 1: not JSON \(.*recursion.*\): correct or delete the line"),
        ('{"item_id": "a", "x": ' + "[" * 100_000, r"line 1: not JSON"),
        ('{"item_id": ' + "1" * 5000 + "}", r"line 1: not JSON \(.*4300 digits.*\): correct or delete"),
        ('{"item_id": ["a"]}', r"line 1: item_id must be a text or a number, not \[\"a\"\]"),
        ('{"item_id": null}', r"line 1: item_id must be a text or a number, not null"),
        (b'{"item_id": "a"}\n{"item_id": "\xb2\xe8"}\n', r"line 2, is not UTF-8 .*save it as UTF-8"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_case_t2_a_malformed_line_is_named_with_its_remedy(tmp_path, content, message):
    with pytest.raises(UserError, match=rf"items\.jsonl, {message}"):
        read(tmp_path, content)


def test_case_t2_a_folder_in_place_of_a_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"cannot be read \(Is a directory\)"):
        text_files.read_json_lines(tmp_path, "item_id")


def test_case_r17_the_id_may_have_the_name_of_the_atomic_files(tmp_path):
    path = tmp_path / "items.jsonl"
    path.write_text('{"p_id": "a", "title": "x"}\n{"item_id": "b"}\n')
    assert text_files.read_json_lines(path, "item_id", "p_id") == {"a": {"title": "x"}, "b": {}}
    with pytest.raises(UserError, match="line 1: must be an object with 'item_id', not"):
        text_files.read_json_lines(path, "item_id", "item_id")


@pytest.mark.parametrize("encoding", ["gbk", "utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_case_r17_columns_are_read_in_the_encoding_and_with_the_separator_of_the_data(tmp_path, encoding):
    title = "th\u00e9" if encoding == "latin-1" else "\u7eff\u8336"
    path = tmp_path / "book.item"
    path.write_bytes(f"p_id:token;title:token\r\n1;{title}\r2;\n1;later\n\n".encode(encoding))
    assert text_files.read_item_columns(path, "p_id", ";", encoding) == {"1": {"title": title}, "2": {}}


@pytest.mark.parametrize(
    ("encoding", "message"),
    [
        ("utf-8", r"book\.item, line 2, is not UTF-8 .*save it as UTF-8, or set encoding"),
        ("evil", r"encoding is 'evil', which does not exist: give the encoding of .*book\.item"),
    ],
)
def test_case_r17_another_encoding_is_an_error_with_its_line(tmp_path, encoding, message):
    (tmp_path / "book.item").write_bytes("item_id:token\ttitle:token\n1\t\u7eff\u8336\n".encode("gbk"))
    with pytest.raises(UserError, match=message):
        text_files.read_item_columns(tmp_path / "book.item", encoding=encoding)


def test_case_t2_a_row_of_another_length_is_named(tmp_path):
    (tmp_path / "book.item").write_text("item_id:token\ttitle:token\n1\ttea\n2\n")
    with pytest.raises(UserError, match=r"book\.item, line 3: 1 fields instead of 2: correct or delete the line"):
        text_files.read_item_columns(tmp_path / "book.item")


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
