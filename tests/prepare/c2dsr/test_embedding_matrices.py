from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.property_files import read_property_file
from tests.helpers.c2dsr_files import prepare, read, refuse, write_matrices


def test_vectors_are_those_of_the_numbers(raw_folder):
    write_matrices(raw_folder, users=3)
    summary = prepare(raw_folder)
    assert "user_text" not in read_property_file("dataset/pair/pair.yaml")
    assert read("food/food.itememb") == "item_id:token\titem_emb:float_seq\nB00A\t1 2 3 4\nB00C\t9 10 11 12\n"
    assert read("kitchen/kitchen.itememb").splitlines()[1:] == ["B00X\t13 14 15 16", "B00Y\t17 18 19 20"]
    # In the order of the lines; user 3 has no row.
    assert read("pair.useremb").splitlines()[1:] == ["0\t-1 -2 -3 -4", "2\t-9 -10 -11 -12", "1\t-5 -6 -7 -8"]
    assert summary.details["users without a vector"] == 1


@pytest.mark.parametrize(
    ("name", "matrix", "match"),
    [
        ("item_embeddings.npy", np.ones((5, 4)), r"item_embeddings\.npy has 5 rows, but 3 items .* padding make 6"),
        ("item_embeddings.npy", np.ones(6), r"holds float64 of shape \(6,\)"),
        ("item_embeddings.npy", np.array([["a"] * 4] * 6), "holds <U1 of shape"),
        ("item_embeddings.npy", np.full((6, 4), np.nan), r"row 0 \(from 0; item 'B00A'\) .* 2 other rows: put zeros"),
        ("item_embeddings.npy", np.zeros((6, 4)), "every vector of food is zero"),
        ("reasoning_user_embeddings.npy", np.ones((6, 4)), r"has 6 rows, but userlist\.txt only 4 users"),
        ("reasoning_user_embeddings.npy", np.zeros((4, 4)), "no user of the sequences has a vector"),
    ],
)
def test_matrices_that_do_not_fit_are_errors(raw_folder, name, matrix, match):
    write_matrices(raw_folder)
    np.save(raw_folder / name, matrix)
    with pytest.raises(UserError, match=match):
        prepare(raw_folder)
    assert not [path for path in Path("dataset").rglob("*") if path.is_file()]


def test_a_matrix_of_pickled_objects_is_not_loaded(raw_folder):
    np.save(raw_folder / "item_embeddings.npy", np.array([{}], dtype=object), allow_pickle=True)
    refuse(raw_folder, r"item_embeddings\.npy cannot be read as an array of numbers")
