"""Checks of the first lines of a file: is it of the edition and kind that the user says?"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TypeVar

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.amazon.editions import EDITIONS, FIRST_MILLISECOND, Edition
from recbole_lecdsr.prepare.amazon.line_blocks import Block
from recbole_lecdsr.prepare.amazon.parsing import parse_csv_line, parse_json_line, to_number

_N_HEAD_LINES = 200  # looked at to tell editions apart
_ASIN = re.compile(r"[0-9A-Z]{10}")
T = TypeVar("T")


def is_csv(path: Path, block: Block) -> bool:
    """Whether a file holds ratings as CSV, not reviews as lines of JSON: by its name, else by its first character."""
    name = path.name.lower().removesuffix(".gz")
    if name.endswith((".csv", ".json", ".jsonl", ".ndjson")):
        return name.endswith(".csv")
    return not block.data.lstrip().startswith(b"{")


def check_reviews(path: Path, edition: Edition, block: Block) -> None:
    """Refuse a file of reviews in lines of JSON that is clearly of another edition or kind.

    Args:
        path: the file, for the error.
        edition: that it should be of.
        block: its first lines.

    Raises:
        UserError: no line has the edition's keys; or lines have those of another edition, or of metadata.
    """
    reviews = _parse_head(block, _parse_dict)
    if not reviews:
        return  # errors about the single lines say more
    heads = [(line, frozenset(map(str, review))) for line, review in reviews]
    # A few lines may lack a key.
    line, keys = next(((line, keys) for line, keys in heads if set(edition.review_keys) <= keys), heads[0])
    absent = [key for key in edition.review_keys if key not in keys]
    fitting = [other for other in EDITIONS.values() if set(other.review_keys) <= keys]
    fitting = [other for other in fitting if other.distinctive_key in keys] or fitting
    if fitting and edition not in fitting:
        seen = fitting[0].review_keys.user if absent else fitting[0].distinctive_key
        raise _wrong_edition(path, line, edition, fitting, f"the line has {seen!r}")
    is_metadata = "rating" not in keys and any(
        {other.metadata_keys.item, "title"} <= keys for other in EDITIONS.values()
    )
    if absent and is_metadata:
        raise UserError(
            f"{path}, line {line}: no {absent[0]!r} but a 'title', as in a file of metadata: name it with --meta, and "
            f"reviews such as {edition.json_example} or {edition.csv_example} with --source and --target"
        )
    if absent:
        raise UserError(
            f"{path}, line {line}: no key {absent[0]!r}, only {_list_names(sorted(keys))}: is it a file of reviews of "
            f"the edition {edition.year}, such as {edition.json_example}? --edition names another"
        )
    _check_unit_of_time(path, edition, [(line, review.get(edition.review_keys.time)) for line, review in reviews])


def check_metadata(path: Path, edition: Edition, block: Block) -> None:
    """Refuse a file of metadata that is clearly of another edition or kind.

    Args:
        path: the file, for the error.
        edition: that it should be of.
        block: its first lines.

    Raises:
        UserError: the lines have the keys of reviews or of another edition, or none names an item.
    """
    heads = [(line, frozenset(map(str, item))) for line, item in _parse_head(block, _parse_dict)]
    if not heads:
        return
    key = edition.metadata_keys
    line, keys = next(((line, keys) for line, keys in heads if key.item in keys and "title" in keys), heads[0])
    if {"reviewerID", "user_id"} & keys:
        raise UserError(
            f"{path}, line {line}: a review, not metadata: name files of reviews with --source and --target, and "
            f"metadata such as {edition.metadata_example} with --meta"
        )
    # Some items have no title, but nearly every line has the keys of item and categories.
    seen = {name for _, keys in heads for name in keys}
    if key.item in seen and key.categories in seen:
        return
    for other in EDITIONS.values():
        other_key = other.metadata_keys
        if other.year != edition.year and {other_key.item, other_key.categories} <= seen:
            found = f"it has {other_key.item!r} and {other_key.categories!r}"
            raise _wrong_edition(path, line, edition, [other], found)
    if key.item not in seen:
        raise UserError(
            f"{path}, line {line}: no key {key.item!r}, only {_list_names(sorted(keys))}: is it a file of metadata of "
            f"the edition {edition.year}, such as {edition.metadata_example}?"
        )


def read_csv_columns(path: Path, edition: Edition, block: Block) -> tuple[list[str], Block]:
    """Find the columns of a file of ratings.

    Args:
        path: the file, for the error.
        edition: that it should be of.
        block: its first lines.

    Returns:
        The names of the columns, and the block without the header.

    Raises:
        UserError: a file of another edition, by its header, the order of its columns or its unit of time; or a column
            is missing.
    """
    lines = _parse_head(block, parse_csv_line)
    if not lines:
        return list(edition.csv_columns), block
    line, first = lines[0]
    header = [] if any(to_number(cell) is not None for cell in first) else first
    if edition.has_header:
        return _read_header(path, edition, block, line=line, first=first, header=header)
    if {"user_id", "parent_asin"} <= set(header):
        raise _wrong_edition(path, line, edition, [EDITIONS["2023"]], f"a header names {_list_names(header)}")
    rows = [(number, row) for number, row in lines if len(row) == 4]
    if not rows:
        raise UserError(
            f"{path}, line {line}: {len(first)} columns ({_list_names(first)}), not the four of "
            f"{edition.csv_example}: is it a file of ratings?"
        )
    _check_unit_of_time(path, edition, [(line, row[3]) for line, row in rows])
    found = _find_first_column([row for _, row in rows])
    if found and found != edition.csv_columns[0]:
        others = _editions_without_header(found)
        raise _wrong_edition(path, line, edition, others, f"the {found} comes first ({_list_names(first)})")
    return list(edition.csv_columns), block


def _read_header(
    path: Path, edition: Edition, block: Block, *, line: int, first: list[str], header: list[str]
) -> tuple[list[str], Block]:
    if not header:
        others = _editions_without_header(_find_first_column([first]))
        raise _wrong_edition(path, line, edition, others, f"no header names its columns ({_list_names(first)})")
    absent = [name for name in edition.csv_keys if name not in header]
    if absent:
        raise UserError(
            f"{path}, line {line}: no column {absent[0]!r}, only {_list_names(header)}: is it a file of ratings of the "
            f"edition {edition.year}, such as {edition.csv_example}?"
        )
    for name in edition.csv_keys:
        if header.count(name) > 1:
            raise UserError(f"{path}, line {line}: {header.count(name)} columns {name!r}: rename all but one")
    end = block.data.find(b"\n", len(block.data) - len(block.data.lstrip())) + 1 or len(block.data)
    rest = Block(block.first_line + block.data[:end].count(b"\n"), block.data[end:])
    column = header.index(edition.csv_keys.time)
    rows = _parse_head(rest, parse_csv_line)
    _check_unit_of_time(path, edition, [(number, row[column]) for number, row in rows if len(row) > column])
    return header, rest


def _editions_without_header(first_column: str) -> list[Edition]:
    """Editions whose ratings have no header and this first column, or any where it is empty, for unknown."""
    return [
        edition
        for edition in EDITIONS.values()
        if not edition.has_header and first_column in ("", edition.csv_columns[0])
    ]


def _find_first_column(rows: Sequence[Sequence[str]]) -> str:
    """``user`` or ``item``: what most rows have first; empty if that is not clear. An ASIN has ten characters."""
    asin = [[bool(_ASIN.fullmatch(cell)) for cell in row[:2]] for row in rows if len(row) > 1]
    item_first = sum(first and not second for first, second in asin)
    user_first = sum(second and not first for first, second in asin)
    if item_first == user_first:
        return ""
    return "item" if item_first > user_first else "user"


def _check_unit_of_time(path: Path, edition: Edition, values: Iterable[tuple[int, object]]) -> None:
    """Refuse a file most of whose times, given with their lines, are in another unit."""
    times = [(line, time) for line, value in values if (time := to_number(value)) is not None]
    other = [(line, time) for line, time in times if (time >= FIRST_MILLISECOND) != edition.milliseconds]
    if 2 * len(other) <= len(times):
        return
    line, time = other[0]
    units = ("seconds", "milliseconds")
    years = " or ".join(other.year for other in EDITIONS.values() if other.milliseconds != edition.milliseconds)
    raise UserError(
        f"{path}, line {line}: times such as {time:.0f} are {units[not edition.milliseconds]}, but those of the "
        f"edition {edition.year} are {units[edition.milliseconds]}: give --edition {years}, or another file"
    )


def _wrong_edition(path: Path, line: int, edition: Edition, others: Sequence[Edition], found: str) -> UserError:
    years = " or ".join(other.year for other in others)
    return UserError(
        f"{path}, line {line}: {found}, so this is a file of the edition {years}, not {edition.year}: give "
        f"--edition {years}, or a file of {edition.year}"
    )


def _parse_head(block: Block, parse: Callable[[bytes], T]) -> list[tuple[int, T]]:
    """Number and content of those of the first lines that can be parsed."""
    found = []
    for number, line in islice(block.lines(), _N_HEAD_LINES):
        with suppress(ValueError):
            found.append((number, parse(line)))
    return found


def _parse_dict(line: bytes) -> dict[str, object]:
    return parse_json_line(line, literals=True)


def _list_names(names: Collection[str]) -> str:
    return ", ".join(repr(name) for name in list(names)[:8]) + (", …" if len(names) > 8 else "")
