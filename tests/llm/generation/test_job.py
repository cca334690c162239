from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import openai  # noqa: F401  here, so that children need not import it
import pytest

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.llm.backends.base import Answer, Failure
from recbole_lecdsr.llm.backends.openai_chat import ChatEndpoint
from recbole_lecdsr.llm.generation.answer_store import VALID, Store
from recbole_lecdsr.llm.generation.job import Job
from recbole_lecdsr.llm.settings import LLMSettings
from tests.helpers.llm_server import answer_to, serve
from tests.helpers.subjects import ONE, TWO, People

FORK = multiprocessing.get_context("fork")
FAULTS = {"_429": 0.04, "_500": 0.03, "rubbish": 0.03, "cut": 0.02, "wrong": 0.02, "drop": 0.03, "refuse": 0.02,
          "empty": 0.02, "slow": 0.001}  # fmt: skip


class Told:
    """A back end that says what it is told to."""

    answers_differ, deferred = True, False

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    def count(self, text):
        return len(text.split())

    def run(self, requests, done):
        for request in requests:
            self.asked.append(request.messages)
            answer = self.answers.pop(0) if self.answers else "fine"
            done(request, answer if isinstance(answer, Answer | Failure) else Answer(answer, "stop", tokens_out=2))


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "store.jsonl") as store:
        yield store


def job(store, backend, count=3, template=ONE, **settings) -> Job:
    return Job(People(count), template, LLMSettings(**{"model": "m", **settings}), backend, store)


@pytest.fixture
def endpoint(monkeypatch):
    """Settings of the environment for a server; quick back-off."""
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    monkeypatch.setattr("openai._base_client.MAX_RETRY_DELAY", 0.05)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-key-0123456789")

    def use(server):
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)

    return use


# ------------------------------------------------------------------ what a job does


def test_each_user_gets_the_answer_to_the_own_prompt(store):
    outcome = job(store, backend := Told("a", "b", "c")).run()
    assert outcome.answers == {0: "a", 1: "b", 2: "c"} and not outcome.lost
    assert outcome.counts == {VALID: 3} and outcome.tokens_out == 6
    assert [messages[1]["content"] for messages in backend.asked] == [f"Who? 1. what u{u} chose" for u in range(3)]


def test_a_second_run_asks_for_what_is_missing_only(store):
    job(store, Told("a", "b"), count=2).run()
    outcome = job(store, backend := Told("c"), count=3).run()
    assert outcome.answers == {0: "a", 1: "b", 2: "c"} and len(backend.asked) == 1


@pytest.mark.parametrize("change", [{"model": "other"}, {"temperature": 0.5}, {"max_tokens": 7}, {"seed": 1},
                                    {"extra_body": {"x": 1}}, {"template": TWO}], ids=str)  # fmt: skip
def test_another_model_setting_or_template_asks_anew(store, change):
    job(store, Told()).run()
    job(store, backend := Told(), **change).run()
    assert backend.asked


@pytest.mark.parametrize("change", [{"concurrency": 3}, {"timeout": 3}, {"price_in": 3}, {"attempts": 9}], ids=str)
def test_settings_that_do_not_decide_an_answer_ask_nothing(store, change):
    job(store, Told()).run()
    job(store, backend := Told(), **change).run()
    assert not backend.asked


def test_invalid_answers_are_asked_again_and_then_listed(store):
    backend = Told("", "fine", "I'm sorry, no", "x " * 21, "I cannot")
    outcome = job(store, backend, count=2, attempts=3).run()
    assert outcome.answers == {1: "fine"}
    (lost,) = outcome.lost
    assert (lost.token, lost.reason, lost.attempts) == ("u0", "too long", 3)
    assert outcome.counts == {"empty": 1, VALID: 1, "refused": 1, "too long": 1}
    again = job(store, backend := Told(), count=2, attempts=3).run()
    assert not backend.asked and again.lost[0].reason == "too long", "attempts count over runs"
    assert job(store, Told(), count=2, attempts=4).run().answers == {0: "fine", 1: "fine"}


