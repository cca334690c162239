"""Delimited files, plain or gzip: their header, columns as text, and the number of the line of a row."""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from recbole_lecdsr.errors import UserError

TAB = "\t"
# What reading may raise; the last one where bytes within a gzip file were changed.
READ_ERRORS = (OSError, EOFError, csv.Error, zlib.error)
BLOCK_BYTES = 16 << 20  # a row must fit into one block
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Dialect:
    """How a file is written.

    Attributes:
        delimiter: one ASCII character between cells. Among tabs a quotation mark is a character like any other; cells
            between other delimiters may be quoted (RFC 4180).
        compressed: whether the file is gzip.
    """

    delimiter: str
    compressed: bool = False

    @property
    def quoted(self) -> bool:
        """Whether cells may be quoted."""
        return self.delimiter != TAB

    @property
    def quoting(self) -> Literal[0, 3]:  # the values of the two constants
        """The same, as the csv module says it."""
        return csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE


def read_header(path: Path, dialect: Dialect) -> list[str]:
    """Cells of the first line; empty for an empty file.

    Args:
        path: the file.
        dialect: how it is written.

    Raises:
        READ_ERRORS: a file that cannot be read.
        UserError: gzip within gzip.
    """
    with _open(path, dialect) as file, _long_cells():
        lines = (line.replace("\0", "\ufffd") for line in file)  # Python 3.10 reads no NUL, which UTF-16 is full of
        return next(csv.reader(lines, delimiter=dialect.delimiter, quoting=dialect.quoting), [])


def line_number(path: Path, row: int, dialect: Dialect) -> int:
    """Number of the line on which a row starts; more than ``row + 2`` after blank lines and quoted line breaks.

    Args:
        path: the file.
        row: its position, counted from 0 after the header and together with bad lines.
        dialect: how the file is written.
    """
    line, current = 1, -2  # the header is row -1
    try:
        with _open(path, dialect) as file, _long_cells():
            reader = csv.reader(file, delimiter=dialect.delimiter, quoting=dialect.quoting)
            for cells in reader:
                current += bool(cells)
                if cells and current == row:
                    return line
                line = reader.line_num + 1
    except READ_ERRORS:  # damage further on, or what only pyarrow reads
        pass
    return row + 2


@contextmanager
def _long_cells() -> Iterator[None]:
    """Let the csv module read cells as long as pyarrow does."""
    before = csv.field_size_limit(BLOCK_BYTES)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def read_columns(path: Path, columns: Sequence[str], dialect: Dialect, bad_lines: dict[int, str] | None) -> pa.Table:
    """Columns of a file as text.

    Args:
        path: the file.
        columns: their names.
        dialect: how the file is written.
        bad_lines: receives the position of each line that is no row, counted together with the rows from 0, and what
            is wrong with it; None makes such lines errors.

    Raises:
        UserError: a file that cannot be read; a line with too few or too many cells or not in UTF-8, unless bad lines
            are received.
    """
    try:
        table = _parse(path, columns, dialect)
    except (pa.ArrowException, OSError) as error:
        # Bytes that are not UTF-8 cannot be handed over together with a bad line: all are read as Latin-1.
        if bad_lines is None or not ("UTF8" in str(error) or re.search(r"Row #\d+: Expected", str(error))):
            raise UserError(_explain(path, dialect, str(error))) from None
        try:
            table = _drop_undecodable(_parse(path, columns, dialect, bad_lines), bad_lines)
        except (pa.ArrowException, OSError) as damage:
            raise UserError(_explain(path, dialect, str(damage))) from None
    return table if dialect.quoted else _undo_quoting(table)


def _open(path: Path, dialect: Dialect) -> IO[str]:
    if dialect.compressed:
        with gzip.open(path, "rb") as unpacked:
            if unpacked.read(2) == b"\x1f\x8b":
                raise UserError(f"{path} is gzip within gzip: unpack it once (gzip -dc FILE > NEW_FILE)")
        return gzip.open(path, "rt", encoding="utf-8-sig", errors="replace", newline="")
    return open(path, encoding="utf-8-sig", errors="replace", newline="")


