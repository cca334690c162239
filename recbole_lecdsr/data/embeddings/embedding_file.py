"""LLM embeddings of items and users: ``.itememb`` and ``.useremb`` files, read by columns, checked and cached.

The text of a hundred thousand vectors takes a gigabyte. It is parsed block by block into a cache file,
``<name>.cache`` in the same folder, and callers get that file as a memory-mapped matrix. The first reading needs the
memory of a few blocks, later ones read the cache once to verify its checksums.
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
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recbole_lecdsr.data.atomic_files import atomic_file
from recbole_lecdsr.data.atomic_files.reader import AtomicReader, abbreviate
from recbole_lecdsr.data.embeddings import cache as embedding_cache
from recbole_lecdsr.data.embeddings.parser import VectorParser
from recbole_lecdsr.data.embeddings.paths import cache_path
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import write_whole

logger = logging.getLogger(__name__)

_NUMBERS_AT_ONCE = 1 << 22  # copied or written
_MOST_COMPARED = 20_000  # tokens among which similar ones are searched, which is slow


@dataclass(frozen=True, eq=False)
class Embedding:
    """The vectors of one file.

    Attributes:
        path: the file.
        tokens: (N,) StringDType, all different.
        matrix: (N, D) float32, finite, mapped read-only.
        id_field: the column of the tokens.
        field_separator: what separates the columns.

    Raises:
        ValueError: the shapes do not fit.
    """

    path: Path
    tokens: np.ndarray
    matrix: np.ndarray
    id_field: str = "item_id"
    field_separator: str = "\t"

    def __post_init__(self) -> None:
        if self.matrix.ndim != 2 or len(self.tokens) != len(self.matrix):
            raise ValueError(f"{len(self.tokens)} tokens for a matrix of shape {self.matrix.shape}")


def read_embedding(
    path: str | Path, id_field: str = "item_id", value_field: str | None = None, field_separator: str = "\t"
) -> Embedding:
    """Read the vectors of an ``.itememb`` or ``.useremb`` file, from its cache if that is valid.

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
    path = Path(path)
    with AtomicReader(path, field_separator) as reader:
        if value_field is None:
            value_field = _find_vector_field(reader)
        reader.require({id_field: "token"})
        reader.require({value_field: "float_seq"})  # apart from it, since a damaged header may give both one name
        cache = cache_path(path)
        columns = hashlib.sha256("\n".join((field_separator, id_field, value_field)).encode()).hexdigest()
        found = embedding_cache.load(cache, reader.file, columns)
        if found is None:
            parse = partial(_parse, reader, id_field=id_field, value_field=value_field, columns=columns)
            found = _build_cache(cache, parse)
    tokens, matrix = found
    return Embedding(path=path, tokens=tokens, matrix=matrix, id_field=id_field, field_separator=field_separator)


