"""Atomic files: a header with each column as ``name:type``, then a row on each line.

RecBole's reader checks little: a date in a column of numbers, a row cut short or a missing token is noticed much later,
or never. Here a block of lines is parsed by columns. If that fails, it is parsed line by line, which either names the
error or reads what is unusual but valid.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from recbole_lecdsr.data.atomic_files.reader import NUMBER, TYPES, AtomicReader, abbreviate
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import write_whole

_ROWS = 1 << 17  # rows written at once


def read(
    path: str | Path, columns: Mapping[str, str], field_separator: str = "\t", encoding: str | None = None
) -> pd.DataFrame:
    r"""Read columns of an atomic file and check every cell.

    As in RecBole's reader, lines end with ``\n``, ``\r\n`` or ``\r``, and empty lines are skipped. Quotes are ordinary
    characters, and no word means a missing cell.

    Args:
        path: the file.
        columns: field -> type (``token``, ``token_seq`` or ``float``) of the columns wanted.
        field_separator: one ASCII character.
        encoding: of the file; None: UTF-8.

    Returns:
        A row for each row of the file and the columns in the order of ``columns``: str objects for ``token`` and
        ``token_seq``, of which only the latter may be empty, and finite float64 for ``float``.

    Raises:
        UserError: the file is missing, empty, without rows or in another encoding; a column is missing or of another
            type; a row has too few or too many fields, an empty token, or no finite number where one should be.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "book.item")
        ...     write(path, {"item_id:token": ["i1", "i2"], "price:float": [2.5, 3]})
        ...     read(path, {"price": "float", "item_id": "token"}).to_dict("list")
        {'price': [2.5, 3.0], 'item_id': ['i1', 'i2']}
    """
    with AtomicReader(path, field_separator, encoding) as reader:
        reader.require(columns)
        parts = [_parse(reader, line, block, columns) for line, block in reader.blocks()]
        if not sum(part.num_rows for part in parts):
            raise reader.error(2, "there are no rows after the header", "write the file again")
    table = pa.concat_tables(parts)
    # dtype=object: pandas 3 would convert it to its own string type, which RecBole does not expect.
    return pd.DataFrame(
        {
            name: table[name].to_numpy() if kind == "float" else pd.Series(_as_objects(table[name]), dtype=object)
            for name, kind in columns.items()
        }
    )


def write(path: str | Path, columns: Mapping[str, Sequence | np.ndarray], field_separator: str = "\t") -> None:
    """Write an atomic file, whole or not at all.

    Args:
        path: the file; its folder must exist.
        columns: header ``name:type`` -> values, one for each row. ``token``: str or whole numbers; ``float``:
            finite numbers, written so that they are read back exactly; ``token_seq`` and ``float_seq``: text, written
            as it is, or sequences, joined by spaces.
        field_separator: one ASCII character.

    Raises:
        UserError: a header without type; columns of different lengths; a token that is empty, missing, or contains
            the separator or a line break; a number that is not finite. An existing file is kept.
    """
    with write_whole(path, "wb") as file:
        write_to(file, Path(path), columns, field_separator)


def write_to(
    file: IO[bytes],
    path: Path,
    columns: Mapping[str, Sequence | np.ndarray],
    field_separator: str = "\t",
    *,
    allow_empty: bool = False,
) -> None:
    """`write` to an open file, for several files that are to be replaced together.

    Args:
        file: the file, opened for bytes.
        path: the final path of the file, for errors.
        columns, field_separator: as in `write`.
        allow_empty: whether a ``token`` may be empty, as a missing text is.

    Raises:
        UserError: as in `write`.
    """
    texts = {}
    for header, values in columns.items():
        _, found, kind = header.partition(":")
        if not found or kind not in TYPES:
            raise UserError(f"{path}: column {header!r} must be given as name:type, the type one of {', '.join(TYPES)}")
        texts[header] = _column_text(
            f"{path}, column {header!r}", values, kind, field_separator=field_separator, allow_empty=allow_empty
        )
    if len({len(text) for text in texts.values()}) != 1:
        lengths = ", ".join(f"{header}: {len(text)}" for header, text in texts.items())
        raise UserError(f"{path}: columns must have the same number of rows, but they have {lengths or 'none'}")
    file.write(field_separator.join(columns).encode() + b"\n")
    for start in range(0, len(next(iter(texts.values()))), _ROWS):
        file.write(join_rows([text[start : start + _ROWS] for text in texts.values()], field_separator))


def join_rows(columns: Iterable[pa.Array], field_separator: str) -> memoryview:
    """Join columns of text, all of one length, to the UTF-8 text of rows, each ending with a line feed.

    Example:
        >>> bytes(join_rows([pa.array(["a", "b"]), pa.array(["1", "2"])], ","))
        b'a,1\\nb,2\\n'
    """
    rows = pc.binary_join_element_wise(*(column.cast(pa.string()) for column in columns), field_separator)
    _, offsets, text = pc.binary_join_element_wise(rows, "", "\n").buffers()
    return memoryview(text)[: np.frombuffer(offsets, np.int32)[len(rows)]]


def check_tokens(
    where: str, values: Sequence[str] | np.ndarray, field_separator: str, *, allow_empty: bool = False
) -> pa.Array:
    """Convert values for a column of an atomic file to text that it can hold.

    Args:
        where: file and column, for the error.
        values: str or whole numbers.
        field_separator: what no value may contain, besides line breaks.
        allow_empty: whether a value may be empty.

    Returns:
        a large_string array.

    Raises:
        UserError: a value is missing, of another type, empty, not Unicode, or contains separator or line break.

    Example:
        >>> check_tokens("book.item, column 'item_id'", np.array([3, 4]), "\\t").to_pylist()
        ['3', '4']
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
    problems = {
        "is missing": pc.is_null(array),
        "is empty": pc.equal(array, None if allow_empty else ""),
        "contains the field separator": pc.match_substring(array, field_separator),
        "contains a line feed": pc.match_substring(array, "\n"),
        "contains a carriage return": pc.match_substring(array, "\r"),
    }
    for problem, mask in problems.items():
        row = pc.index(mask, True).as_py()
        if row >= 0:
            raise UserError(
                f"{where}, row {row + 1}: the value {abbreviate(array[row].as_py())} {problem}, which an atomic file "
                "cannot hold; replace it, or leave the row out, before writing"
            )
    return array


