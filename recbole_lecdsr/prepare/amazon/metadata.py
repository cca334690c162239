"""Files of Amazon metadata: the texts of the items that are kept."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import pandas as pd

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.amazon.bad_lines import BadLines
from recbole_lecdsr.prepare.amazon.edition_checks import check_metadata
from recbole_lecdsr.prepare.amazon.editions import Edition
from recbole_lecdsr.prepare.amazon.html_text import clean_html
from recbole_lecdsr.prepare.amazon.line_blocks import Progress, ignore_progress, read_blocks
from recbole_lecdsr.prepare.amazon.parsing import parse_json_line
from recbole_lecdsr.prepare.atomic_pair import ITEM

COLUMNS = ("title:token", "categories:token", "brand:token", "description:token")
_SCRIPT = re.compile(r"getTime\(\)")  # of the shop's page, which the edition of 2018 has as the title of some items


def read_metadata(
    paths: Sequence[Path],
    edition: Edition,
    wanted: Collection[str],
    bad_lines: BadLines,
    *,
    progress: Progress = ignore_progress,
) -> pd.DataFrame:
    """The texts of items, without HTML, one row for each wanted item that the files have.

    A line is parsed if it names a wanted item, or none at all; of the others only the outer braces are checked. If an
    item has several lines, the first counts.

    Args:
        paths: files of metadata, of either domain.
        edition: that all files are of.
        wanted: tokens of items.
        bad_lines: receives each line that cannot be read.
        progress: called after each block of lines.

    Returns:
        `ITEM` and `COLUMNS`, in the order of the files; missing texts are empty. Names of categories are joined by
        semicolons, parts of descriptions by blanks.

    Raises:
        UserError: a file of another edition or of reviews; whatever `read_blocks` refuses; a bad line, unless these are
            left out; no file with a wanted item.
    """
    texts: dict[str, list[str]] = {}
    for path in paths:
        for item, values in _read_lines(path, edition, wanted, bad_lines, progress):
            if item in wanted and item not in texts:
                texts[item] = _texts_of_item(values, edition)
    if not texts:
        raise UserError(
            f"{', '.join(map(str, paths))}: metadata of none of the {len(wanted):,} items that are kept: name the "
            "metadata of the same categories and edition with --meta"
        )
    return pd.DataFrame([[item, *row] for item, row in texts.items()], columns=[ITEM, *COLUMNS], dtype=object)


def _read_lines(
    path: Path, edition: Edition, wanted: Collection[str], bad_lines: BadLines, progress: Progress
) -> Iterator[tuple[str, dict[str, object]]]:
    """Item and content of the lines that may be of a wanted item."""
    key = edition.metadata_keys.item
    item_pattern = re.compile(rb"""["']%b["']\s*:\s*["']([^"']*)["']""" % key.encode())
    wanted_bytes = {token.encode() for token in wanted}
    checked = False
    for block in read_blocks(path, progress):
        if not checked:
            check_metadata(path, edition, block)
            checked = True
        for number, line in block.lines():
            tokens = item_pattern.findall(line)
            complete = line.startswith(b"{") and line.endswith(b"}")
            if complete and tokens and wanted_bytes.isdisjoint(tokens):
                continue
            try:
                values = parse_json_line(line, edition.allows_literals)
                item = values.get(key)
                if not isinstance(item, str) or not item:
                    raise ValueError(f"no text {key!r}")
            except ValueError as error:
                bad_lines.add(path, number, str(error))
                continue
            yield item, values


def _texts_of_item(values: dict[str, object], edition: Edition) -> list[str]:
    keys = edition.metadata_keys
    title = " ".join(_flatten(values.get(keys.title)))
    categories = map(clean_html, _flatten(values.get(keys.categories)))
    return [
        _to_cell("" if _SCRIPT.search(title) else clean_html(title)),
        _to_cell("; ".join(dict.fromkeys(filter(None, categories)))),
        _to_cell(clean_html(" ".join(_flatten(values.get(keys.brand))))),
        _to_cell(clean_html(" ".join(_flatten(values.get(keys.description))))),
    ]


def _flatten(value: object) -> Iterator[str]:
    """The texts in a text, or in lists of lists of texts."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _flatten(part)


def _to_cell(text: str) -> str:
    # RecBole takes a cell that starts with a quotation mark for a quoted one and reads on to the next mark, which may
    # be rows later.
    return f" {text}" if text.startswith('"') else text
