"""`FileGroup`: files that replace their predecessors together, each with a sidecar that identifies its content."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from recbole_lecdsr.data.embeddings.provenance import DIGEST
from recbole_lecdsr.errors import DiskError
from recbole_lecdsr.files import describe_disk_error, sidecar, write_whole

_BLOCK = 1 << 20  # bytes read at a time


@dataclass(frozen=True, eq=False)
class _Described:
    """A file of a group with the content of its sidecar."""

    path: Path
    file: IO[bytes]
    made_of: Mapping[str, object]


class FileGroup:
    """Files that are put in place together when `write_together` ends.

    Sidecars are put in place first. Each contains the SHA-256 of its file, so after a crash between two files the
    sidecar of a file that was not replaced yet does not describe it, which readers notice.
    """

    def __init__(self, stack: ExitStack):
        self._stack = stack
        self._files: list[IO[bytes]] = []
        self._described: list[_Described] = []

    def open(self, path: Path, made_of: Mapping[str, object] | None = None) -> IO[bytes]:
        """Open a temporary file that will replace ``path``.

        Args:
            path: the file; its folder must exist.
            made_of: what its sidecar says, in addition to the digest of the content; None for no sidecar.
        """
        file = self._stack.enter_context(write_whole(path, "wb"))
        self._files.append(file)
        if made_of is not None:
            self._described.append(_Described(path, file, made_of))
        return file

    def finish(self) -> None:
        """Bring all contents to the disk and write the sidecars, so that only the renaming is left."""
        for described in reversed(self._described):  # what is opened last is renamed first
            file = self._stack.enter_context(write_whole(sidecar(described.path), "wb"))
            content = {**described.made_of, DIGEST: _digest(described.file)}
            file.write(json.dumps(content, indent=2).encode() + b"\n")
            self._files.append(file)
        for file in self._files:
            file.flush()
            os.fsync(file.fileno())


def _digest(file: IO[bytes]) -> str:
    """The SHA-256 of what was written to a temporary file, which has no name yet that others use."""
    file.flush()
    digest = hashlib.sha256()
    position = 0
    while block := os.pread(file.fileno(), _BLOCK, position):
        digest.update(block)
        position += len(block)
    return digest.hexdigest()


@contextmanager
def write_together() -> Iterator[FileGroup]:
    """Write several files, which are renamed one right after the other when the block ends without an exception.

    Raises:
        DiskError: a full disk or another error of the file system; all files remain as they were.
    """
    with disk_errors_reported(), ExitStack() as stack:
        group = FileGroup(stack)
        yield group
        group.finish()


@contextmanager
def disk_errors_reported() -> Iterator[None]:
    """Turn errors of the file system while files are written into errors of the user.

    Raises:
        DiskError: a full or read-only disk, or another error of the file system.
    """
    try:
        yield
    except OSError as error:
        raise DiskError(describe_disk_error(error)) from None
