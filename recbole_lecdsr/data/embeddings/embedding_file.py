"""LLM embeddings of items and users: ``.itememb`` and ``.useremb`` files, read by columns, checked and cached.

The text of a hundred thousand vectors is a gigabyte. It is parsed block by block straight into the cache file,
``<name>.cache`` beside the source, and the matrix that callers get is that file, mapped: the first reading needs
the memory of a few blocks, later ones cost next to nothing.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recbole_lecdsr.data.atomic_files import atomic_file
from recbole_lecdsr.data.atomic_files.reader import AtomicReader, shown
from recbole_lecdsr.data.embeddings import cache as feature_cache
from recbole_lecdsr.data.embeddings.parser import VectorParser
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import write_whole

logger = logging.getLogger(__name__)

_FLOATS = 1 << 22  # numbers copied or written at once
_COMPARABLE = 20_000  # tokens among which looking for a similar one is quick


@dataclass(frozen=True, eq=False)
class Embedding:
    """The vectors of one file.

    Attributes:
        path: the file.
        tokens: (N,) StringDType, no two alike.
        matrix: (N, D) float32, finite, mapped read-only.
        id_field: the column of the tokens.
        field_separator: what separates the columns.
    """

    path: Path
    tokens: np.ndarray
    matrix: np.ndarray
    id_field: str = "item_id"
    field_separator: str = "\t"

    def __post_init__(self):
        if self.matrix.ndim != 2 or len(self.tokens) != len(self.matrix):
            raise ValueError(f"{len(self.tokens)} tokens for a matrix of shape {self.matrix.shape}")


def read_embedding(
    path: str | Path, id_field: str = "item_id", value_field: str | None = None, field_separator: str = "\t"
) -> Embedding:
    """The vectors of an ``.itememb`` or ``.useremb`` file, from its cache if that is still valid.

    The cache is valid while size, times and inode of the source are those recorded, or, where only its times or
    inode differ, while its SHA-256 is. Where no cache can be written beside the source, a warning says so and the
    matrix is mapped from a temporary file that nobody else sees.

    Args:
        path: the file, with a ``token`` and a ``float_seq`` column, numbers separated by spaces.
        id_field: the column of tokens.
        value_field: the column of vectors; the only ``float_seq`` column if None.
        field_separator: what separates the columns.

    Returns:
        The `Embedding`: N tokens and (N, D) float32.

    Raises:
        UserError: the file is missing, not an atomic file with these columns, without rows, or not UTF-8; a token
            is empty or stands there twice; a vector is empty, of another length than the first one, or holds what
            is no finite float32.
    """
    path = Path(path)
    with AtomicReader(path, field_separator) as reader:
        if value_field is None:
            value_field = _only_vectors(reader)
        reader.require({id_field: "token", value_field: "float_seq"})
        cache = path.with_name(f"{path.name}.cache")
        columns = hashlib.sha256("\n".join((field_separator, id_field, value_field)).encode()).hexdigest()
        found = feature_cache.load(cache, reader.file, columns)
        if found is None:
            found = _build(cache, partial(_parse, reader, id_field, value_field, columns))
    return Embedding(path, *found, id_field, field_separator)


def align(embedding: Embedding, ids: Mapping[str, int], count: int, known: Collection[str]) -> tuple[np.ndarray, int]:
    """Vectors in the order of a data set's ids.

    Args:
        embedding: N tokens, (N, D) vectors.
        ids: token -> id below ``count``; 0 is padding and gets no vector.
        count: number of ids.
        known: every token of the data set's files, of which filtering may have left out some.

    Returns:
        ``(rows, found)``: (count, D) float32, row i the vector of id i, zero where there is none; and how many ids
        have got one. Of several tokens of one id, as linked users have, the file's first counts.

    Raises:
        UserError: a token of the file that the data set does not know.
    """
    tokens = embedding.tokens.tolist()
    index = np.fromiter((ids.get(token, 0) for token in tokens), dtype=np.int64, count=len(tokens))
    known = known if isinstance(known, Set | Mapping) else set(known)
    for row in np.flatnonzero(index == 0):
        if tokens[row] not in known:
            raise _unknown(embedding, row, known)
    kept = np.flatnonzero(index)
    unique, first = np.unique(index[kept], return_index=True)
    if len(unique) < len(kept):
        logger.warning("%s: %d vectors are of ids that have one already", embedding.path, len(kept) - len(unique))
    kept = kept[np.sort(first)]  # in the file's order: the disk is read once, forwards
    matrix = np.asarray(embedding.matrix)
    rows = np.zeros((count, matrix.shape[1]), dtype=np.float32)
    step = max(1, _FLOATS // matrix.shape[1])
    for start in range(0, len(kept), step):
        part = kept[start : start + step]
        rows[index[part]] = matrix[part]
    return rows, len(unique)


def write_embedding(
    path: str | Path, id_field: str, value_field: str, tokens: Sequence[str] | np.ndarray, matrix: np.ndarray
) -> None:
    """Write vectors as an atomic file, whole, in the shortest decimals that are read back as the same float32.

    Args:
        path: the file; its folder must exist.
        id_field: name of the column of tokens.
        value_field: name of the column of vectors.
        tokens: (N,) str, no two alike.
        matrix: (N, D) numbers that are finite as float32.

    Raises:
        UserError: shapes that do not fit, no rows or no columns, tokens that an atomic file cannot hold, a token
            given twice, a number that is not finite. The former file, if any, stays.
    """
    with write_whole(path, "wb") as file:
        write_embedding_to(file, Path(path), id_field, value_field, tokens, matrix)


def write_embedding_to(
    file: BinaryIO,
    path: Path,
    id_field: str,
    value_field: str,
    tokens: Sequence[str] | np.ndarray,
    matrix: np.ndarray,
) -> None:
    """`write_embedding` into an open file, for files that are to take their places together.

    Args:
        file: the file, opened for bytes.
        path: where it is to stand, for errors.
        id_field, value_field, tokens, matrix: as of `write_embedding`.
    """
    texts = atomic_file.tokens(f"{path}, column {id_field!r}", tokens, "\t")
    matrix = np.asarray(matrix)
    if matrix.ndim != 2 or len(matrix) != len(texts) or not matrix.size:
        raise UserError(f"{path}: {len(texts)} tokens need a matrix of as many rows, at least one; got {matrix.shape}")
    repeated = _repeated(texts.to_pylist())
    if repeated is not None:
        raise UserError(f"{path}: the token {shown(repeated)} is given twice; keep one vector of it")
    size = matrix.shape[1]
    step = max(1, _FLOATS // size)
    file.write(f"{id_field}:token\t{value_field}:float_seq\n".encode())
    for start in range(0, len(matrix), step):
        with np.errstate(over="ignore"):  # told below
            part = np.ascontiguousarray(matrix[start : start + step], dtype=np.float32)
        wrong = np.argwhere(~np.isfinite(part))
        if len(wrong):
            row, column = wrong[0] + (start, 0)
            raise UserError(
                f"{path}: number {column + 1} of row {row + 1} (token {shown(texts[row].as_py())}) is "
                f"{matrix[row, column]}, not a finite float32; embed it anew or leave the row out"
            )
        ends = pa.array(np.arange(0, part.size + 1, size, dtype=np.int32))
        numbers = pa.ListArray.from_arrays(ends, pa.array(part.ravel()).cast(pa.string()))
        file.write(atomic_file.lines([texts[start : start + step], pc.binary_join(numbers, " ")], "\t"))


def _only_vectors(reader: AtomicReader) -> str:
    names = [name for name, kind in reader.header.items() if kind == "float_seq"]
    if len(names) != 1:
        there = ", ".join(f"{name}:{kind}" for name, kind in reader.header.items())
        raise reader.fault(
            1,
            f"{len(names) or 'no'} columns are of type float_seq ({there})",
            "the vectors must be one such column, as item_emb:float_seq",
        )
    return names[0]


def _build(cache: Path, parse: Callable[[BinaryIO], tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and matrix, parsed into the cache or, where there is no place for it, into a temporary file."""
    logger.info("parsing %s; later starts take it from %s", cache.stem, cache.name)
    try:
        with write_whole(cache, "w+b") as file:
            return parse(file)
    except OSError as error:
        logger.warning("%s cannot be written (%s): %s is parsed anew at every start", cache, error, cache.stem)
    try:
        with tempfile.TemporaryFile() as file:
            return parse(file)
    except OSError as error:
        raise UserError(
            f"there is no place for the vectors of {cache.with_suffix('')}, neither beside it nor in "
            f"{tempfile.gettempdir()} ({error}); make room, or set TMPDIR to a folder that has some"
        ) from error


