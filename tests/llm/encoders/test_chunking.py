from __future__ import annotations

import numpy as np
import pytest

from recbole_lecdsr.llm.encoders.chunking import split_all, split_text, unit


def words(texts):
    return [len(text.split()) for text in texts]


def letters(texts):
    return [len(text) for text in texts]


@pytest.mark.parametrize(
    ("text", "limit", "pieces"),
    [
        ("a b c d e", 5, ["a b c d e"]),
        ("a b c d e", 4, ["a b c", "d e"]),
        ("a b c d e", 2, ["a b", "c d", "e"]),
        ("a b c", 1, ["a", "b", "c"]),
        ("", 3, [""]),
    ],
)
def test_a_text_is_cut_between_words(text, limit, pieces):
    assert split_text(text, words, limit) == pieces


def test_a_word_that_is_too_long_is_cut_within():
    pieces = split_text("ab cdefghij k", letters, 4)
    assert "".join(pieces) == "abcdefghijk" and max(map(len, pieces)) <= 4


def test_long_and_short_words_all_fit():
    text = " ".join("x" * (1 + 7 * (n % 3 == 0)) for n in range(50))
    pieces = split_text(text, letters, 9)
    assert max(map(len, pieces)) <= 9 and "".join(pieces).replace(" ", "") == text.replace(" ", "")


def test_vectors_of_pieces_are_averaged_by_their_tokens():
    pieces = split_all(["a", "b c d", "e"], words, 2)
    assert pieces.texts == ["a", "b c", "d", "e"] and pieces.split == 1
    assert pieces.owner.tolist() == [0, 1, 1, 2] and pieces.weight.tolist() == [1, 2, 1, 1]
    vectors = np.array([[1, 0], [3, 0], [0, 3], [0, 1]], dtype=np.float32)
    np.testing.assert_allclose(pieces.average(vectors, False), [[1, 0], [2, 1], [0, 1]])
    np.testing.assert_allclose(pieces.average(vectors, True)[1], np.array([2, 1]) / np.sqrt(5), rtol=1e-6)


def test_without_a_limit_nothing_is_split():
    pieces = split_all(["a b c"], words, None)
    assert pieces.texts == ["a b c"] and not pieces.split


def test_a_row_of_zeros_has_no_direction():
    np.testing.assert_array_equal(unit(np.array([[0.0, 0.0], [3.0, 4.0]])), np.float32([[0, 0], [0.6, 0.8]]))
