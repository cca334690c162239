"""Where a table comes from: a delimited file, a Parquet file, or a data frame in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.table import delimited, parquet
from recbole_lecdsr.prepare.table.arrow_text import to_text
from recbole_lecdsr.prepare.table.delimited import TAB, Dialect

_DELIMITERS = {".csv": ",", ".csv.gz": ",", ".tsv": TAB, ".tsv.gz": TAB}
_PARQUET = ".parquet"
SUFFIXES = (*_DELIMITERS, _PARQUET)
_USUAL_DELIMITERS = (",", ";", TAB, "|")

Table = str | Path | Any
"""A table as users give it: the path of a file, or a data frame of pandas, polars or pyarrow."""


@dataclass(frozen=True)
class TablePart:
    """Rows of one source.

    Attributes:
        label: of the source, for messages: the path of the file, or what frame it is.
        columns: key -> column of text; missing cells are empty.
        names: key -> name of the column in the source.
        place: line or row, as ``line 7``, of a row by its position, counted from 0 together with skipped lines.
        skipped: (s,) positions of lines that were left out because they are no rows, ascending.
        report: where the first of these lines is and what is wrong with it; empty without one.
    """

    label: str
    columns: pa.Table
    names: Mapping[str, str]
    place: Callable[[int], str]
    skipped: np.ndarray
    report: str = ""

    def locate(self, row: int) -> str:
        """Source and line of a row of `columns`."""
        for position in self.skipped:
            row += int(position) <= row
        return f"{self.label}, {self.place(row)}"


class TableSource(ABC):
    """A table that has not been read yet.

    Attributes:
        label: of the source, for messages.
    """

    label: str

    @property
    def note(self) -> str:
        """How it is read, where that was recognised; for the user."""
        return ""

    @abstractmethod
    def read_header(self) -> list[str]:
        """Names of the columns.

        Raises:
            UserError: a source that cannot be read.
        """

    @abstractmethod
    def read(self, columns: Mapping[str, str], skip_bad_lines: bool) -> TablePart:
        """Read columns.

        Args:
            columns: key -> name of the column, which the header has once.
            skip_bad_lines: leave out lines that are no rows instead of stopping at the first.

        Raises:
            UserError: a source that cannot be read, a line that is no row, or a column that holds no plain text.
        """


class FileSource(TableSource):
    """A file, whose format follows from its name.

    Args:
        path: of the file.
        separator: between cells, whatever the suffix; .tsv and .parquet stay what they are. None: by the suffix, unless
            the header of a .csv has no comma, but one of the other usual separators.

    Raises:
        UserError: another suffix than `SUFFIXES` without a separator.
    """

    def __init__(self, path: str | Path, separator: str | None = None) -> None:
        self.path, self.label = Path(path), str(path)
        self._dialect, self._is_given = _choose_dialect(self.path, separator), separator is not None

    @property
    def note(self) -> str:
        """The separator, if it is neither that of the suffix nor given."""
        self.read_header()
        unusual = self._dialect is not None and self._dialect.delimiter not in (",", TAB) and not self._is_given
        return f"cells separated by {self._dialect.delimiter!r}" if self._dialect and unusual else ""

    def read_header(self) -> list[str]:
        """Names of the columns; see `TableSource`."""
        path = self.path
        if not path.is_file():
            raise UserError(f"{path} does not exist" if not path.exists() else f"{path} is not a file: name files")
        try:
            if self._dialect is None:
                return parquet.read_header(path)
            names = delimited.read_header(path, self._dialect)
        except (*delimited.READ_ERRORS, pa.ArrowException, UnicodeDecodeError) as error:
            kind = "parquet" if self._dialect is None else "a table of text"
            raise UserError(f"{path} cannot be read as {kind}: {error}") from None
        if not names:
            raise UserError(f"{path} is empty: its first line must name the columns")
        if any("\ufffd" in name for name in names):
            raise UserError(f"{path}, line 1: not UTF-8 text; save the file as UTF-8")
        other = [delimiter for delimiter in _USUAL_DELIMITERS if delimiter in names[0]] if len(names) == 1 else []
        if len(other) == 1 and other[0] != self._dialect.delimiter:
            self._change_delimiter(names[0], other[0])
            return self.read_header()
        return names

    def _change_delimiter(self, header: str, delimiter: str) -> None:
        """Take the separator that the header of a .csv has instead of commas; refuse any other contradiction."""
        if self._dialect is not None and self._dialect.delimiter == "," and not self._is_given:
            self._dialect = replace(self._dialect, delimiter=delimiter)
            return
        how = "leave out --sep, or give another" if self._is_given else "rename it to .csv"
        raise UserError(
            f"{self.path}, line 1: one column, {header!r}, whose cells seem to be separated by {delimiter!r}: {how}"
        )

    def read(self, columns: Mapping[str, str], skip_bad_lines: bool) -> TablePart:
        """Read columns; see `TableSource`."""
        wanted = list(dict.fromkeys(columns.values()))
        bad_lines: dict[int, str] = {}
        if self._dialect is None:
            table = parquet.read_columns(self.path, wanted)
        else:
            table = delimited.read_columns(self.path, wanted, self._dialect, bad_lines if skip_bad_lines else None)
        return TablePart(
            label=self.label,
            columns=pa.table({key: table[name] for key, name in columns.items()}),
            names=columns,
            place=self._place,
            skipped=np.array(sorted(bad_lines), dtype=np.int64),
            report=self._report(bad_lines),
        )

    def _place(self, position: int) -> str:
        """The header is line 1; rows of Parquet are counted from 1."""
        if self._dialect is None:
            return f"row {position + 1}"
        return f"line {delimited.line_number(self.path, position, self._dialect)}"

    def _report(self, bad_lines: Mapping[int, str]) -> str:
        if not bad_lines:
            return ""
        first, more = min(bad_lines), f" (and {len(bad_lines) - 1:,} more lines)" if len(bad_lines) > 1 else ""
        return f"{self.path}, {self._place(first)}: {bad_lines[first]}{more}"


class FrameSource(TableSource):
    """A data frame of pandas or polars, or a table of pyarrow.

    Args:
        frame: the frame; its index is not read.
        label: what frame it is, for messages.

    Raises:
        UserError: not a data frame.
    """

    def __init__(self, frame: Any, label: str) -> None:
        if not isinstance(frame, (pd.DataFrame, pa.Table)) and not hasattr(frame, "to_arrow"):
            raise UserError(
                f"{label} is of type {type(frame).__name__}: give a data frame of pandas or polars, or a pyarrow table"
            )
        self._frame, self.label = frame, label

    def read_header(self) -> list[str]:
        """Names of the columns; see `TableSource`."""
        names = self._frame.column_names if isinstance(self._frame, pa.Table) else self._frame.columns
        return [str(name) for name in names]

    def read(self, columns: Mapping[str, str], skip_bad_lines: bool) -> TablePart:
        """Read columns; see `TableSource`. A frame has no lines that are no rows."""
        texts = {key: to_text(self._take(name), self.label, name) for key, name in columns.items()}
        return TablePart(self.label, pa.table(texts), columns, _place_of_row, np.zeros(0, dtype=np.int64))

    def _take(self, name: str) -> pa.ChunkedArray:
        frame, position = self._frame, self.read_header().index(name)
        if isinstance(frame, pa.Table):
            return frame.column(position)
        if not isinstance(frame, pd.DataFrame):
            return frame.select([name]).to_arrow().column(0)
        try:
            return pa.chunked_array(pa.Table.from_pandas(frame.iloc[:, [position]], preserve_index=False).column(0))
        except pa.ArrowException as error:
            reason = str(error.args[0] if error.args else error)
            raise UserError(
                f"{self.label}: column {name!r} mixes types ({reason}): convert it to text, such as by .astype(str)"
            ) from None


def open_sources(tables: Sequence[Table], separator: str | None, label: str) -> list[TableSource]:
    """Sources of tables that follow one another.

    Args:
        tables: files or frames.
        separator: of `FileSource`.
        label: what the frames are, for messages.
    """
    return [
        FileSource(table, separator) if isinstance(table, (str, Path)) else FrameSource(table, label)
        for table in tables
    ]  # fmt: skip


def files_of(sources: Iterable[TableSource]) -> list[Path]:
    """The files among some sources."""
    return [source.path for source in sources if isinstance(source, FileSource)]


def _place_of_row(position: int) -> str:
    return f"row {position + 1}"


def _choose_dialect(path: Path, separator: str | None) -> Dialect | None:
    """How the text of a file is written; None for Parquet."""
    name = path.name.lower()
    if name.endswith(_PARQUET):
        return None
    compressed = name.endswith(".gz")
    if name.removesuffix(".gz").endswith(".tsv"):
        return Dialect(TAB, compressed)
    if separator is not None:
        if len(separator.encode()) != 1 or separator in '"\r\n\0':
            raise UserError(f"--sep {separator!r} is not possible: give one ASCII character, such as --sep ';'")
        return Dialect(separator, compressed)
    for suffix, delimiter in _DELIMITERS.items():
        if name.endswith(suffix):
            return Dialect(delimiter, compressed)
    raise UserError(
        f"{path} has none of the suffixes {', '.join(SUFFIXES)}, by which the format of a file is recognized: rename "
        "it, or give the character between cells, such as --sep ';'"
    )
