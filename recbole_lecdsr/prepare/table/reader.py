"""Tables of CSV, TSV and Parquet files: columns as text, and the file and line of every row."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.table import delimited, parquet

_PARQUET_SUFFIX = ".parquet"
SUFFIXES = (*delimited.DELIMITERS, _PARQUET_SUFFIX)


@dataclass(frozen=True)
class SourceTable:
    """Rows of one or several files, one file after another.

    Attributes:
        paths: the files.
        ends: (number of files,) int, how many rows the files have up to and including each.
        columns: the columns that were read, as strings; missing cells are empty.
        skipped: for each file, the (s,) positions of lines that were left out because they are no rows, counted
            together with the rows from 0, ascending.
        reports: for each file with such lines, where the first is and what is wrong with it.
    """

    paths: tuple[Path, ...]
    ends: np.ndarray
    columns: pa.Table
    skipped: tuple[np.ndarray, ...] = ()
    reports: tuple[str, ...] = ()

    def __len__(self) -> int:
        return self.columns.num_rows

    def __getitem__(self, name: str) -> pa.ChunkedArray:
        return self.columns[name]

    @property
    def files(self) -> str:
        """The files, for an error about all rows."""
        return ", ".join(map(str, self.paths))

    def locate(self, row: int) -> str:
        """File and line of a row, the header being line 1; for Parquet the file and the row, counted from 1."""
        file = int(np.searchsorted(self.ends, row, side="right"))
        path, row = self.paths[file], row - (int(self.ends[file - 1]) if file else 0)
        for position in self.skipped[file] if self.skipped else ():
            row += int(position) <= row
        if _suffix(path) == _PARQUET_SUFFIX:
            return f"{path}, row {row + 1}"
        return f"{path}, line {delimited.line_number(path, row, _suffix(path))}"


def read_header(path: str | Path) -> list[str]:
    """Names of the columns of a file.

    Raises:
        UserError: a file that does not exist, is empty, has another suffix than `SUFFIXES`, or cannot be read.
    """
    path = Path(path)
    suffix = _suffix(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist" if not path.exists() else f"{path} is not a file: name files")
    try:
        names = parquet.read_header(path) if suffix == _PARQUET_SUFFIX else delimited.read_header(path, suffix)
    except (*delimited.READ_ERRORS, pa.ArrowException, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as {suffix[1:]}: {error}") from None
    if suffix == _PARQUET_SUFFIX:
        return names
    if not names:
        raise UserError(f"{path} is empty: its first line must name the columns")
    if any("\ufffd" in name for name in names):
        raise UserError(f"{path}, line 1: not UTF-8 text; save the file as UTF-8")
    return names


def read_table(
    files: Sequence[str | Path], columns: Sequence[str], options: str, skip_bad_lines: bool = False
) -> SourceTable:
    """Read columns of files, which are concatenated in the given order.

    CSV is read with quoted cells (RFC 4180). In TSV a quotation mark is a character like any other, unless every cell
    with one in these columns is quoted as a CSV writer quotes: then the quoting is undone. Files may be compressed
    (``.gz``) and may have further columns.

    Args:
        files: with a suffix of `SUFFIXES`.
        columns: their names in the header.
        options: the options with which a user names columns, for the remedy in errors, such as ``--user or --item``.
        skip_bad_lines: leave out lines with too few or too many cells or not in UTF-8 instead of stopping.

    Raises:
        UserError: no file, one that is given twice, or one that `read_header` refuses; a column that is missing, is
            there twice or holds neither text, numbers nor times; a line with too few or too many cells, or not in
            UTF-8.
    """
    paths = [Path(file) for file in files]
    if not paths:
        raise UserError("no file is given")
    for index, path in enumerate(paths):
        if path.resolve() in [other.resolve() for other in paths[:index]]:
            raise UserError(f"{path} is given twice: its rows would count twice")
    for path in paths:
        _check_columns(path, columns, options)
    tables, skipped, reports = [], [], []
    for path in paths:
        suffix = _suffix(path)
        bad_lines: dict[int, str] = {}
        if suffix == _PARQUET_SUFFIX:
            tables.append(parquet.read_columns(path, columns))
        else:
            tables.append(delimited.read_columns(path, columns, suffix, bad_lines if skip_bad_lines else None))
        skipped.append(np.array(sorted(bad_lines), dtype=np.int64))
        if bad_lines:
            first, more = min(bad_lines), f" (and {len(bad_lines) - 1:,} more lines)" if len(bad_lines) > 1 else ""
            line = delimited.line_number(path, first, suffix)
            reports.append(f"{path}, line {line}: {bad_lines[first]}{more}")
    ends = np.cumsum([table.num_rows for table in tables])
    return SourceTable(tuple(paths), ends, pa.concat_tables(tables), tuple(skipped), tuple(reports))


def _suffix(path: Path) -> str:
    for suffix in SUFFIXES:
        if path.name.lower().endswith(suffix):
            return suffix
    raise UserError(
        f"{path} has none of the suffixes {', '.join(SUFFIXES)}, by which the format of a file is recognized: rename it"
    )


def _check_columns(path: Path, columns: Sequence[str], options: str) -> None:
    names = read_header(path)
    for column in columns:
        if names.count(column) == 1:
            continue
        if column in names:
            raise UserError(f"{path} has {names.count(column)} columns {column!r}: rename all but one")
        close = difflib.get_close_matches(column.lower(), lower := {name.lower(): name for name in names})
        hint = f"did you mean {' or '.join(repr(lower[name]) for name in close)}?" if close else f"set {options}"
        raise UserError(f"{path} has no column {column!r}, only {', '.join(map(repr, names))}: {hint}")
