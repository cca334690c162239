from __future__ import annotations

import errno
import logging
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from recbole_lecdsr.data.atomic_files import reader as atomic_reader
from recbole_lecdsr.data.embeddings import alignment, embedding_file
from recbole_lecdsr.data.embeddings import cache as embedding_cache
from recbole_lecdsr.errors import UserError

HEADER = "item_id:token\titem_emb:float_seq\n"
HOUR_AGO = -3600 * 10**9


def given_file(folder, text: str | bytes, name: str = "food.itememb"):
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def shift_times(path, nanoseconds: int = HOUR_AGO) -> None:
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + nanoseconds))


def complaint(path, **settings) -> str:
    before = sorted(path.parent.iterdir())
    with pytest.raises(UserError) as error:
        embedding_file.read_embedding(path, **settings)
    assert sorted(path.parent.iterdir()) == before
    assert str(path) in str(error.value)
    return str(error.value)


def cache_of(path):
    return path.with_name(path.name + ".cache")


# ---------------------------------------------------------------------------------- reading


def test_tokens_and_vectors_are_read_in_the_order_of_the_file(tmp_path):
    path = given_file(tmp_path, HEADER + 'The "Best" (1999)\t0.5 -1e-3\nnull\t+2 3.\n')
    embedding = embedding_file.read_embedding(path)
    assert embedding.path == path and embedding.tokens.tolist() == ['The "Best" (1999)', "null"]
    assert embedding.matrix.dtype == np.float32
    np.testing.assert_array_equal(embedding.matrix, np.array([[0.5, -1e-3], [2, 3]], np.float32))


def test_the_matrix_is_mapped_and_cannot_be_written_to(tmp_path):
    matrix = embedding_file.read_embedding(given_file(tmp_path, HEADER + "a\t1\n")).matrix
    assert isinstance(matrix, np.memmap) and not matrix.flags.writeable


def test_columns_may_stand_in_any_order_beside_others(tmp_path):
    text = "text:token\tuser_emb:float_seq\tuser_id:token\tother:float_seq\nhello\t1 2\tu1\tx\n"
    embedding = embedding_file.read_embedding(given_file(tmp_path, text), id_field="user_id", value_field="user_emb")
    assert embedding.tokens.tolist() == ["u1"] and embedding.matrix.tolist() == [[1, 2]]


@pytest.mark.parametrize("cell", ["1  2", " 1 2", "1 2 ", "+1 2", "1 2\r"])
def test_spacing_and_signs_that_python_reads_are_read(tmp_path, cell):
    embedding = embedding_file.read_embedding(given_file(tmp_path, HEADER + f"a\t{cell}\n\nb\t3 4"))
    assert embedding.matrix.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("cell", ["7.038531e-26", "1.00000017881393432617187499", "0.1", "16777217", "1e-46", "-0"])
def test_decimals_become_the_nearest_float32_whichever_way_they_are_parsed(tmp_path, cell):
    """The second is just below a midpoint of two float32, and that midpoint when rounded to float64 first."""
    by_columns = embedding_file.read_embedding(given_file(tmp_path, HEADER + f"a\t{cell}\n")).matrix
    by_lines = embedding_file.read_embedding(given_file(tmp_path, HEADER + f"a\t {cell}\n", "food2.itememb")).matrix
    assert by_columns.tobytes() == by_lines.tobytes()
    assert cell != "1.00000017881393432617187499" or by_columns[0, 0] == np.float32(1 + 2**-23)


def test_a_file_of_many_blocks_is_read_as_one(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic_reader, "_BLOCK", 50)
    rows = [f"i{number}\t{number} {number}.5\n" for number in range(100)]
    rows[40] = "\ni40\t40  40.5\n\n"
    path = given_file(tmp_path, HEADER + "".join(rows))
    embedding = embedding_file.read_embedding(path)
    assert embedding.tokens.tolist() == [f"i{number}" for number in range(100)]
    assert embedding.matrix.tolist() == [[number, number + 0.5] for number in range(100)]
    rows[80] = "i80\t80\n"
    path = given_file(tmp_path, HEADER + "".join(rows), "other.itememb")
    assert "line 84: the vector of 'i80' has 1 numbers, that of line 2 2" in complaint(path)


