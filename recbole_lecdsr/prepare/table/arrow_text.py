"""Columns of Arrow, from Parquet files and data frames, as text."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from recbole_lecdsr.errors import UserError

_READABLE_TYPES = (
    pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_boolean, pa.types.is_integer,
    pa.types.is_floating, pa.types.is_decimal, pa.types.is_timestamp, pa.types.is_date, pa.types.is_null,
)  # fmt: skip


def to_text(column: pa.ChunkedArray, place: str, name: str) -> pa.ChunkedArray:
    """A column as strings; missing cells are empty.

    Args:
        column: of any type.
        place: of the column, for the error.
        name: of the column.

    Raises:
        UserError: a column of lists or other values that are no plain text.

    Example:
        >>> to_text(pa.chunked_array([[7, None]]), "events.parquet", "user").to_pylist()
        ['7', '']
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
        column = column.cast(kind)
    if not any(is_type(kind) for is_type in _READABLE_TYPES):
        raise UserError(f"{place}: column {name!r} is of type {kind}, but must hold text, numbers or times: convert it")
    return pc.fill_null(column.cast(pa.string()), "")
