from __future__ import annotations

import pytest

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.llm.backends.openai_chat import parse_completion
from tests.helpers.llm_server import answer_to, serve
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
    ("status", "error", "remedy"),
    [
        (429, {"message": "You exceeded your quota", "code": "insufficient_quota"}, "add credit"),
        (429, {"message": "You exceeded your quota", "type": "insufficient_quota", "code": None}, "add credit"),
        (402, {"message": "Insufficient Balance", "type": "unknown_error"}, "add credit"),
        (400, {"message": "no such model", "code": "model_not_found"}, "OPENAI_BASE_URL"),
        (500, {"message": "bad key", "code": "invalid_api_key"}, "OPENAI_API_KEY"),
        (200, {"message": "Insufficient credits", "code": 402}, "add credit"),
    ],
    ids=str,
)
def test_case_t4_a_permanent_error_ends_the_job_at_once_with_the_words_of_the_server(
    tmp_path, endpoint, status, error, remedy
):
    with serve(status=status, error=error) as server:
        endpoint(server)
        with pytest.raises(UserError, match=rf"the endpoint answers (4..|500): {error['message']}; .*{remedy}"):
            profile_fake_users(tmp_path / "s", 500, concurrency=4)
        assert server.seen()["requests"] <= 8


def test_case_t4_an_error_with_status_200_is_shown_and_not_stored(tmp_path, endpoint):
    with serve(error={"message": "the model is asleep"}) as server:
        endpoint(server)
        with pytest.raises(UserError, match=r"consecutive requests failed.*status 200: the model is asleep"):
            profile_fake_users(tmp_path / "s", 50, concurrency=4, attempts=1)
    assert not (tmp_path / "s").read_text()


def test_case_t4_content_in_parts_is_joined(tmp_path, endpoint):
    with serve(parts=True) as server:
        endpoint(server)
        answers = profile_fake_users(tmp_path / "s", 2)
    assert set(answers.values()) == {answer_to(f"Who? 1. what u{number} chose") for number in range(2)}


@pytest.mark.parametrize(
    "content", [[{"type": "image"}], [3], {"text": "x"}, [{"type": "text", "text": None}]], ids=str
)
def test_case_t4_content_without_a_text_is_no_chat_completion(content):
    with pytest.raises(ValueError, match="not a chat completion"):
        parse_completion({"choices": [{"message": {"content": content}}]})


@pytest.mark.parametrize(
    "usage", [{"prompt_tokens": "x", "completion_tokens": None}, {"prompt_tokens": -1}, {}], ids=str
)
def test_case_t4_numbers_of_tokens_that_are_none_do_not_spoil_an_answer(usage):
    message = {"content": "likes tea"}
    answer = parse_completion({"choices": [{"message": message, "finish_reason": 3}], "usage": usage})
    assert (answer.text, answer.finish_reason, answer.tokens_in, answer.tokens_out) == ("likes tea", None, None, None)


@pytest.mark.parametrize("status", [307, 308])
def test_case_t4_a_redirected_request_is_answered(tmp_path, endpoint, status):
    with serve(redirect=status) as server:
        endpoint(server)
        assert len(profile_fake_users(tmp_path / "s", 3)) == 3
        assert server.seen()["last"]["path"] == "/v2/chat/completions"
        assert server.seen()["last"]["authorization"] == "Bearer sk-test-key-0123456789"


@pytest.mark.parametrize(
    "url",
    ["http://user:pw@[::1/v1", "http://user:pw@host:99999/v1", "http://user:pw@host:x/v1", "http://user:p/w@host/v1",
     "user:pw@host/v1", "http://user:pw@/v1", "http://user:p#w@host:1/v1", "ftp://user:pw@host"],
)  # fmt: skip
def test_case_t4_a_malformed_address_is_one_error_without_the_password(tmp_path, monkeypatch, url):
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UserError, match="OPENAI_BASE_URL must be an address such as") as raised:
        profile_fake_users(tmp_path / "s", 1)
    message = str(raised.value)
    assert not any(part in message for part in ("pw", "p/w", "p#w", "user")) and "\n" not in message


@pytest.mark.parametrize(
    "key", ["sk-first-half\nsecond-half", "sk-first-half second-half", "sk-first-half\u00e4\u200b"]
)
def test_case_t4_a_key_that_no_header_can_hold_is_refused_and_not_shown(tmp_path, monkeypatch, key):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(UserError, match="OPENAI_API_KEY contains a line break, a blank") as raised:
        profile_fake_users(tmp_path / "s", 1)
    assert "half" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "key", "message"),
    [("", "", "neither OPENAI_BASE_URL nor OPENAI_API_KEY is set"), ("localhost:8000", "x", "must be an address")],
)
def test_an_environment_without_an_endpoint_is_an_error(tmp_path, monkeypatch, url, key, message):
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(UserError, match=message):
        profile_fake_users(tmp_path / "s", 1)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_case_t4_a_prompt_that_the_endpoint_refuses_is_asked_once(tmp_path, endpoint, status):
    with serve(status=status) as server:
        endpoint(server)
        assert profile_fake_users(tmp_path / "s", 3, attempts=8) == {}
        assert server.seen()["requests"] == 3
