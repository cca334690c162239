"""Parquet files: their header, and columns as text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from recbole_lecdsr.errors import UserError

_READABLE_TYPES = (
    pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_boolean, pa.types.is_integer,
    pa.types.is_floating, pa.types.is_decimal, pa.types.is_timestamp, pa.types.is_date, pa.types.is_null,
)  # fmt: skip


def read_header(path: Path) -> list[str]:
    """Names of the columns.

    Raises:
        OSError, pa.ArrowException, UnicodeDecodeError: a file that cannot be read.
    """
    return pa.parquet.read_schema(path).names


def read_columns(path: Path, columns: Sequence[str]) -> pa.Table:
    """Columns of a file as text; missing cells are empty.

    Raises:
        UserError: a file that cannot be read, or a column of lists or other values that are no plain text.
    """
    try:
        # Not read_table, which adds columns that it derives from folder names.
        with pa.parquet.ParquetFile(path) as file:
            table = file.read(columns=list(columns))
        table = pa.table({name: _to_text(table[name], path, name) for name in columns})
        table.validate(full=True)  # text of a damaged file may not be UTF-8
        return table
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None


def _to_text(column: pa.ChunkedArray, path: Path, name: str) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
        column = column.cast(kind)
    if not any(is_type(kind) for is_type in _READABLE_TYPES):
        raise UserError(f"{path}: column {name!r} is of type {kind}, but must hold text, numbers or times: convert it")
    return pc.fill_null(column.cast(pa.string()), "")
