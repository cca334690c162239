"""A column of times as seconds: numbers in a unit that is recognised, ISO 8601 dates, or dates in a given format."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pandas.tseries.api import guess_datetime_format

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.table.bad_rows import BadRows

AUTO, ISO = "auto", "iso"
UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
"""Unit -> how many of it are a second."""
TIME_FORMATS = (AUTO, ISO, *UNITS)

_UNIT_NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
_PLAIN = "plain"  # numbers that are no time since 1970 in any unit: days, years, counters
# Seconds from which on, and up to which, a number is taken for a time since 1970; the same for each unit, so that the
# ranges of two units do not overlap.
_EARLIEST, _LATEST = 10**8, 4_102_444_800  # 1973-03-03, 2100-01-01
_LARGEST_TIME = 2**53  # beyond it a float, which RecBole reads, cannot hold every integer
_REMEDY = "give every row seconds since 1970, or every row a date such as 2014-07-01 or 2014-07-01T12:30:00Z"
# A format that is not guessed, but common: that of Twitter and Goodreads.
_FURTHER_FORMATS = ("%a %b %d %H:%M:%S %z %Y",)


class Times(NamedTuple):
    """Times of all rows.

    Attributes:
        seconds: (n,) int64 if all are whole numbers, else float64; 0 for bad rows.
        description: how they were read, for the user.
    """

    seconds: np.ndarray
    description: str


def check_time_format(time_format: str) -> None:
    """Refuse a format of times that cannot be one.

    Raises:
        UserError: neither one of `TIME_FORMATS` nor a format of strptime.
    """
    if time_format in TIME_FORMATS:
        return
    if "%" not in time_format:
        raise UserError(
            f"--time_format {time_format!r} is neither {', '.join(TIME_FORMATS)} nor a format with % such as "
            "'%d/%m/%Y %H:%M'"
        )
    try:
        pd.to_datetime(["1"], format=time_format, utc=True, errors="coerce")
    except ValueError as error:
        raise UserError(f"--time_format {time_format!r}: {error}") from None


def read_times(bad_rows: BadRows, key: str, time_format: str = AUTO) -> Times:
    """Read a column of times.

    Times without an offset from UTC are taken as UTC. Numbers that are no time since 1970 in any unit, such as days or
    years, stay as they are, since only their order matters.

    Args:
        bad_rows: of the table.
        key: of the column.
        time_format: ``s``, ``ms``, ``us`` or ``ns``: numbers in this unit; ``iso``: ISO 8601; a format of strptime; or
            ``auto``: numbers, whose unit is recognised by their magnitude, or ISO 8601, whichever most values are.

    Raises:
        UserError: a value of another kind, format or unit than most, or too large a number, unless bad rows are
            skipped.
    """
    check_time_format(time_format)
    text = bad_rows.table[key]
    empty = pc.equal(pc.utf8_trim_whitespace(text), "").to_numpy()
    bad_rows.reject(key, empty, "is empty", "fill the cell or delete the row")
    if time_format in UNITS:
        number = _to_numbers(text)
        bad_rows.reject(key, ~np.isfinite(number), "{} is not a number", "give another --time_format")
        times = _from_unit(number, time_format)
    elif time_format == ISO:
        times = _read_dates(bad_rows, key, "{} is not an ISO 8601 date", "give another --time_format")
    elif time_format == AUTO:
        times = _recognise(bad_rows, key)
    else:
        seconds = parse_dates(text, time_format)
        remedy = "give another --time_format"
        bad_rows.reject(key, ~np.isfinite(seconds), f"{{}} does not match {time_format!r}", remedy)
        times = Times(seconds, f"dates as {time_format}")
    large = np.abs(times.seconds) > _LARGEST_TIME
    bad_rows.reject(key, large, "{} is too large to be distinguished from its neighbours", "give seconds")
    return _finish(times, bad_rows.mask)


def parse_dates(text: pa.ChunkedArray, time_format: str | None = None) -> np.ndarray:
    """Texts as (n,) float64 seconds since 1970 UTC; NaN for other texts.

    Args:
        text: the texts.
        time_format: of strptime; None: ISO 8601.

    Example:
        >>> parse_dates(pa.chunked_array([["1970-01-02", "1970-01-01T02:00:00+01:00", "today"]])).tolist()
        [86400.0, 3600.0, nan]
        >>> parse_dates(pa.chunked_array([["02/01/1970", "1/2"]]), "%d/%m/%Y").tolist()
        [86400.0, nan]
    """
    # pandas would also accept 'now' and 'today'.
    pattern = r"\d" if time_format else r"^\d{4}-\d{2}"
    text = pc.if_else(pc.match_substring_regex(text, pattern), text, "")
    values = text.to_pandas().astype(object)
    dates = pd.to_datetime(values, format=time_format or "ISO8601", utc=True, errors="coerce")
    # Finer units than microseconds are lost in a float anyway.
    microseconds = dates.dt.tz_localize(None).to_numpy().astype("datetime64[us]")
    return np.where(np.isnat(microseconds), np.nan, microseconds.astype(np.int64) / 1e6)


def find_unit(number: np.ndarray) -> np.ndarray:
    """The unit that each number is likely to be in: (n,) of ``s``, ``ms``, ``us``, ``ns`` and ``plain``.

    Example:
        >>> find_unit(np.array([1404210600, 1404210600123, 16252])).tolist()
        ['s', 'ms', 'plain']
    """
    unit = np.full(len(number), _PLAIN, dtype=object)
    for name, factor in UNITS.items():
        unit[(number >= _EARLIEST * factor) & (number <= _LATEST * factor)] = name
    return unit


def _recognise(bad_rows: BadRows, key: str) -> Times:
    number = _to_numbers(bad_rows.table[key])
    if bad_rows.mask.all():
        return Times(number, "none")
    if np.isfinite(number)[~bad_rows.mask].mean() < 0.5:
        remedy = _suggest_formats(bad_rows, key)
        return _read_dates(bad_rows, key, "{} is not an ISO 8601 date, and most times are not numbers", remedy)
    bad_rows.reject(key, ~np.isfinite(number), "{} is not a number, as most times are", _REMEDY)
    unit = find_unit(number)
    kinds, counts = np.unique(unit[~bad_rows.mask].astype(str), return_counts=True)
    usual = str(kinds[counts.argmax()])
    example = bad_rows.table[key][int(np.argmax((unit == usual) & ~bad_rows.mask))].as_py()
    bad_rows.reject(
        key, unit != usual, f"{{}} is not of the kind of most times, which are {_describe_kind(usual)} like {example}",
        f"correct it, or say what all are with --time_format {'s' if usual == _PLAIN else usual}",
    )  # fmt: skip
    if usual == _PLAIN:
        return Times(number, f"numbers such as {example}, kept as they are: only their order matters{_doubt(number)}")
    return _from_unit(number, usual)


def _read_dates(bad_rows: BadRows, key: str, problem: str, remedy: str) -> Times:
    seconds = parse_dates(bad_rows.table[key])
    bad_rows.reject(key, ~np.isfinite(seconds), problem, remedy)
    return Times(seconds, "ISO 8601 dates")


def _from_unit(number: np.ndarray, unit: str) -> Times:
    seconds = number if unit == "s" else number / UNITS[unit]
    return Times(seconds, f"{_UNIT_NAMES[unit]} since 1970")


def _to_numbers(text: pa.ChunkedArray) -> np.ndarray:
    """(n,) int64 or float64; NaN, and then float64, for what is no number."""
    number: np.ndarray = pd.to_numeric(text.to_pandas().astype(object), errors="coerce").to_numpy()
    return number if number.dtype.kind in "if" else number.astype(np.float64)


def _finish(times: Times, bad: np.ndarray) -> Times:
    seconds = np.where(bad, 0, times.seconds)
    integer = seconds.astype(np.int64)
    seconds = integer if (integer == seconds).all() else seconds
    description = times.description
    if not description.startswith("numbers") and not bad.all():
        description += f", {_day(seconds[~bad].min())} to {_day(seconds[~bad].max())}"
    return Times(seconds, description)


def _day(seconds: float) -> str:
    return str(np.datetime64(int(seconds), "s").astype("datetime64[D]"))


def _describe_kind(unit: str) -> str:
    return "plain numbers" if unit == _PLAIN else f"{_UNIT_NAMES[unit]} since 1970"


def _doubt(number: np.ndarray) -> str:
    """A hint where plain numbers are days written as digits."""
    text = pa.chunked_array([pa.array(number[np.isfinite(number)].astype(np.int64)).cast(pa.string())])
    is_day = pc.all(pc.match_substring_regex(text, r"^(19|20)\d\d(0[1-9]|1[0-2])([0-2]\d|3[01])(\d{6})?$")).as_py()
    if not is_day:
        return ""
    digits = len(text[0].as_py())
    return f"; if they are dates, give --time_format {'%Y%m%d' if digits == 8 else '%Y%m%d%H%M%S'}"


def _suggest_formats(bad_rows: BadRows, key: str) -> str:
    """What to do about dates that are not ISO 8601: the formats that fit all of them."""
    text = bad_rows.table[key].filter(pa.array(~bad_rows.mask))
    fitting = [form for form in _guess_formats(text[0].as_py()) if np.isfinite(parse_dates(text, form)).all()]
    if not fitting:
        return f"{_REMEDY}, or their format, such as --time_format '%d/%m/%Y %H:%M'"
    return f"say how dates are written: --time_format {' or '.join(map(repr, fitting))}"


def _guess_formats(value: str) -> Iterable[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a guess with the day first has the month first
        guesses = [guess_datetime_format(value, dayfirst=day_first) for day_first in (True, False)]
    return dict.fromkeys([form for form in guesses if form] + list(_FURTHER_FORMATS))
