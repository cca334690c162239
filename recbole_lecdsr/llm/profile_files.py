"""Files of user profiles: lines of one or several texts about a user, written from some first interactions or from all.

A line is ``{"user_id": …, "events": k, "<field>": text or list of texts, …, "source": …}``. ``events`` is the number
of first interactions of the user's mixed sequence that the texts know; files without it are about all training
interactions.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.llm.text_files import compose_texts, join_phrases, parse_json_lines

PROFILE_FIELD = "profile"  # of a profile that is a single text
_OTHER_FIELDS = ("events", "source")  # of a line, which are no texts


class _Key(NamedTuple):
    """What a line is about."""

    user: str
    events: int | None


@dataclass(frozen=True)
class ProfileLine:
    """One line.

    Attributes:
        path, number: where it is.
        user: token.
        events: number of first interactions of the user that the texts know; None for all training interactions.
        values: field -> value, without the user, ``events`` and ``source``.
        has_source: whether there is a ``source``, as in lines that the ``profile`` command writes.
    """

    path: Path
    number: int
    user: str
    events: int | None
    values: dict[str, object]
    has_source: bool

    @property
    def place(self) -> str:
        """File and line, for errors."""
        return f"{self.path}, line {self.number}"


@dataclass(frozen=True)
class Profiles:
    """The lines of one or several files.

    Attributes:
        lines: all different in user and events; either all have events or none has.
        n_replaced: lines that gave way to a later file's line about the same interactions of the user.
    """

    lines: tuple[ProfileLine, ...]
    n_replaced: int = 0

    @property
    def has_events(self) -> bool:
        """Whether the lines say how many interactions they know."""
        return bool(self.lines) and self.lines[0].events is not None

    def default_fields(self) -> list[str]:
        """``profile`` if there is one, else all fields with a text, in the order of their first occurrence."""
        texts: dict[str, bool] = {}  # field -> whether some line has a text there that is not empty
        for line in self.lines:
            for field, value in line.values.items():
                text = join_phrases(value)
                if text is not None:
                    texts[field] = texts.get(field, False) or bool(text.strip())
        return [PROFILE_FIELD] if PROFILE_FIELD in texts else [field for field, has_text in texts.items() if has_text]

    def texts(self, fields: Sequence[str]) -> list[dict[str, str]]:
        """The texts of each line: field -> text, a list of texts joined by ``; ``; empty texts are left out.

        Raises:
            UserError: a value of one of the fields that is neither a text nor a list of texts.
        """
        return [_line_texts(line, fields) for line in self.lines]

    def newest_texts(self) -> dict[str, str]:
        """User -> the texts that know most of the user's interactions, as one text.

        Raises:
            UserError: as in `texts`.
        """
        newest: dict[str, tuple[int, dict[str, str]]] = {}
        fields = self.default_fields()
        for line, texts in zip(self.lines, self.texts(fields), strict=True):
            events = line.events or 0
            if line.user not in newest or newest[line.user][0] < events:
                newest[line.user] = events, texts
        return compose_texts({user: texts for user, (_, texts) in newest.items()}, fields)


def read_profile_file(path: Path, *id_fields: str) -> list[ProfileLine]:
    """Read one file of profiles.

    Args:
        path: the file.
        id_fields: names that the field of the user may have.

    Raises:
        UserError: a file that cannot be read; a malformed line; ``events`` that are not a whole number of at least 1;
            two lines about the same interactions of a user.
    """
    lines: dict[_Key, ProfileLine] = {}
    for number, _, user, values in parse_json_lines(path, *id_fields):
        events = _parse_events(f"{path}, line {number}", values["events"]) if "events" in values else None
        texts = {field: value for field, value in values.items() if field not in _OTHER_FIELDS}
        line = ProfileLine(path, number, user, events, texts, has_source="source" in values)
        key = _Key(user, events)
        if key in lines:
            with_events = "" if events is None else f" with events {events}"
            raise UserError(
                f"{line.place}: user {user!r}{with_events} is in line {lines[key].number} already: keep one of "
                "the lines"
            )
        lines[key] = line
    return list(lines.values())


def merge_profiles(files: Sequence[Sequence[ProfileLine]]) -> Profiles:
    """The lines of several files; of lines about the same interactions of a user, that of the latest file counts.

    Raises:
        UserError: some lines have ``events`` and others have not.
    """
    merged: dict[_Key, ProfileLine] = {}
    for lines in files:
        merged |= {_Key(line.user, line.events): line for line in lines}
    kept = tuple(merged.values())
    for line in kept:
        if (line.events is None) != (kept[0].events is None):
            raise UserError(
                f"{line.place}: {_describe_events(line)}, but {kept[0].place} has {_describe_events(kept[0])}: give "
                "events in all lines or in none"
            )
    return Profiles(kept, n_replaced=sum(map(len, files)) - len(kept))


def _parse_events(place: str, value: object) -> int:
    if isinstance(value, int | float) and not isinstance(value, bool) and 1 <= value < 2**31 and value == int(value):
        return int(value)
    raise UserError(
        f"{place}: events must be a whole number of at least 1, not {_abbreviate(value)}: it is the number of the "
        "user's first interactions that the texts were written from"
    )


def _describe_events(line: ProfileLine) -> str:
    return "no events" if line.events is None else f"events {line.events}"


def _line_texts(line: ProfileLine, fields: Sequence[str]) -> dict[str, str]:
    texts = {}
    for field in fields:
        if field not in line.values:
            continue
        text = join_phrases(line.values[field])
        if text is None:
            raise UserError(
                f"{line.place}: {field} must be a text or a list of texts, not {_abbreviate(line.values[field])}: "
                "correct it, or name the fields to encode with --user_text_fields=[…]"
            )
        if text.strip():
            texts[field] = text.strip()
    return texts


def _abbreviate(value: object) -> str:
    return json.dumps(value)[:60]
