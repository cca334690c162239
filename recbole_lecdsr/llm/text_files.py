"""Texts of items and users, from JSON lines and from the columns of atomic files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from recbole_lecdsr.errors import UserError

Records = dict[str, dict[str, str]]  # token -> field -> text


def read_json_lines(path: str | Path, id_field: str) -> Records:
    """Read a file with one JSON object in each line, such as ``{"item_id": "B01", "description": "…"}``.

    Args:
        path: the file, in UTF-8.
        id_field: the field that names the item or user.

    Returns:
        token -> its other fields as text; fields that are null are left out.

    Raises:
        UserError: a file that is missing; a line that is not a JSON object, has no ``id_field``, or repeats a token.
    """
    path = Path(path)
    records: Records = {}
    try:
        # Not splitlines(), which also splits at separators such as U+2028 that JSON allows within a text.
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 ({error}): save it as UTF-8") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(f"{path}, line {number}: not JSON ({error}): correct or delete the line") from None
        if not isinstance(record, dict) or id_field not in record:
            raise UserError(f"{path}, line {number}: must be an object with {id_field!r}, not {line[:80]!r}")
        token = str(record.pop(id_field))
        if token in records:
            raise UserError(
                f"{path}, line {number}: {id_field} {token!r} occurs in an earlier line: keep one of the lines"
            )
        records[token] = {field: str(value) for field, value in record.items() if value is not None}
    return records


def read_item_columns(path: str | Path, id_field: str = "item_id", field_separator: str = "\t") -> Records:
    """Read the columns of an atomic ``.item`` file as text.

    Args:
        path: the file.
        id_field: the column that names the item; of several rows with one token the first counts.
        field_separator: between columns.

    Returns:
        token -> column -> text; empty cells are left out.

    Raises:
        UserError: a file without the column ``id_field``.
    """
    frame = pd.read_csv(path, sep=field_separator, dtype=str, quoting=3, keep_default_na=False, encoding="utf-8")
    frame.columns = [name.rpartition(":")[0] or name for name in frame.columns]
    if id_field not in frame.columns:
        raise UserError(f"{path} has no column {id_field!r}, only {', '.join(frame.columns)}: name it in the header")
    frame = frame.drop_duplicates(id_field).set_index(id_field)
    return {
        token: {field: text for field, text in zip(frame.columns, row, strict=True) if text}
        for token, *row in frame.itertuples()
    }


def compose_texts(records: Mapping[str, Mapping[str, str]], fields: Sequence[str]) -> dict[str, str]:
    """Join fields of each record to one text.

    Args:
        records: token -> field -> text.
        fields: which fields to join, and in which order.

    Returns:
        token -> text, of the records that have at least one of the fields.

    Example:
        >>> compose_texts({"a": {"title": "Alien", "year": "1979"}, "b": {"year": "1999"}}, ["title", "year"])
        {'a': 'Alien. 1979', 'b': '1999'}
    """
    texts = {}
    for token, record in records.items():
        parts = [record[field].strip() for field in fields if record.get(field, "").strip()]
        if parts:
            # A part that ends a sentence needs no full stop.
            parts[:-1] = [part if part[-1] in ".!?" else f"{part}." for part in parts[:-1]]
            texts[token] = " ".join(parts)
    return texts
