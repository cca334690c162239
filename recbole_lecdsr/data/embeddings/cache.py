"""The binary cache of an embedding file: one file, written whole, mapped into memory when read, without pickle.

It holds a head of `HEAD` bytes (JSON, then its CRC-32), then the matrix as little-endian float32, which so begins on a
page, then the numbers of events of the rows, if the source has them, as little-endian int64, then the tokens as UTF-8
separated by line feeds.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from io import RawIOBase
from pathlib import Path
from typing import IO, BinaryIO, NamedTuple

import numpy as np
from numpy.dtypes import StringDType

HEAD = 4096

_FORMAT = "recbole_lecdsr embedding cache 3"
_PIECE = 1 << 20  # bytes read at once
_CLOCK_TICK = 100_000_000  # ns; a file that changes twice within one tick of the clock has the same times after both


class Rows(NamedTuple):
    """Rows of an embedding file as they are parsed.

    Attributes:
        tokens: of the rows.
        events: how many interactions each row was made from, (rows,) int64; None where the file does not say.
        vectors: their vectors, in (…, D) float32 pieces.
    """

    tokens: list[str]
    events: np.ndarray | None
    vectors: list[np.ndarray]


class Content(NamedTuple):
    """What a cache holds.

    Attributes:
        tokens: (N,) StringDType.
        events: (N,) int64, or None.
        matrix: (N, D) float32, mapped read-only.
        sizes: how many numbers each column of vectors has; they add up to D.
    """

    tokens: np.ndarray
    events: np.ndarray | None
    matrix: np.ndarray
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class _Head:
    """What the head of a cache says.

    Attributes:
        format: version of the cache's format.
        columns: digest of what was read from the source.
        source: `stamp` of the source.
        sha256: of the source.
        rows: N.
        sizes: how many numbers of a row each column of vectors has.
        has_events: whether each row has a number of events.
        matrix_checksum: CRC-32 of the matrix.
        rest_bytes, rest_checksum: length and CRC-32 of what follows the matrix.
    """

    format: str
    columns: str
    source: Mapping[str, int]
    sha256: str
    rows: int
    sizes: Sequence[int]
    has_events: bool
    matrix_checksum: int
    rest_bytes: int
    rest_checksum: int

    @property
    def numbers(self) -> int:
        """Numbers in the matrix."""
        return self.rows * sum(self.sizes)


def stamp(source: BinaryIO) -> dict[str, int]:
    """What differs after an open file has changed.

    Returns:
        size, mtime, ctime (in ns) and inode. ctime is -1 if the file changed just now, since another change may then
        leave the same times.
    """
    status = os.fstat(source.fileno())
    now = time.time_ns()
    settled = min(abs(now - status.st_mtime_ns), abs(now - status.st_ctime_ns)) > _CLOCK_TICK
    return {
        "size": status.st_size,
        "mtime": status.st_mtime_ns,
        "ctime": status.st_ctime_ns if settled else -1,
        "inode": status.st_ino,
    }


def load(cache: Path, source: BinaryIO, columns: str) -> Content | None:
    """Read a cache if it is valid.

    Args:
        cache: the file.
        source: the text it was made from, open.
        columns: digest of what is wanted from the source.

    Returns:
        Its content; None if there is no cache, if it is damaged or of other columns, or if the source has changed: its
        size, or its times together with its SHA-256. All bytes are read for their checksums, about 3 GB/s from the page
        cache.
    """
    try:
        # One handle to read and refresh: another process may replace the cache at any time.
        try:
            file = cache.open("r+b", buffering=0)
        except OSError:
            file = cache.open("rb", buffering=0)
    except OSError:
        return None
    with file:
        head = _unpack(file.read(HEAD))
        if head is None or head.columns != columns:
            return None
        if os.fstat(file.fileno()).st_size != HEAD + 4 * head.numbers + head.rest_bytes:
            return None
        now = stamp(source)
        if head.source != now or now["ctime"] == -1:
            if head.source["size"] != now["size"] or head.sha256 != _digest(source):
                return None
            if file.writable():
                with contextlib.suppress(OSError):
                    file.seek(0)
                    file.write(_pack(asdict(replace(head, source=now))))
        if _checksum_matrix(file, head.numbers) != head.matrix_checksum:
            return None
        rest = file.readall()
        if zlib.crc32(rest) != head.rest_checksum:
            return None
        events, text = None, rest
        if head.has_events:
            events, text = np.frombuffer(rest, dtype="<i8", count=head.rows), rest[8 * head.rows :]
        return Content(_as_strings(text.decode().split("\n")), events, _map_matrix(file, head), tuple(head.sizes))


def recorded_digest(cache: Path, source: Path) -> str | None:
    """The SHA-256 of the source, 64 hexadecimal digits, as its cache records it; None where the cache is not of the
    source's present size, times and inode, or where either cannot be read."""
    try:
        with cache.open("rb") as file, source.open("rb") as text:
            head, now = _unpack(file.read(HEAD)), stamp(text)
    except OSError:
        return None
    return head.sha256 if head is not None and head.source == now and now["ctime"] != -1 else None


