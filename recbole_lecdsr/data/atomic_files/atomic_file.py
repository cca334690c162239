"""Atomic files: text of one row a line whose header gives each column as ``name:type``; read by columns, checked.

RecBole's reader takes what it is given: a date in a number column, a row cut short, a token left out are found
much later or never. Here a block of lines is parsed by columns; a block in which anything is amiss is gone through
line by line, which either names the fault or reads what is unusual but sound.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from recbole_lecdsr.data.atomic_files.reader import NUMBER, TYPES, AtomicReader, shown
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import write_whole

_ROWS = 1 << 17  # rows written at once


def read(path: str | Path, columns: Mapping[str, str], field_separator: str = "\t") -> pd.DataFrame:
    r"""Columns of an atomic file, every cell of them checked.

    As for RecBole's reader, lines end by ``\n``, ``\r\n`` or ``\r`` and empty lines do not count. Quotes are
    ordinary characters, and no word stands for a missing cell.

    Args:
        path: the file.
        columns: the fields wanted, each with its type, ``token``, ``token_seq`` or ``float``.
        field_separator: one character.

    Returns:
        A row for each row of the file, the columns in the order asked for: str objects for ``token`` and, as
        they stand there, for ``token_seq``, which alone may be empty; finite float64 for ``float``.

    Raises:
        UserError: the file is missing, empty, without rows or not UTF-8; a column is missing or of another type;
            a row has too few or too many fields, an empty token, or no finite number where one should be.
    """
    with AtomicReader(path, field_separator) as reader:
        reader.require(columns)
        parts = [_parse(reader, line, block, columns) for line, block in reader.blocks()]
        if not sum(part.num_rows for part in parts):
            raise reader.fault(2, "there are no rows after the header", "write the file anew")
    table = pa.concat_tables(parts)
    # dtype=object: pandas 3 would make its own string type of it, which RecBole does not expect.
    return pd.DataFrame(
        {
            name: table[name].to_numpy() if kind == "float" else pd.Series(_objects(table[name]), dtype=object)
            for name, kind in columns.items()
        }
    )


def write(path: str | Path, columns: Mapping[str, Sequence | np.ndarray], field_separator: str = "\t") -> None:
    """Write an atomic file whole.

    Args:
        path: the file; its folder must exist.
        columns: header ``name:type`` -> values, one for each row. ``token``: str or whole numbers; ``float``:
            finite numbers, written so that they are read back exactly; ``token_seq`` and ``float_seq``: text, taken
            as it is, or sequences, joined by spaces.
        field_separator: one character.

    Raises:
        UserError: a header without type; columns of different lengths; a token that is empty, missing, or contains
            the separator or a line break; a number that is not finite. The former file, if any, stays.
    """
    with write_whole(path, "wb") as file:
        write_to(file, Path(path), columns, field_separator)


def write_to(
    file: IO[bytes],
    path: Path,
    columns: Mapping[str, Sequence | np.ndarray],
    field_separator: str = "\t",
    empty: bool = False,
) -> None:
    """`write` into an open file, for files that are to take their places together.

    Args:
        file: the file, opened for bytes.
        path: where it is to stand, for errors.
        columns, field_separator: as of `write`.
        empty: whether a ``token`` may be empty, as a text that is missing is.
    """
    texts = {}
    for header, values in columns.items():
        _, found, kind = header.partition(":")
        if not found or kind not in TYPES:
            raise UserError(f"{path}: column {header!r} must be given as name:type, the type one of {', '.join(TYPES)}")
        texts[header] = _text(f"{path}, column {header!r}", values, kind, field_separator, empty)
    if len({len(text) for text in texts.values()}) != 1:
        lengths = ", ".join(f"{header}: {len(text)}" for header, text in texts.items())
        raise UserError(f"{path}: columns must have the same number of rows; they have {lengths or 'none'}")
    file.write(field_separator.join(columns).encode() + b"\n")
    for start in range(0, len(next(iter(texts.values()))), _ROWS):
        file.write(lines([text[start : start + _ROWS] for text in texts.values()], field_separator))


def lines(columns: Iterable[pa.Array], field_separator: str) -> memoryview:
    """UTF-8 text of rows, each ended by a line feed, from columns of text of one length."""
    rows = pc.binary_join_element_wise(*(column.cast(pa.string()) for column in columns), field_separator)
    _, offsets, text = pc.binary_join_element_wise(rows, "", "\n").buffers()
    return memoryview(text)[: np.frombuffer(offsets, np.int32)[len(rows)]]


def tokens(where: str, values: Sequence[str] | np.ndarray, field_separator: str, empty: bool = False) -> pa.Array:
    """Values that can stand in a column of an atomic file.

    Args:
        where: file and column, for the error.
        values: str or whole numbers.
        field_separator: what no value may contain, besides line breaks.
        empty: whether a value may be empty.

    Returns:
        A large_string array of them.

    Raises:
        UserError: a value is missing, of another type, empty, not Unicode, or contains separator or line break.
    """
    values = values.tolist() if isinstance(values, np.ndarray | pd.Series) else values
    try:
        array = pa.array(values, from_pandas=True)
        if pa.types.is_integer(array.type) or pa.types.is_null(array.type):
            array = array.cast(pa.large_string())
        if not (pa.types.is_string(array.type) or pa.types.is_large_string(array.type)):
            raise pa.ArrowTypeError(f"values of type {array.type}")
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError) as error:
        raise UserError(f"{where}: tokens must be text, one str a row ({error})") from error
    array = (array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array).cast(pa.large_string())
    faults = {
        "is missing": pc.is_null(array),
        "is empty": pc.equal(array, "" if not empty else None),
        "contains the field separator": pc.match_substring(array, field_separator),
        "contains a line feed": pc.match_substring(array, "\n"),
        "contains a carriage return": pc.match_substring(array, "\r"),
    }
    for what, mask in faults.items():
        row = pc.index(mask, True).as_py()
        if row >= 0:
            raise UserError(
                f"{where}, row {row + 1}: the value {shown(array[row].as_py())} {what}, which an atomic file cannot "
                "hold; replace it, or leave the row out, before writing"
            )
    return array


def _objects(column: pa.ChunkedArray) -> np.ndarray:
    """A column of text as Python's str, one object for all cells that are alike."""
    encoded = pc.dictionary_encode(column).unify_dictionaries()
    texts = encoded.chunk(0).dictionary.to_numpy(zero_copy_only=False)
    return texts[np.concatenate([chunk.indices.to_numpy() for chunk in encoded.chunks])]


