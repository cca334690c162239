"""Cells that RecBole's reader misreads, and tokens that nobody can tell apart or that are too long."""

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
LONGEST_TOKEN = 256  # characters; arrays of tokens give each the width of the longest
_RESERVED = frozenset(RESERVED)
# A regular expression; the last character is a byte order mark.
CONTROL_CHARACTER = "[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]"
_CONTROL = re.compile(CONTROL_CHARACTER)
_QUOTED = re.compile(r'"([^"]|"")*"')


def refuse_unusable(
    path: str | Path,
    field: str,
    tokens: Iterable[str],
    field_separator: str = "\t",
    encoding: str | None = None,
    *,
    item_separator: str | None = None,
) -> None:
    """Refuse a file with a token that is a word of `RESERVED`, holds a control character, or is very long.

    A control character cannot be seen where the token is shown, and some are lost in arrays of text, so that two users
    would have one name. It may also end a line for one reader and not for another.

    Args:
        path: the atomic file.
        field: the column.
        tokens: its distinct values, or more.
        field_separator: one ASCII character.
        encoding: of the file; None: UTF-8.
        item_separator: what separates the tokens of a cell; None: a cell is a token.

    Raises:
        UserError: there is such a token; the error names the line of the first one.
    """
    problems = {token: found for token in tokens if (found := _find_problem(token))}
    if not problems:
        return
    with AtomicReader(path, field_separator, encoding) as reader:
        for first_line, block in reader.blocks():
            for line, (cell,) in reader.cells(first_line, block, [field]):
                for token in [cell] if item_separator is None else cell.split(item_separator):
                    if token in problems:
                        column = field if item_separator is None else f"an item of {field}"
                        problem, remedy = problems[token]
                        raise reader.error(line, f"{column} is {abbreviate(token)}, {problem}", remedy)


def _find_problem(token: str) -> tuple[str, str] | None:
    """What makes a token unusable, and what to do; None where nothing does."""
    if token in _RESERVED:
        return (
            "a word that RecBole takes for a missing cell or for padding",
            "rename it in every file of the data set, for instance by adding a prefix",
        )
    if len(token) > LONGEST_TOKEN:
        return (
            f"a token of {len(token):,} characters, more than {LONGEST_TOKEN}",
            "shorten it in every file of the data set, or number the tokens",
        )
    if not token.isprintable() and _CONTROL.search(token):
        return "a token with a control character", "remove the character in every file of the data set"
    return None


def refuse_quoted(
    path: str | Path, fields: Collection[str], field_separator: str = "\t", encoding: str | None = None
) -> None:
    """Refuse a file with a cell that RecBole's reader takes for the start of a quoted one and misreads.

    In the columns of tokens that is every cell that starts with a quotation mark. In the others it is one whose
    quotation does not end with the cell: reading fails, or the quotation swallows what follows, perhaps many rows.

    Args:
        path: the atomic file.
        fields: the columns of tokens.
        field_separator: one ASCII character.
        encoding: of the file; None: UTF-8.

    Raises:
        UserError: there is such a cell; the error names the line of the first one.
    """
    with AtomicReader(path, field_separator, encoding) as reader:
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