def align(embedding: Embedding, ids: Mapping[str, int], count: int, known: Collection[str]) -> tuple[np.ndarray, int]:
    """Bring vectors into the order of a data set's ids.

    Args:
        embedding: N tokens, (N, D) vectors.
        ids: token -> id below ``count``; 0 is padding and gets no vector.
        count: number of ids.
        known: every token of the data set's files, also those that filtering has removed.

    Returns:
        rows (count, D) float32, where row i is the vector of id i, zero where there is none; and the number of ids that
        have a vector. If several tokens have one id, as those of linked users do, the first one in the file counts.

    Raises:
        UserError: a token of the file is not in the data set's files, or the squared length of a vector is beyond
            float32.

    Example:
        >>> embedding = Embedding(Path("book.itememb"), np.array(["a", "b"]), np.array([[1.0], [2.0]]))
        >>> rows, found = align(embedding, {"[PAD]": 0, "b": 1, "c": 2}, count=3, known={"a", "b", "c"})
        >>> rows.tolist(), found
        ([[0.0], [2.0], [0.0]], 1)
    """
    tokens = embedding.tokens.tolist()
    index = np.fromiter((ids.get(token, 0) for token in tokens), dtype=np.int64, count=len(tokens))
    known = known if isinstance(known, Set | Mapping) else set(known)
    for row in np.flatnonzero(index == 0):
        if tokens[row] not in known:
            raise _unknown_token_error(embedding, int(row), known)
    kept = np.flatnonzero(index)
    unique, first = np.unique(index[kept], return_index=True)
    if len(unique) < len(kept):
        logger.warning(
            "%s: %d vectors are not used, since another token of the same id has one",
            embedding.path,
            len(kept) - len(unique),
        )
    kept = kept[np.sort(first)]  # in the order of the file, so that the disk is read once, forwards
    matrix = np.asarray(embedding.matrix)
    rows = np.zeros((count, matrix.shape[1]), dtype=np.float32)
    step = max(1, _NUMBERS_AT_ONCE // matrix.shape[1])
    for start in range(0, len(kept), step):
        part = kept[start : start + step]
        vectors = matrix[part]
        with np.errstate(over="ignore"):
            too_large = np.flatnonzero(~np.isfinite(np.einsum("nd,nd->n", vectors, vectors)))
        if len(too_large):
            first_row = int(part[too_large[0]])
            raise UserError(
                f"{embedding.path}, {_locate(embedding, first_row)}: the vector of {abbreviate(tokens[first_row])} is "
                "longer than float32 can compute (its squared length is infinite): embed it again, or divide all "
                "vectors by one number"
            )
        rows[index[part]] = vectors
    return rows, len(unique)


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


def _find_vector_field(reader: AtomicReader) -> str:
    """The only ``float_seq`` column."""
    names = [name for name, kind in reader.header.items() if kind == "float_seq"]
    if len(names) != 1:
        there = ", ".join(f"{name}:{kind}" for name, kind in reader.header.items())
        raise reader.error(
            1,
            f"{len(names) or 'no'} columns are of type float_seq ({there})",
            "the vectors must be in one such column, such as item_emb:float_seq",
        )
    return names[0]


def _build_cache(
    cache: Path, parse: Callable[[IO[bytes]], tuple[np.ndarray, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and matrix, parsed into the cache or, where that cannot be written, into a temporary file."""
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


def _parse(
    reader: AtomicReader, file: IO[bytes], *, id_field: str, value_field: str, columns: str
) -> tuple[np.ndarray, np.ndarray]:
    """Parse the source into an empty file in the format of the cache, and map tokens and matrix from it."""
    before = embedding_cache.stamp(reader.file)
    reader.file.seek(0)
    digest = hashlib.sha256(reader.file.readline())
    parser = VectorParser(reader, id_field, value_field)
    tokens = embedding_cache.fill(file, parser.parts(digest.update))
    if not tokens:
        raise reader.error(2, "there are no rows after the header", "embed the texts again")
    repeated = _find_repeated(tokens)
    if repeated is not None:
        first, second, *_ = reader.find_lines(id_field, repeated)
        raise reader.error(
            second, f"the token {abbreviate(repeated)} is in line {first} already", "delete one of the lines"
        )
    reader.file.seek(-1, os.SEEK_END)
    if reader.file.read(1) not in b"\r\n":
        logger.warning("%s does not end with a line feed: if it was cut off, its last number is wrong", reader.path)
    after = embedding_cache.stamp(reader.file)
    if any(before[name] != after[name] for name in ("size", "mtime")):
        raise UserError(f"{reader.path} changed while it was being read; start again when it is complete")
    return embedding_cache.finish(
        file, tokens=tokens, dims=parser.dims, source=before, sha256=digest.hexdigest(), columns=columns
    )


def _find_repeated(tokens: Sequence[str]) -> str | None:
    """The first token that is in the list twice."""
    if len(set(tokens)) == len(tokens):
        return None
    seen: set[str] = set()
    for token in tokens:
        if token in seen:
            return token
        seen.add(token)
    return None


def _locate(embedding: Embedding, row: int) -> str:
    """The line of a row's token, or the row where the file has changed."""
    with contextlib.suppress(UserError, IndexError), AtomicReader(embedding.path, embedding.field_separator) as reader:
        return f"line {reader.find_lines(embedding.id_field, embedding.tokens[row])[0]}"
    return f"row {row + 1}"


def _unknown_token_error(embedding: Embedding, row: int, known: Collection[str]) -> UserError:
    token = embedding.tokens[row]
    near = [other for other in (token.strip(), token.lower(), token.upper()) if other in known]
    if not near and len(known) <= _MOST_COMPARED:
        near = difflib.get_close_matches(token, known, n=3)
    hint = f" (nearest: {', '.join(map(abbreviate, near))})" if near else ""
    return UserError(
        f"{embedding.path}, {_locate(embedding, row)}: the token {abbreviate(token)} is in no interaction or item "
        f"file of the data set{hint}; embed the texts of this data set, or delete the line"
    )
