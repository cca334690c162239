"""Single lines of the Amazon files: JSON, Python literals, CSV."""

from __future__ import annotations

import ast
import csv
import json


def parse_json_line(line: bytes, literals: bool) -> dict[str, object]:
    """A line of JSON, or of a Python literal, as a dictionary. Nothing in it is executed.

    Bytes that are no UTF-8 become replacement characters, since the text of reviews is not used.

    Args:
        line: without its end.
        literals: whether Python literals are accepted, too.

    Raises:
        ValueError: the line is neither, or no dictionary.

    Example:
        >>> parse_json_line(b'{"asin": "B1"}', literals=False), parse_json_line(b"{'asin': 'B1'}", literals=True)
        ({'asin': 'B1'}, {'asin': 'B1'})
    """
    text = line.decode("utf-8", "replace")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        if not literals:
            where = f" ({error.msg} at character {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
            raise ValueError(f"no JSON{where}") from None
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            raise ValueError("neither JSON nor a plain Python literal") from None
    if not isinstance(value, dict):
        raise ValueError(f"holds {type(value).__name__}, not an object with keys")
    return value


def parse_csv_line(line: bytes) -> list[str]:
    """The cells of a line of CSV, without blanks around them.

    Raises:
        ValueError: a cell is too large.

    Example:
        >>> parse_csv_line(b'"B1", A2,5.0')
        ['B1', 'A2', '5.0']
    """
    try:
        return [cell.strip() for cell in next(csv.reader([line.decode("utf-8", "replace")]), [])]
    except csv.Error as error:
        raise ValueError(f"no line of CSV ({error})") from None


def to_number(value: object) -> float | None:
    """A number, or a text that is one, as float; None for anything else.

    Example:
        >>> to_number("4.5"), to_number(True), to_number("four")
        (4.5, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def shorten(value: object) -> str:
    """A value as it is shown in errors.

    Example:
        >>> shorten(""), shorten("x" * 70)[-3:]
        ('empty', 'xx…')
    """
    if value is None or value == "":
        return "empty"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
