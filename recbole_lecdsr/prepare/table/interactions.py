"""Tables of interactions: users, items, times and ratings of two domains, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.atomic_pair import ITEM, RATING, TIME, USER
from recbole_lecdsr.prepare.table.bad_rows import BadRows
from recbole_lecdsr.prepare.table.column_names import (
    DOMAINS,
    ITEMS,
    RATINGS,
    ROLES,
    TIMES,
    USERS,
    choose_columns,
    recognise,
)
from recbole_lecdsr.prepare.table.columns import read_tokens
from recbole_lecdsr.prepare.table.domains import read_domains
from recbole_lecdsr.prepare.table.options import TableOptions
from recbole_lecdsr.prepare.table.reader import SourceTable, read_table
from recbole_lecdsr.prepare.table.sources import TableSource
from recbole_lecdsr.prepare.table.times import check_time_format, read_times

_MOST_NAMES = 8  # columns that are listed
_TEXT_REMEDY = "for texts set --text, or give a table of items with --items"


@dataclass(frozen=True)
class DomainSources:
    """The tables of one domain.

    Attributes:
        name: of the domain.
        sources: its interactions.
    """

    name: str
    sources: Sequence[TableSource]


@dataclass(frozen=True)
class Interactions:
    """Interactions of two domains.

    Attributes:
        names: of source and target.
        tables: name -> user, item, rating if there are any, and time of each interaction, as atomic files have them,
            in the order of the rows.
        domain: (n,) int, 0 for rows of the source and 1 for those of the target.
        bad_rows: the table that they come from, and rows that are left out.
        item_columns: the names that the column of items has.
        columns: source -> which of its columns were read, for the user.
        times: how times were read, for the user.
    """

    names: tuple[str, str]
    tables: dict[str, pd.DataFrame]
    domain: np.ndarray
    bad_rows: BadRows
    item_columns: tuple[str, ...]
    columns: Mapping[str, str]
    times: str


def read_interactions(
    tables: Sequence[TableSource] | Sequence[DomainSources],
    options: TableOptions,
    *,
    source: str | None = None,
    with_texts: bool = False,
) -> Interactions:
    """Read interactions.

    Args:
        tables: tables with a column of domains, which follow one another; or the tables of source and target.
        options: how they are read.
        source: the value of the column of domains that is the source; None takes the first one.
        with_texts: whether ``options.text`` names columns of the interactions.

    Raises:
        UserError: anything that is wrong, with file, line and remedy.
    """
    check_time_format(options.time_format)
    pair = [part for part in tables if isinstance(part, DomainSources)]
    sources = [one for part in tables for one in (part.sources if isinstance(part, DomainSources) else [part])]
    chosen = [_choose_columns(one, options, with_domains=not pair) for one in sources]
    texts = {text_key(column): column for column in options.text} if with_texts else {}
    table = _read(sources, [names | texts for names in chosen], options)
    bad_rows = BadRows(table, options.skip_bad_lines)
    tokens = {USER: read_tokens(bad_rows, USERS), ITEM: read_tokens(bad_rows, ITEMS)}
    times = read_times(bad_rows, TIMES, options.time_format)
    numbers = {RATING: _read_ratings(bad_rows)} if options.rating else {}
    if pair:
        names = pair[0].name, pair[1].name
        n_source = sum(part.columns.num_rows for part in table.parts[: len(pair[0].sources)])
        domain = (np.arange(len(table)) >= n_source).astype(np.int64)
    else:
        domain, names = read_domains(bad_rows, DOMAINS, source)
    # As objects: pandas 3 would convert them to its own string type, which takes longer than all the rest.
    frame = pd.DataFrame(tokens, dtype=object).assign(**numbers, **{TIME: times.seconds})
    parts = {name: frame[(domain == code) & ~bad_rows.mask] for code, name in enumerate(names)}
    _check_domains(table, parts)
    return Interactions(
        names=names,
        tables=parts,
        domain=domain,
        bad_rows=bad_rows,
        item_columns=tuple(dict.fromkeys(found[ITEMS] for found in chosen)),
        columns={
            one.label: _describe(one, found, list(texts.values())) for one, found in zip(sources, chosen, strict=True)
        },
        times=times.description,
    )


def text_key(column: str) -> str:
    """Key of a column of texts in a table of interactions."""
    return f"text {column}"


def _choose_columns(source: TableSource, options: TableOptions, with_domains: bool) -> dict[str, str]:
    given: dict[str, str | None] = {USERS: options.user, ITEMS: options.item, TIMES: options.time}
    if with_domains:
        given[DOMAINS] = options.domain
    if options.rating:
        given[RATINGS] = options.rating
    return choose_columns(source, given)


def _read(sources: Sequence[TableSource], columns: Sequence[Mapping[str, str]], options: TableOptions) -> SourceTable:
    remedies = {name: f"set {role.option}" for name, role in ROLES.items()}
    remedies |= {text_key(column): _TEXT_REMEDY for column in options.text}
    table = read_table(sources, columns, remedies, options.skip_bad_lines)
    if not len(table):
        raise UserError(f"{table.files}: no interactions, only a header; nothing to prepare")
    return table


def _read_ratings(bad_rows: BadRows) -> np.ndarray:
    """(n,) float64; bad rows are 0."""
    text = bad_rows.table[RATINGS].to_pandas().astype(object)
    rating = pd.to_numeric(text, errors="coerce").to_numpy().astype(np.float64)
    bad_rows.reject(RATINGS, ~np.isfinite(rating), "{} is not a number", "correct it, or leave out --rating")
    return np.where(bad_rows.mask, 0, rating)


def _check_domains(table: SourceTable, parts: Mapping[str, pd.DataFrame]) -> None:
    """Both domains have interactions and share users."""
    for name, part in parts.items():
        if not len(part):
            raise UserError(f"{table.files}: no interactions of {name!r} are left")
    if not set.intersection(*(set(part[USER].unique()) for part in parts.values())):
        shown = " and ".join(f"{name!r} (such as {part[USER].iloc[0]!r})" for name, part in parts.items())
        raise UserError(
            f"{table.files}: the domains {shown} have no common user: a user must have the same value of "
            f"{table.name_column(USERS)!r} in both"
        )


def _describe(source: TableSource, columns: Mapping[str, str], texts: Sequence[str]) -> str:
    """Which columns of a table were read for what, and which not."""
    header, text = source.read_header(), f"{source.note}; " if source.note else ""
    text += ", ".join(f"{role} {name!r}" for role, name in columns.items())
    if texts:
        text += f", texts {', '.join(map(repr, texts))}"
    rest = [name for name in header if name not in columns.values() and name not in texts]
    if rest:
        more = ", …" if len(rest) > _MOST_NAMES else ""
        text += f"; not read: {', '.join(map(repr, rest[:_MOST_NAMES]))}{more}"
    ratings = recognise(rest, ROLES[RATINGS])
    if RATINGS not in columns and ratings:
        text += f"; --rating {ratings[0]} keeps ratings, which prompts show"
    return text
