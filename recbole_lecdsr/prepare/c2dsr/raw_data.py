"""All files of a folder in C2DSR's format, read and checked against one another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recbole_lecdsr.prepare.c2dsr.embedding_matrices import read_matrix
from recbole_lecdsr.prepare.c2dsr.id_lists import ItemLists, count_items, read_id_list
from recbole_lecdsr.prepare.c2dsr.raw_folder import (
    ITEM_MATRIX_FILE,
    SOURCE_ITEMS_FILE,
    TARGET_ITEMS_FILE,
    USER_MATRIX_FILE,
    find_split_files,
)
from recbole_lecdsr.prepare.c2dsr.sequence_file import SequenceLines, read_sequences


@dataclass(frozen=True)
class RawData:
    """The content of a folder.

    Attributes:
        folder: the folder.
        lines: ``train``, ``valid`` and ``test`` -> the lines of the file.
        n_unsorted: how many lines were not in the order of time when they were read.
        lists: names of the items of source and target; None without a list.
        counts: items of source and target.
        item_matrix: (items + 1, d), a vector for each item number and one of padding; None without the file.
        user_matrix: (users, d), a vector for each user number; None without the file.
    """

    folder: Path
    lines: Mapping[str, SequenceLines]
    n_unsorted: int
    lists: ItemLists
    counts: tuple[int, int]
    item_matrix: np.ndarray | None
    user_matrix: np.ndarray | None


def read_raw_data(
    folder: Path, *, variant: str | None, source_items: int | None, sort_by_time: bool, skip_bad_lines: bool
) -> RawData:
    """Read a folder.

    Args:
        folder: of the data.
        variant: see `find_split_files`.
        source_items: items of the source, if there is no list of them.
        sort_by_time: sort the interactions of each line by time.
        skip_bad_lines: leave out malformed lines.

    Raises:
        UserError: a file that is missing or malformed, or files that contradict one another.
    """
    lines = {split: read_sequences(path, skip_bad_lines) for split, path in find_split_files(folder, variant).items()}
    n_unsorted = sum(part.count_unsorted() for part in lines.values())
    if sort_by_time:
        lines = {split: part.sort_by_time() for split, part in lines.items()}
    lists = read_id_list(folder / SOURCE_ITEMS_FILE), read_id_list(folder / TARGET_ITEMS_FILE)
    item_matrix, user_matrix = read_matrix(folder / ITEM_MATRIX_FILE), read_matrix(folder / USER_MATRIX_FILE)
    counts = count_items(
        lists,
        matrix_rows=None if item_matrix is None else len(item_matrix),
        source_items=source_items,
        largest_item=max(int(part.item.max()) for part in lines.values()),
        folder=folder,
    )
    for part in lines.values():
        part.check_items(sum(counts))
    return RawData(folder, lines, n_unsorted, lists, counts, item_matrix, user_matrix)