def _as_objects(column: pa.ChunkedArray) -> np.ndarray:
    """A column of text as Python's str, with one object for all cells that are equal."""
    encoded = pc.dictionary_encode(column).unify_dictionaries()
    texts = encoded.chunk(0).dictionary.to_numpy(zero_copy_only=False)
    return texts[np.concatenate([chunk.indices.to_numpy() for chunk in encoded.chunks])]


def _column_text(
    where: str, values: Sequence | np.ndarray, kind: str, *, field_separator: str, allow_empty: bool
) -> pa.Array:
    """Values of a column as the text to write."""
    if kind == "token":
        return check_tokens(where, values, field_separator, allow_empty=allow_empty)
    if kind == "float":
        try:
            array = pa.array(values, from_pandas=True)
            array = array.cast(array.type if pa.types.is_integer(array.type) else pa.float64())
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            raise UserError(f"{where}: {error}; give numbers") from error
        wrong = np.flatnonzero(~np.asarray(pc.fill_null(pc.is_finite(array), False)))
        if len(wrong):
            seen = abbreviate(array[wrong[0]].as_py())
            raise UserError(
                f"{where}, row {wrong[0] + 1}: {seen} is not a finite number; correct it or leave the row out"
            )
        return array.cast(pa.large_string())
    rows = [row if isinstance(row, str) else " ".join(map(str, row)) for row in values]
    return check_tokens(where, rows, field_separator, allow_empty=True)


def _parse(reader: AtomicReader, first_line: int, block: bytes, columns: Mapping[str, str]) -> pa.Table:
    """The wanted columns of a block, parsed by columns if that finds nothing wrong, else line by line."""
    types = {name: pa.float64() if kind == "float" else pa.string() for name, kind in columns.items()}
    try:
        table = reader.table(block, types)
        valid = (
            pc.all(pc.not_equal(table[name], "") if kind == "token" else pc.is_finite(table[name]))
            for name, kind in columns.items()
            if kind != "token_seq"
        )
        if all(check.as_py() for check in valid):
            return table
    except pa.ArrowInvalid:
        pass  # the lines below say what is wrong, and where
    rows = []
    for line, cells in reader.cells(first_line, block, list(columns)):
        for (name, kind), cell in zip(columns.items(), cells, strict=True):
            if kind == "token" and not cell:
                raise reader.error(line, f"{name} is empty", "give it a token or delete the line")
            if kind == "float" and not (NUMBER.fullmatch(cell) and np.isfinite(float(cell))):
                problem = f"{name} is {abbreviate(cell)}, not a finite number"
                raise reader.error(line, problem, "correct or delete the line")
        rows.append(cells)
    values = zip(*rows, strict=True) if rows else [()] * len(types)
    parsed = (
        list(map(float, column)) if kind == "float" else column
        for column, kind in zip(values, columns.values(), strict=True)
    )
    return pa.table(
        [pa.array(column, types[name]) for name, column in zip(columns, parsed, strict=True)], names=list(columns)
    )