def test_a_line_longer_than_arrow_takes_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic_reader, "_CHUNK", 100)
    numbers = list(range(200))
    path = given_file(tmp_path, HEADER + "".join(f"{token}\t{' '.join(map(str, numbers))}\n" for token in "abc"))
    assert embedding_file.read_embedding(path).matrix.tolist() == [numbers] * 3


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "line 1: the file is empty"),
        (HEADER, "no rows"),
        ("item_id:token\titem_emb:float\na\t1\n", "line 1: no columns are of type float_seq"),
        ("item_id:token\tx:float_seq\ty:float_seq\na\t1\t1\n", "2 columns are of type float_seq"),
        ("id:token\titem_emb:float_seq\na\t1\n", "there is no column 'item_id', only id, item_emb"),
        ("item_id:float\titem_emb:float_seq\n1\t1\n", "'item_id' is of type 'float'"),
        (HEADER + "a\t1 2\nb\t1 2 3\n", "line 3: the vector of 'b' has 3 numbers, that of line 2 2"),
        (HEADER + "\na\t1 2\nb\t1\n", "line 4: the vector of 'b' has 1 numbers, that of line 3 2"),
        (HEADER + "a\t1 2\nb\t1 x\n", "line 3: number 2 of the vector of 'b' is 'x'"),
        (HEADER + "a\t[1, 2]\n", "line 2: number 1 of the vector of 'a' is '[1,'"),
        (HEADER + "a\t1 nan\n", "line 2: number 2 of the vector of 'a' is 'nan'"),
        (HEADER + "a\t1 2\nb\tInfinity 2\n", "line 3: number 1 of the vector of 'b' is 'Infinity'"),
        (HEADER + "a\t1 2\nb\t1 1e39\n", "line 3: '1e39' in the vector of 'b' is beyond float32"),
        (HEADER + "a\t1 2\nb\t\n", "line 3: the vector of 'b' is empty"),
        (HEADER + "a\t \n", "line 2: the vector of 'a' is empty"),
        (HEADER + "a\t1 2\n\t1 2\n", "line 3: item_id is empty"),
        (HEADER + "a\t1\nb\t2\n\na\t3\n", "line 5: the token 'a' is in line 2 already"),
        (HEADER + "a\t1 2\nb\t1 2\nc\t1 2e-", "line 4: number 2 of the vector of 'c' is '2e-'"),
        (HEADER + "a\t1 2\nb", "line 3: 1 fields where the header has 2: 'b'"),
        (HEADER.encode() + b"a\t1\n\xe9\t1\n", "line 3: b'\\xe9\\t1\\n' is not UTF-8"),
        (HEADER.encode() + b"a\t1\n" + bytes(100), "line 3: 1 fields"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_reported_with_line_and_value_and_nothing_is_left_behind(tmp_path, text, told):
    assert told in complaint(given_file(tmp_path, text))


@pytest.mark.parametrize(("end", "warned"), [("", True), ("\n", False), ("\r\n", False)])
def test_a_file_that_may_have_been_cut_off_within_its_last_number_is_warned_of(tmp_path, caplog, end, warned):
    assert len(embedding_file.read_embedding(given_file(tmp_path, HEADER + f"a\t0.5{end}")).matrix) == 1
    assert ("does not end with a line feed" in caplog.text) is warned


def test_a_missing_file_is_named(tmp_path):
    assert "does not exist" in complaint(tmp_path / "absent.itememb")


# ---------------------------------------------------------------------------------- cache


def test_a_second_reading_parses_nothing(tmp_path, parsed, digested, settled):
    path = given_file(tmp_path, HEADER + "a b\t1 2\né\t3 4\n")
    first, second = (embedding_file.read_embedding(path) for _ in range(2))
    assert len(parsed) == 1 and not digested
    assert second.tokens.tolist() == first.tokens.tolist() == ["a b", "é"]
    assert second.matrix.tolist() == first.matrix.tolist() and isinstance(second.matrix, np.memmap)


def test_an_error_in_a_new_source_leaves_the_former_cache(tmp_path):
    path = given_file(tmp_path, HEADER + "a\t1\n")
    embedding_file.read_embedding(path)
    before = cache_of(path).read_bytes()
    complaint(given_file(tmp_path, HEADER + "a\t1\nb\n"))
    assert cache_of(path).read_bytes() == before


@pytest.mark.parametrize("row", ["a\t2\n", "a\t1\nb\t2\n", "b\t1\n"])
def test_a_changed_source_is_parsed_again(tmp_path, row):
    embedding_file.read_embedding(given_file(tmp_path, HEADER + "a\t1\n"))
    embedding = embedding_file.read_embedding(given_file(tmp_path, HEADER + row))
    rows = zip(embedding.tokens, embedding.matrix[:, 0], strict=True)
    assert "".join(f"{token}\t{number:.0f}\n" for token, number in rows) == row


def test_a_source_rewritten_with_its_former_size_and_time_is_parsed_again(tmp_path, settled):
    path = given_file(tmp_path, HEADER + "a\t1\n")
    former = path.stat()
    embedding_file.read_embedding(path)
    given_file(tmp_path, HEADER + "a\t2\n")
    os.utime(path, ns=(former.st_atime_ns, former.st_mtime_ns))
    assert embedding_file.read_embedding(path).matrix.tolist() == [[2]]


def test_a_source_that_changed_just_now_is_digested_since_its_times_may_not_show_another_change(
    tmp_path, monkeypatch, parsed, digested
):
    monkeypatch.setattr(embedding_cache, "_CLOCK_TICK", 10**18)
    path = given_file(tmp_path, HEADER + "a\t1\n")
    for _ in range(3):
        embedding_file.read_embedding(path)
    assert len(parsed) == 1 and len(digested) == 2


def test_a_touched_source_is_digested_once_and_its_cache_refreshed(tmp_path, parsed, digested, settled):
    path = given_file(tmp_path, HEADER + "a\t1\n")
    embedding_file.read_embedding(path)
    shift_times(path)
    for _ in range(3):
        assert embedding_file.read_embedding(path).matrix.tolist() == [[1]]
    assert len(parsed) == 1 and len(digested) == 1


def test_another_column_of_the_same_file_is_parsed(tmp_path):
    path = given_file(tmp_path, "item_id:token\tx:float_seq\ty:float_seq\na\t1\t2\n")
    assert embedding_file.read_embedding(path, value_field="x").matrix.tolist() == [[1]]
    assert embedding_file.read_embedding(path, value_field="y").matrix.tolist() == [[2]]


@pytest.mark.parametrize("damage", ["empty", "cut", "longer", "head", "tokens", "foreign"])
def test_a_damaged_cache_is_made_again(tmp_path, parsed, damage):
    path = given_file(tmp_path, HEADER + "a\t1\nb\t2\n")
    embedding_file.read_embedding(path)
    cache = cache_of(path)
    whole = cache.read_bytes()
    damaged = {
        "empty": b"",
        "cut": whole[:-1],
        "longer": whole + b"\n",
        "head": whole[:40] + b"#" + whole[41:],
        "tokens": whole[:-1] + b"\xff",
        "foreign": embedding_cache._pack({"format": "another"}),
    }[damage]
    cache.write_bytes(damaged)
    assert embedding_file.read_embedding(path).tokens.tolist() == ["a", "b"]
    assert len(parsed) == 2 and cache.stat().st_size == len(whole)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("damage", ["zeros", "bit", "rows exchanged"])
def test_case_r10_a_cache_with_another_matrix_is_made_again(tmp_path, parsed, settled, damage):
    path = given_file(tmp_path, HEADER + "a\t1 2\nb\t3 4\n")
    embedding_file.read_embedding(path)
    cache, head = cache_of(path), embedding_cache.HEAD
    whole = cache.read_bytes()
    matrix = whole[head : head + 16]
    other = {
        "zeros": bytes(16),
        "bit": bytes([matrix[0] ^ 1]) + matrix[1:],
        "rows exchanged": matrix[8:] + matrix[:8],
    }[damage]
    cache.write_bytes(whole[:head] + other + whole[head + 16 :])
    for _ in range(2):  # from the text, from the cache
        assert embedding_file.read_embedding(path).matrix.tolist() == [[1, 2], [3, 4]]
    assert len(parsed) == 2


def test_a_reader_keeps_its_matrix_when_the_cache_is_replaced(tmp_path):
    path = given_file(tmp_path, HEADER + "a\t1\n")
    former = embedding_file.read_embedding(path).matrix
    assert embedding_file.read_embedding(given_file(tmp_path, HEADER + "a\t23\n")).matrix.tolist() == [[23]]
    assert former.tolist() == [[1]]


def test_where_no_cache_can_be_written_a_warning_says_so(tmp_path, monkeypatch, caplog):
    path = given_file(tmp_path, HEADER + "a\t1 2\n")

    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(embedding_file, "write_whole", refuse)
    with caplog.at_level(logging.WARNING):
        embedding = embedding_file.read_embedding(path)
    assert embedding.matrix.tolist() == [[1, 2]] and "Permission denied" in caplog.text
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="needs a user other than root")
def test_a_folder_that_may_not_be_written_to_is_read(tmp_path, caplog):
    path = given_file(tmp_path, HEADER + "a\t1 2\n")
    tmp_path.chmod(0o500)
    try:
        assert embedding_file.read_embedding(path).matrix.tolist() == [[1, 2]]
    finally:
        tmp_path.chmod(0o700)
    assert "cannot be written" in caplog.text


