"""Files written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def write_whole(path: str | Path, mode: str = "w") -> Iterator[IO]:
    """Open a temporary file that takes the place of ``path`` when the block ends well.

    A crash at any moment, or an exception in the block, leaves the former file as it was.

    Args:
        path: the file to write; its folder must exist.
        mode: ``w`` (UTF-8) or ``wb``.
    """
    path = Path(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)  # as open() would have made it; mkstemp is private
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def shipped(name: str) -> Path:
    """A folder that the plugin ships: inside the package when installed, beside it in a checkout."""
    inside = Path(__file__).parent / name
    return inside if inside.is_dir() else Path(__file__).parents[1] / name


def sidecar(path: Path) -> Path:
    """Where it is written down what a generated file was made of: ``<name>.json`` beside it."""
    return path.with_name(path.name + ".json")
