"""LLM embeddings of items and users: ``.itememb`` and ``.useremb`` files, read by columns, checked and cached.

A row is a token and its vector. A ``.useremb`` file may have several columns of vectors, its facets, and several rows
of a user, each with how many of the user's interactions it was made from (``events``).

The text of a hundred thousand vectors takes a gigabyte. It is parsed block by block into a cache file,
``<name>.cache`` in the same folder, and callers get that file as a memory-mapped matrix. The first reading needs the
memory of a few blocks, later ones read the cache once to verify its checksums.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recbole_lecdsr.data.atomic_files import atomic_file
from recbole_lecdsr.data.atomic_files.reader import AtomicReader, abbreviate
from recbole_lecdsr.data.embeddings import cache as embedding_cache
from recbole_lecdsr.data.embeddings.cache import Content
from recbole_lecdsr.data.embeddings.parser import VectorParser
from recbole_lecdsr.data.embeddings.paths import cache_path
from recbole_lecdsr.data.user_vectors import Facet
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import write_whole

logger = logging.getLogger(__name__)

EVENTS_FIELD = "events"  # of a .useremb file

_NUMBERS_AT_ONCE = 1 << 22  # written
_MAX_FACETS = 256


@dataclass(frozen=True, eq=False)
class Embedding:
    """The vectors of one file.

    Attributes:
        path: the file.
        tokens: (N,) StringDType, all different; with ``events``, a token and its number of events are together.
        matrix: (N, D) float32, finite, mapped read-only.
        id_field: the column of the tokens.
        field_separator: what separates the columns.
        events: (N,) int64, from how many interactions each row was made; None where the file does not say.
        facets: the columns of vectors in the order of the file, whose vectors are joined in ``matrix``.

    Raises:
        ValueError: the shapes do not fit.
    """

    path: Path
    tokens: np.ndarray
    matrix: np.ndarray
    id_field: str = "item_id"
    field_separator: str = "\t"
    events: np.ndarray | None = None
    facets: tuple[Facet, ...] = ()

    def __post_init__(self) -> None:
        if self.matrix.ndim != 2 or len(self.tokens) != len(self.matrix):
            raise ValueError(f"{len(self.tokens)} tokens for a matrix of shape {self.matrix.shape}")


def read_embedding(
    path: str | Path, id_field: str = "item_id", value_field: str | None = None, field_separator: str = "\t"
) -> Embedding:
    """Read an embedding file with one vector for each token, from its cache if that is valid.

    The cache is valid as long as size, times and inode of the source are the recorded ones. If only times or inode
    differ, the SHA-256 decides. A damaged cache is made again. Where no cache can be written next to the source, a
    warning says so, and the matrix is mapped from a temporary file of this process.

    Args:
        path: the file, with a ``token`` and a ``float_seq`` column, whose numbers are separated by spaces.
        id_field: the column of tokens.
        value_field: the column of vectors; None: the only ``float_seq`` column.
        field_separator: one ASCII character.

    Returns:
        The `Embedding`: N tokens and (N, D) float32.

    Raises:
        UserError: the file is missing, not an atomic file with these columns, without rows, or not UTF-8; a token
            is empty or occurs twice; a vector is empty, of another length than the first one, or holds something else
            than finite float32.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "book.itememb")
        ...     write_embedding(path, "item_id", "item_emb", tokens=["i1", "i2"], matrix=np.eye(2))
        ...     embedding = read_embedding(path)
        >>> embedding.tokens.tolist(), embedding.matrix.tolist()
        (['i1', 'i2'], [[1.0, 0.0], [0.0, 1.0]])
    """
    with AtomicReader(Path(path), field_separator) as reader:
        if value_field is None:
            (value_field,) = _find_vector_fields(reader, "item_emb", at_most=1)
        return _read(reader, id_field, [value_field])


def read_user_embedding(path: str | Path, field_separator: str = "\t") -> Embedding:
    """Read a ``.useremb`` file, from its cache if that is valid: `read_embedding` for one that may have facets and,
    in a column ``events:float``, from how many interactions of the user each row was made.

    Args:
        path: the file, with ``user_id:token`` and one ``float_seq`` column or several.
        field_separator: one ASCII character.

    Returns:
        The `Embedding`; its matrix holds the vectors of all ``float_seq`` columns in the order of the file.

    Raises:
        UserError: as in `read_embedding`; a number of events that is not a whole number of at least 0, or that a user
            has twice.

    Example:
        >>> header = "user_id:token\\tevents:float\\taction:float_seq\\tdrama:float_seq\\n"
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "pair.useremb")
        ...     _ = path.write_text(header + "u1\\t0\\t1\\t2 3\\nu1\\t8\\t4\\t5 6\\n")
        ...     embedding = read_user_embedding(path)
        >>> embedding.events.tolist(), embedding.matrix.tolist(), embedding.facets[1]
        ([0, 8], [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], Facet(name='drama', size=2))
    """
    with AtomicReader(Path(path), field_separator) as reader:
        value_fields = _find_vector_fields(reader, "user_emb", at_most=_MAX_FACETS)
        return _read(reader, "user_id", value_fields, EVENTS_FIELD if EVENTS_FIELD in reader.header else None)


def _read(
    reader: AtomicReader, id_field: str, value_fields: Sequence[str], events_field: str | None = None
) -> Embedding:
    reader.require({id_field: "token"})
    for name in value_fields:
        # Apart from the tokens, since a damaged header may give both one name.
        reader.require({name: "float_seq"})
    if events_field is not None:
        reader.require({events_field: "float"})
    names = [id_field, *value_fields, *([] if events_field is None else [f"{events_field}:float"])]
    columns = hashlib.sha256("\n".join((reader.separator, *names)).encode()).hexdigest()
    cache = cache_path(reader.path)
    found = embedding_cache.load(cache, reader.file, columns)
    if found is None:
        parser = VectorParser(reader, id_field, value_fields, events_field)
        found = _build_cache(cache, partial(_parse, reader, parser=parser, id_field=id_field, columns=columns))
    return Embedding(
        path=reader.path,
        tokens=found.tokens,
        matrix=found.matrix,
        id_field=id_field,
        field_separator=reader.separator,
        events=found.events,
        facets=tuple(map(Facet, value_fields, found.sizes)),
    )


def write_embedding(
    path: str | Path, id_field: str, value_field: str, *, tokens: Sequence[str] | np.ndarray, matrix: np.ndarray
) -> None:
    """Write vectors as an atomic file, whole or not at all, in the shortest decimals that are read back exactly.

    Args:
        path: the file; its folder must exist.
        id_field: name of the column of tokens.
        value_field: name of the column of vectors.
        tokens: (N,) str, all different.
        matrix: (N, D) numbers that are finite as float32.

    Raises:
        UserError: shapes that do not fit, no rows or no columns, tokens that an atomic file cannot hold, a token
            given twice, a number that is not finite. An existing file is kept.
    """
    with write_whole(path, "wb") as file:
        write_embedding_to(file, Path(path), id_field=id_field, value_field=value_field, tokens=tokens, matrix=matrix)


def write_embedding_to(
    file: IO[bytes],
    path: Path,
    *,
    id_field: str,
    value_field: str,
    tokens: Sequence[str] | np.ndarray,
    matrix: np.ndarray,
) -> None:
    """`write_embedding` to an open file, for several files that are to be replaced together.

    Args:
        file: the file, opened for bytes.
        path: the final path of the file, for errors.
        id_field, value_field, tokens, matrix: as in `write_embedding`.

    Raises:
        UserError: as in `write_embedding`.
    """
    texts = atomic_file.check_tokens(f"{path}, column {id_field!r}", tokens, "\t")
    matrix = np.asarray(matrix)
    if matrix.ndim != 2 or len(matrix) != len(texts) or not matrix.size:
        raise UserError(f"{path}: {len(texts)} tokens need a matrix of as many rows, at least one; got {matrix.shape}")
    repeated = _find_repeated(texts.to_pylist())
    if repeated is not None:
        raise UserError(f"{path}: the token {abbreviate(repeated)} is given twice; keep one vector of it")
    step = rows_at_once(matrix.shape[1])
    file.write(f"{id_field}:token\t{value_field}:float_seq\n".encode())
    for start in range(0, len(matrix), step):
        rows = slice(start, start + step)
        file.write(atomic_file.join_rows([texts[rows], vector_cells(path, matrix, rows, texts)], "\t"))


def rows_at_once(size: int) -> int:
    """How many rows of ``size`` numbers to write at once."""
    return max(1, _NUMBERS_AT_ONCE // size)


def vector_cells(path: Path, matrix: np.ndarray, rows: slice, tokens: pa.Array) -> pa.Array:
    """Some rows of a matrix as text: numbers as float32, separated by spaces.

    Args:
        path: the file that they are for, for errors.
        matrix: (N, D) numbers.
        rows: which rows.
        tokens: (N,) of all rows, for errors.

    Raises:
        UserError: a number that is not finite.
    """
    with np.errstate(over="ignore"):  # refused below
        part = np.ascontiguousarray(matrix[rows], dtype=np.float32)
    wrong = np.argwhere(~np.isfinite(part))
    if len(wrong):
        row, column = wrong[0] + (rows.start, 0)
        raise UserError(
            f"{path}: number {column + 1} of row {row + 1} (token {abbreviate(tokens[row].as_py())}) is "
            f"{matrix[row, column]}, not a finite float32; embed it again or leave the row out"
        )
    ends = pa.array(np.arange(0, part.size + 1, part.shape[1], dtype=np.int32))
    return pc.binary_join(pa.ListArray.from_arrays(ends, pa.array(part.ravel()).cast(pa.string())), " ")


def _find_vector_fields(reader: AtomicReader, usual: str, *, at_most: int) -> list[str]:
    """The ``float_seq`` columns, in the order of the file.

    Args:
        reader: the open file.
        usual: what such a column is usually called.
        at_most: how many there may be.

    Raises:
        UserError: there is none, or there are too many.
    """
    names = [name for name, kind in reader.header.items() if kind == "float_seq"]
    if not 0 < len(names) <= at_most:
        there = ", ".join(f"{name}:{kind}" for name, kind in reader.header.items())
        where = "in one such column" if at_most == 1 else f"in such a column, or in up to {at_most}"
        raise reader.error(
            1,
            f"{len(names) or 'no'} columns are of type float_seq ({there})",
            f"the vectors must be {where}, such as {usual}:float_seq",
        )
    return names


def _build_cache(cache: Path, parse: Callable[[IO[bytes]], Content]) -> Content:
    """The content of a file, parsed into the cache or, where that cannot be written, into a temporary file."""
    logger.info("parsing %s; later runs read it from %s", cache.stem, cache.name)
    try:
        with write_whole(cache, "w+b") as file:
            return parse(file)
    except OSError as error:
        logger.warning("%s cannot be written (%s): %s will be parsed again by every run", cache, error, cache.stem)
    try:
        with tempfile.TemporaryFile() as file:
            return parse(file)
    except OSError as error:
        raise UserError(
            f"there is no space for the vectors of {cache.with_suffix('')}, neither in its folder nor in "
            f"{tempfile.gettempdir()} ({error}); free some, or set TMPDIR to a folder that has more"
        ) from error


def _parse(reader: AtomicReader, file: IO[bytes], *, parser: VectorParser, id_field: str, columns: str) -> Content:
    """Parse the source into an empty file in the format of the cache, and map its content from it."""
    before = embedding_cache.stamp(reader.file)
    reader.file.seek(0)
    digest = hashlib.sha256(reader.file.readline())
    tokens, events = embedding_cache.fill(file, parser.parts(digest.update))
    if not tokens:
        raise reader.error(2, "there are no rows after the header", "embed the texts again")
    _refuse_repeated(reader, id_field, tokens, events)
    reader.file.seek(-1, os.SEEK_END)
    if reader.file.read(1) not in b"\r\n":
        logger.warning("%s does not end with a line feed: if it was cut off, its last number is wrong", reader.path)
    after = embedding_cache.stamp(reader.file)
    if any(before[name] != after[name] for name in ("size", "mtime")):
        raise UserError(f"{reader.path} changed while it was being read; start again when it is complete")
    return embedding_cache.finish(
        file,
        tokens=tokens,
        events=events,
        sizes=parser.sizes,
        source=before,
        sha256=digest.hexdigest(),
        columns=columns,
    )


def _refuse_repeated(reader: AtomicReader, id_field: str, tokens: Sequence[str], events: np.ndarray | None) -> None:
    """Refuse a token, or with numbers of events a token with one of them, that is in the file twice."""
    keys: Sequence[Hashable] = tokens if events is None else list(zip(tokens, events.tolist(), strict=True))
    repeated = _find_repeated(keys)
    if repeated is None:
        return
    row, other = [row for row, key in enumerate(keys) if key == repeated][:2]
    lines = reader.find_lines(id_field, tokens[row])
    first, second = (lines[list(tokens[:one]).count(tokens[row])] for one in (row, other))
    what = "" if events is None else f" with events {events[row]}"
    raise reader.error(
        second, f"the token {abbreviate(tokens[row])}{what} is in line {first} already", "delete one of the lines"
    )


def _find_repeated(keys: Sequence[Hashable]) -> Hashable | None:
    """The first entry that is in the list twice."""
    if len(set(keys)) == len(keys):
        return None
    seen: set[Hashable] = set()
    for key in keys:
        if key in seen:
            return key
        seen.add(key)
    return None


def locate(embedding: Embedding, row: int) -> str:
    """Where a row is in its file: the line, or the number of the row where the file has changed since."""
    token = embedding.tokens[row]
    earlier = int(np.count_nonzero(embedding.tokens[:row] == token))  # with events, a token has several lines
    with contextlib.suppress(UserError, IndexError), AtomicReader(embedding.path, embedding.field_separator) as reader:
        return f"line {reader.find_lines(embedding.id_field, token)[earlier]}"
    return f"row {row + 1}"
