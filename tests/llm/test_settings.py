from __future__ import annotations

from recbole_lecdsr.llm.settings import LLMSettings


def test_what_is_not_set_is_not_sent():
    assert LLMSettings(max_tokens=None, temperature=None).sampling == {}
    assert LLMSettings(seed=3, extra_body={"a": 1}).sampling == {
        "max_tokens": 400, "temperature": 0.0, "seed": 3, "extra_body": {"a": 1},
    }  # fmt: skip
