from __future__ import annotations

import pytest

from recbole_lecdsr.llm.settings import LLMSettings, faults


@pytest.mark.parametrize(
    ("name", "value"),
    [("backend", "vllm"), ("model", ""), ("model", 7), ("prompt", None), ("event_text", "title"), ("event_text", [1]),
     ("max_tokens", 0), ("max_tokens", 1.5), ("max_tokens", True), ("temperature", -1), ("top_p", 1.5),
     ("concurrency", 0), ("requests_per_minute", 0), ("timeout", None), ("dtype", "int8"), ("extra_body", None),
     ("extra_body", {"messages": []}), ("device_map", 3), ("price_in", "low")],
)  # fmt: skip
def test_invalid_values_are_errors_with_their_name(name, value):
    (message,) = faults({name: value})
    assert message.startswith(f"llm.{name} must")


def test_what_is_not_set_is_not_sent():
    assert LLMSettings(max_tokens=None, temperature=None).sampling == {}
    assert LLMSettings(seed=3, extra_body={"a": 1}).sampling == {
        "max_tokens": 400, "temperature": 0.0, "seed": 3, "extra_body": {"a": 1},
    }  # fmt: skip
    assert not faults({"max_tokens": None, "temperature": None, "model": None, "device_map": "auto"})