def test_a_model_that_repeats_itself_is_asked_once(store):
    backend = Told("", "", "")
    backend.answers_differ = False
    assert len(job(store, backend, count=1).run().lost) == 1 and len(backend.asked) == 1


def test_a_request_that_fails_is_listed_and_asked_again_by_the_next_run(store):
    outcome = job(store, Told(*[Failure("status 500")] * 2), count=1, attempts=2).run()
    assert (outcome.lost[0].reason, outcome.lost[0].attempts) == ("status 500", 2)
    assert job(store, Told(), count=1, attempts=2).run().answers == {0: "fine"}


def test_stages_use_the_answers_before_them(store):
    outcome = job(store, backend := Told("A", "B", "C", "sum 0", "sum 1"), count=2, template=TWO).run()
    assert outcome.answers == {0: "sum 0", 1: "sum 1"}
    asked = [messages[0]["content"] for messages in backend.asked]
    assert asked[:3] == ["In books: 1. what u0 chose", "In books: 1. what u1 chose", "In films: 1. what u1 chose"]
    assert asked[3:] == ["Of these: [books]\nA", "Of these: [books]\nB\n\n[films]\nC"]


def test_a_user_who_lost_a_stage_is_not_asked_the_next(store):
    backend = Told("A", "B", "", "", "sum 0")
    outcome = job(store, backend, count=2, template=TWO, attempts=2).run()
    assert outcome.answers == {0: "sum 0"}
    assert [(one.token, one.stage, one.part) for one in outcome.lost] == [("u1", "domain", "films")]


def test_users_with_one_prompt_share_an_answer(store):
    people = People(2)
    people.parts = lambda index, stage: [("", {"history": "the same"})]
    outcome = Job(people, ONE, LLMSettings(model="m"), backend := Told(), store).run()
    assert len(outcome.answers) == 2 and len(backend.asked) == 1


# ------------------------------------------------------------------ what it would do


def test_a_preview_counts_what_is_missing_and_its_price(store):
    job(store, Told(), count=1, max_tokens=10).run()
    preview = job(store, Told(), count=4, max_tokens=10, price_in=1e6, price_out=2e6).preview()
    assert (preview.subjects, preview.requests, preview.later) == (4, 3, False)
    assert preview.tokens_in == 3 * 7 and preview.tokens_out == 30 and preview.cost == 21 + 60
    asked = [messages[1]["content"] for messages in preview.examples]
    assert asked == ["Who? 1. what u1 chose", "Who? 1. what u2 chose"]
    assert job(store, Told(), count=4).preview().cost is None


def test_a_preview_of_stages_takes_the_longest_answers(store):
    preview = job(store, Told(), count=2, template=TWO, max_tokens=10).preview()
    assert (preview.requests, preview.later) == (5, True)
    assert preview.tokens_in == 3 * 6 + 2 * 2 + (1 + 2) * 10 and preview.tokens_out == 50
    job(store, Told("A", "B", "C"), count=2, template=TWO, max_tokens=10).run()
    assert job(store, Told(), count=2, template=TWO, max_tokens=10).preview().requests == 0


# ------------------------------------------------------------------ against a server


def unbroken(path: Path) -> dict[str, str]:
    """Answers of a store by key, each of which has one valid record."""
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
    assert max(Counter(one["key"] for one in records if one["status"] == VALID).values()) == 1
    return {one["key"]: one["answer"] for one in records if one["status"] == VALID}


def ask(path: Path, count: int, **settings) -> dict[int, str]:
    values = {"model": "m", "concurrency": 32, "attempts": 8, "max_retries": 12, "timeout": 2, **settings}
    with Store(path) as store:
        settings = LLMSettings(**values)
        return Job(People(count), ONE, settings, ChatEndpoint(settings), store).run().answers


def expected(count: int) -> dict[int, str]:
    return {number: answer_to(f"Who? 1. what u{number} chose") for number in range(count)}


