from __future__ import annotations

import pytest

from recbole_lecdsr.llm.generation.answer_checks import (
    BROKEN_JSON,
    EMPTY,
    REFUSED,
    TOO_LONG,
    CheckedAnswer,
    answer_fields,
    validate_answer,
)
from recbole_lecdsr.llm.generation.answer_store import VALID
from recbole_lecdsr.llm.generation.prompt_template import Stage

TEXT = Stage("profile", "", max_words=5)
JSON = Stage("profile", "", format="json", fields=("taste", "next"), max_words=5)


@pytest.mark.parametrize(
    ("answer", "status", "kept"),
    [
        (" likes tea \n", VALID, "likes tea"),
        ("one two three four five", VALID, "one two three four five"),
        ("one two three four five six", TOO_LONG, "one two three four five six"),
        ("", EMPTY, ""),
        (" \n", EMPTY, " \n"),
        (None, EMPTY, ""),
        ("I'm sorry, but I can't help.", REFUSED, "I'm sorry, but I can't help."),
        ("I’m sorry, no", REFUSED, "I’m sorry, no"),
        ("I cannot do that", REFUSED, "I cannot do that"),
        ("As an AI model, no", REFUSED, "As an AI model, no"),
        ("Sorry tales please them", VALID, "Sorry tales please them"),
        ("<think>let me see</think>\nlikes tea", VALID, "likes tea"),
        ("<think>let me", TOO_LONG, "<think>let me"),
        ("<think>x</think>", EMPTY, "<think>x</think>"),
    ],
)
def test_texts_are_validated(answer, status, kept):
    assert validate_answer(TEXT, answer, finish_reason="stop") == CheckedAnswer(status, kept)


def test_the_report_of_the_endpoint_counts():
    assert validate_answer(TEXT, "likes te", finish_reason="length") == CheckedAnswer(TOO_LONG, "likes te")
    assert validate_answer(TEXT, "", finish_reason="content_filter") == CheckedAnswer(REFUSED, "")
    refused = validate_answer(TEXT, None, finish_reason="stop", refusal="I will not")
    assert refused == CheckedAnswer(REFUSED, "I will not")


@pytest.mark.parametrize("fence", ["{}", "```json\n{}\n```", "```\n{}\n```\n", "<think>hm</think> {}"])
def test_json_is_kept_as_its_fields(fence):
    checked = validate_answer(JSON, fence.replace("{}", '{"next": " b ", "taste": "Ä", "more": 1}'))
    assert checked == CheckedAnswer(VALID, '{"taste": "Ä", "next": "b"}')
    assert answer_fields(JSON, checked.text, "profile") == {"taste": "Ä", "next": "b"}


def test_a_field_of_json_may_be_a_list_of_texts():
    checked = validate_answer(JSON, '{"taste": "a b", "next": [" green tea", "cups "]}')
    assert checked == CheckedAnswer(VALID, '{"taste": "a b", "next": ["green tea", "cups"]}')
    assert answer_fields(JSON, checked.text, "profile") == {"taste": "a b", "next": ["green tea", "cups"]}
    long = validate_answer(JSON, '{"taste": "a b c", "next": ["d e", "f"]}')
    assert long.status == TOO_LONG, "words of lists count"


@pytest.mark.parametrize(
    "answer",
    ["likes tea", '{"taste": "a"}', '{"taste": "a", "next": 1}', '{"taste": "a", "next": " "}', '["taste"]',
     '{"taste": "a", "next": "b"', 'Here: {"taste": "a", "next": "b"}', '{"taste": "a", "next": []}',
     '{"taste": "a", "next": ["b", ""]}', '{"taste": "a", "next": ["b", 1]}', '{"taste": "a", "next": [["b"]]}',
     '{"taste": "a", "next": {"b": "c"}}'],
)  # fmt: skip
def test_json_that_is_broken_or_lacks_fields_is_rejected(answer):
    assert validate_answer(JSON, answer) == CheckedAnswer(BROKEN_JSON, answer)


def test_long_json_is_too_long():
    assert validate_answer(JSON, '{"taste": "a b c d", "next": "e f"}').status == TOO_LONG


def test_a_text_goes_under_the_name_given():
    assert answer_fields(TEXT, "likes tea", "profile") == {"profile": "likes tea"}
