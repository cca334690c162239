"""A column of times as seconds: numbers, or ISO 8601 dates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from recbole_lecdsr.prepare.table.bad_rows import BadRows

_LARGEST_TIME = 2**53  # beyond it a float, which RecBole reads, cannot hold every integer
_REMEDY = "give every row seconds since 1970, or every row a date such as 2014-07-01 or 2014-07-01T12:30:00Z"


def read_times(bad_rows: BadRows, column: str) -> np.ndarray:
    """A column of times as numbers: (n,) int64 if all are integers, else float64; bad rows are 0.

    Either all values are numbers, in any unit, or all are ISO 8601 dates, which become seconds since 1970 UTC: in a
    column of both, 2014 could be a year or a number of seconds.

    Raises:
        UserError: a value of the rarer kind or of neither kind, or too large a number, unless bad rows are skipped.
    """
    text = bad_rows.table[column]
    empty = pc.equal(pc.utf8_trim_whitespace(text), "").to_numpy()
    bad_rows.reject(column, empty, "is empty", _REMEDY)
    number = pd.to_numeric(text.to_pandas().astype(object), errors="coerce").to_numpy()
    if np.isfinite(number).mean() >= 0.5:
        time, problem = number, "{} is not a number, as most times are"
    else:
        time, problem = parse_dates(text), "{} is not an ISO 8601 date, and most times are not numbers"
    bad_rows.reject(column, ~np.isfinite(time), problem, _REMEDY)
    large = np.abs(time) > _LARGEST_TIME
    bad_rows.reject(column, large, "{} is too large to be distinguished from its neighbours", "give seconds")
    time = np.where(bad_rows.mask, 0, time)
    integer = time.astype(np.int64)
    return integer if (integer == time).all() else time


def parse_dates(text: pa.ChunkedArray) -> np.ndarray:
    """ISO 8601 texts as (n,) float64 seconds since 1970 UTC; NaN for other texts.

    Example:
        >>> parse_dates(pa.chunked_array([["1970-01-02", "1970-01-01T02:00:00+01:00", "today"]])).tolist()
        [86400.0, 3600.0, nan]
    """
    # pandas would also accept 'now' and 'today'.
    text = pc.if_else(pc.match_substring_regex(text, r"^\d{4}-\d{2}"), text, "")
    dates = pd.to_datetime(text.to_pandas().astype(object), format="ISO8601", utc=True, errors="coerce")
    # Finer units than microseconds are lost in a float anyway.
    microseconds = dates.dt.tz_localize(None).to_numpy().astype("datetime64[us]")
    return np.where(np.isnat(microseconds), np.nan, microseconds.astype(np.int64) / 1e6)
