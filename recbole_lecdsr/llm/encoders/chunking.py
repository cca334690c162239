"""Texts longer than an encoder reads: split into chunks, whose vectors are averaged. Pure functions."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

logger = logging.getLogger(__name__)

CountTokensOfAll = Callable[[Sequence[str]], Sequence[int]]  # the length of each text in tokens


@dataclass(frozen=True, eq=False)
class TextChunks:
    """N texts as C chunks.

    Attributes:
        texts: (C,) the chunks, those of a text together and in order.
        text_index: (C,) int64, the text that a chunk is part of.
        n_tokens: (C,) float32, the length of each chunk.
        n_split: how many texts have more than one chunk.
    """

    texts: list[str]
    text_index: np.ndarray
    n_tokens: np.ndarray
    n_split: int

    def average(self, vectors: np.ndarray, normalize: bool) -> np.ndarray:
        """The vector of each text: the mean of the vectors of its chunks, weighted by their lengths.

        Args:
            vectors: (C, D) float32.
            normalize: whether to scale the result to length 1.

        Returns:
            (N, D) float32.
        """
        if not self.n_split:
            return vectors
        n_texts = int(self.text_index[-1]) + 1
        total = np.zeros((n_texts, vectors.shape[1]), dtype=np.float32)
        np.add.at(total, self.text_index, vectors * self.n_tokens[:, None])
        total /= np.bincount(self.text_index, weights=self.n_tokens, minlength=n_texts).astype(np.float32)[:, None]
        return normalize_rows(total) if normalize else total


def chunk_texts(texts: Sequence[str], count_tokens: CountTokensOfAll, limit: int | None) -> TextChunks:
    """Split the texts that have more than ``limit`` tokens.

    Args:
        texts: N texts.
        count_tokens: the lengths of texts in the encoder's tokens.
        limit: the most tokens of a chunk; None for no limit.

    Example:
        >>> chunks = chunk_texts(["tea", "a film of tea"], lambda texts: [len(text.split()) for text in texts], 3)
        >>> chunks.texts, chunks.text_index.tolist(), chunks.n_tokens.tolist()
        (['tea', 'a film', 'of tea'], [0, 1, 1], [1.0, 2.0, 2.0])
    """
    lengths = list(count_tokens(texts)) if limit else [1] * len(texts)
    chunks: list[str] = []
    text_index: list[int] = []
    n_tokens: list[int] = []
    n_split = 0
    for index, (text, length) in enumerate(zip(texts, lengths, strict=True)):
        if not limit or length <= limit:
            parts, part_lengths = [text], [length]
        else:
            parts = chunk_text(text, count_tokens, limit)
            part_lengths = [length] if len(parts) == 1 else list(count_tokens(parts))
        n_split += len(parts) > 1
        chunks += parts
        text_index += [index] * len(parts)
        n_tokens += [max(length, 1) for length in part_lengths]
    return TextChunks(chunks, np.array(text_index, dtype=np.int64), np.array(n_tokens, dtype=np.float32), n_split)


def chunk_text(text: str, count_tokens: CountTokensOfAll, limit: int) -> list[str]:
    """Split a text into chunks of about equal size and at most ``limit`` tokens, between words where possible.

    Example:
        >>> chunk_text("one two three four five", lambda texts: [len(text.split()) for text in texts], 2)
        ['one two', 'three four', 'five']
    """
    (length,) = count_tokens([text])
    if length <= limit or len(text) < 2:
        return [text]
    words = text.split()
    if len(words) > 1:
        step = math.ceil(len(words) / math.ceil(length / limit))
        parts = [" ".join(words[start : start + step]) for start in range(0, len(words), step)]
    else:
        parts = [text[: len(text) // 2], text[len(text) // 2 :]]
    return [chunk for part in parts for chunk in chunk_text(part, count_tokens, limit)]


def warn_of_split_texts(chunks: TextChunks, limit: int | None, encoder: str) -> None:
    """Log how many texts an encoder reads in chunks."""
    if chunks.n_split:
        n_texts = int(chunks.text_index[-1]) + 1
        logger.warning(
            "%d of %d texts are longer than the %d tokens that %s reads: they are split into %d chunks, and the "
            "vectors of the chunks are averaged",
            chunks.n_split, n_texts, limit, encoder, chunks.n_split + len(chunks.texts) - n_texts,
        )  # fmt: skip


def normalize_rows(matrix: np.ndarray) -> np.ndarray:
    """Scale the rows of a matrix (N, D) to length 1, as float32; a row of zeros is left as it is.

    Example:
        >>> normalize_rows(np.array([[3.0, 4.0], [0.0, 0.0]]))
        array([[0.6, 0.8],
               [0. , 0. ]], dtype=float32)
    """
    length = np.linalg.norm(matrix, axis=1, keepdims=True)
    return (matrix / np.where(length > 0, length, 1)).astype(np.float32)
