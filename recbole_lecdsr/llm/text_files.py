"""Texts of items and users, from JSON lines and from the columns of atomic files."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from recbole_lecdsr.errors import UserError

_LINE_END = re.compile(r"\r\n|\r|\n")  # as RecBole's reader has it
_HALF_SURROGATE = re.compile(r"[\ud800-\udfff]")

Records = dict[str, dict[str, str]]  # token -> field -> text


def read_json_lines(path: str | Path, id_field: str, *other_id_fields: str) -> Records:
    """Read a file with one JSON object in each line, such as ``{"item_id": "B01", "description": "…"}``.

    Args:
        path: the file, in UTF-8 as JSON requires, whatever the encoding of the atomic files.
        id_field: the field that names the item or user.
        other_id_fields: further names that this field may have.

    Returns:
        token -> its other fields as text; fields that are null are left out.

    Raises:
        UserError: a file that cannot be read; a line that is not a JSON object, has no ``id_field``, repeats a token,
            or contains half of a surrogate pair, which no encoder accepts.
    """
    path = Path(path)
    id_fields = tuple(dict.fromkeys((id_field, *other_id_fields)))
    records: Records = {}
    # Not splitlines(), which also splits at separators such as U+2028 that JSON allows within a text.
    for number, line in enumerate(_read_text(path, "utf-8").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:  # also of numbers with thousands of digits
            raise UserError(f"{path}, line {number}: not JSON ({error}): correct or delete the line") from None
        name = next((name for name in id_fields if isinstance(record, dict) and name in record), None)
        if name is None:
            expected = " or ".join(map(repr, id_fields))
            raise UserError(
                f"{path}, line {number}: must be an object with {expected}, not {line[:80]!r}: correct or "
                "delete the line"
            )
        if not isinstance(record[name], str | int | float):
            raise UserError(
                f"{path}, line {number}: {name} must be a text or a number, not {json.dumps(record[name])[:60]}: "
                "correct or delete the line"
            )
        token = str(record.pop(name))
        if token in records:
            raise UserError(f"{path}, line {number}: {name} {token!r} occurs in an earlier line: keep one of the lines")
        texts = {field: str(value) for field, value in record.items() if value is not None}
        for field, text in {name: token, **texts}.items():
            if half := _HALF_SURROGATE.search(text):
                raise UserError(
                    f"{path}, line {number}: {field} contains {half[0]!a}, half of a surrogate pair, which is no "
                    "character: delete or complete it"
                )
        records[token] = texts
    return records


def read_item_columns(
    path: str | Path, id_field: str = "item_id", field_separator: str = "\t", encoding: str = "utf-8"
) -> Records:
    """Read the columns of an atomic ``.item`` file as text.

    Args:
        path: the file.
        id_field: the column that names the item; of several rows with one token the first counts.
        field_separator: between columns.
        encoding: of the file.

    Returns:
        token -> column -> text; empty cells are left out.

    Raises:
        UserError: a file that cannot be read or is not in this encoding; a file without the column ``id_field``; a row
            with more or fewer fields than the header.
    """
    path = Path(path)
    lines = _LINE_END.split(_read_text(path, encoding))
    columns = [name.rpartition(":")[0] or name for name in lines[0].split(field_separator)]
    if id_field not in columns:
        raise UserError(f"{path} has no column {id_field!r}, only {', '.join(columns)}: name it in the header")
    records: Records = {}
    for number, line in enumerate(lines[1:], start=2):
        if not line:
            continue
        cells = line.split(field_separator)
        if len(cells) != len(columns):
            raise UserError(
                f"{path}, line {number}: {len(cells)} fields instead of {len(columns)}: correct or delete the line"
            )
        record = {column: cell for column, cell in zip(columns, cells, strict=True) if cell}
        records.setdefault(record.pop(id_field, ""), record)
    return records


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


def _read_text(path: Path, encoding: str) -> str:
    """The content of a file, without a byte order mark."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: check its name and folder") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check the file and its permissions") from None
    try:
        return content.decode(encoding).removeprefix("\ufeff")
    except LookupError:
        raise UserError(
            f"encoding is {encoding!r}, which does not exist: give the encoding of {path}, such as utf-8 or gbk"
        ) from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        known = "UTF-8" if encoding.lower() == "utf-8" else encoding
        remedy = (
            "save it as UTF-8" if path.suffix == ".jsonl" else "save it as UTF-8, or set encoding to that of the file"
        )
        raise UserError(f"{path}, line {line}, is not {known} ({error.reason}): {remedy}") from None
