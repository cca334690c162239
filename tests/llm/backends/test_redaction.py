from __future__ import annotations

from recbole_lecdsr.llm.backends.redaction import redact_secrets


def test_secrets_are_replaced_in_every_form(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk/key+1234")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://some%40one:pass%2Fword@host/v1?token=abcd9999")
    basic = "c29tZUBvbmU6cGFzcy93b3Jk"  # of some@one:pass/word
    text = f"sk/key+1234 sk%2Fkey%2B1234 some@one some%40one pass/word pass%2Fword abcd9999 {basic} host"
    assert redact_secrets(text) == " ".join(["[secret]"] * 8 + ["host"])


def test_a_text_without_secrets_is_unchanged(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:8000/v1")
    assert redact_secrets("http://localhost:8000/v1 said no") == "http://localhost:8000/v1 said no"
