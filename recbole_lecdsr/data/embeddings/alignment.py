"""From the rows of embedding files, by tokens, to rows by the ids of a data set."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Collection, Mapping, Set

import numpy as np

from recbole_lecdsr.data.atomic_files.reader import abbreviate
from recbole_lecdsr.data.embeddings.embedding_file import Embedding, locate
from recbole_lecdsr.data.user_vectors import UserVectors
from recbole_lecdsr.errors import UserError

logger = logging.getLogger(__name__)

_NUMBERS_AT_ONCE = 1 << 22  # copied
_MOST_COMPARED = 20_000  # tokens among which similar ones are searched, which is slow


def align(embedding: Embedding, ids: Mapping[str, int], count: int, known: Collection[str]) -> tuple[np.ndarray, int]:
    """Bring vectors into the order of a data set's ids.

    Args:
        embedding: N different tokens, (N, D) vectors.
        ids: token -> id below ``count``; 0 is padding and gets no vector.
        count: number of ids.
        known: every token of the data set's files, also those that filtering has removed.

    Returns:
        rows (count, D) float32, where row i is the vector of id i, zero where there is none; and the number of ids that
        have a vector. If several tokens have one id, as those of linked users do, the first one in the file counts.

    Raises:
        UserError: a token of the file is not in the data set's files, or the squared length of a vector is beyond
            float32.

    Example:
        >>> from pathlib import Path
        >>> embedding = Embedding(Path("book.itememb"), np.array(["a", "b"]), np.array([[1.0], [2.0]]))
        >>> rows, found = align(embedding, {"[PAD]": 0, "b": 1, "c": 2}, count=3, known={"a", "b", "c"})
        >>> rows.tolist(), found
        ([[0.0], [2.0], [0.0]], 1)
    """
    index = _match_ids(embedding, ids, known)
    kept = _first_of_each(embedding, index, np.flatnonzero(index))
    return _copy_rows(embedding, kept, index[kept], count), len(kept)


def align_users(
    embedding: Embedding, ids: Mapping[str, int], count: int, known: Collection[str]
) -> tuple[UserVectors, int]:
    """Bring the vectors of users into the order of their ids and numbers of events.

    Args:
        embedding: as `read_user_embedding` gives it.
        ids, count, known: as in `align`.

    Returns:
        The vectors, and the number of ids that have one. If several tokens have one id, the first row in the file
        counts for each number of events.

    Raises:
        UserError: as in `align`.
    """
    if embedding.events is None:
        rows, found = align(embedding, ids, count, known)
        return UserVectors.one_per_user(rows, embedding.facets), found
    index = _match_ids(embedding, ids, known)
    kept = np.flatnonzero(index)
    kept = kept[np.lexsort((kept, embedding.events[kept], index[kept]))]
    user, events = index[kept], embedding.events[kept]
    is_first = np.r_[True, (user[1:] != user[:-1]) | (events[1:] != events[:-1])][: len(kept)]
    _warn_of_unused(embedding, len(kept) - int(is_first.sum()))
    kept, user, events = kept[is_first], user[is_first], events[is_first]
    in_file = np.argsort(kept)
    vectors = UserVectors(
        vectors=_copy_rows(embedding, kept[in_file], in_file + 1, len(kept) + 1),
        user=np.r_[0, user],
        events=np.r_[0, events],
        facets=embedding.facets,
        is_as_of=True,
    )
    return vectors, len(np.unique(user))


def _match_ids(embedding: Embedding, ids: Mapping[str, int], known: Collection[str]) -> np.ndarray:
    """(N,) int64, the id of each row, 0 for what filtering has removed.

    Raises:
        UserError: a token that is not known.
    """
    tokens = embedding.tokens.tolist()
    index = np.fromiter((ids.get(token, 0) for token in tokens), dtype=np.int64, count=len(tokens))
    known = known if isinstance(known, Set | Mapping) else set(known)
    for row in np.flatnonzero(index == 0):
        if tokens[row] not in known:
            raise _unknown_token_error(embedding, int(row), known)
    return index


def _first_of_each(embedding: Embedding, index: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Of the rows that are kept the first one of each id, in the order of the file."""
    unique, first = np.unique(index[kept], return_index=True)
    _warn_of_unused(embedding, len(kept) - len(unique))
    return kept[np.sort(first)]


def _warn_of_unused(embedding: Embedding, number: int) -> None:
    if number:
        logger.warning(
            "%s: %d vectors are not used, since another token of the same id has one", embedding.path, number
        )


def _copy_rows(embedding: Embedding, kept: np.ndarray, place: np.ndarray, count: int) -> np.ndarray:
    """Copy some rows to their places.

    Args:
        embedding: N rows.
        kept: (K,) int64, the rows, ascending, so that the disk is read once, forwards.
        place: (K,) int64, the place of each.
        count: number of places.

    Returns:
        (count, D) float32, zero elsewhere.

    Raises:
        UserError: the squared length of a vector is beyond float32.
    """
    matrix = np.asarray(embedding.matrix)
    rows = np.zeros((count, matrix.shape[1]), dtype=np.float32)
    step = max(1, _NUMBERS_AT_ONCE // matrix.shape[1])
    for start in range(0, len(kept), step):
        part = kept[start : start + step]
        vectors = matrix[part]
        with np.errstate(over="ignore"):
            too_large = np.flatnonzero(~np.isfinite(np.einsum("nd,nd->n", vectors, vectors)))
        if len(too_large):
            row = int(part[too_large[0]])
            raise UserError(
                f"{embedding.path}, {locate(embedding, row)}: the vector of {abbreviate(embedding.tokens[row])} is "
                "longer than float32 can compute (its squared length is infinite): embed it again, or divide all "
                "vectors by one number"
            )
        rows[place[start : start + step]] = vectors
    return rows


def _unknown_token_error(embedding: Embedding, row: int, known: Collection[str]) -> UserError:
    token = embedding.tokens[row]
    near = [other for other in (token.strip(), token.lower(), token.upper()) if other in known]
    if not near and len(known) <= _MOST_COMPARED:
        near = difflib.get_close_matches(token, known, n=3)
    hint = f" (nearest: {', '.join(map(abbreviate, near))})" if near else ""
    return UserError(
        f"{embedding.path}, {locate(embedding, row)}: the token {abbreviate(token)} is in no interaction or item "
        f"file of the data set{hint}; embed the texts of this data set, or delete the line"
    )