def test_a_full_disk_is_reported_with_a_remedy(tmp_path, monkeypatch):
    path = given_file(tmp_path, HEADER + "a\t1 2\n")

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(embedding_cache, "fill", full)
    told = complaint(path)
    assert "No space left" in told and "TMPDIR" in told


def test_a_source_that_grows_while_it_is_read_is_refused(tmp_path, monkeypatch):
    path = given_file(tmp_path, HEADER + "a\t1\n")
    fill = embedding_cache.fill

    def slow(*args):
        tokens = fill(*args)
        path.write_text(HEADER + "a\t1\nb\t2\n")
        return tokens

    monkeypatch.setattr(embedding_cache, "fill", slow)
    assert "changed while it was being read" in complaint(path)


# ---------------------------------------------------------------------------------- align


def example(tmp_path, text=HEADER + "a\t1 1\nb\t2 2\nc\t3 3\n") -> embedding_file.Embedding:
    return embedding_file.read_embedding(given_file(tmp_path, text))


def test_each_vector_goes_to_the_id_of_its_token(tmp_path):
    rows, found = alignment.align(example(tmp_path), {"[PAD]": 0, "c": 1, "a": 4, "b": 2}, 5, known=set())
    assert rows.tolist() == [[0, 0], [3, 3], [2, 2], [0, 0], [1, 1]] and found == 3
    assert rows.dtype == np.float32 and rows.flags.writeable


