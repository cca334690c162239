"""Validation of answers: valid, or one of the ways in which language models fail to answer."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from recbole_lecdsr.llm.generation.answer_store import VALID
from recbole_lecdsr.llm.generation.prompt_template import Stage

REFUSED, EMPTY, TOO_LONG, BROKEN_JSON = "refused", "empty", "too long", "broken JSON"

FieldText = str | list[str]  # of a field of a JSON answer

_REFUSAL = re.compile(
    r"\s*(i['’]?m (very )?sorry|sorry,|i am (very )?sorry|i (can ?not|can['’]t|won['’]t|am unable|['’]?m unable)\b"
    r"|as an ai\b|unfortunately, i (can|am))",
    re.I,
)
_REASONING = re.compile(r"\s*<think>.*?</think>", re.S)
_CODE_FENCE = re.compile(r"\s*```\w*\n(.*)\n```\s*", re.S)


@dataclass(frozen=True)
class CheckedAnswer:
    """An answer after validation.

    Attributes:
        status: ``valid``, ``refused``, ``empty``, ``too long`` or ``broken JSON``.
        text: of a valid answer the text to keep, for JSON an object with the stage's fields only, each a text or a list
            of texts; of any other the answer as it came.
    """

    status: str
    text: str


def validate_answer(
    stage: Stage, text: str | None, *, finish_reason: str | None = None, refusal: str | None = None
) -> CheckedAnswer:
    """Check an answer against what its stage asks for.

    Args:
        stage: the stage that asked.
        text: the answer. The leading ``<think>…</think>`` of a reasoning model is not part of it.
        finish_reason: why the model stopped, in the terms of chat endpoints; ``length`` means that it was cut off.
        refusal: the endpoint's own refusal, if it reports one.

    Example:
        >>> validate_answer(Stage("profile", "…", max_words=3), "<think>hm</think> likes green tea")
        CheckedAnswer(status='valid', text='likes green tea')
    """
    text = text or ""
    if refusal or finish_reason == "content_filter":
        return CheckedAnswer(REFUSED, refusal or text)
    answer = _REASONING.sub("", text, count=1).strip()
    if not answer:
        return CheckedAnswer(EMPTY, text)
    if finish_reason == "length" or answer.startswith("<think>"):
        return CheckedAnswer(TOO_LONG, text)
    if _REFUSAL.match(answer):
        return CheckedAnswer(REFUSED, text)
    content = answer
    if stage.format == "json":
        fields = _parse_json_fields(stage, answer)
        if fields is None:
            return CheckedAnswer(BROKEN_JSON, text)
        answer = json.dumps(fields, ensure_ascii=False)
        content = " ".join(text for value in fields.values() for text in ([value] if isinstance(value, str) else value))
    if stage.max_words and len(content.split()) > stage.max_words:
        return CheckedAnswer(TOO_LONG, text)
    return CheckedAnswer(VALID, answer)


def answer_fields(stage: Stage, answer: str, name: str) -> dict[str, FieldText]:
    """A valid answer as fields of an output file: the fields of its JSON, or its text under ``name``.

    Example:
        >>> answer_fields(Stage("profile", "…"), "likes tea", "profile")
        {'profile': 'likes tea'}
    """
    return json.loads(answer) if stage.format == "json" else {name: answer}


def _parse_json_fields(stage: Stage, answer: str) -> dict[str, FieldText] | None:
    """The stage's fields of a JSON answer; None if it is not JSON or lacks one of them."""
    fenced = _CODE_FENCE.fullmatch(answer)
    try:
        parsed = json.loads(fenced[1] if fenced else answer)
    except (ValueError, RecursionError):
        return None
    if not isinstance(parsed, dict):
        return None
    fields: dict[str, FieldText] = {}
    for name in stage.fields:
        value = parsed.get(name)
        entries = value if isinstance(value, list) else [value]
        texts = [entry.strip() for entry in entries if isinstance(entry, str) and entry.strip()]
        if not texts or len(texts) < len(entries):
            return None
        fields[name] = texts if isinstance(value, list) else texts[0]
    return fields
