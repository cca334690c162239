from __future__ import annotations

import numpy as np
import pytest

from recbole_lecdsr.llm.encoders.chunking import chunk_text, chunk_texts, normalize_rows


def words(texts):
    return [len(text.split()) for text in texts]


def letters(texts):
    return [len(text) for text in texts]


@pytest.mark.parametrize(
    ("text", "limit", "chunks"),
    [
        ("a b c d e", 5, ["a b c d e"]),
        ("a b c d e", 4, ["a b c", "d e"]),
        ("a b c d e", 2, ["a b", "c d", "e"]),
        ("a b c", 1, ["a", "b", "c"]),
        ("", 3, [""]),
    ],
)
def test_a_text_is_cut_between_words(text, limit, chunks):
    assert chunk_text(text, words, limit) == chunks


def test_a_word_that_is_too_long_is_cut_within():
    chunks = chunk_text("ab cdefghij k", letters, 4)
    assert "".join(chunks) == "abcdefghijk" and max(map(len, chunks)) <= 4


def test_long_and_short_words_all_fit():
    text = " ".join("x" * (1 + 7 * (n % 3 == 0)) for n in range(50))
    chunks = chunk_text(text, letters, 9)
    assert max(map(len, chunks)) <= 9 and "".join(chunks).replace(" ", "") == text.replace(" ", "")


def test_vectors_of_chunks_are_averaged_by_their_tokens():
    chunks = chunk_texts(["a", "b c d", "e"], words, 2)
    assert chunks.texts == ["a", "b c", "d", "e"] and chunks.n_split == 1
    assert chunks.text_index.tolist() == [0, 1, 1, 2] and chunks.n_tokens.tolist() == [1, 2, 1, 1]
    vectors = np.array([[1, 0], [3, 0], [0, 3], [0, 1]], dtype=np.float32)
    np.testing.assert_allclose(chunks.average(vectors, False), [[1, 0], [2, 1], [0, 1]])
    np.testing.assert_allclose(chunks.average(vectors, True)[1], np.array([2, 1]) / np.sqrt(5), rtol=1e-6)


def test_without_a_limit_nothing_is_split():
    chunks = chunk_texts(["a b c"], words, None)
    assert chunks.texts == ["a b c"] and not chunks.n_split


def test_a_row_of_zeros_has_no_direction():
    np.testing.assert_array_equal(normalize_rows(np.array([[0.0, 0.0], [3.0, 4.0]])), np.float32([[0, 0], [0.6, 0.8]]))
