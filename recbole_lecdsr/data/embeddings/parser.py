"""Text of vectors to matrices: by columns where it is in order, else line by line, which finds what is wrong."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recbole_lecdsr.data.atomic_files.reader import NUMBER, AtomicReader, shown


class VectorParser:
    """Tokens and vectors of an atomic file, all of the length of the first one.

    Args:
        reader: the file.
        id_field: its column of tokens.
        value_field: its column of vectors.

    Attributes:
        dims: D, once the first line is read.
    """

    def __init__(self, reader: AtomicReader, id_field: str, value_field: str):
        self.reader = reader
        self.fields = (id_field, value_field)
        self.dims = 0
        self.first_line = 0

    def parts(self, watch: Callable[[bytes], object]) -> Iterator[tuple[list[str], list[np.ndarray]]]:
        """Tokens, and their vectors as (…, D) float32 pieces, of one block of the file after the other.

        Args:
            watch: is called with the bytes of each block before it is parsed.

        Raises:
            UserError: an empty token; a vector that is empty, of another length than the first one, or holds what
                is no finite float32; what `AtomicReader` finds.
        """
        with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
            for line, block in self.reader.blocks():
                watch(block)
                if not self.dims:
                    for first_line, (token, cell) in self.reader.cells(line, block, self.fields):
                        self._vector(first_line, token, cell)
                        break
                try:
                    yield self._by_columns(block, pool)
                except pa.ArrowInvalid:
                    yield self._by_lines(line, block)

    def _by_columns(self, block: bytes, pool: ThreadPoolExecutor) -> tuple[list[str], list[np.ndarray]]:
        tokens, cells = self.reader.table(block, dict.fromkeys(self.fields, pa.string())).columns
        if not pc.all(pc.not_equal(tokens, "")).as_py():
            raise pa.ArrowInvalid("an empty token")
        return tokens.to_pylist(), list(pool.map(partial(_vectors, dims=self.dims), cells.chunks))

    def _by_lines(self, first_line: int, block: bytes) -> tuple[list[str], list[np.ndarray]]:
        tokens, vectors = [], []
        for line, (token, cell) in self.reader.cells(first_line, block, self.fields):
            vectors.append(self._vector(line, token, cell))
            tokens.append(token)
        return tokens, [np.stack(vectors)] if vectors else []

    def _vector(self, line: int, token: str, cell: str) -> np.ndarray:
        fault = self.reader.fault
        if not token:
            raise fault(line, f"{self.fields[0]} is empty", "give it a token or delete the line")
        numbers = [number for number in cell.split(" ") if number]
        if not numbers:
            raise fault(line, f"the vector of {shown(token)} is empty", "embed it, or delete the line")
        for place, number in enumerate(numbers, 1):
            if not NUMBER.fullmatch(number):
                raise fault(
                    line,
                    f"number {place} of the vector of {shown(token)} is {shown(number)}, not a finite number",
                    "write decimal numbers separated by spaces, or embed it anew",
                )
        vector = pa.array([number.strip().lstrip("+") for number in numbers]).cast(pa.float32()).to_numpy()
        if not np.isfinite(vector).all():
            number = numbers[np.flatnonzero(~np.isfinite(vector))[0]]
            raise fault(line, f"{shown(number)} in the vector of {shown(token)} is beyond float32", "embed it anew")
        if not self.dims:
            self.dims, self.first_line = len(vector), line
        if len(vector) != self.dims:
            raise fault(
                line,
                f"the vector of {shown(token)} has {len(vector)} numbers, that of line {self.first_line} {self.dims}",
                "if the line is whole, embed all with one encoder",
            )
        return vector


def _vectors(cells: pa.Array, dims: int) -> np.ndarray:
    """Vectors of cells of text: (len(cells), dims) float32.

    Raises:
        pa.ArrowInvalid: a cell is not ``dims`` finite numbers separated by single spaces.
    """
    numbers = pc.split_pattern(cells, " ")
    if not pc.all(pc.equal(pc.list_value_length(numbers), dims)).as_py():
        raise pa.ArrowInvalid("a vector of another length")
    # Arrow reads decimals straight to the nearest float32; by way of float64 they would be rounded twice.
    vectors = pc.cast(numbers.flatten(), pa.float32()).to_numpy().reshape(len(cells), dims)
    if not np.isfinite(vectors).all():
        raise pa.ArrowInvalid("a number that is not finite")
    return vectors
