"""Tables of files and data frames: columns as text, and the file and line of every row."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.raw_files import check_raw_files, refuse_repeated_files
from recbole_lecdsr.prepare.table.sources import TablePart, TableSource, files_of


@dataclass(frozen=True)
class SourceTable:
    """Rows of one or several sources, one source after another.

    Attributes:
        parts: the sources, of the same keys.
        columns: key -> column of text; missing cells are empty.
        ends: (number of parts,) int, how many rows the parts have up to and including each.
    """

    parts: tuple[TablePart, ...]
    columns: pa.Table
    ends: np.ndarray

    def __len__(self) -> int:
        return self.columns.num_rows

    def __getitem__(self, key: str) -> pa.ChunkedArray:
        return self.columns[key]

    @property
    def files(self) -> str:
        """The sources, for an error about all rows."""
        return ", ".join(part.label for part in self.parts)

    def locate(self, row: int) -> str:
        """File and line of a row, the header being line 1; for Parquet and frames the row, counted from 1."""
        part, row = self._find(row)
        return part.locate(row)

    def name_column(self, key: str, row: int = 0) -> str:
        """Name that a column has where a row comes from."""
        return self._find(row)[0].names[key] if len(self) else self.parts[0].names[key]

    def _find(self, row: int) -> tuple[TablePart, int]:
        """The part of a row, and the row's position in it."""
        index = int(np.searchsorted(self.ends, row, side="right"))
        return self.parts[index], row - (int(self.ends[index - 1]) if index else 0)


def join_parts(parts: Sequence[TablePart]) -> SourceTable:
    """One table of parts that have the same keys."""
    ends = np.cumsum([part.columns.num_rows for part in parts])
    return SourceTable(tuple(parts), pa.concat_tables([part.columns for part in parts]), ends)


def read_table(
    sources: Sequence[TableSource],
    columns: Sequence[Mapping[str, str]],
    options: Mapping[str, str],
    skip_bad_lines: bool = False,
) -> SourceTable:
    """Read columns of sources, which are concatenated in the given order. They may have further columns.

    Args:
        sources: the tables.
        columns: of each source: key -> name of the column in its header; all have the same keys.
        options: key -> what names its column, for the remedy in errors, such as ``set --user``.
        skip_bad_lines: leave out lines with too few or too many cells or not in UTF-8 instead of stopping.

    Raises:
        UserError: no source, a file that is given twice, or one that cannot be read; a column that is missing, is
            there twice or holds neither text, numbers nor times; a line with too few or too many cells, or not in
            UTF-8.
    """
    if not sources:
        raise UserError("no file is given")
    check_raw_files(files_of(sources))
    refuse_repeated_files(files_of(sources))
    for source, names in zip(sources, columns, strict=True):
        _check_columns(source, names, options)
    return join_parts([source.read(names, skip_bad_lines) for source, names in zip(sources, columns, strict=True)])


def _check_columns(source: TableSource, columns: Mapping[str, str], options: Mapping[str, str]) -> None:
    names = source.read_header()
    for key, column in columns.items():
        if names.count(column) == 1:
            continue
        if column in names:
            raise UserError(f"{source.label} has {names.count(column)} columns {column!r}: rename all but one")
        close = difflib.get_close_matches(column.lower(), lower := {name.lower(): name for name in names})
        hint = f"did you mean {' or '.join(repr(lower[name]) for name in close)}?" if close else options[key]
        raise UserError(f"{source.label} has no column {column!r}, only {', '.join(map(repr, names))}: {hint}")
