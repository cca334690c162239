"""Files of user vectors, ``.useremb``: one or several vectors for each user and number of first interactions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa

from recbole_lecdsr.data.atomic_files import atomic_file
from recbole_lecdsr.data.atomic_files.reader import abbreviate
from recbole_lecdsr.data.embeddings.embedding_file import EVENTS_FIELD, rows_at_once, vector_cells
from recbole_lecdsr.errors import UserError

USER_FIELD = "user_id"


def write_user_vectors_to(
    file: IO[bytes],
    path: Path,
    *,
    tokens: Sequence[str],
    vectors: Mapping[str, np.ndarray],
    events: Sequence[int] | None = None,
) -> None:
    """Write a ``.useremb`` file: ``user_id:token``, ``events:float`` if there are any, and a ``float_seq`` column for
    each kind of vector.

    Args:
        file: opened for bytes.
        path: the final path of the file, for errors.
        tokens: N users.
        vectors: name of the column -> (N, D) numbers that are finite as float32.
        events: N numbers of first interactions of the user that the vectors know; None for all training interactions.

    Raises:
        UserError: shapes that do not fit, no rows or no columns; tokens or names that an atomic file cannot hold; a row
            that repeats user and events; a number that is not finite.
    """
    texts = atomic_file.check_tokens(f"{path}, column {USER_FIELD!r}", tokens, "\t")
    matrices = {name: np.asarray(matrix) for name, matrix in vectors.items()}
    require_column_names(path, matrices)
    for name, matrix in matrices.items():
        if matrix.ndim != 2 or len(matrix) != len(texts) or not matrix.size:
            raise UserError(
                f"{path}, column {name!r}: {len(texts)} tokens need a matrix of as many rows, at least one; got "
                f"{matrix.shape}"
            )
    if not matrices or (events is not None and len(events) != len(texts)):
        raise UserError(f"{path}: needs at least one column of vectors, and events for all rows or for none")
    _require_distinct(path, texts.to_pylist(), events)
    columns = [f"{USER_FIELD}:token", *([f"{EVENTS_FIELD}:float"] if events is not None else [])]
    file.write("\t".join([*columns, *(f"{name}:float_seq" for name in matrices)]).encode() + b"\n")
    step = rows_at_once(sum(matrix.shape[1] for matrix in matrices.values()))
    for start in range(0, len(texts), step):
        rows = slice(start, start + step)
        cells = [texts[rows]]
        if events is not None:
            cells.append(pa.array([str(count) for count in events[rows]]))
        cells += [vector_cells(path, matrix, rows, texts) for matrix in matrices.values()]
        file.write(atomic_file.join_rows(cells, "\t"))


def require_column_names(path: Path, names: Iterable[str]) -> None:
    """Refuse names that a column of vectors cannot have.

    Args:
        path: the file that has the names, for errors.
        names: of vectors.

    Raises:
        UserError: a name that is empty, that of another column, or that the header of an atomic file cannot hold.
    """
    for name in names:
        if not name or name in (USER_FIELD, EVENTS_FIELD) or any(mark in name for mark in "\t\r\n:"):
            raise UserError(
                f"{path}: {name!r} cannot be the name of a column of vectors: give it another name, without tab, line "
                f"feed and colon, that is not {USER_FIELD} or {EVENTS_FIELD}"
            )


def _require_distinct(path: Path, tokens: Sequence[str], events: Sequence[int] | None) -> None:
    seen: set[tuple[str, int | None]] = set()
    for row, token in enumerate(tokens):
        key = token, None if events is None else events[row]
        if key in seen:
            with_events = "" if events is None else f" with events {events[row]}"
            raise UserError(f"{path}: the token {abbreviate(token)}{with_events} is given twice; keep one vector of it")
        seen.add(key)
