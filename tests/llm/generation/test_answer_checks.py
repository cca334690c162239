from __future__ import annotations

import pytest

from recbole_lecdsr.llm.generation.answer_checks import BROKEN, EMPTY, LONG, REFUSED, fields_of, validate_answer
from recbole_lecdsr.llm.generation.answer_store import VALID
from recbole_lecdsr.llm.generation.prompt_template import Stage

TEXT = Stage("profile", "", max_words=5)
JSON = Stage("profile", "", format="json", fields=("taste", "next"), max_words=5)


@pytest.mark.parametrize(
    ("answer", "status", "kept"),
    [
        (" likes tea \n", VALID, "likes tea"),
        ("one two three four five", VALID, "one two three four five"),
        ("one two three four five six", LONG, "one two three four five six"),
        ("", EMPTY, ""),
        (" \n", EMPTY, " \n"),
        (None, EMPTY, ""),
        ("I'm sorry, but I can't help.", REFUSED, "I'm sorry, but I can't help."),
        ("I’m sorry, no", REFUSED, "I’m sorry, no"),
        ("I cannot do that", REFUSED, "I cannot do that"),
        ("As an AI model, no", REFUSED, "As an AI model, no"),
        ("Sorry tales please them", VALID, "Sorry tales please them"),
        ("<think>let me see</think>\nlikes tea", VALID, "likes tea"),
        ("<think>let me", LONG, "<think>let me"),
        ("<think>x</think>", EMPTY, "<think>x</think>"),
    ],
)
def test_texts_are_judged(answer, status, kept):
    assert validate_answer(TEXT, answer, "stop") == (status, kept)


def test_what_the_endpoint_says_counts():
    assert validate_answer(TEXT, "likes te", "length") == (LONG, "likes te")
    assert validate_answer(TEXT, "", "content_filter") == (REFUSED, "")
    assert validate_answer(TEXT, None, "stop", "I will not") == (REFUSED, "I will not")


@pytest.mark.parametrize("fence", ["{}", "```json\n{}\n```", "```\n{}\n```\n", "<think>hm</think> {}"])
def test_json_is_kept_as_its_fields(fence):
    status, kept = validate_answer(JSON, fence.replace("{}", '{"next": " b ", "taste": "Ä", "more": 1}'))
    assert (status, kept) == (VALID, '{"taste": "Ä", "next": "b"}')
    assert fields_of(JSON, kept, "profile") == {"taste": "Ä", "next": "b"}


@pytest.mark.parametrize(
    "answer",
    ["likes tea", '{"taste": "a"}', '{"taste": "a", "next": 1}', '{"taste": "a", "next": " "}', '["taste"]',
     '{"taste": "a", "next": "b"', 'Here: {"taste": "a", "next": "b"}'],
)  # fmt: skip
def test_json_that_is_broken_or_lacks_fields_is_told(answer):
    assert validate_answer(JSON, answer) == (BROKEN, answer)


def test_long_json_is_too_long():
    assert validate_answer(JSON, '{"taste": "a b c d", "next": "e f"}')[0] == LONG


def test_a_text_goes_under_the_name_given():
    assert fields_of(TEXT, "likes tea", "profile") == {"profile": "likes tea"}
