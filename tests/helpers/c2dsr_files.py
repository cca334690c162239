"""Small folders in C2DSR's format, oddities included, and what `prepare c2dsr` makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.c2dsr import convert
from recbole_lecdsr.prepare.summary import PreparationSummary

# A: B00A (0), B00B (1), B00C (2, in no line); B: B00X (3), B00Y (4)
FILES = {
    "Alist.txt": "B00A\nB00B\tsecond field\nB00C\n",
    "Blist.txt": "B00X\nB00Y\n",
    "userlist.txt": "A1\nA2\nA3\nA4\n",
    # Interactions twice, an interaction of three parts, equal times, an empty line, Windows line ends.
    "traindata_new.txt": "0\t7\t0|10|5.0\t3|20|4.0\t3|20|4.0\r\n\n2\t7\t4|5\t1|5\n0\t7\t3|20\t1|30\n",
    "validdata_new.txt": "2\t7\t4|5\t1|5\t1|8\n3\t7\t0|1\t4|2\n",
    "testdata_new.txt": "0\t7\t0|10\t3|20\t3|20\t4|40\n1\t7\t4|3\t0|9\n",
}


def write_folder(folder: Path) -> None:
    """Write `FILES` into a new folder."""
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_bytes(text.encode())


def write_matrices(folder: Path, users: int = 4, size: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Write the matrices of items and users for `FILES`."""
    items = np.arange(1, 6 * size + 1, dtype=np.float32).reshape(6, size)
    items[1] = items[5] = 0  # an item without a text, and padding
    user = -np.arange(1, users * size + 1, dtype=np.float64).reshape(users, size)
    np.save(folder / "item_embeddings.npy", items)
    np.save(folder / "reasoning_user_embeddings.npy", user)
    return items, user


def prepare(folder: Path, **options) -> PreparationSummary:
    """`convert.prepare` of a folder into dataset/pair."""
    return convert.prepare(folder, "dataset/pair", "pair", source="food", target="kitchen", **options)


def read(name: str) -> str:
    """A file that `prepare` wrote."""
    return Path("dataset/pair", name).read_text(encoding="utf-8")


def refuse(folder: Path, match: str, **options) -> None:
    """Check that `prepare` raises an error and writes nothing."""
    with pytest.raises(UserError, match=match):
        prepare(folder, **options)
    assert not Path("dataset").exists()