def fill(file: IO[bytes], parts: Iterable[Rows]) -> tuple[list[str], np.ndarray | None]:
    """Write the matrix, part by part, and leave room for the head.

    Args:
        file: an empty file, open for writing.
        parts: the rows.

    Returns:
        The N tokens, and the (N,) int64 numbers of events, if the rows have some.
    """
    tokens: list[str] = []
    events: list[np.ndarray] = []
    file.write(bytes(HEAD))
    for part in parts:
        tokens += part.tokens
        events += [] if part.events is None else [part.events]
        for rows in part.vectors:
            file.write(np.ascontiguousarray(rows, dtype="<f4").data)
    return tokens, np.concatenate(events) if events else None


def finish(
    file: IO[bytes],
    *,
    tokens: list[str],
    events: np.ndarray | None,
    sizes: Sequence[int],
    source: Mapping[str, int],
    sha256: str,
    columns: str,
) -> Content:
    """Complete a filled file with its tokens and its head, and map it.

    Args:
        file: as `fill` left it, open for reading as well.
        tokens: the N tokens.
        events: (N,) int64, or None.
        sizes: how many numbers each column of vectors has.
        source: `stamp` of the text from before it was read.
        sha256: of the text.
        columns: digest of what was read from the text.

    Returns:
        what `load` returns.
    """
    rest = b"" if events is None else np.ascontiguousarray(events, dtype="<i8").tobytes()
    rest += "\n".join(tokens).encode()
    file.write(rest)
    file.flush()
    matrix_checksum = _checksum_matrix(file, len(tokens) * sum(sizes))
    head = _Head(
        format=_FORMAT,
        columns=columns,
        source=source,
        sha256=sha256,
        rows=len(tokens),
        sizes=tuple(sizes),
        has_events=events is not None,
        matrix_checksum=matrix_checksum,
        rest_bytes=len(rest),
        rest_checksum=zlib.crc32(rest),
    )
    file.seek(0)
    file.write(_pack(asdict(head)))
    file.flush()
    return Content(_as_strings(tokens), events, _map_matrix(file, head), tuple(sizes))


def _pack(head: Mapping[str, object]) -> bytes:
    text = json.dumps(head).encode().ljust(HEAD - 8)
    return text + f"{zlib.crc32(text):08x}".encode()


def _unpack(raw: bytes) -> _Head | None:
    text, checksum = raw[:-8], raw[-8:]
    if len(raw) != HEAD or f"{zlib.crc32(text):08x}".encode() != checksum:
        return None
    values = json.loads(text)
    return _Head(**values) if values["format"] == _FORMAT else None


def _checksum_matrix(file: IO[bytes] | RawIOBase, numbers: int) -> int:
    """CRC-32 of a matrix of float32, after which the file is at the end of the matrix.

    It is read rather than mapped, since mapped pages count as memory of the process.
    """
    file.seek(HEAD)
    checksum, left = 0, 4 * numbers
    while left and (piece := file.read(min(left, _PIECE))):
        checksum = zlib.crc32(piece, checksum)
        left -= len(piece)
    return checksum


def _map_matrix(file: IO[bytes], head: _Head) -> np.memmap:
    return np.memmap(file, dtype="<f4", mode="r", offset=HEAD, shape=(head.rows, sum(head.sizes)))


def _as_strings(tokens: list[str]) -> np.ndarray:
    return np.array(tokens, dtype=StringDType())


def _digest(source: BinaryIO) -> str:
    source.seek(0)
    digest = hashlib.sha256()
    while piece := source.read(_PIECE):
        digest.update(piece)
    return digest.hexdigest()
