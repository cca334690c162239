"""Texts of items and users, from JSON lines and from the columns of atomic files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from recbole_lecdsr.errors import UserError

_LINE_END = re.compile(r"\r\n|\r|\n")  # as RecBole's reader has it
_HALF_SURROGATE = re.compile(r"[\ud800-\udfff]")

Records = dict[str, dict[str, str]]  # token -> field -> text


class JsonLine(NamedTuple):
    """A line of a file of texts.

    Attributes:
        number: of the line, from 1.
        id_field: the field that names the item or user, of those that may.
        token: of the item or user.
        values: its other fields; those that are null are left out.
    """

    number: int
    id_field: str
    token: str
    values: dict[str, object]


def parse_json_lines(path: str | Path, *id_fields: str) -> Iterator[JsonLine]:
    """The lines of a file with one JSON object in each, such as ``{"item_id": "B01", "description": "…"}``.

    Args:
        path: the file, in UTF-8 as JSON requires, whatever the encoding of the atomic files.
        id_fields: names that the field of the token may have.

    Raises:
        UserError: a file that cannot be read; a line that is not a JSON object, has none of ``id_fields``, or contains
            half of a surrogate pair, which no encoder accepts.
    """
    path = Path(path)
    id_fields = tuple(dict.fromkeys(id_fields))
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
        values = {field: value for field, value in record.items() if value is not None}
        for field, value in {name: token, **values}.items():
            if half := _HALF_SURROGATE.search(_as_text(value)):
                raise UserError(
                    f"{path}, line {number}: {field} contains {half[0]!a}, half of a surrogate pair, which is no "
                    "character: delete or complete it"
                )
        yield JsonLine(number, name, token, values)


def read_json_lines(path: str | Path, id_field: str, *other_id_fields: str) -> Records:
    """Read a file of `parse_json_lines` with one line for each token.

    Args:
        path: the file.
        id_field: the field that names the item or user.
        other_id_fields: further names that this field may have.

    Returns:
        token -> its other fields as text, a list of texts joined by ``; ``.

    Raises:
        UserError: as in `parse_json_lines`, and a token that is repeated.
    """
    records: Records = {}
    for line in parse_json_lines(path, id_field, *other_id_fields):
        if line.token in records:
            raise UserError(
                f"{path}, line {line.number}: {line.id_field} {line.token!r} occurs in an earlier line: keep one of "
                "the lines"
            )
        records[line.token] = {field: _as_text(value) for field, value in line.values.items()}
    return records


def join_phrases(value: object) -> str | None:
    """A text, or a list of texts as one text; None for anything else.

    Example:
        >>> join_phrases(["green tea", "teapot"]), join_phrases("tea"), join_phrases(3)
        ('green tea; teapot', 'tea', None)
    """
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(text, str) for text in value):
        return "; ".join(text.strip() for text in value if text.strip())
    return None


def _as_text(value: object) -> str:
    text = join_phrases(value)
    return str(value) if text is None else text


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
