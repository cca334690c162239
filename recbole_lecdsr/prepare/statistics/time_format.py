"""Times of unknown unit as text: dates where they look like seconds since 1970, else numbers."""

from __future__ import annotations

from datetime import datetime, timezone


def is_unix_time(*times: float) -> bool:
    """Whether all times look like seconds since 1970: 1973 to 2103.

    Example:
        >>> is_unix_time(1_400_000_000), is_unix_time(5, 1_400_000_000)
        (True, False)
    """
    return all(1e8 <= time <= 4.2e9 for time in times)


def format_time(time: float, form: str = "%Y-%m-%d %H:%M:%S", number_form: str = ".15g") -> str:
    """A time as a UTC date, or as a number where it does not look like seconds since 1970.

    Example:
        >>> format_time(1_400_000_000), format_time(30)
        ('2014-05-13 16:53:20', '30')
    """
    if is_unix_time(time):
        return datetime.fromtimestamp(time, timezone.utc).strftime(form)
    return format(time, number_form)
