"""`AnswerStore`: answers that cost time or money, written to disk as they arrive.

The store is a file of JSON lines that only grows. Each line is written by a single call under a lock, so several
processes may share the file. A process that is killed while writing leaves an incomplete last line, which the next one
removes. Only an index is kept in memory, a few hundred bytes for each record.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from recbole_lecdsr.errors import DiskError, UserError
from recbole_lecdsr.files import describe_disk_error
from recbole_lecdsr.llm.json_lines import encode_json_line

logger = logging.getLogger(__name__)

VALID = "valid"
_BLOCK = 1 << 24  # bytes read at a time


def record_key(**parts: object) -> str:
    """64 hexadecimal digits that identify plain data, such as a template, a model, its settings and a text.

    Example:
        >>> record_key(model="m", text="tea") == record_key(text="tea", model="m") != record_key(model="m", text="cup")
        True
    """
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False).encode("utf-8", "backslashreplace")
    return hashlib.sha256(text).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Record:
    """One line of a store; fields that are None are not written.

    Attributes:
        key: from `record_key`.
        status: ``valid``, or why the attempt failed.
        answer: the text of an answer.
        finish: why the model stopped.
        tokens_in, tokens_out: length of prompt and answer, if the model said so.
        id: of the row of a batch result file.
        time: when the answer arrived, ISO 8601 in UTC.
        vector: an embedding, as base64 of little-endian float32.
    """

    key: str
    status: str
    answer: str | None = None
    finish: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    id: str | None = None
    time: str | None = None
    vector: str | None = None

    def to_line(self) -> bytes:
        """The record as a line of JSON."""
        return encode_json_line({name: value for name, value in asdict(self).items() if value is not None})

    @classmethod
    def from_line(cls, line: bytes) -> Record:
        """Read a line of JSON; unknown fields are ignored.

        Raises:
            ValueError: a line that is not an object with texts under ``key`` and ``status``, whose other fields have
                another type, or that is ``valid`` without an answer or a vector.
        """
        try:
            values = json.loads(line.decode("utf-8-sig"))  # from bytes, JSON in UTF-16 is read as well
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
        if not isinstance(values, Mapping) or not all(isinstance(values.get(name), str) for name in ("key", "status")):
            raise ValueError("not an object with key and status")
        has_types = all(isinstance(values.get(name), kind) for name, kind in _OPTIONAL_FIELDS.items())
        if not has_types or (values["status"] == VALID and values.get("answer", values.get("vector")) is None):
            raise ValueError("not a complete record")
        known: dict[str, Any] = {name: values[name] for name in _RECORD_FIELDS if name in values}
        return cls(**known)


_OPTIONAL_FIELDS: dict[str, Any] = {
    **dict.fromkeys(("answer", "finish", "id", "time", "vector"), str | None),
    **dict.fromkeys(("tokens_in", "tokens_out"), int | None),
}
_RECORD_FIELDS = tuple(field.name for field in fields(Record))


class _Span(NamedTuple):
    """Where a record is in the file."""

    start: int
    length: int


class AnswerStore:
    """An append-only file of `Record`s.

    A key has at most one record with the status ``valid``. Each of its other records is a failed attempt.

    Args:
        path: the file, created if it does not exist; its folder must exist.

    Raises:
        UserError: a file that cannot be opened, or that contains a line which is not a record.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise DiskError(describe_disk_error(error)) from None
        self._end = self._n_lines = 0  # how much of the file is indexed
        self._valid: dict[str, _Span] = {}
        self._failed: dict[str, list[_Span]] = {}
        try:
            self.refresh()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> AnswerStore:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __contains__(self, key: str) -> bool:
        """Whether the key has a valid record."""
        return key in self._valid

    def __len__(self) -> int:
        """The number of keys with a valid record."""
        return len(self._valid)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def get(self, key: str) -> Record | None:
        """The valid record of a key, if there is one."""
        span = self._valid.get(key)
        return None if span is None else self._read(span)

    def failure_count(self, key: str) -> int:
        """The number of failed attempts at a key."""
        return len(self._failed.get(key, ()))

    def failures(self, key: str) -> list[Record]:
        """The failed attempts at a key, oldest first."""
        return [self._read(span) for span in self._failed.get(key, ())]

    def refresh(self) -> None:
        """Index what other processes have written in the meantime."""
        with self._locked():
            self._index_new_lines()

    def append(self, record: Record) -> bool:
        """Write a record, unless its key has a valid one, possibly from another process.

        Returns:
            Whether it was written.

        Raises:
            DiskError: a full disk or another error of the file system; the file remains as it was.
        """
        line = record.to_line()
        with self._locked():
            self._index_new_lines()
            if record.key in self._valid:
                return False
            try:
                n_written, reason = os.write(self._file, line), "the disk is full"
            except OSError as error:
                n_written, reason = -1, str(error.strerror)
            if n_written != len(line):
                os.ftruncate(self._file, self._end)
                raise DiskError(
                    f"{self.path} cannot be written ({reason}): free some space, then run the command again; it resumes"
                )
            self._index_record(record, len(line))
        return True

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _read(self, span: _Span) -> Record:
        return Record.from_line(os.pread(self._file, span.length, span.start))

    def _index_record(self, record: Record, length: int) -> None:
        """Add the record that begins at the end of what is indexed, ``length`` bytes with its line feed."""
        span = _Span(self._end, length)
        if record.status == VALID:
            self._valid.setdefault(record.key, span)
        else:
            self._failed.setdefault(record.key, []).append(span)
        self._n_lines += 1
        self._end += length

    def _index_new_lines(self) -> None:
        """Index the file from the known end on. The lock is held, so a last line without line feed is incomplete."""
        rest = b""
        while block := os.pread(self._file, _BLOCK, self._end + len(rest)):
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                self._index_record(self._parse_line(line), len(line) + 1)
        if rest:
            logger.warning("%s: removing %d bytes of an incomplete last line", self.path, len(rest))
            os.ftruncate(self._file, self._end)

    def _parse_line(self, line: bytes) -> Record:
        try:
            return Record.from_line(line)
        except ValueError:
            raise UserError(
                f"{self.path}, line {self._n_lines + 1}: {line[:60]!r} is not a record of an answer store: correct or "
                "delete the line"
            ) from None
