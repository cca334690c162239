"""Atomic pairs: names of their columns, and writing all files of a pair together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, cast

import pandas as pd

from recbole_lecdsr.data.atomic_files import atomic_file
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import write_whole

USER, ITEM, RATING, TIME = "user_id:token", "item_id:token", "rating:float", "timestamp:float"
WINDOW = "item_id_list:token_seq"

FileWriter = Callable[[BinaryIO, Path], None]
"""Writes a file: takes the file, opened for bytes, and the path at which it will be."""


def write_pair(folder: str | Path, files: Mapping[str, pd.DataFrame | str | FileWriter]) -> None:
    """Write files below a folder: all of them, or none if writing fails.

    Each file is first written in full under a temporary name. Then they are renamed in the given order, so that the
    last one marks a complete pair.

    Args:
        folder: created if it is missing.
        files: path below the folder -> a table whose column names are atomic (``name:type``), a text, or a function
            that writes the file.

    Raises:
        UserError: a file cannot be written, for lack of permission or space or because a file is where a folder should
            be; or a cell has a tab or a line break, which atomic files cannot hold.
    """
    folder = Path(folder)
    try:
        with ExitStack() as stack:
            # The stack closes the file opened last first, and closing a file renames it.
            for name, content in reversed(list(files.items())):
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context(write_whole(path, "wb"))
                if isinstance(content, str):
                    file.write(content.encode())
                elif isinstance(content, pd.DataFrame):
                    atomic_file.write_to(file, path, content, allow_empty=True)
                else:
                    content(cast(BinaryIO, file), path)
                file.flush()
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written ({error}): make room or get permission there, or choose another with --output"
        ) from error
