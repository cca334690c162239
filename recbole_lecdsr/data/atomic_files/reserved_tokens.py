"""Cells that RecBole's reader takes for something else: pandas' words for a missing cell, opening quotation marks."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path

from recbole_lecdsr.data.atomic_files.reader import AtomicReader, shown

# What pandas, by which RecBole reads atomic files, takes for a missing cell, and RecBole's name of id 0.
RESERVED = (
    "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA", "NULL",
    "NaN", "None", "n/a", "nan", "null", "[PAD]",
)  # fmt: skip
_RESERVED = frozenset(RESERVED)
_QUOTED = re.compile(r'"([^"]|"")*"')


def refuse_reserved(path: str | Path, field: str, tokens: Iterable[str], field_separator: str = "\t") -> None:
    """Refuse a file one of whose tokens is a word of `RESERVED`.

    Args:
        path: the atomic file.
        field: the column.
        tokens: its distinct values.
        field_separator: of the file.

    Raises:
        UserError: with the line of the first such token.
    """
    found = _RESERVED.intersection(tokens)
    if not found:
        return
    with AtomicReader(path, field_separator) as reader:
        line, token = min((reader.lines_of(field, token)[0], token) for token in found)
        raise reader.fault(
            line,
            f"{field} is {shown(token)}, a word that RecBole takes for a missing cell or for padding",
            "rename it in every file of the data set, by a prefix for instance",
        )


def refuse_quoted(path: str | Path, fields: Collection[str], field_separator: str = "\t") -> None:
    """Refuse a file with a cell that RecBole's reader takes for a quoted one and reads otherwise than it stands there.

    In ``fields`` that is every cell that starts with a quotation mark, in the other columns one whose quotation does
    not end with the cell: reading fails, or what follows is swallowed, rows later perhaps.

    Args:
        path: the atomic file.
        fields: the columns of tokens.
        field_separator: of the file.

    Raises:
        UserError: with the line of the first such cell.
    """
    with AtomicReader(path, field_separator) as reader:
        opened = field_separator.encode() + b'"'
        for first_line, block in reader.blocks():
            # Searches for bytes cost next to nothing beside parsing.
            if opened not in block and b'\n"' not in block and b'\r"' not in block and not block.startswith(b'"'):
                continue
            for line, cells in reader.cells(first_line, block, list(reader.header)):
                for field, cell in zip(reader.header, cells, strict=True):
                    if cell.startswith('"') and (field in fields or not _QUOTED.fullmatch(cell)):
                        raise reader.fault(
                            line,
                            f"{field} is {shown(cell)}, and RecBole takes the quotation mark for the start of a quoted "
                            "cell",
                            "take the mark away or put a character before it",
                        )
