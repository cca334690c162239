"""From the text of vectors to matrices: by columns, which is fast, or line by line, which finds what is wrong."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recbole_lecdsr.data.atomic_files.reader import NUMBER, AtomicReader, abbreviate


class VectorParser:
    """Parses tokens and vectors of an atomic file, all of the length of the first one.

    Args:
        reader: the open file.
        id_field: its column of tokens.
        value_field: its column of vectors.

    Attributes:
        dims: D, the length of the vectors; 0 until the first line has been read.
    """

    def __init__(self, reader: AtomicReader, id_field: str, value_field: str):
        self._reader = reader
        self._fields = (id_field, value_field)
        self.dims = 0
        self._first_line = 0

    def parts(self, watch: Callable[[bytes], object]) -> Iterator[tuple[list[str], list[np.ndarray]]]:
        """Parse the file block by block.

        Args:
            watch: called with the bytes of each block before it is parsed.

        Yields:
            the tokens of a block, and their vectors in (…, D) float32 pieces.

        Raises:
            UserError: an empty token; a vector that is empty, of another length than the first one, or holds something
                else than finite float32; an error that `AtomicReader` finds.
        """
        with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
            for line, block in self._reader.blocks():
                watch(block)
                if not self.dims:
                    for first_line, (token, cell) in self._reader.cells(line, block, self._fields):
                        self._parse_vector(first_line, token, cell)
                        break
                try:
                    yield self._by_columns(block, pool)
                except pa.ArrowInvalid:
                    yield self._by_lines(line, block)

    def _by_columns(self, block: bytes, pool: ThreadPoolExecutor) -> tuple[list[str], list[np.ndarray]]:
        tokens, cells = self._reader.table(block, dict.fromkeys(self._fields, pa.string())).columns
        if not pc.all(pc.not_equal(tokens, "")).as_py():
            raise pa.ArrowInvalid("an empty token")
        return tokens.to_pylist(), list(pool.map(partial(_cells_to_vectors, dims=self.dims), cells.chunks))

    def _by_lines(self, first_line: int, block: bytes) -> tuple[list[str], list[np.ndarray]]:
        tokens, vectors = [], []
        for line, (token, cell) in self._reader.cells(first_line, block, self._fields):
            vectors.append(self._parse_vector(line, token, cell))
            tokens.append(token)
        return tokens, [np.stack(vectors)] if vectors else []

    def _parse_vector(self, line: int, token: str, cell: str) -> np.ndarray:
        error = self._reader.error
        if not token:
            raise error(line, f"{self._fields[0]} is empty", "give it a token or delete the line")
        numbers = [number for number in cell.split(" ") if number]
        if not numbers:
            raise error(line, f"the vector of {abbreviate(token)} is empty", "embed it, or delete the line")
        for index, number in enumerate(numbers, 1):
            if not NUMBER.fullmatch(number):
                raise error(
                    line,
                    f"number {index} of the vector of {abbreviate(token)} is {abbreviate(number)}, not a finite number",
                    "write decimal numbers separated by spaces, or embed it again",
                )
        vector = pa.array([number.strip().lstrip("+") for number in numbers]).cast(pa.float32()).to_numpy()
        if not np.isfinite(vector).all():
            number = numbers[np.flatnonzero(~np.isfinite(vector))[0]]
            problem = f"{abbreviate(number)} in the vector of {abbreviate(token)} is beyond float32"
            raise error(line, problem, "embed it again")
        if not self.dims:
            self.dims, self._first_line = len(vector), line
        if len(vector) != self.dims:
            raise error(
                line,
                f"the vector of {abbreviate(token)} has {len(vector)} numbers, that of line {self._first_line} "
                f"{self.dims}",
                "if the line is complete, embed all with one encoder",
            )
        return vector


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