def test_two_thousand_users_finish_against_a_server_that_misbehaves(tmp_path, endpoint):
    with serve(slow_seconds=2.5, **FAULTS) as server:
        endpoint(server)
        assert ask(tmp_path / "s", 2000) == expected(2000)
        assert len(unbroken(tmp_path / "s")) == 2000
        seen = server.seen()
        assert seen["requests"] > 2200 and seen["too_early"] == 0, "Retry-After is honoured"


def test_a_run_that_is_killed_ten_times_ends_with_the_same_store(tmp_path, endpoint):
    chance = random.Random(3)
    with serve(slow_seconds=2.5, **FAULTS) as server:
        endpoint(server)
        for kill in range(10):
            worker = FORK.Process(target=ask, args=(tmp_path / "killed", 400))
            worker.start()
            enough = 35 * kill + chance.randrange(35)
            while not ((tmp_path / "killed").exists() and (tmp_path / "killed").read_bytes().count(b"\n") > enough):
                assert worker.is_alive()
                time.sleep(0.002)
            time.sleep(chance.random() / 50)
            os.kill(worker.pid, signal.SIGKILL)
            worker.join()
        assert ask(tmp_path / "killed", 400) == expected(400)
        killed = server.seen()["answered"]
    with serve() as server:
        endpoint(server)
        ask(tmp_path / "whole", 400)
    assert unbroken(tmp_path / "killed") == unbroken(tmp_path / "whole")
    assert sum(killed.values()) <= 400 + 10 * 32 + 40, "a kill loses at most what was in flight"


def test_eight_requests_are_in_flight_at_once_and_no_more(tmp_path, endpoint):
    with serve(latency=0.2) as server:
        endpoint(server)
        ask(tmp_path / "s", 40, concurrency=8)
        assert server.seen()["most_in_flight"] == 8


def test_a_request_holds_the_settings_and_nothing_else(tmp_path, endpoint):
    with serve() as server:
        endpoint(server)
        ask(tmp_path / "s", 1, temperature=0.5, top_p=0.9, seed=3, max_tokens=None, extra_body={"top_k": 5})
        last = server.seen()["last"]
    assert last.pop("authorization") == "Bearer sk-test-key-0123456789" and last.pop("path") == "/v1/chat/completions"
    assert last == {
        "model": "m", "temperature": 0.5, "top_p": 0.9, "seed": 3, "top_k": 5,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who? 1. what u0 chose"}],
    }  # fmt: skip


@pytest.mark.parametrize(("status", "told"), [(401, "OPENAI_API_KEY"), (404, "OPENAI_BASE_URL")])
def test_an_endpoint_that_refuses_everything_ends_the_job_at_once(tmp_path, endpoint, status, told):
    with serve(status=status) as server:
        endpoint(server)
        with pytest.raises(UserError, match=rf"the endpoint answers {status}: .*{told}"):
            ask(tmp_path / "s", 500, concurrency=4)
        assert server.seen()["requests"] <= 8


def test_an_endpoint_that_is_broken_ends_the_job_soon(tmp_path, endpoint):
    with serve(status=500) as server:
        endpoint(server)
        with pytest.raises(UserError, match=r"20 requests failed one after the other.*status 500.*then run again"):
            ask(tmp_path / "s", 500, concurrency=4, max_retries=0)
        assert server.seen()["requests"] <= 30


def test_an_endpoint_that_is_not_there_ends_the_job_soon(tmp_path, monkeypatch, endpoint):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    with pytest.raises(UserError, match=r"failed one after the other.*no connection"):
        ask(tmp_path / "s", 500, max_retries=0)


@pytest.mark.parametrize(
    ("url", "key", "told"),
    [("", "", "neither OPENAI_BASE_URL nor OPENAI_API_KEY is set"), ("localhost:8000", "x", "must be an address")],
)
def test_an_environment_that_names_no_endpoint_is_told(tmp_path, monkeypatch, url, key, told):
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(UserError, match=told):
        ask(tmp_path / "s", 1)
