"""Large text files, plain or gzip: blocks of whole lines, read and unpacked in a thread of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from recbole_lecdsr.errors import UserError

BLOCK_BYTES = 16 << 20
_LONGEST_LINE = 256 << 20
_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"

Progress = Callable[[int], object]
"""Called with the number of bytes of the files that were read since its last call."""


def ignore_progress(n_bytes: int) -> None:
    """Do nothing: the `Progress` of work that shows none."""


@dataclass(frozen=True)
class Block:
    """Consecutive lines of a file.

    Attributes:
        first_line: number of the first line; the file's first line is 1.
        data: the bytes of the lines, including the end of the last one where the file has it.
    """

    first_line: int
    data: bytes

    def lines(self) -> Iterator[tuple[int, bytes]]:
        r"""Number and bytes of each line that is not blank, without white space around it.

        Example:
            >>> list(Block(7, b"a\r\n\nb").lines())
            [(7, b'a'), (9, b'b')]
        """
        for number, line in enumerate(self.data.split(b"\n"), self.first_line):
            if line := line.strip():
                yield number, line


def read_blocks(path: Path, progress: Progress = ignore_progress) -> Iterator[Block]:
    """The lines of a file in blocks of some megabytes; the next one is read while the caller works on a block.

    Whether a file is gzip is detected by its first bytes, not by its name. It may have several members.

    Args:
        path: the file.
        progress: called after each block.

    Raises:
        UserError: a file that does not exist, is empty or cannot be read; gzip that is cut short, damaged or within
            gzip; a line longer than any review.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist" if not path.exists() else f"{path} is not a file: name files")
    try:
        # A file of pyarrow, not of Python, so that reading and unpacking hold no lock that the caller needs.
        with pa.OSFile(str(path)) as raw, ThreadPoolExecutor(1) as thread:
            packed = raw.read(2) == _GZIP
            raw.seek(0)
            stream = pa.CompressedInputStream(raw, "gzip") if packed else raw
            reader = _split_at_lines(stream, path)
            next_block = thread.submit(next, reader, None)
            position = 0
            while (block := next_block.result()) is not None:
                new_position = raw.tell()
                next_block = thread.submit(next, reader, None)
                yield block
                progress(new_position - position)
                position = new_position
    except (OSError, pa.ArrowException) as error:
        if "runcated" in str(error):
            raise UserError(
                f"{path} ends in the middle of its gzip data, so it was not downloaded or copied in full: get it again"
            ) from None
        raise UserError(
            f"{path} cannot be read ({error}): get it again if it is damaged, otherwise check its permissions"
        ) from None


def _split_at_lines(stream: pa.NativeFile, path: Path) -> Iterator[Block]:
    line, rest = 1, b""
    while piece := stream.read(BLOCK_BYTES):
        if line == 1 and not rest:
            if piece.startswith(_GZIP):
                raise UserError(f"{path} is gzip within gzip: unpack it once (gzip -dc FILE > NEW_FILE)")
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
