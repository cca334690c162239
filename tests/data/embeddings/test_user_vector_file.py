from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from recbole_lecdsr.data.embeddings import embedding_file
from recbole_lecdsr.data.embeddings.user_vector_file import write_user_vectors_to
from recbole_lecdsr.errors import UserError

PATH = Path("pair.useremb")


def written(**arguments: object) -> str:
    file = io.BytesIO()
    write_user_vectors_to(file, PATH, **arguments)
    return file.getvalue().decode()


def test_a_row_has_a_user_the_number_of_events_and_a_vector_of_each_kind():
    vectors = {"food": np.array([[1.0, 2.5], [0.0, 0.0], [3.0, 4.0]]), "next food": np.eye(3)}
    assert written(tokens=["u1", "u1", "ü 2"], events=[3, 12, 3], vectors=vectors) == (
        "user_id:token\tevents:float\tfood:float_seq\tnext food:float_seq\n"
        "u1\t3\t1 2.5\t1 0 0\nu1\t12\t0 0\t0 1 0\nü 2\t3\t3 4\t0 0 1\n"
    )


def test_a_single_vector_without_events_is_written_as_ever(tmp_path):
    matrix = np.random.default_rng(0).normal(size=(50, 7)).astype(np.float32)
    tokens = [f"u{number}" for number in range(50)]
    path = tmp_path / "pair.useremb"
    embedding_file.write_embedding(path, "user_id", "user_emb", tokens=tokens, matrix=matrix)
    assert written(tokens=tokens, vectors={"user_emb": matrix}) == path.read_text()


def test_many_rows_are_written_some_at_a_time(monkeypatch):
    monkeypatch.setattr(embedding_file, "_NUMBERS_AT_ONCE", 8)
    vectors = {name: np.arange(20.0).reshape(10, 2) + shift for name, shift in (("a", 0), ("b", 100))}
    rows = written(tokens=list("abcdefghij"), events=list(range(1, 11)), vectors=vectors).splitlines()[1:]
    assert rows == [f"{'abcdefghij'[n]}\t{n + 1}\t{2 * n} {2 * n + 1}\t{2 * n + 100} {2 * n + 101}" for n in range(10)]


ONE = {"a": np.ones((2, 3))}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tokens": ["u", "u"], "vectors": ONE}, "the token 'u' is given twice"),
        ({"tokens": ["u", "u"], "events": [4, 4], "vectors": ONE}, "the token 'u' with events 4 is given twice"),
        ({"tokens": ["u"], "vectors": ONE}, r"column 'a': 1 tokens need a matrix of as many rows.*got \(2, 3\)"),
        ({"tokens": [], "vectors": {"a": np.ones((0, 3))}}, "column 'a': 0 tokens need a matrix"),
        ({"tokens": ["u", "v"], "events": [1], "vectors": ONE}, "events for all rows or for none"),
        ({"tokens": ["u", "v"], "vectors": {}}, "at least one column of vectors"),
        ({"tokens": ["u", "v\t"], "vectors": ONE}, "column 'user_id'"),
        *(
            ({"tokens": ["u", "v"], "vectors": {name: np.ones((2, 3))}}, "cannot be the name of a column of vectors")
            for name in ("", "events", "user_id", "a\tb", "a:b", "a\n")
        ),
        (
            {"tokens": ["u", "v"], "vectors": {**ONE, "b": np.array([[1.0], [np.nan]])}},
            r"number 1 of row 2 \(token 'v'\) is nan, not a finite float32",
        ),
    ],
    ids=lambda value: str(value)[:50],
)
def test_what_a_file_cannot_hold_is_an_error(arguments, message):
    with pytest.raises(UserError, match=rf"pair\.useremb.*{message}"):
        written(**arguments)
