"""Matrices of item and user vectors, and the ``.itememb`` and ``.useremb`` files that are made of them."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np

from recbole_lecdsr.data.embeddings.embedding_file import write_embedding_to
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.atomic_pair import FileWriter
from recbole_lecdsr.prepare.c2dsr.id_lists import number_users
from recbole_lecdsr.prepare.c2dsr.raw_folder import USERS_FILE


def read_matrix(path: Path) -> np.ndarray | None:
    """A matrix of vectors, memory-mapped; None if there is no such file.

    Raises:
        UserError: a file that is no .npy file of numbers with two axes.
    """
    if not path.exists():
        return None
    try:
        matrix = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # NumPy evaluates the header as Python: damaged ones raise errors of many kinds
        raise UserError(f"{path} cannot be read as an array of numbers: {error}") from None
    if not isinstance(matrix, np.ndarray) or matrix.ndim != 2 or matrix.dtype.kind not in "fiu" or not matrix.size:
        seen = f"{matrix.dtype} of shape {matrix.shape}" if isinstance(matrix, np.ndarray) else type(matrix).__name__
        raise UserError(f"{path} holds {seen}: it must hold a vector of numbers in each row")
    return matrix


def make_item_embeddings(
    path: Path, matrix: np.ndarray, tokens: np.ndarray, *, counts: tuple[int, int], domains: tuple[str, str]
) -> dict[str, FileWriter]:
    """The ``.itememb`` files of both domains; items whose vector is zero are left out.

    Args:
        path: of the matrix, for errors.
        matrix: a row for each item of the source, then of the target, and one of padding.
        tokens: (items,) the token of each item number.
        counts: items of source and target.
        domains: names of source and target.

    Returns:
        Path below the folder of the pair -> what writes the file.

    Raises:
        UserError: a domain with zero vectors only, or a number that is not finite.
    """
    writers = {}
    for domain, start, count in zip(domains, (0, counts[0]), counts, strict=True):
        rows = start + np.flatnonzero(matrix[start : start + count].any(axis=1))
        if not len(rows):
            raise UserError(f"{path}: every vector of {domain} is zero: give another, or remove the file")
        writers[f"{domain}/{domain}.itememb"] = _make_writer(path, "item", tokens[rows], matrix, rows)
    return writers


def make_user_embeddings(
    path: Path, matrix: np.ndarray, users: np.ndarray, names: list[str] | None
) -> tuple[FileWriter, int]:
    """The ``.useremb`` file.

    Args:
        path: of the matrix.
        matrix: row n for user number n.
        users: (U,) the users of the sequences.
        names: of the list of users; None without a list.

    Returns:
        What writes the file; and how many users it leaves out because their number has no row or their vector is zero.

    Raises:
        UserError: users with unknown numbers, more rows than users, no vector at all, or a number that is not finite.
    """
    number = number_users(users, names, path.parent)
    if names is not None and len(matrix) > len(names) + 1:  # one may be of padding
        raise UserError(
            f"{path} has {len(matrix):,} rows, but {USERS_FILE} only {len(names):,} users: it is not of these data"
        )
    has_vector = number < len(matrix)
    rows = np.where(has_vector, number, 0)
    has_vector &= matrix[rows].any(axis=1)
    if not has_vector.any():
        raise UserError(f"{path}: no user of the sequences has a vector: give another, or remove the file")
    writer = _make_writer(path, "user", users[has_vector], matrix, rows[has_vector])
    return writer, int((~has_vector).sum())


def _make_writer(path: Path, kind: str, tokens: np.ndarray, matrix: np.ndarray, rows: np.ndarray) -> FileWriter:
    wrong = np.flatnonzero(~np.isfinite(matrix[rows]).all(axis=1))
    if len(wrong):
        raise UserError(
            f"{path}, row {rows[wrong[0]]} (from 0; {kind} {tokens[wrong[0]]!r}) holds a number that is not finite, "
            f"and so do {len(wrong) - 1:,} other rows: put zeros there to leave them out"
        )

    def write(file: BinaryIO, target: Path) -> None:
        write_embedding_to(
            file, target, id_field=f"{kind}_id", value_field=f"{kind}_emb", tokens=tokens, matrix=matrix[rows]
        )

    return write
