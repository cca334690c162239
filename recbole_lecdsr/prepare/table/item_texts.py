"""Texts of items, from tables of items or of interactions: tokens and columns of text, as in ``.item`` files."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

import pandas as pd

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.atomic_pair import ITEM
from recbole_lecdsr.prepare.table.bad_rows import BadRows
from recbole_lecdsr.prepare.table.columns import read_tokens, to_one_line
from recbole_lecdsr.prepare.table.reader import SourceTable, read_header, read_table


def read_texts_by_domain(
    path: Path, item: str, domain: str, *, names: Sequence[str], text: Sequence[str]
) -> dict[str, pd.DataFrame]:
    """Texts from a table of the items of both domains.

    Args:
        path: the file.
        item: its column of item tokens.
        domain: its column of domains.
        names: of the two domains; rows of others are left out.
        text: columns to keep; none means all.

    Returns:
        Domain -> table with the column `ITEM` and a column ``<name>:token`` for each text, a row for each item.

    Raises:
        UserError: anything wrong with the file, with line and remedy; no row of these domains; an item with different
            texts.
    """
    table, frame = _read([path], item, text, domain=domain)
    domain_of_row = table[domain].to_pandas().astype(object)
    if not domain_of_row.isin(names).any():
        found = ", ".join(map(repr, domain_of_row.unique()[:10]))
        raise UserError(
            f"{path}: column {domain!r} holds {found}, but neither {names[0]!r} nor {names[1]!r}: rename them"
        )
    return {name: _keep_one_row_each(table, frame[domain_of_row == name], f" of {name!r}") for name in names}


def read_texts_of_items(
    paths: Sequence[str | Path], item: str, *, text: Sequence[str], wanted: Collection[str]
) -> pd.DataFrame:
    """Texts of the wanted items, from tables of items of one domain.

    Args:
        paths: the files.
        item: their column of item tokens.
        text: columns to keep; none means all.
        wanted: tokens of items; rows of others are left out.

    Returns:
        A table as of `read_texts_by_domain`; items that the files do not have are not in it.

    Raises:
        UserError: anything wrong with the files, with line and remedy; no row of a wanted item; an item with different
            texts.
    """
    table, frame = _read(paths, item, text)
    frame = frame[frame[ITEM].isin(wanted)]
    if not len(frame):
        shown = f"{table[item][0].as_py()!r} where an item of the lists is {next(iter(wanted))!r}"
        raise UserError(
            f"{', '.join(map(str, paths))}: no row is of a listed item (the first holds {shown}): give the table of "
            "this domain, or name another column with --item"
        )
    return _keep_one_row_each(table, frame, "")


def take_texts_from_interactions(bad_rows: BadRows, item: str, text: Sequence[str]) -> pd.DataFrame:
    """Columns of text of a table of interactions.

    Returns:
        A row for each interaction: the column `ITEM` and a column ``<name>:token`` for each text, missing where it is
        empty.

    Raises:
        UserError: a column whose name cannot be that of a text.
    """
    frame = pd.DataFrame({ITEM: bad_rows.table[item].to_pandas().astype(object)})
    for column in text:
        _check_text_name(bad_rows.table.paths[0], column, (item,))
        frame[f"{column}:token"] = to_one_line(bad_rows.table[column]).to_pandas().astype(object)
    return frame.mask(frame == "", None)


def _read(
    paths: Sequence[str | Path], item: str, text: Sequence[str], domain: str | None = None
) -> tuple[SourceTable, pd.DataFrame]:
    """A table of items, and its tokens and texts."""
    path, key_columns = paths[0], (item,) if domain is None else (item, domain)
    text = list(text) or [column for column in read_header(path) if column not in key_columns]
    if not text:
        raise UserError(
            f"{path} has no column of text, only {' and '.join(map(repr, key_columns))}: add one, or leave the table "
            "out"
        )
    for column in text:
        _check_text_name(path, column, key_columns)
    options = "--item and --text" if domain is None else "--item, --domain and --text"
    table = read_table(paths, list(dict.fromkeys([*key_columns, *text])), options)
    if not len(table):
        raise UserError(f"{path}: no items, only a header; leave the table out")
    frame = pd.DataFrame({ITEM: read_tokens(BadRows(table), item)})
    for column in text:
        frame[f"{column}:token"] = to_one_line(table[column]).to_pandas().astype(object)
    return table, frame


def _check_text_name(path: str | Path, column: str, key_columns: Sequence[str]) -> None:
    if not re.fullmatch(r'[^:"\x00-\x1f]+', column) or f"{column}:token" == ITEM or column in key_columns:
        raise UserError(
            f"{path}: column {column!r} cannot be a text in .item: a name has no colon, quotation mark or tab and is "
            f"not 'item_id' nor {' or '.join(map(repr, key_columns))}: rename it, or name the columns to keep with "
            "--text"
        )


def _keep_one_row_each(table: SourceTable, frame: pd.DataFrame, of_domain: str) -> pd.DataFrame:
    """The rows without exact repetitions; an item whose rows differ is an error."""
    frame = frame.drop_duplicates()
    repeated = frame[ITEM].duplicated()
    if repeated.any():
        token = frame[ITEM][repeated].iloc[0]
        first, second = frame.index[frame[ITEM] == token][:2]
        raise UserError(
            f"{table.locate(int(second))}: the item {token!r}{of_domain} has other texts than in "
            f"{table.locate(int(first))}; keep one of the rows"
        )
    return frame
