"""Texts of items, from tables of items or of interactions: tokens and columns of text, as in ``.item`` files."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.atomic_pair import ITEM
from recbole_lecdsr.prepare.table.bad_rows import BadRows
from recbole_lecdsr.prepare.table.column_names import (
    DOMAINS,
    ITEMS,
    choose_columns,
    choose_item_column,
)
from recbole_lecdsr.prepare.table.columns import read_tokens, to_one_line
from recbole_lecdsr.prepare.table.interactions import Interactions, text_key
from recbole_lecdsr.prepare.table.options import TableOptions
from recbole_lecdsr.prepare.table.reader import SourceTable, read_table
from recbole_lecdsr.prepare.table.sources import FileSource, TableSource

_LONGEST_NAME = 100  # characters of the name of a text; runs refuse files with very long ones


@dataclass(frozen=True)
class ItemTexts:
    """Texts of the items of two domains.

    Attributes:
        tables: domain -> the column `ITEM` and a column ``<name>:token`` for each text, a row for each item; a domain
            without rows is left out.
        columns: source -> which of its columns were read, for the user.
    """

    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)


def read_item_texts(
    tables: Mapping[str | None, Sequence[TableSource]], interactions: Interactions, options: TableOptions
) -> ItemTexts:
    """Texts from tables of items.

    Args:
        tables: domain -> the tables of its items; None -> tables of both domains, in which a column says which domain
            an item is of. Without such a column an item is of the domains that have interactions with it.
        interactions: of the domains.
        options: how tables are read.

    Raises:
        UserError: anything wrong with the tables, with line and remedy; a domain that is none of the two; a table
            without an item that has interactions; an item with different texts.
    """
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in interactions.names}
    columns: dict[str, str] = {}
    for domain, sources in tables.items():
        if domain is not None and domain not in parts:
            first, second = interactions.names
            raise UserError(f"--items {domain}={sources[0].label}: the domains are {first!r} and {second!r}: name one")
        table, frame, described = _read(sources, options, interactions.item_columns)
        columns |= dict.fromkeys((source.label for source in sources), described)
        for name, part in _split(table, frame, interactions, domain=domain):
            part = _keep_one_row_each(table, part, f" of {name!r}")
            _refuse_other_items(table, part, interactions, name)
            parts[name].append(part)
    joined = {name: _join(found, name) for name, found in parts.items() if sum(map(len, found))}
    return ItemTexts(joined, columns)


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
        The column `ITEM` and a column ``<name>:token`` for each text; items that the files do not have are not in it.

    Raises:
        UserError: anything wrong with the files, with line and remedy; no row of a wanted item; an item with different
            texts.
    """
    table, frame, _ = _read([FileSource(path) for path in paths], TableOptions(items_id=item, text=text), (), "--item")
    frame = frame[frame[ITEM].isin(wanted)]
    if not len(frame):
        shown = f"{table[ITEMS][0].as_py()!r} where an item of the lists is {next(iter(wanted))!r}"
        raise UserError(
            f"{table.files}: no row is of a listed item (the first holds {shown}): give the table of this domain, or "
            "name another column with --item"
        )
    return _keep_one_row_each(table, frame.drop(columns=DOMAINS), "")


def take_texts_from_interactions(interactions: Interactions, text: Sequence[str]) -> ItemTexts:
    """Texts from columns of the interactions: of each item and column the first text that is not missing.

    Raises:
        UserError: a column whose name cannot be that of a text.
    """
    table = interactions.bad_rows.table
    frame = pd.DataFrame({ITEM: table[ITEMS].to_pandas().astype(object)})
    for column in text:
        _check_text_name(table.parts[0].label, column, interactions.item_columns)
        frame[f"{column}:token"] = to_one_line(table[text_key(column)]).to_pandas().astype(object)
    frame = frame.mask(frame == "", None)
    tables = {}
    for code, name in enumerate(interactions.names):
        part = frame[(interactions.domain == code) & ~interactions.bad_rows.mask]
        tables[name] = part.groupby(ITEM, sort=False, as_index=False).first().fillna("").astype(object)
    return ItemTexts(tables)


