from __future__ import annotations

import html
import json
from urllib.parse import quote, quote_plus

import pytest

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.llm.backends.redaction import redact_secrets, refuse_secret_parameters


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


@pytest.mark.parametrize(
    "key", ["sk-first\nsecond-line", 'sk-"quo\'ted"\\path', "sk-\u00fcml\u00e4ut-\u20ac uro", "sk/a b+c&d=e<f"]
)
def test_case_t4_a_key_is_replaced_in_every_form_in_which_it_can_be_printed(monkeypatch, key):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", key)
    forms = [
        key,
        repr(key),
        ascii(key),
        repr(key.encode()),
        repr(repr(key)),
        json.dumps(key),
        quote(key),
        quote_plus(key),
        json.dumps(key, ensure_ascii=False),
        json.dumps(json.dumps(key)),
        quote(key, safe="").lower(),
        " ".join(key.split()),
        html.escape(key),
        f"Illegal header value {f'Bearer {key}'.encode()!r}",
        repr(ValueError(key)),
        *key.splitlines(),
    ]
    for form in forms:
        redacted = redact_secrets(f"error: {form}.")
        assert "[secret]" in redacted, form
        assert not any(part in redacted for part in ("first", "second", "quo", "path", "ml", "uro", "b+c")), form


def test_case_t4_the_credentials_of_any_address_are_replaced(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://user:pw@[::1/v1")
    assert redact_secrets("no http://user:pw@[::1/v1, no https://me:x@host/a") == (
        "no http://[secret]@[::1/v1, no https://[secret]@host/a"
    )


@pytest.mark.parametrize(
    "body",
    [{"api_key": "abcd1234"}, {"headers": {"Authorization": "Basic abcd"}}, {"x": [{"password": "hunter22"}]},
     {"x": "sk-proj-0123456789abcdef0123"}, {"note": "Bearer 0123456789"}, {"x": "env-key-1234"},
     {"access_token": "12345"}],
    ids=str,
)  # fmt: skip
def test_case_t4_a_key_among_the_parameters_is_refused(monkeypatch, body):
    monkeypatch.setenv("OPENAI_API_KEY", "env-key-1234")
    with pytest.raises(UserError, match=r"llm\.extra_body\..*holds a key or a password.*export OPENAI_API_KEY"):
        refuse_secret_parameters("llm.extra_body", body)


def test_parameters_without_a_key_are_accepted():
    body = {"top_k": 5, "stop": ["</s>"], "stop_token": "<|end|>", "prompt_cache_key": "profiles", "max_tokens": 3}
    body |= {"encoder": "models/hf_multilingual-e5-large-instruct", "other": "./sk-learn-encoder-of-long-name"}
    refuse_secret_parameters("llm.extra_body", body)
