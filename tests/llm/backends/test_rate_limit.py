from __future__ import annotations

from recbole_lecdsr.llm.backends.rate_limit import RateLimit


def waits(limit: RateLimit, sizes: list[int], now: float = 100.0) -> list[float]:
    return [limit.reserve(size, now) for size in sizes]


def test_without_limits_no_request_waits():
    assert waits(RateLimit(None, None, 400), [10**6] * 3) == [0, 0, 0]


def test_requests_are_spread_over_the_minute():
    limit = RateLimit(120, None, 0)
    assert waits(limit, [1, 1, 1]) == [0, 0.5, 1.0]
    assert limit.reserve(1, 101.25) == 0.25, "it starts at 101.5"
    assert limit.reserve(1, 200.0) == 0, "after a pause there is neither a burst nor a wait"


def test_tokens_of_prompts_and_answers_are_spread_over_the_minute():
    assert waits(RateLimit(None, 6000, 100), [400, 2000, 4]) == [0, 2.0, 2.0 + 6.0]


def test_the_stricter_limit_counts():
    assert waits(RateLimit(60, 60_000, 0), [4000, 8000, 4]) == [0, 1.0, 3.0]