def _text(where: str, values: Sequence | np.ndarray, kind: str, separator: str, empty: bool) -> pa.Array:
    """Values of a column as the text that stands in the file."""
    if kind == "token":
        return tokens(where, values, separator, empty)
    if kind == "float":
        try:
            array = pa.array(values, from_pandas=True)
            array = array.cast(array.type if pa.types.is_integer(array.type) else pa.float64())
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            raise UserError(f"{where}: {error}; give numbers") from error
        wrong = np.flatnonzero(~np.asarray(pc.fill_null(pc.is_finite(array), False)))
        if len(wrong):
            seen = shown(array[wrong[0]].as_py())
            raise UserError(f"{where}, row {wrong[0] + 1}: {seen} is not a finite number; leave the row out or mend it")
        return array.cast(pa.large_string())
    rows = [row if isinstance(row, str) else " ".join(map(str, row)) for row in values]
    return tokens(where, rows, separator, empty=True)


def _parse(reader: AtomicReader, first_line: int, block: bytes, columns: Mapping[str, str]) -> pa.Table:
    """The wanted columns of a block, by columns if it is in order, else line by line."""
    types = {name: pa.float64() if kind == "float" else pa.string() for name, kind in columns.items()}
    try:
        table = reader.table(block, types)
        in_order = (
            pc.all(pc.not_equal(table[name], "") if kind == "token" else pc.is_finite(table[name]))
            for name, kind in columns.items()
            if kind != "token_seq"
        )
        if all(check.as_py() for check in in_order):
            return table
    except pa.ArrowInvalid:
        pass  # the pass below says what and where
    rows = []
    for line, cells in reader.cells(first_line, block, list(columns)):
        for (name, kind), cell in zip(columns.items(), cells, strict=True):
            if kind == "token" and not cell:
                raise reader.fault(line, f"{name} is empty", "give it a token or delete the line")
            if kind == "float" and not (NUMBER.fullmatch(cell) and np.isfinite(float(cell))):
                raise reader.fault(line, f"{name} is {shown(cell)}, not a finite number", "mend or delete the line")
        rows.append(cells)
    values = zip(*rows, strict=True) if rows else [()] * len(types)
    parsed = (
        list(map(float, column)) if kind == "float" else column
        for column, kind in zip(values, columns.values(), strict=True)
    )
    return pa.table(
        [pa.array(column, types[name]) for name, column in zip(columns, parsed, strict=True)], names=list(columns)
    )
