"""``.useremb`` files with facets and several rows of a user: what is read, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from recbole_lecdsr.data.atomic_files import reader as atomic_reader
from recbole_lecdsr.data.embeddings.alignment import align_users
from recbole_lecdsr.data.embeddings.embedding_file import read_embedding, read_user_embedding
from recbole_lecdsr.data.user_vectors import Facet
from recbole_lecdsr.errors import UserError
from tests.data.embeddings.test_embedding_file import given_file

HEADER = "user_id:token\tevents:float\taction:float_seq\tdrama:float_seq\n"
ROWS = "u1\t0\t1\t2 3\nu2\t4\t-1\t0 0\nu1\t12.0\t.5\t+1 1e-1\n"


def file_of(folder, rows: str = ROWS, header: str = HEADER):
    return given_file(folder, header + rows, "pair.useremb")


def test_facets_are_joined_in_the_order_of_the_file_and_keep_their_names_and_sizes(tmp_path):
    path = file_of(tmp_path)
    for _ in range(2):  # from the text, from the cache
        found = read_user_embedding(path)
        assert found.tokens.tolist() == ["u1", "u2", "u1"]
        assert found.events.tolist() == [0, 4, 12] and found.events.dtype == np.int64
        np.testing.assert_array_equal(found.matrix, np.array([[1, 2, 3], [-1, 0, 0], [0.5, 1, 0.1]], np.float32))
        assert found.facets == (Facet("action", 1), Facet("drama", 2))


def test_columns_may_be_in_any_order_beside_others(tmp_path):
    header = "b:float_seq\tsource:token\tevents:float\tuser_id:token\ta:float_seq\n"
    found = read_user_embedding(file_of(tmp_path, "1 2\tx\t3\tu1\t4\n", header))
    assert (found.tokens.tolist(), found.events.tolist(), found.matrix.tolist()) == (["u1"], [3], [[1, 2, 4]])
    assert [facet.name for facet in found.facets] == ["b", "a"]


def test_a_file_with_one_column_and_no_events_is_as_ever(tmp_path):
    path = file_of(tmp_path, "u1\t1 2\nu2\t3 4\n", "user_id:token\tuser_emb:float_seq\n")
    found, plain = read_user_embedding(path), read_embedding(path, "user_id")
    assert found.events is None and found.facets == plain.facets == (Facet("user_emb", 2),)
    assert found.matrix.tolist() == plain.matrix.tolist() == [[1, 2], [3, 4]]


def test_a_second_start_parses_nothing(tmp_path, settled, parsed, digested):
    path = file_of(tmp_path)
    first, second = read_user_embedding(path), read_user_embedding(path)
    assert (len(parsed), digested) == (1, [])
    assert first.events.tolist() == second.events.tolist() and first.facets == second.facets
    assert isinstance(second.matrix, np.memmap) and second.matrix.tobytes() == first.matrix.tobytes()


@pytest.mark.parametrize("at", ["matrix", "events", "tokens"])
def test_a_damaged_cache_is_made_again(tmp_path, settled, parsed, at):
    path = file_of(tmp_path)
    before = read_user_embedding(path)
    content = bytearray((cache := path.with_name(path.name + ".cache")).read_bytes())
    content[{"matrix": 4096, "events": 4096 + 3 * 3 * 4 + 1, "tokens": -1}[at]] ^= 1
    cache.write_bytes(bytes(content))
    after = read_user_embedding(path)
    assert len(parsed) == 2 and after.events.tolist() == before.events.tolist()


def test_events_that_change_make_another_content(tmp_path, parsed):
    read_user_embedding(file_of(tmp_path))
    assert read_user_embedding(file_of(tmp_path, ROWS.replace("\t4\t", "\t5\t"))).events.tolist() == [0, 5, 12]
    assert len(parsed) == 2


def test_a_file_of_many_blocks_is_read_as_one(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic_reader, "_BLOCK", 60)
    rows = [f"u{row % 7}\t{row}\t{row}\t{row} 1\n" for row in range(50)]
    rows[20] = "\nu6\t 20 \t20\t20  1\n\n"  # what only the slow way reads
    found = read_user_embedding(file_of(tmp_path, "".join(rows)))
    assert found.events.tolist() == list(range(50))
    assert found.matrix.tolist() == [[row, row, 1] for row in range(50)]
    assert found.tokens.tolist() == [f"u{row % 7}" for row in range(50)]


GREATEST = 2**31 - 1


@pytest.mark.parametrize(
    ("header", "rows", "told"),
    [
        (HEADER, "u1\t2\t1\t2 3\nu1\t-1\t1\t2 3\n", "line 3: events of 'u1' is '-1', not a whole number from 0 to"),
        (HEADER, "u1\t2.5\t1\t2 3\n", "line 2: events of 'u1' is '2.5', not a whole number"),
        (HEADER, "u1\t2\t1\t2 3\nu2\tnan\t1\t2 3\n", "line 3: events of 'u2' is 'nan'"),
        (HEADER, "u1\tinf\t1\t2 3\n", "line 2: events of 'u1' is 'inf'"),
        (HEADER, "u1\t\t1\t2 3\n", "line 2: events of 'u1' is ''"),
        (HEADER, "u1\ttwo\t1\t2 3\n", "line 2: events of 'u1' is 'two'"),
        (HEADER, f"u1\t{GREATEST + 1}\t1\t2 3\n", f"not a whole number from 0 to {GREATEST}"),
        (HEADER, "u1\t1e999\t1\t2 3\n", "line 2: events of 'u1' is '1e999'"),
        (HEADER, "u1\t2\t1\t2 3\nu2\t2\t1\t2 3\nu1\t7\t1\t2 3\nu1\t2.0\t1\t2 3\n",
         "line 5: the token 'u1' with events 2 is in line 2 already; delete one"),
        (HEADER, "u1\t2\t1\t2 3\nu1\t3\t1\t2\n", "line 3: the vector drama of 'u1' has 1 numbers, that of line 2 2"),
        (HEADER, "u1\t2\t1\t2 3\nu1\t3\t1 1\t2 3\n", "line 3: the vector action of 'u1' has 2 numbers"),
        (HEADER, "u1\t2\t\t2 3\n", "line 2: the vector action of 'u1' is empty"),
        (HEADER, "u1\t2\t1\t2 x\n", "line 2: number 2 of the vector drama of 'u1' is 'x'"),
        (HEADER, "u1\t2\t1e39\t2 3\n", "line 2: '1e39' in the vector action of 'u1' is beyond float32"),
        (HEADER, "\t2\t1\t2 3\n", "line 2: user_id is empty"),
        (HEADER, "u1\t2\t1\n", "line 2: 3 fields where the header has 4"),
        (HEADER, "", "line 2: there are no rows"),
        ("user_id:token\tevents:token\ta:float_seq\n", "u1\t2\t1\n",
         "line 1: the column 'events' is of type 'token'; it must be events:float"),
        ("user_id:token\tevents:float\ta:float\n", "u1\t2\t1\n", "line 1: no columns are of type float_seq"),
        ("user_id:token\t" + "\t".join(f"f{n}:float_seq" for n in range(257)) + "\n", "u1\t2\t1\n",
         "257 columns are of type float_seq"),
        ("id:token\tevents:float\ta:float_seq\n", "u1\t2\t1\n", "there is no column 'user_id'"),
        ("user_id:token\ta:float_seq\n", "u1\t1\nu1\t2\n", "line 3: the token 'u1' is in line 2 already"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_reported_with_line_value_and_remedy(tmp_path, header, rows, told):
    path = file_of(tmp_path, rows, header)
    with pytest.raises(UserError) as error:
        read_user_embedding(path)
    assert str(path) in str(error.value) and told in str(error.value) and "; " in str(error.value)
    assert list(tmp_path.iterdir()) == [path], "nothing is cached"


def test_the_greatest_number_of_events_and_the_most_facets_are_read(tmp_path):
    assert read_user_embedding(file_of(tmp_path, f"u1\t{GREATEST}\t1\t2 3\n")).events.tolist() == [GREATEST]
    header = "user_id:token\t" + "\t".join(f"f{n}:float_seq" for n in range(256)) + "\n"
    path = file_of(tmp_path, "u1\t" + "\t".join(str(n) for n in range(256)) + "\n", header)
    for _ in range(2):
        assert read_user_embedding(path).matrix.tolist() == [list(range(256))]


# ------------------------------------------------------------------ in the order of ids


def test_rows_are_ordered_by_user_and_events_behind_a_row_for_no_profile(tmp_path):
    embedding = read_user_embedding(file_of(tmp_path))
    found, users = align_users(embedding, {"[PAD]": 0, "u2": 1, "u1": 3}, 4, {"u1", "u2"})
    assert found.user.tolist() == [0, 1, 3, 3] and found.events.tolist() == [0, 4, 0, 12]
    np.testing.assert_array_equal(
        found.vectors, np.array([[0, 0, 0], [-1, 0, 0], [1, 2, 3], [0.5, 1, 0.1]], np.float32)
    )
    assert found.facets == embedding.facets and found.is_as_of and users == 2
    assert found.vectors.dtype == np.float32 and found.vectors.flags.writeable


def test_users_left_out_by_filtering_are_passed_over_and_unknown_ones_refused(tmp_path):
    embedding = read_user_embedding(file_of(tmp_path))
    found, users = align_users(embedding, {"[PAD]": 0, "u1": 1}, 2, {"u1", "u2"})
    assert (found.user.tolist(), users) == ([0, 1, 1], 1)
    found, users = align_users(embedding, {"[PAD]": 0}, 1, {"u1", "u2"})
    assert (found.vectors.tolist(), users) == ([[0, 0, 0]], 0)
    with pytest.raises(UserError, match=r"pair\.useremb, line 2: the token 'u1' .*nearest: 'U1'"):
        align_users(embedding, {"[PAD]": 0, "u2": 1}, 2, {"U1", "u2"})


def test_of_linked_users_the_first_row_counts_for_each_number_of_events(tmp_path, caplog):
    path = file_of(tmp_path, "a\t3\t1\t0 0\nb\t3\t2\t0 0\nb\t0\t3\t0 0\na\t5\t4\t0 0\na\t0\t5\t0 0\n")
    found, users = align_users(read_user_embedding(path), {"a": 1, "b": 1}, 2, set())
    assert found.events.tolist() == [0, 0, 3, 5] and found.vectors[:, 0].tolist() == [0, 3, 1, 4]
    assert users == 1 and "2 vectors are not used" in caplog.text


def test_a_vector_too_long_is_named_with_its_own_line(tmp_path):
    path = file_of(tmp_path, "u1\t0\t1\t2 3\nu2\t4\t1\t0 0\nu1\t5\t1\t1e38 0\n")
    with pytest.raises(UserError, match="line 4: the vector of 'u1' is longer than float32"):
        align_users(read_user_embedding(path), {"u1": 1, "u2": 2}, 3, set())


def test_without_events_rows_are_those_of_the_ids(tmp_path):
    path = file_of(tmp_path, "u1\t1\t3\nu2\t2\t4\n", "user_id:token\ta:float_seq\tb:float_seq\n")
    found, users = align_users(read_user_embedding(path), {"[PAD]": 0, "u2": 1, "u1": 3}, 4, set())
    assert found.vectors.tolist() == [[0, 0], [2, 4], [0, 0], [1, 3]] and not found.is_as_of and users == 2
    assert found.user.tolist() == [0, 1, 2, 3] and not found.events.any() and len(found.facets) == 2