def test_tokens_left_out_by_filtering_are_passed_over(tmp_path):
    rows, found = alignment.align(example(tmp_path), {"[PAD]": 0, "b": 1}, 2, known=["a", "b", "c"])
    assert rows.tolist() == [[0, 0], [2, 2]] and found == 1


def test_a_token_that_the_data_do_not_know_is_reported_with_line_and_the_nearest(tmp_path):
    embedding = example(tmp_path, HEADER + "apple\t1\n\nbanan\t1\n")
    with pytest.raises(UserError, match=r"line 4: the token 'banan' .*nearest: 'banana'") as error:
        alignment.align(embedding, {"[PAD]": 0, "apple": 1}, 2, known={"apple", "banana"})
    assert str(embedding.path) in str(error.value)
    with pytest.raises(UserError, match="row 2: the token 'banan'"):
        embedding.path.unlink()
        alignment.align(embedding, {"apple": 1}, 2, known=set())


def test_the_padding_gets_no_vector(tmp_path):
    with pytest.raises(UserError, match=r"\[PAD\]"):
        alignment.align(example(tmp_path, HEADER + "[PAD]\t1\n"), {"[PAD]": 0}, 1, known=set())


def test_of_several_tokens_of_one_id_the_first_counts(tmp_path, caplog):
    rows, found = alignment.align(example(tmp_path), {"c": 1, "b": 1, "a": 2}, 3, known=set())
    assert rows.tolist() == [[0, 0], [2, 2], [1, 1]] and found == 2
    assert "1 vectors are not used" in caplog.text


def test_many_rows_are_copied_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(alignment, "_NUMBERS_AT_ONCE", 4)
    path = tmp_path / "food.itememb"
    matrix = np.arange(20, dtype=np.float32).reshape(10, 2)
    tokens = [f"i{row}" for row in range(10)]
    embedding_file.write_embedding(path, "item_id", "item_emb", tokens=tokens, matrix=matrix)
    rows, found = alignment.align(
        embedding_file.read_embedding(path), {f"i{row}": 10 - row for row in range(10)}, 11, set()
    )
    assert found == 10 and rows[1:].tolist() == matrix[::-1].tolist()


# ---------------------------------------------------------------------------------- writing

TOKENS = st.text(st.characters(exclude_characters="\t\n\r", exclude_categories=["Cs"]), min_size=1)
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=True)