def _read(
    sources: Sequence[TableSource], options: TableOptions, of_interactions: Sequence[str], option: str = "--items_id"
) -> tuple[SourceTable, pd.DataFrame, str]:
    """Tables of items; their tokens, domains (None without such a column) and texts; and what was read."""
    chosen = []
    for source in sources:
        names = {ITEMS: choose_item_column(source, options.items_id, of_interactions)}
        chosen.append(names | choose_columns(source, {DOMAINS: _present(source, options.domain)}, optional={DOMAINS}))
    keys = set.intersection(*(set(names) for names in chosen))
    chosen = [{key: name for key, name in names.items() if key in keys} for names in chosen]
    label, key_columns = sources[0].label, tuple(chosen[0].values())
    text = list(options.text) or [column for column in sources[0].read_header() if column not in key_columns]
    if not text:
        raise UserError(
            f"{label} has no column of text, only {' and '.join(map(repr, key_columns))}: add one, or leave the table "
            "out"
        )
    for column in text:
        _check_text_name(label, column, key_columns)
    texts = {text_key(column): column for column in text}
    remedies = {ITEMS: f"set {option}", DOMAINS: "set --domain"} | dict.fromkeys(texts, "set --text")
    table = read_table(sources, [names | texts for names in chosen], remedies)
    if not len(table):
        raise UserError(f"{table.files}: no items, only a header; leave the table out")
    frame = pd.DataFrame({ITEM: read_tokens(BadRows(table), ITEMS)})
    frame[DOMAINS] = table[DOMAINS].to_pandas().astype(object) if DOMAINS in keys else None
    for column in text:
        frame[f"{column}:token"] = to_one_line(table[text_key(column)]).to_pandas().astype(object)
    described = ", ".join(f"{role} {name!r}" for role, name in chosen[0].items())
    return table, frame, f"{described}, texts {', '.join(map(repr, text))}"


def _present(source: TableSource, column: str | None) -> str | None:
    """A column, if the table has it; what is meant for the interactions need not be in a table of items."""
    return column if column in source.read_header() else None


def _split(
    table: SourceTable, frame: pd.DataFrame, interactions: Interactions, *, domain: str | None
) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each domain, without the column of domains."""
    texts = frame.drop(columns=DOMAINS)
    names, of_row = interactions.names, frame[DOMAINS]
    if domain is not None:
        yield domain, texts
    elif of_row.notna().any():
        if not of_row.isin(names).any():
            found = ", ".join(map(repr, of_row.unique()[:10]))
            raise UserError(
                f"{table.files}: column {table.name_column(DOMAINS)!r} holds {found}, but neither {names[0]!r} nor "
                f"{names[1]!r}: rename them"
            )
        yield from ((name, texts[of_row == name]) for name in names)
    else:
        used = {name: texts[ITEM].isin(interactions.tables[name][ITEM].unique()) for name in names}
        if not np.logical_or(*used.values()).any():
            _raise_other_items(table, next(iter(interactions.tables.values()))[ITEM].iloc[0], "")
        yield from ((name, texts[rows]) for name, rows in used.items())


def _refuse_other_items(table: SourceTable, part: pd.DataFrame, interactions: Interactions, name: str) -> None:
    """Refuse rows of a domain of which none has an interaction: the column of items is another one."""
    of_interactions = interactions.tables[name][ITEM]
    if len(part) and not part[ITEM].isin(of_interactions.unique()).any():
        _raise_other_items(table, of_interactions.iloc[0], f" of {name!r}")


def _raise_other_items(table: SourceTable, item: str, of_domain: str) -> None:
    raise UserError(
        f"{table.files}: no row{of_domain} is of an item that has interactions (column {table.name_column(ITEMS)!r} "
        f"holds {table[ITEMS][0].as_py()!r}, those of the interactions hold {item!r}): name another column with "
        "--items_id"
    )


def _check_text_name(label: str, column: str, key_columns: Collection[str]) -> None:
    if len(column) > _LONGEST_NAME:
        raise UserError(
            f"{label}: the column {column[:20]!r}… has a name of {len(column):,} characters: rename it, or name the "
            "columns to keep with --text"
        )
    if not re.fullmatch(r'[^:"\x00-\x1f]+', column) or f"{column}:token" == ITEM or column in key_columns:
        raise UserError(
            f"{label}: column {column!r} cannot be a text in .item: a name has no colon, quotation mark or tab and is "
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


def _join(parts: Sequence[pd.DataFrame], domain: str) -> pd.DataFrame:
    """The rows of a domain from several groups of tables, which must not share items."""
    frame = pd.concat(parts, ignore_index=True).fillna("").astype(object)
    repeated = frame[ITEM].duplicated()
    if repeated.any():
        raise UserError(
            f"the item {frame[ITEM][repeated].iloc[0]!r} of {domain!r} is in two of the tables of --items: keep one"
        )
    return frame
