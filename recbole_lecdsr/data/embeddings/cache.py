"""The binary cache of an embedding file: one file, written whole, mapped when read, without pickle.

A head of `HEAD` bytes (JSON, then its CRC-32), the matrix as little-endian float32 from a page's begin on, the tokens
as UTF-8 joined by line feeds.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.dtypes import StringDType

HEAD = 4096

_FORMAT = "recbole_lecdsr embedding cache 1"
_TICK = 100_000_000  # ns; a file changed twice within one tick of the clock has the same times after both


def stamp(source: BinaryIO) -> dict[str, int]:
    """What changes when an open file does: size, times, inode; ctime is -1 if it changed just now."""
    status = os.fstat(source.fileno())
    now = time.time_ns()
    settled = min(abs(now - status.st_mtime_ns), abs(now - status.st_ctime_ns)) > _TICK
    return {
        "size": status.st_size,
        "mtime": status.st_mtime_ns,
        "ctime": status.st_ctime_ns if settled else -1,
        "inode": status.st_ino,
    }


def load(cache: Path, source: BinaryIO, columns: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Tokens and matrix from a cache file.

    Args:
        cache: the file.
        source: the text it was made of, open.
        columns: what was taken of the source.

    Returns:
        (N,) StringDType and (N, D) float32, mapped read-only; None if there is no cache, or one that is damaged, of
        other columns, or of another source: of another size, or of other times and another SHA-256.
    """
    try:
        # Read and refreshed by one handle: another process may put a new cache in its place at any time.
        try:
            file = cache.open("r+b", buffering=0)
        except OSError:
            file = cache.open("rb", buffering=0)
    except OSError:
        return None
    with file:
        head = _unpack(file.read(HEAD))
        if head is None or head["columns"] != columns:
            return None
        start = HEAD + 4 * head["rows"] * head["dims"]
        if os.fstat(file.fileno()).st_size != start + head["token_bytes"]:
            return None
        now = stamp(source)
        if head["source"] != now or now["ctime"] == -1:
            if head["source"]["size"] != now["size"] or head["sha256"] != _digest(source):
                return None
            if file.writable():
                with contextlib.suppress(OSError):
                    file.seek(0)
                    file.write(_pack({**head, "source": now}))
        file.seek(start)
        text = file.readall()
        if zlib.crc32(text) != head["token_checksum"]:
            return None
        return _tokens(text.decode().split("\n")), _map(file, head)


def fill(
    file: BinaryIO,
    parts: Iterable[tuple[list[str], list[np.ndarray]]],
) -> list[str]:
    """Write the matrix, part by part, after the place of the head.

    Args:
        file: an empty file, open for writing.
        parts: tokens, and their vectors as (…, D) float32 pieces.

    Returns:
        The N tokens.
    """
    tokens: list[str] = []
    file.write(bytes(HEAD))
    for part, vectors in parts:
        tokens += part
        for rows in vectors:
            file.write(np.ascontiguousarray(rows, dtype="<f4"))
    return tokens


def finish(
    file: BinaryIO, tokens: list[str], dims: int, source: Mapping[str, int], sha256: str, columns: str
) -> tuple[np.ndarray, np.ndarray]:
    """Complete a filled file by its tokens and its head; map it.

    Args:
        file: as `fill` left it, open for reading as well.
        tokens: the N tokens.
        dims: D.
        source: `stamp` of the text, from before it was read.
        sha256: of the text.
        columns: what was taken of it.

    Returns:
        As `load`.
    """
    text = "\n".join(tokens).encode()
    file.write(text)
    head = {
        "format": _FORMAT,
        "columns": columns,
        "source": source,
        "sha256": sha256,
        "rows": len(tokens),
        "dims": dims,
        "token_bytes": len(text),
        "token_checksum": zlib.crc32(text),
    }
    file.seek(0)
    file.write(_pack(head))
    file.flush()
    return _tokens(tokens), _map(file, head)


def _pack(head: Mapping[str, object]) -> bytes:
    text = json.dumps(head).encode().ljust(HEAD - 8)
    return text + f"{zlib.crc32(text):08x}".encode()


def _unpack(raw: bytes) -> dict | None:
    text, checksum = raw[:-8], raw[-8:]
    if len(raw) != HEAD or f"{zlib.crc32(text):08x}".encode() != checksum:
        return None
    head = json.loads(text)
    return head if head["format"] == _FORMAT else None


def _map(file: BinaryIO, head: Mapping[str, int]) -> np.memmap:
    return np.memmap(file, dtype="<f4", mode="r", offset=HEAD, shape=(head["rows"], head["dims"]))


def _tokens(tokens: list[str]) -> np.ndarray:
    return np.array(tokens, dtype=StringDType())


def _digest(source: BinaryIO) -> str:
    source.seek(0)
    digest = hashlib.sha256()
    while piece := source.read(1 << 20):
        digest.update(piece)
    return digest.hexdigest()