@given(st.data(), st.lists(TOKENS, unique=True, min_size=1, max_size=5), st.integers(1, 4))
def test_vectors_are_read_again_bit_by_bit(tmp_path_factory, data, tokens, dims):
    matrix = data.draw(st_numpy.arrays(np.float32, (len(tokens), dims), elements=FLOATS))
    path = tmp_path_factory.mktemp("features") / "food.itememb"
    embedding_file.write_embedding(path, "item_id", "item_emb", tokens=tokens, matrix=matrix)
    for _ in range(2):  # from the text, from the cache
        embedding = embedding_file.read_embedding(path)
        assert embedding.tokens.tolist() == tokens
        assert embedding.matrix.tobytes() == matrix.tobytes()
    # and as Python, and so RecBole, reads the text
    cells = [line.split("\t")[1].split(" ") for line in path.read_text("utf-8").split("\n")[1:-1]]
    assert np.array([[float(number) for number in cell] for cell in cells], np.float32).tobytes() == matrix.tobytes()


def test_extreme_float32_are_read_again_bit_by_bit(tmp_path):
    info = np.finfo(np.float32)
    numbers = [-0.0, 0.0, info.smallest_subnormal, -info.tiny, info.max, info.min, info.eps, 1 / 3, 16777217.0]
    matrix = np.array([numbers], np.float32)
    path = tmp_path / "food.itememb"
    embedding_file.write_embedding(path, "item_id", "item_emb", tokens=np.array(["a"]), matrix=matrix)
    assert embedding_file.read_embedding(path).matrix.tobytes() == matrix.tobytes()


def test_a_file_is_written_as_plain_text(tmp_path):
    path = tmp_path / "food.useremb"
    matrix = np.array([[0.1, -2], [1e-7, 3]])
    embedding_file.write_embedding(path, "user_id", "user_emb", tokens=["u 1", "é"], matrix=matrix)
    assert path.read_text("utf-8") == "user_id:token\tuser_emb:float_seq\nu 1\t0.1 -2\né\t1e-7 3\n"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("tokens", "matrix", "told"),
    [
        (["a", "b"], np.ones((3, 2)), "2 tokens need a matrix of as many rows, at least one; got (3, 2)"),
        (["a"], np.ones(1), "got (1,)"),
        (["a"], np.ones((1, 0)), "got (1, 0)"),
        ([], np.ones((0, 3)), "got (0, 3)"),
        (["a", "b", "a"], np.ones((3, 2)), "the token 'a' is given twice"),
        (["a", "b"], np.array([[1, 2], [3, np.nan]]), "number 2 of row 2 (token 'b') is nan"),
        (["a"], np.array([[1e39]]), "number 1 of row 1 (token 'a') is 1e+39, not a finite float32"),
        (["a\tb"], np.ones((1, 1)), "row 1: the value 'a\\tb' contains the field separator"),
        (["a", ""], np.ones((2, 1)), "row 2: the value '' is empty"),
    ],
)  # fmt: skip
def test_what_a_file_cannot_hold_is_refused_and_the_former_file_stays(tmp_path, monkeypatch, tokens, matrix, told):
    monkeypatch.setattr(embedding_file, "_NUMBERS_AT_ONCE", 1)
    path = given_file(tmp_path, "former")
    with pytest.raises(UserError) as error:
        embedding_file.write_embedding(path, "item_id", "item_emb", tokens=tokens, matrix=matrix)
    assert told in str(error.value) and str(path) in str(error.value)
    assert path.read_text() == "former" and list(tmp_path.iterdir()) == [path]


def test_case_t2_vectors_too_long_to_compute_with_are_refused_with_their_line(tmp_path):
    path = tmp_path / "book.itememb"
    path.write_text("item_id:token\titem_emb:float_seq\na\t1 2\nb\t1e38 1\n")
    with pytest.raises(UserError, match=r"book\.itememb, line 3: the vector of 'b' is longer than float32"):
        alignment.align(embedding_file.read_embedding(path), {"a": 1, "b": 2}, 3, {"a", "b"})
    assert alignment.align(embedding_file.read_embedding(path), {"a": 1}, 2, {"a", "b"})[0].tolist() == [
        [0, 0],
        [1, 2],
    ]


def test_case_t2_one_column_cannot_hold_tokens_and_vectors(tmp_path):
    path = tmp_path / "book.itememb"
    path.write_text("item_emb:token\titem_id:float_seq\na\t1 2\n")
    with pytest.raises(
        UserError, match=r"line 1: the column 'item_id' is of type 'float_seq'; it must be item_id:token"
    ):
        embedding_file.read_embedding(path)
