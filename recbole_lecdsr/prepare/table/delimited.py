"""CSV and TSV files, plain or gzip: their header, columns as text, and the number of the line of a row."""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from recbole_lecdsr.errors import UserError

DELIMITERS = {".csv": ",", ".csv.gz": ",", ".tsv": "\t", ".tsv.gz": "\t"}
BLOCK_BYTES = 16 << 20  # a row must fit into one block


def read_header(path: Path, suffix: str) -> list[str]:
    """Cells of the first line; empty for an empty file.

    Args:
        path: the file.
        suffix: its key in `DELIMITERS`.

    Raises:
        OSError, EOFError, csv.Error: a file that cannot be read.
        UserError: gzip within gzip.
    """
    with _open(path, suffix) as file:
        lines = (line.replace("\0", "\ufffd") for line in file)  # Python 3.10 reads no NUL, which UTF-16 is full of
        return next(csv.reader(lines, delimiter=DELIMITERS[suffix], quoting=_quoting(suffix)), [])


def line_number(path: Path, row: int, suffix: str) -> int:
    """Number of the line on which a row starts; more than ``row + 2`` after blank lines and quoted line breaks.

    Args:
        path: the file.
        row: its position, counted from 0 after the header and together with bad lines.
        suffix: the file's key in `DELIMITERS`.
    """
    with _open(path, suffix) as file:
        reader = csv.reader(file, delimiter=DELIMITERS[suffix], quoting=_quoting(suffix))
        line, current = 1, -2  # the header is row -1
        try:
            for cells in reader:
                current += bool(cells)
                if cells and current == row:
                    return line
                line = reader.line_num + 1
        except csv.Error:  # a cell longer than the csv module reads
            pass
    return row + 2


def read_columns(path: Path, columns: Sequence[str], suffix: str, bad_lines: dict[int, str] | None) -> pa.Table:
    """Columns of a file as text.

    Args:
        path: the file.
        columns: their names.
        suffix: the file's key in `DELIMITERS`.
        bad_lines: receives the position of each line that is no row, counted together with the rows from 0, and what
            is wrong with it; None makes such lines errors.

    Raises:
        UserError: a file that cannot be read; a line with too few or too many cells or not in UTF-8, unless bad lines
            are received.
    """
    try:
        table = _parse(path, columns, suffix, pa.string(), bad_lines)
    except (pa.ArrowException, OSError) as error:
        if bad_lines is None or "UTF8" not in str(error):
            raise UserError(_explain(path, suffix, str(error))) from None
        bad_lines.clear()
        table = _drop_undecodable(_parse(path, columns, suffix, pa.binary(), bad_lines), bad_lines)
    return table if _has_quoted_cells(suffix) else _undo_quoting(table)


def _open(path: Path, suffix: str) -> IO[str]:
    if suffix.endswith(".gz"):
        with gzip.open(path, "rb") as unpacked:
            if unpacked.read(2) == b"\x1f\x8b":
                raise UserError(f"{path} is gzip within gzip: unpack it once (gzip -dc FILE > NEW_FILE)")
        return gzip.open(path, "rt", encoding="utf-8-sig", errors="replace", newline="")
    return open(path, encoding="utf-8-sig", errors="replace", newline="")


def _has_quoted_cells(suffix: str) -> bool:
    return DELIMITERS[suffix] == ","


def _quoting(suffix: str) -> Literal[0, 3]:  # the values of the two constants
    return csv.QUOTE_MINIMAL if _has_quoted_cells(suffix) else csv.QUOTE_NONE


def _parse(
    path: Path, columns: Sequence[str], suffix: str, kind: pa.DataType, bad_lines: dict[int, str] | None
) -> pa.Table:
    def skip(row: pa.csv.InvalidRow) -> str:
        if bad_lines is None:
            return "error"
        shown = row.text if len(row.text) < 100 else f"{row.text[:100]}…"
        bad_lines[row.number - 2] = f"{shown!r} has {row.actual_columns} cells, not {row.expected_columns}"
        return "skip"

    quoted = _has_quoted_cells(suffix)
    return pa.csv.read_csv(
        pa.input_stream(str(path), compression="gzip" if suffix.endswith(".gz") else None),
        # One thread: with several, errors do not say which row.
        pa.csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES),
        pa.csv.ParseOptions(
            delimiter=DELIMITERS[suffix], quote_char='"' if quoted else False, newlines_in_values=quoted,
            invalid_row_handler=None if bad_lines is None else skip,
        ),
        pa.csv.ConvertOptions(
            include_columns=list(columns),
            column_types=dict.fromkeys(columns, kind),
            strings_can_be_null=False,
        ),
    )  # fmt: skip


def _drop_undecodable(table: pa.Table, bad_lines: dict[int, str]) -> pa.Table:
    """The rows whose bytes are all UTF-8, as text; the positions of the others are added to ``bad_lines``."""
    kept = np.ones(table.num_rows, dtype=bool)
    for column in table.columns:
        for row, cell in enumerate(column.to_pylist()):
            try:
                cell.decode()
            except UnicodeDecodeError:
                kept[row] = False
    positions = np.delete(np.arange(table.num_rows + len(bad_lines)), sorted(bad_lines))
    bad_lines.update((int(positions[row]), "not UTF-8 text") for row in np.flatnonzero(~kept))
    table = table.filter(pa.array(kept))
    return table.cast(pa.schema([(name, pa.string()) for name in table.column_names]))


def _explain(path: Path, suffix: str, message: str) -> str:
    """An error of pyarrow, with the line and a remedy where it names a row."""
    found = re.search(r"Row #(\d+): (.*)", message, re.DOTALL)
    if not found:
        return f"{path} cannot be read: {message}"
    remedy = "correct the line"
    if _has_quoted_cells(suffix):
        remedy = "a cell with a comma, a line break or a quotation mark must be quoted"
    if "UTF8" in message:
        remedy = "save the file as UTF-8"
    shown = found[2] if len(found[2]) < 200 else f"{found[2][:200]}…"
    return f"{path}, line {line_number(path, int(found[1]) - 2, suffix)}: {shown!r}; {remedy}"


def _undo_quoting(table: pa.Table) -> pa.Table:
    """Cells without their quotes, if they were written by a program that quotes each cell with a quotation mark."""
    marked = [pc.match_substring(column, '"') for column in table.columns]
    quoted = [pc.match_substring_regex(column, r'^"(?:[^"]|"")*"$') for column in table.columns]
    if any(pc.any(pc.and_not(mark, quote)).as_py() for mark, quote in zip(marked, quoted, strict=True)):
        return table
    for index, (column, quote) in enumerate(zip(table.columns, quoted, strict=True)):
        if pc.any(quote).as_py():
            inner = pc.replace_substring(pc.utf8_slice_codeunits(column, 1, -1), '""', '"')
            table = table.set_column(index, table.column_names[index], pc.if_else(quote, inner, column))
    return table
