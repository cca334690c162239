from __future__ import annotations

import pytest

from recbole_lecdsr.errors import UserError
from tests.helpers.llm_server import serve
from tests.helpers.subjects import profile_fake_users


def test_eight_requests_are_in_flight_at_once_and_no_more(tmp_path, endpoint):
    with serve(latency=0.2) as server:
        endpoint(server)
        profile_fake_users(tmp_path / "s", 40, concurrency=8)
        assert server.seen()["most_in_flight"] == 8


def test_a_request_contains_the_settings_and_nothing_else(tmp_path, endpoint):
    with serve() as server:
        endpoint(server)
        profile_fake_users(
            tmp_path / "s", 1, temperature=0.5, top_p=0.9, seed=3, max_tokens=None, extra_body={"top_k": 5}
        )
        last = server.seen()["last"]
    assert last.pop("authorization") == "Bearer sk-test-key-0123456789" and last.pop("path") == "/v1/chat/completions"
    assert last == {
        "model": "m", "temperature": 0.5, "top_p": 0.9, "seed": 3, "top_k": 5,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who? 1. what u0 chose"}],
    }  # fmt: skip


@pytest.mark.parametrize(("status", "named"), [(401, "OPENAI_API_KEY"), (404, "OPENAI_BASE_URL")])
def test_an_endpoint_that_refuses_everything_ends_the_job_at_once(tmp_path, endpoint, status, named):
    with serve(status=status) as server:
        endpoint(server)
        with pytest.raises(UserError, match=rf"the endpoint answers {status}: .*{named}"):
            profile_fake_users(tmp_path / "s", 500, concurrency=4)
        assert server.seen()["requests"] <= 8


def test_an_endpoint_that_is_broken_ends_the_job_soon(tmp_path, endpoint):
    with serve(status=500) as server:
        endpoint(server)
        with pytest.raises(UserError, match=r"20 consecutive requests failed.*status 500.*then run the command again"):
            profile_fake_users(tmp_path / "s", 500, concurrency=4, max_retries=0)
        assert server.seen()["requests"] <= 30


def test_an_endpoint_that_is_not_there_ends_the_job_soon(tmp_path, monkeypatch, endpoint):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    with pytest.raises(UserError, match=r"consecutive requests failed.*no connection"):
        profile_fake_users(tmp_path / "s", 500, max_retries=0)


@pytest.mark.parametrize(
    ("url", "key", "message"),
    [("", "", "neither OPENAI_BASE_URL nor OPENAI_API_KEY is set"), ("localhost:8000", "x", "must be an address")],
)
def test_an_environment_without_an_endpoint_is_an_error(tmp_path, monkeypatch, url, key, message):
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(UserError, match=message):
        profile_fake_users(tmp_path / "s", 1)
