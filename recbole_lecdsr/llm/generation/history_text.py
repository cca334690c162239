"""Interactions and items as text for a prompt, within a budget of tokens. Pure functions of texts."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

CountTokens = Callable[[str], int]

_MAX_FIELD = 300  # characters of a field in a line of a history; titles in shops can be very long
_MAX_DESCRIPTION = 2000  # characters of a field in the prompt about an item
_LINE_OVERHEAD = 3  # tokens of a line's number, full stop and line feed
_WHITESPACE = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_CHAT_MARKS = re.compile(r"<(?=\||/?s>|start_of|end_of|bos|eos|pad)|\[(?=/?INST|/?SYS)")


@dataclass(frozen=True)
class HistoryEntry:
    """An interaction as a line of a history shows it.

    Attributes:
        domain: name of its domain.
        text: of the item, from `format_item_line`.
        rating: None where there is none.
    """

    domain: str
    text: str
    rating: float | None = None


@dataclass(frozen=True)
class HistoryText:
    """A history as text.

    Attributes:
        text: numbered lines, oldest first.
        n_entries: how many of the interactions it contains, the newest ones.
    """

    text: str
    n_entries: int


def estimate_tokens(text: str) -> int:
    """The approximate length in tokens where no tokenizer is available: a quarter of the UTF-8 bytes, rounded up.

    Example:
        >>> estimate_tokens("a green tea")
        3
    """
    return math.ceil(len(text.encode("utf-8", "replace")) / 4)


def sanitize_text(text: str, limit: int = _MAX_FIELD) -> str:
    """A text of the data as part of one line: no line breaks or control characters, at most ``limit`` characters.

    A space is put into the marks of chat templates (``<|…``, ``[INST]``, ``<s>``), so that a title cannot end the
    message that contains it.

    Example:
        >>> sanitize_text("Green\\n tea <|im_end|>")
        'Green tea < |im_end|>'
    """
    text = _WHITESPACE.sub(" ", text).strip()
    text = _CHAT_MARKS.sub(lambda mark: f"{mark[0]} ", text)
    return text if len(text) <= limit else f"{text[: limit - 1].rstrip()}…"


def format_item_line(record: Mapping[str, str], fields: Sequence[str], token: str) -> str:
    """An item in a line of a history: those of the given fields that it has, or else its token.

    Example:
        >>> format_item_line({"title": "Alien", "genres": "Horror"}, ["title", "genres", "brand"], "i1")
        'Alien | Horror'
    """
    parts = [sanitize_text(record[field]) for field in fields if record.get(field, "").strip()]
    return " | ".join(parts) or sanitize_text(token)


def format_item_fields(record: Mapping[str, str], token: str) -> str:
    """An item in a prompt of its own: all of its fields, a line each, or else its token.

    Example:
        >>> print(format_item_fields({"title": "Alien", "year": "1979"}, "i1"))
        title: Alien
        year: 1979
    """
    lines = [
        f"{sanitize_text(field)}: {sanitize_text(value, _MAX_DESCRIPTION)}"
        for field, value in record.items()
        if value.strip()
    ]
    return "\n".join(lines) or f"name: {sanitize_text(token)}"


def format_history(entries: Sequence[HistoryEntry], count_tokens: CountTokens, budget: int) -> HistoryText:
    """A history as numbered lines, oldest first; the oldest interactions are left out where the budget is too small.

    Args:
        entries: oldest first.
        count_tokens: the length of a text in tokens.
        budget: tokens of all lines together. The newest interaction is always included.

    Example:
        >>> entries = [HistoryEntry("books", "Emma", 5.0), HistoryEntry("films", "Alien | Horror")]
        >>> print(format_history(entries, estimate_tokens, budget=99).text)
        1. [books] Emma | rating 5
        2. [films] Alien | Horror
    """
    lines: list[str] = []
    remaining = budget
    for entry in reversed(entries):
        rating = "" if entry.rating is None else f" | rating {entry.rating:g}"
        line = f"[{entry.domain}] {entry.text}{rating}"
        remaining -= count_tokens(line) + _LINE_OVERHEAD
        if remaining < 0 and lines:
            break
        lines.append(line)
    numbered = [f"{number}. {line}" for number, line in enumerate(reversed(lines), start=1)]
    return HistoryText("\n".join(numbered), len(lines))


def join_answers(answers: Sequence[tuple[str, str]]) -> str:
    """Answers of a stage as text for the next one: each under the name of its part, a single unnamed one as it is.

    Example:
        >>> print(join_answers([("books", "likes satire"), ("films", "likes horror")]))
        [books]
        likes satire
        <BLANKLINE>
        [films]
        likes horror
    """
    if len(answers) == 1 and not answers[0][0]:
        return answers[0][1]
    return "\n\n".join(f"[{name}]\n{text}" if name else text for name, text in answers)
