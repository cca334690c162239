from __future__ import annotations

from recbole_lecdsr.llm.backends.connection import Pace, redact
from recbole_lecdsr.llm.settings import LLMSettings


def turns(pace: Pace, sizes: list[int], now: float = 100.0) -> list[float]:
    return [pace.book(size, now) for size in sizes]


def test_without_limits_nobody_waits():
    assert turns(Pace(None, None, 400), [10**6] * 3) == [0, 0, 0]


def test_requests_are_spread_over_the_minute():
    pace = Pace(120, None, 0)
    assert turns(pace, [1, 1, 1]) == [0, 0.5, 1.0]
    assert pace.book(1, 101.25) == 0.25, "the turn at 101.5"
    assert pace.book(1, 200.0) == 0, "time that has passed gives no burst, and costs no wait"


def test_tokens_of_prompts_and_answers_are_spread_over_the_minute():
    assert turns(Pace(None, 6000, 100), [400, 2000, 4]) == [0, 2.0, 2.0 + 6.0]


def test_the_narrower_limit_counts():
    assert turns(Pace(60, 60_000, 0), [4000, 8000, 4]) == [0, 1.0, 3.0]


def test_secrets_are_taken_out_in_every_form(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk/key+1234")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://some%40one:pass%2Fword@host/v1?token=abcd9999")
    basic = "c29tZUBvbmU6cGFzcy93b3Jk"  # of some@one:pass/word
    text = f"sk/key+1234 sk%2Fkey%2B1234 some@one some%40one pass/word pass%2Fword abcd9999 {basic} host"
    assert redact(text) == " ".join(["[secret]"] * 8 + ["host"])


def test_without_secrets_a_text_stays(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:8000/v1")
    assert redact("http://localhost:8000/v1 said no") == "http://localhost:8000/v1 said no"


def test_what_is_not_set_is_not_sent():
    assert LLMSettings(max_tokens=None, temperature=None).sampling == {}
    assert LLMSettings(seed=3, extra_body={"a": 1}).sampling == {
        "max_tokens": 400, "temperature": 0.0, "seed": 3, "extra_body": {"a": 1},
    }  # fmt: skip
