"""An atomic file opened for reading: its header, checked, then blocks of lines.

Blocks are parsed by columns, which is fast, or line by line, which finds the line of an error.
"""

from __future__ import annotations

import codecs
import difflib
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import pyarrow as pa
import pyarrow.csv as pa_csv

from recbole_lecdsr.errors import UserError

TYPES = ("token", "token_seq", "float", "float_seq")
NUMBER = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)

_BLOCK = 32 << 20  # bytes parsed at once
_BOM = b"\xef\xbb\xbf"  # a byte order mark in UTF-8
_LONGEST_COLUMN = 1000  # characters; RecBole fails on a cell of 131,072
_CHUNK = 4 << 20  # bytes one thread parses; a line must fit in, else it is read line by line
_LONGEST_HEADER = 1 << 20


class AtomicReader:
    """An atomic file open for reading, its header checked.

    Args:
        path: the file.
        field_separator: one ASCII character.
        encoding: of the file; None: UTF-8, whatever the parameter ``encoding`` is.

    Attributes:
        path: the path of the file.
        file: the open file; not to be read where ``encoding`` is another one than UTF-8.
        header: field -> type, in the file's order.

    Raises:
        UserError: the separator is not one character; the file is missing, cannot be read or is empty; its first line
            is not a header of an atomic file, or not in this encoding.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "book.inter")
        ...     _ = path.write_text("user_id:token\\tage:float\\nu1\\t8\\n")
        ...     with AtomicReader(path) as reader:
        ...         print(reader.header, list(reader.blocks()))
        {'user_id': 'token', 'age': 'float'} [(2, b'u1\\t8\\n')]
    """

    def __init__(self, path: str | Path, field_separator: str = "\t", encoding: str | None = None):
        self.path = Path(path)
        self.separator = field_separator
        self._encoding = encoding
        if len(field_separator) != 1 or not field_separator.isascii() or field_separator in "\r\n":
            raise UserError(f"field_separator is {field_separator!r}: it must be one ASCII character, such as a tab")
        try:
            self.file: BinaryIO = self.path.open("rb")
        except FileNotFoundError as error:
            raise UserError(f"{self.path} does not exist; check the name and the data folder") from error
        except OSError as error:
            raise UserError(f"{self.path} cannot be read: {error.strerror}") from error
        try:
            is_utf_8 = encoding is None or codecs.lookup(encoding).name == "utf-8"
            self._stream: BinaryIO | _Recoded = self.file if is_utf_8 else _Recoded(self.file, str(encoding))
            self.header = self._read_header()
        except BaseException:
            self.file.close()
            raise

    def __enter__(self) -> AtomicReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.file.close()

    def error(self, line: int, problem: str, remedy: str) -> UserError:
        """The error that names this file, a line of it, what is wrong there, and what to do."""
        return UserError(f"{self.path}, line {line}: {problem}; {remedy}")

    def _read_header(self) -> dict[str, str]:
        line = self._read_line()
        remedy = f"the first line must be a header such as user_id:token{self.separator}item_id:token"
        if not line:
            raise self.error(1, "the file is empty", remedy)
        try:
            text = line.rstrip(b"\r\n").decode()
        except UnicodeDecodeError as error:
            raise self._undecodable(1, line[error.start : error.start + 8]) from error
        if line.startswith(_BOM):
            raise self.error(1, "it begins with a byte order mark", "save the file as UTF-8 without one")
        if "\r" in text:
            raise self.error(1, "it contains a carriage return", "end lines by a line feed")
        header: dict[str, str] = {}
        for column in text.split(self.separator):
            name, _, kind = column.partition(":")
            if not name or kind not in TYPES:
                raise self.error(1, f"{abbreviate(column)} is not name:type with a type of {', '.join(TYPES)}", remedy)
            if len(column) > _LONGEST_COLUMN:
                raise self.error(1, f"a column has a name of {len(column):,} characters", "shorten it")
            if name.startswith('"'):
                problem = f"RecBole takes the quotation mark of {abbreviate(column)} for the start of a quoted cell"
                raise self.error(1, problem, "remove the mark")
            if name in header:
                raise self.error(1, f"the column {name!r} occurs twice", "rename or remove one")
            header[name] = kind
        return header

    def require(self, columns: Mapping[str, str]) -> None:
        """Check that the file has some columns.

        Args:
            columns: field -> type.

        Raises:
            UserError: a column is missing or of another type.
        """
        for name, kind in columns.items():
            if name not in self.header:
                near = difflib.get_close_matches(name, self.header, n=1, cutoff=0.5)
                hint = f" (nearest: {near[0]!r})" if near else ""
                raise self.error(
                    1,
                    f"there is no column {name!r}, only {', '.join(self.header)}{hint}",
                    "rename the column, or set the field's name",
                )
            if self.header[name] != kind:
                raise self.error(
                    1, f"the column {name!r} is of type {self.header[name]!r}", f"it must be {name}:{kind}"
                )

    def blocks(self) -> Iterator[tuple[int, bytes]]:
        """All rows after the header, in blocks of whole lines.

        Yields:
            the number of the block's first line in the file, and the block, valid UTF-8.

        Raises:
            UserError: bytes that are not in the encoding of the file, or an error of the disk.
        """
        self._stream.seek(0)
        self._read_line()
        line, rest = 2, b""
        while piece := self._read(_BLOCK):
            cut = piece.rfind(b"\n") + 1
            if cut:
                block, rest = rest + piece[:cut], piece[cut:]
                self._check_text(line, block)
                yield line, block
                line += _count_lines(block)
            else:
                rest += piece
        if rest:
            self._check_text(line, rest)
            yield line, rest

    def _read_line(self) -> bytes:
        return self._guard(self._stream.readline, _LONGEST_HEADER)

    def _read(self, size: int) -> bytes:
        return self._guard(self._stream.read, size)

    def _guard(self, read: Callable[[int], bytes], size: int) -> bytes:
        try:
            return read(size)
        except OSError as error:
            raise UserError(f"{self.path} cannot be read: {error.strerror}") from error
        except UnicodeError as error:
            with self.path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    try:
                        line.decode(str(self._encoding))
                    except UnicodeError as found:
                        start = found.start if isinstance(found, UnicodeDecodeError) else 0
                        raise self._undecodable(number, line[start : start + 8]) from error
            raise UserError(f"{self.path} is not {self._encoding} ({error}): save it as UTF-8") from error

    def _undecodable(self, line: int, seen: bytes) -> UserError:
        """The error about bytes that are not in the encoding of the file."""
        remedy = "save the file as UTF-8" if self._encoding is None else "save the file in it, or set encoding"
        known = "UTF-8" if self._stream is self.file else self._encoding
        return self.error(line, f"{abbreviate(seen)} is not {known}", remedy)

    def _check_text(self, first_line: int, block: bytes) -> None:
        try:
            if not block.isascii():
                block.decode()
        except UnicodeDecodeError as error:
            line = first_line + _count_lines(block[: error.start])
            raise self._undecodable(line, block[error.start : error.start + 8]) from error

    def table(self, block: bytes, types: Mapping[str, pa.DataType]) -> pa.Table:
        """Parse columns of a block at once.

        Args:
            block: whole lines.
            types: field -> type of its column.

        Raises:
            pa.ArrowInvalid: something is wrong or unusual; `cells` finds out what.
        """
        if block.startswith(_BOM):  # which Arrow would leave out as that of a file
            block = b"\n" + block
        return pa_csv.read_csv(
            pa.BufferReader(block),
            pa_csv.ReadOptions(column_names=list(self.header), block_size=_CHUNK),
            pa_csv.ParseOptions(delimiter=self.separator, quote_char=False),
            pa_csv.ConvertOptions(
                include_columns=list(types), column_types=dict(types), null_values=[], check_utf8=False
            ),
        )

    def cells(self, first_line: int, block: bytes, names: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
        """Split a block line by line.

        Args:
            first_line: number of the block's first line.
            block: whole lines.
            names: the columns wanted.

        Yields:
            number and cells of each line that is not empty.

        Raises:
            UserError: a line has too few or too many fields.
        """
        indices = [list(self.header).index(name) for name in names]
        for line, row in enumerate(block.splitlines(), first_line):
            if not row:
                continue
            fields = row.decode().split(self.separator)
            if len(fields) != len(self.header):
                raise self.error(
                    line,
                    f"{len(fields)} fields where the header has {len(self.header)}: {abbreviate(row.decode())}",
                    f"fields are separated by {self.separator!r}; correct or delete the line",
                )
            yield line, [fields[index] for index in indices]

    def find_lines(self, field: str, token: str) -> list[int]:
        """Numbers of the lines in which the field is this token."""
        return [
            line
            for first_line, block in self.blocks()
            for line, (found,) in self.cells(first_line, block, [field])
            if found == token
        ]


class _Recoded:
    """A file in another encoding, read as UTF-8."""

    def __init__(self, file: BinaryIO, encoding: str):
        self._text = io.TextIOWrapper(file, encoding, newline="\n")

    def seek(self, position: int) -> int:
        """Continue at the start: 0 is the only position."""
        return self._text.seek(position)

    def readline(self, size: int) -> bytes:
        """The next line, or ``size`` characters of it."""
        return self._text.readline(size).encode()

    def read(self, size: int) -> bytes:
        """At most ``size`` characters."""
        return self._text.read(size).encode()


def _count_lines(text: bytes) -> int:
    ends = text.count(b"\n")
    return ends + text.count(b"\r") - text.count(b"\r\n") if b"\r" in text else ends


def abbreviate(value: object) -> str:
    """The representation of a value for an error message, cut after 77 characters.

    Example:
        >>> abbreviate("u1")
        "'u1'"
        >>> len(abbreviate("x" * 1000))
        80
    """
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