def _parse(
    reader: AtomicReader, id_field: str, value_field: str, columns: str, file: BinaryIO
) -> tuple[np.ndarray, np.ndarray]:
    """Parse the source into an empty file, in the cache's form; tokens and matrix mapped from it."""
    before = feature_cache.stamp(reader.file)
    reader.file.seek(0)
    digest = hashlib.sha256(reader.file.readline())
    parser = VectorParser(reader, id_field, value_field)
    tokens = feature_cache.fill(file, parser.parts(digest.update))
    if not tokens:
        raise reader.fault(2, "there are no rows after the header", "embed the texts anew")
    repeated = _repeated(tokens)
    if repeated is not None:
        first, second, *_ = reader.lines_of(id_field, repeated)
        raise reader.fault(
            second, f"the token {shown(repeated)} stands there already, in line {first}", "delete one of the lines"
        )
    reader.file.seek(-1, os.SEEK_END)
    if reader.file.read(1) not in b"\r\n":
        logger.warning("%s does not end by a line feed: if it was cut off, its last number is wrong", reader.path)
    after = feature_cache.stamp(reader.file)
    if any(before[name] != after[name] for name in ("size", "mtime")):
        raise UserError(f"{reader.path} changed while it was read; start again when it is complete")
    return feature_cache.finish(file, tokens, parser.dims, before, digest.hexdigest(), columns)


def _repeated(tokens: Sequence[str]) -> str | None:
    """The first token that stands in the list twice."""
    seen: set[str] = set()
    if len(set(tokens)) == len(tokens):
        return None
    return next(token for token in tokens if token in seen or seen.add(token))


def _unknown(embedding: Embedding, row: int, known: Collection[str]) -> UserError:
    token = embedding.tokens[row]
    place = f"row {row + 1}"
    with contextlib.suppress(UserError, IndexError), AtomicReader(embedding.path, embedding.field_separator) as reader:
        place = f"line {reader.lines_of(embedding.id_field, token)[0]}"
    near = [other for other in (token.strip(), token.lower(), token.upper()) if other in known]
    if not near and len(known) <= _COMPARABLE:
        near = difflib.get_close_matches(token, known, n=3)
    hint = f" (nearest: {', '.join(map(shown, near))})" if near else ""
    return UserError(
        f"{embedding.path}, {place}: the token {shown(token)} stands in no interaction or item file of the data set"
        f"{hint}; embed the texts of this data set, or delete the line"
    )
