"""Cells that RecBole's reader misreads: words that mean a missing cell to pandas, and opening quotation marks."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path

from recbole_lecdsr.data.atomic_files.reader import AtomicReader, abbreviate

# What pandas, with which RecBole reads atomic files, takes for a missing cell, and RecBole's token of id 0.
RESERVED = (
    "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA", "NULL",
    "NaN", "None", "n/a", "nan", "null", "[PAD]",
)  # fmt: skip
_RESERVED = frozenset(RESERVED)
_QUOTED = re.compile(r'"([^"]|"")*"')


def refuse_reserved(path: str | Path, field: str, tokens: Iterable[str], field_separator: str = "\t") -> None:
    """Refuse a file with a token that is a word of `RESERVED`.

    Args:
        path: the atomic file.
        field: the column.
        tokens: its distinct values.
        field_separator: one ASCII character.

    Raises:
        UserError: there is such a token; the error names the line of the first one.
    """
    found = _RESERVED.intersection(tokens)
    if not found:
        return
    with AtomicReader(path, field_separator) as reader:
        line, token = min((reader.find_lines(field, token)[0], token) for token in found)
        raise reader.error(
            line,
            f"{field} is {abbreviate(token)}, a word that RecBole takes for a missing cell or for padding",
            "rename it in every file of the data set, for instance by adding a prefix",
        )


def refuse_quoted(path: str | Path, fields: Collection[str], field_separator: str = "\t") -> None:
    """Refuse a file with a cell that RecBole's reader takes for the start of a quoted one and misreads.

    In the columns of tokens that is every cell that starts with a quotation mark. In the others it is one whose
    quotation does not end with the cell: reading fails, or the quotation swallows what follows, perhaps many rows.

    Args:
        path: the atomic file.
        fields: the columns of tokens.
        field_separator: one ASCII character.

    Raises:
        UserError: there is such a cell; the error names the line of the first one.
    """
    with AtomicReader(path, field_separator) as reader:
        opened = field_separator.encode() + b'"'
        for first_line, block in reader.blocks():
            # Searching for bytes costs next to nothing compared with parsing.
            if opened not in block and b'\n"' not in block and b'\r"' not in block and not block.startswith(b'"'):
                continue
            for line, cells in reader.cells(first_line, block, list(reader.header)):
                for field, cell in zip(reader.header, cells, strict=True):
                    if cell.startswith('"') and (field in fields or not _QUOTED.fullmatch(cell)):
                        raise reader.error(
                            line,
                            f"{field} is {abbreviate(cell)}, and RecBole takes the quotation mark for the start of a "
                            "quoted cell",
                            "remove the mark or put a character before it",
                        )