def _parse(path: Path, columns: Sequence[str], dialect: Dialect, bad_lines: dict[int, str] | None = None) -> pa.Table:
    """Columns of a file as text; with ``bad_lines``, which receives the bad ones, of Latin-1 characters for bytes."""

    found: dict[int, str] = {} if bad_lines is None else bad_lines

    def skip(row: pa.csv.InvalidRow) -> str:
        text = _undo_latin(row.text, "replace")
        shown = text if len(text) < 100 else f"{text[:100]}…"
        found[row.number - 2] = f"{shown!r} has {row.actual_columns} cells, not {row.expected_columns}"
        return "skip"

    compression = "gzip" if dialect.compressed else None
    names = {name: name if bad_lines is None else name.encode().decode("latin-1") for name in columns}
    stream = pa.input_stream(str(path), compression=compression)
    if bad_lines is not None and stream.read(len(_BOM)) != _BOM:
        stream = pa.input_stream(str(path), compression=compression)
    table = pa.csv.read_csv(
        stream,
        # One thread: with several, errors do not say which row.
        pa.csv.ReadOptions(
            use_threads=False, block_size=BLOCK_BYTES, encoding="utf8" if bad_lines is None else "latin-1"
        ),
        pa.csv.ParseOptions(
            delimiter=dialect.delimiter, quote_char='"' if dialect.quoted else False,
            newlines_in_values=dialect.quoted,
            invalid_row_handler=None if bad_lines is None else skip,
        ),
        pa.csv.ConvertOptions(
            include_columns=list(names.values()),
            column_types=dict.fromkeys(names.values(), pa.string()),
            strings_can_be_null=False,
        ),
    )  # fmt: skip
    return table.rename_columns(list(names))


def _drop_undecodable(table: pa.Table, bad_lines: dict[int, str]) -> pa.Table:
    """The rows whose bytes are all UTF-8, as text; the positions of the others are added to ``bad_lines``.

    Args:
        table: text with a Latin-1 character for each byte.
        bad_lines: the lines that were left out already.
    """
    kept = np.ones(table.num_rows, dtype=bool)
    columns = []
    for column in table.columns:
        if not pc.all(pc.string_is_ascii(column)).as_py():
            texts = column.to_pylist()
            for row in np.flatnonzero(~pc.string_is_ascii(column).to_numpy()):
                try:
                    texts[row] = _undo_latin(texts[row])
                except UnicodeDecodeError:
                    kept[row] = False
            column = pa.chunked_array([texts], pa.string())
        columns.append(column)
    positions = np.delete(np.arange(table.num_rows + len(bad_lines)), sorted(bad_lines))
    bad_lines.update((int(positions[row]), "not UTF-8 text") for row in np.flatnonzero(~kept))
    return pa.table(columns, names=table.column_names).filter(pa.array(kept))


def _undo_latin(text: str, errors: str = "strict") -> str:
    return text.encode("latin-1").decode("utf-8", errors)


def _explain(path: Path, dialect: Dialect, message: str) -> str:
    """An error of pyarrow, with the line and a remedy where it names a row."""
    found = re.search(r"Row #(\d+): (.*)", message, re.DOTALL)
    if not found:
        return f"{path} cannot be read: {message}"
    remedy = "correct the line"
    if dialect.quoted:
        sign = "comma" if dialect.delimiter == "," else f"{dialect.delimiter!r}"
        remedy = f"a cell with a {sign}, a line break or a quotation mark must be quoted"
    if "UTF8" in message:
        remedy = "save the file as UTF-8"
    shown = found[2] if len(found[2]) < 200 else f"{found[2][:200]}…"
    return f"{path}, line {line_number(path, int(found[1]) - 2, dialect)}: {shown!r}; {remedy}"


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
