"""Parquet files: their header, and columns as text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.table.arrow_text import to_text


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
        table = pa.table({name: to_text(table[name], str(path), name) for name in columns})
        table.validate(full=True)  # text of a damaged file may not be UTF-8
        return table
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
