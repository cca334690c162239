"""The folder of data in C2DSR's format: names of its files, and which version of them is read."""

from __future__ import annotations

from pathlib import Path

from recbole_lecdsr.errors import UserError

SPLITS = ("train", "valid", "test")
SOURCE_ITEMS_FILE, TARGET_ITEMS_FILE, USERS_FILE = "Alist.txt", "Blist.txt", "userlist.txt"
ITEM_MATRIX_FILE, USER_MATRIX_FILE = "item_embeddings.npy", "reasoning_user_embeddings.npy"


def find_split_files(folder: Path, variant: str | None) -> dict[str, Path]:
    """Find ``traindata*.txt``, ``validdata*.txt`` and ``testdata*.txt``.

    Args:
        folder: of the data.
        variant: what the ``*`` is, such as ``_new``; None if there is only one version.

    Returns:
        ``train``, ``valid`` and ``test`` -> the file.

    Raises:
        UserError: a folder without one of the files, or with several versions if no variant is given.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: give the one with traindata*.txt, validdata*.txt and testdata*.txt")
    found = {
        split: {path.stem.removeprefix(f"{split}data"): path for path in sorted(folder.glob(f"{split}data*.txt"))}
        for split in SPLITS
    }
    missing = [f"{split}data*.txt" for split, paths in found.items() if not paths]
    if missing:
        raise UserError(f"{folder} has no {', '.join(missing)}: give the folder with the files in C2DSR's format")
    common = sorted(set.intersection(*map(set, found.values())))
    if variant is None:
        if all(len(paths) == 1 for paths in found.values()):
            return {split: next(iter(paths.values())) for split, paths in found.items()}
        if len(common) != 1:
            names = ", ".join(path.name for paths in found.values() for path in paths.values())
            raise UserError(
                f"{folder} has several versions, {names}: choose one with --variant, such as --variant _new"
            )
        variant = common[0]
    absent = [f"{split}data{variant}.txt" for split, paths in found.items() if variant not in paths]
    if absent:
        raise UserError(
            f"{folder} has no {', '.join(absent)}: choose another --variant, such as {', '.join(map(repr, common))}"
        )
    return {split: paths[variant] for split, paths in found.items()}
