"""From the text of vectors to matrices: by columns, which is fast, or line by line, which finds what is wrong."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recbole_lecdsr.data.atomic_files.reader import NUMBER, AtomicReader, abbreviate
from recbole_lecdsr.data.embeddings.cache import Rows

MAX_EVENTS = 2**31 - 1


class VectorParser:
    """Parses the rows of an atomic file: a token, vectors, and the number of events that they were made from.

    A row may have several vectors, each in a column of its own, which are joined in the order of the columns. All
    vectors of a column have the length of its first one.

    Args:
        reader: the open file.
        id_field: its column of tokens.
        value_fields: its columns of vectors.
        events_field: its column of numbers of events; None for a file without.

    Attributes:
        sizes: the length of the vectors of each column; empty until the first line has been read.
    """

    def __init__(
        self, reader: AtomicReader, id_field: str, value_fields: Sequence[str], events_field: str | None = None
    ):
        self._reader = reader
        self._id_field, self._value_fields, self._events_field = id_field, tuple(value_fields), events_field
        self._fields = (id_field, *value_fields, *([] if events_field is None else [events_field]))
        self.sizes: tuple[int, ...] = ()
        self._first_line = 0

    def parts(self, watch: Callable[[bytes], object]) -> Iterator[Rows]:
        """Parse the file block by block.

        Args:
            watch: called with the bytes of each block before it is parsed.

        Yields:
            the rows of a block.

        Raises:
            UserError: an empty token; a vector that is empty, of another length than the first one of its column, or
                holds something else than finite float32; a number of events that is not a whole number from 0 to
                `MAX_EVENTS`; an error that `AtomicReader` finds.
        """
        with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
            for line, block in self._reader.blocks():
                watch(block)
                if not self.sizes:
                    for first_line, cells in self._reader.cells(line, block, self._fields):
                        self._parse_line(first_line, cells)
                        break
                try:
                    yield self._by_columns(block, pool)
                except pa.ArrowInvalid:
                    yield self._by_lines(line, block)

    def _by_columns(self, block: bytes, pool: ThreadPoolExecutor) -> Rows:
        types = dict.fromkeys(self._fields, pa.string())
        if self._events_field is not None:
            types[self._events_field] = pa.float64()
        table = self._reader.table(block, types)
        tokens = table.column(self._id_field)
        if not pc.all(pc.not_equal(tokens, "")).as_py():
            raise pa.ArrowInvalid("an empty token")
        events = None
        if self._events_field is not None:
            events = _cells_to_events(table.column(self._events_field))
        columns = (table.column(name).chunks for name in self._value_fields)
        vectors = list(pool.map(partial(_join_vectors, sizes=self.sizes), zip(*columns, strict=True)))
        return Rows(tokens.to_pylist(), events, vectors)

    def _by_lines(self, first_line: int, block: bytes) -> Rows:
        tokens, vectors, events = [], [], []
        for line, cells in self._reader.cells(first_line, block, self._fields):
            number, vector = self._parse_line(line, cells)
            vectors.append(vector)
            events.append(number)
            tokens.append(cells[0])
        numbers = None if self._events_field is None else np.array(events, dtype=np.int64)
        return Rows(tokens, numbers, [np.stack(vectors)] if vectors else [])

    def _parse_line(self, line: int, cells: Sequence[str]) -> tuple[int, np.ndarray]:
        """The number of events, 0 in a file without, and the joined vectors."""
        token, number = cells[0], 0
        if not token:
            raise self._reader.error(line, f"{self._id_field} is empty", "give it a token or delete the line")
        if self._events_field is not None:
            number = self._parse_events(line, token, cells[-1])
        names = [f"the vector of {abbreviate(token)}"]
        if len(self._value_fields) > 1:
            names = [f"the vector {field} of {abbreviate(token)}" for field in self._value_fields]
        vectors = [
            self._parse_vector(line, name, cell) for name, cell in zip(names, cells[1 : 1 + len(names)], strict=True)
        ]
        if not self.sizes:
            self.sizes, self._first_line = tuple(map(len, vectors)), line
        for name, vector, size in zip(names, vectors, self.sizes, strict=True):
            if len(vector) != size:
                raise self._reader.error(
                    line,
                    f"{name} has {len(vector)} numbers, that of line {self._first_line} {size}",
                    "if the line is complete, embed all with one encoder",
                )
        return number, np.concatenate(vectors)

    def _parse_events(self, line: int, token: str, cell: str) -> int:
        value = float(cell) if NUMBER.fullmatch(cell) else np.nan
        if not (value.is_integer() and 0 <= value <= MAX_EVENTS):
            raise self._reader.error(
                line,
                f"{self._events_field} of {abbreviate(token)} is {abbreviate(cell)}, not a whole number from 0 to "
                f"{MAX_EVENTS}",
                "write from how many of the user's first interactions the vectors were made, or delete the line",
            )
        return int(value)

    def _parse_vector(self, line: int, name: str, cell: str) -> np.ndarray:
        error = self._reader.error
        numbers = [number for number in cell.split(" ") if number]
        if not numbers:
            raise error(line, f"{name} is empty", "embed it, or delete the line")
        for index, number in enumerate(numbers, 1):
            if not NUMBER.fullmatch(number):
                raise error(
                    line,
                    f"number {index} of {name} is {abbreviate(number)}, not a finite number",
                    "write decimal numbers separated by spaces, or embed it again",
                )
        vector = pa.array([number.strip().lstrip("+") for number in numbers]).cast(pa.float32()).to_numpy()
        if not np.isfinite(vector).all():
            number = numbers[np.flatnonzero(~np.isfinite(vector))[0]]
            raise error(line, f"{abbreviate(number)} in {name} is beyond float32", "embed it again")
        return vector


def _cells_to_events(cells: pa.ChunkedArray) -> np.ndarray:
    """Numbers of events, (N,) float64 -> (N,) int64.

    Raises:
        pa.ArrowInvalid: one is not a whole number from 0 to `MAX_EVENTS`.
    """
    values = cells.to_numpy()
    if not np.all((values >= 0) & (values <= MAX_EVENTS) & (values == np.floor(values))):
        raise pa.ArrowInvalid("not a number of events")
    return values.astype(np.int64)


def _join_vectors(columns: Sequence[pa.Array], sizes: Sequence[int]) -> np.ndarray:
    """Parse the cells of some columns: (N, sum of sizes) float32; raises what `_cells_to_vectors` does."""
    parts = [_cells_to_vectors(cells, size) for cells, size in zip(columns, sizes, strict=True)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def _cells_to_vectors(cells: pa.Array, dims: int) -> np.ndarray:
    """Parse cells of text: (len(cells), dims) float32.

    Raises:
        pa.ArrowInvalid: a cell is something else than ``dims`` finite numbers separated by single spaces.

    Example:
        >>> _cells_to_vectors(pa.array(["1 2.5", "-3 4"]), dims=2).tolist()
        [[1.0, 2.5], [-3.0, 4.0]]
    """
    numbers = pc.split_pattern(cells, " ")
    if not pc.all(pc.equal(pc.list_value_length(numbers), dims)).as_py():
        raise pa.ArrowInvalid("a vector of another length")
    # Arrow rounds decimals to the nearest float32 at once; by way of float64 they would be rounded twice.
    vectors = pc.cast(numbers.flatten(), pa.float32()).to_numpy().reshape(len(cells), dims)
    if not np.isfinite(vectors).all():
        raise pa.ArrowInvalid("a number that is not finite")
    return vectors
