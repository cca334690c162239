"""JSON files that the plugin writes and reads again: with format and checksum, read whole or refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from recbole_lecdsr.errors import UserError

FORMAT, CHECKSUM = "format", "checksum"
_MOST_ERRORS = 3  # that are named

T = TypeVar("T")


def seal(values: Mapping[str, Any], format: int) -> dict[str, Any]:
    """Plain data with the number of their format and a checksum, under ``format`` and ``checksum``.

    Raises:
        ValueError: a number that is not finite, which JSON does not have.

    Example:
        >>> seal({"seed": 1}, format=2) == seal({"seed": 1, "checksum": "of other values"}, format=2)
        True
    """
    content = {**values, FORMAT: format}
    content.pop(CHECKSUM, None)
    return {**content, CHECKSUM: _digest(content)}


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def read_json_object(path: Path, *, missing: str, remedy: str) -> dict[str, Any]:
    """Read a JSON file that holds a mapping.

    Args:
        path: the file.
        missing: message where it does not exist.
        remedy: what to do where it cannot be used.

    Raises:
        UserError: a file that is missing, cannot be read, holds something else or a number that is not finite.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        json.dumps(values, allow_nan=False)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(missing) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): {remedy}") from None
    except (ValueError, RecursionError) as error:  # of JSON, UTF-8, an endless number, NaN
        raise UserError(f"{path} cannot be read ({error}): {remedy}") from None
    if not isinstance(values, dict):
        raise UserError(f"{path} must hold a mapping, not {type(values).__name__}: {remedy}")
    return values


def check_seal(
    values: Mapping[str, Any], path: Path, *, format: int, remedy: str, known: Collection[str] | None = None
) -> None:
    """Refuse content that was damaged or edited after `seal`; files of version 0.1.0, without both keys, are accepted.

    Args:
        values: content of the file.
        path: the file, for the error.
        format: the newest format that can be read.
        remedy: what to do.
        known: keys that a file of version 0.1.0 can have; None: any.

    Raises:
        UserError: content that does not have its checksum, or is of a later format.
    """
    if FORMAT not in values and CHECKSUM not in values:
        if known is not None and (unknown := sorted(values.keys() - known)):
            raise UserError(f"{path} is damaged or was edited: {', '.join(unknown)} cannot be in it; {remedy}")
        return
    found = values.get(FORMAT)
    if isinstance(found, int) and found > format:
        raise UserError(f"{path} is of format {found}, which this version cannot read: use the version that wrote it")
    if values.get(CHECKSUM) != _digest({key: value for key, value in values.items() if key != CHECKSUM}):
        raise UserError(f"{path} is damaged or was edited: its content does not have the checksum in it; {remedy}")


def parse_plain(kind: type[T], values: object) -> T:
    """Plain data as an instance of a dataclass or another type with hints, without conversions; unknown keys are left.

    Args:
        kind: the type, such as a dataclass or ``Mapping[str, float]``.
        values: what JSON can hold.

    Raises:
        ValueError: the first few values that are missing or do not fit, in one line.

    Example:
        >>> parse_plain(dict[str, int], {"epoch": "one"})
        Traceback (most recent call last):
        ValueError: epoch: Input should be a valid integer
    """
    try:
        adapter: TypeAdapter[T] = _adapter(kind)  # type: ignore[arg-type]  # types are hashable
        return adapter.validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        texts = []
        for detail in error.errors(include_url=False, include_input=False)[:_MOST_ERRORS]:
            place = ".".join(map(str, detail["loc"]))
            texts.append(f"{place}: {detail['msg']}" if place else detail["msg"])
        raise ValueError("; ".join(texts)) from None
    except (TypeError, RecursionError) as error:  # of json.dumps, from values that are not plain
        raise ValueError(str(error)) from None


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
