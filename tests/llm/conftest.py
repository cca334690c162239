from __future__ import annotations

import pytest


@pytest.fixture
def endpoint(monkeypatch):
    """Points the environment to a server, with short pauses between retries."""
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    monkeypatch.setattr("openai._base_client.MAX_RETRY_DELAY", 0.05)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-key-0123456789")

    def use(server):
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)

    return use
