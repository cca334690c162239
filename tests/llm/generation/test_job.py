from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import openai  # noqa: F401  imported here so that children need not do it
import pytest

from recbole_lecdsr.llm.backends.base import Answer, Backend, Failure
from recbole_lecdsr.llm.generation.answer_store import VALID, AnswerStore
from recbole_lecdsr.llm.generation.job import GenerationJob
from recbole_lecdsr.llm.generation.prompt_source import PromptPart
from recbole_lecdsr.llm.settings import LLMSettings
from tests.helpers.llm_server import answer_to, serve
from tests.helpers.subjects import ONE_STAGE, TWO_STAGES, FakeUsers, profile_fake_users

FORK = multiprocessing.get_context("fork")
FAULTS = {"_429": 0.04, "_500": 0.03, "rubbish": 0.03, "cut": 0.02, "wrong": 0.02, "drop": 0.03, "refuse": 0.02,
          "empty": 0.02, "slow": 0.001}  # fmt: skip


class ScriptedBackend(Backend):
    """Gives the answers of a list, then ``fine``."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    def count_tokens(self, text):
        return len(text.split())

    def run(self, requests, on_outcome):
        for request in requests:
            self.asked.append(request.messages)
            answer = self.answers.pop(0) if self.answers else "fine"
            if isinstance(answer, str):
                answer = Answer(answer, finish_reason="stop", tokens_out=2)
            on_outcome(request, answer)


@pytest.fixture
def store(tmp_path):
    with AnswerStore(tmp_path / "store.jsonl") as store:
        yield store


def job(store, backend, count=3, template=ONE_STAGE, **settings) -> GenerationJob:
    llm = LLMSettings(**{"model": "m", **settings})
    return GenerationJob(FakeUsers(count), template, settings=llm, backend=backend, store=store)


# ------------------------------------------------------------------ what a job does


def test_each_user_gets_the_answer_to_their_prompt(store):
    result = job(store, backend := ScriptedBackend("a", "b", "c")).run()
    assert result.answers == {0: "a", 1: "b", 2: "c"} and not result.failed
    assert result.counts == {VALID: 3} and result.tokens_out == 6
    assert [messages[1]["content"] for messages in backend.asked] == [f"Who? 1. what u{u} chose" for u in range(3)]


def test_a_second_run_asks_for_what_is_missing_only(store):
    job(store, ScriptedBackend("a", "b"), count=2).run()
    result = job(store, backend := ScriptedBackend("c"), count=3).run()
    assert result.answers == {0: "a", 1: "b", 2: "c"} and len(backend.asked) == 1


@pytest.mark.parametrize("change", [{"model": "other"}, {"temperature": 0.5}, {"max_tokens": 7}, {"seed": 1},
                                    {"extra_body": {"x": 1}}, {"template": TWO_STAGES}], ids=str)  # fmt: skip
def test_another_model_setting_or_template_asks_again(store, change):
    job(store, ScriptedBackend()).run()
    job(store, backend := ScriptedBackend(), **change).run()
    assert backend.asked


@pytest.mark.parametrize("change", [{"concurrency": 3}, {"timeout": 3}, {"price_in": 3}, {"attempts": 9}], ids=str)
def test_settings_without_influence_on_the_answer_ask_nothing(store, change):
    job(store, ScriptedBackend()).run()
    job(store, backend := ScriptedBackend(), **change).run()
    assert not backend.asked


def test_invalid_answers_are_asked_again_and_then_listed(store):
    backend = ScriptedBackend("", "fine", "I'm sorry, no", "x " * 21, "I cannot")
    result = job(store, backend, count=2, attempts=3).run()
    assert result.answers == {1: "fine"}
    (failure,) = result.failed
    assert (failure.token, failure.reason, failure.attempts) == ("u0", "too long", 3)
    assert result.counts == {"empty": 1, VALID: 1, "refused": 1, "too long": 1}
    again = job(store, backend := ScriptedBackend(), count=2, attempts=3).run()
    assert not backend.asked and again.failed[0].reason == "too long", "attempts count over runs"
    assert job(store, ScriptedBackend(), count=2, attempts=4).run().answers == {0: "fine", 1: "fine"}


def test_a_deterministic_model_is_asked_once(store):
    backend = ScriptedBackend("", "", "")
    backend.deterministic = True
    assert len(job(store, backend, count=1).run().failed) == 1 and len(backend.asked) == 1


def test_a_request_that_fails_is_listed_and_asked_again_by_the_next_run(store):
    result = job(store, ScriptedBackend(*[Failure("status 500")] * 2), count=1, attempts=2).run()
    assert (result.failed[0].reason, result.failed[0].attempts) == ("status 500", 2)
    assert job(store, ScriptedBackend(), count=1, attempts=2).run().answers == {0: "fine"}


def test_stages_use_the_answers_before_them(store):
    result = job(store, backend := ScriptedBackend("A", "B", "C", "sum 0", "sum 1"), count=2, template=TWO_STAGES).run()
    assert result.answers == {0: "sum 0", 1: "sum 1"}
    asked = [messages[0]["content"] for messages in backend.asked]
    assert asked[:3] == ["In books: 1. what u0 chose", "In books: 1. what u1 chose", "In films: 1. what u1 chose"]
    assert asked[3:] == ["Of these: [books]\nA", "Of these: [books]\nB\n\n[films]\nC"]


def test_a_user_without_an_answer_in_one_stage_is_not_asked_the_next(store):
    backend = ScriptedBackend("A", "B", "", "", "sum 0")
    result = job(store, backend, count=2, template=TWO_STAGES, attempts=2).run()
    assert result.answers == {0: "sum 0"}
    assert [(one.token, one.stage, one.part) for one in result.failed] == [("u1", "domain", "films")]


def test_users_with_one_prompt_share_an_answer(store):
    users, backend = FakeUsers(2), ScriptedBackend()
    users.parts = lambda index, stage: [PromptPart("", {"history": "the same"})]
    result = GenerationJob(users, ONE_STAGE, settings=LLMSettings(model="m"), backend=backend, store=store).run()
    assert len(result.answers) == 2 and len(backend.asked) == 1


# ------------------------------------------------------------------ preview


def test_a_preview_counts_what_is_missing_and_its_price(store):
    job(store, ScriptedBackend(), count=1, max_tokens=10).run()
    preview = job(store, ScriptedBackend(), count=4, max_tokens=10, price_in=1e6, price_out=2e6).preview()
    assert (preview.n_subjects, preview.requests, preview.is_upper_bound) == (4, 3, False)
    assert preview.tokens_in == 3 * 7 and preview.tokens_out == 30 and preview.cost == 21 + 60
    asked = [messages[1]["content"] for messages in preview.examples]
    assert asked == ["Who? 1. what u1 chose", "Who? 1. what u2 chose"]
    assert job(store, ScriptedBackend(), count=4).preview().cost is None


def test_a_preview_of_stages_takes_the_longest_answers(store):
    preview = job(store, ScriptedBackend(), count=2, template=TWO_STAGES, max_tokens=10).preview()
    assert (preview.requests, preview.is_upper_bound) == (5, True)
    assert preview.tokens_in == 3 * 6 + 2 * 2 + (1 + 2) * 10 and preview.tokens_out == 50
    job(store, ScriptedBackend("A", "B", "C"), count=2, template=TWO_STAGES, max_tokens=10).run()
    assert job(store, ScriptedBackend(), count=2, template=TWO_STAGES, max_tokens=10).preview().requests == 0


# ------------------------------------------------------------------ against a server


def valid_answers(path: Path) -> dict[str, str]:
    """Answers of a store by key, each of which has one valid record."""
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
    assert max(Counter(one["key"] for one in records if one["status"] == VALID).values()) == 1
    return {one["key"]: one["answer"] for one in records if one["status"] == VALID}


def expected(count: int) -> dict[int, str]:
    return {number: answer_to(f"Who? 1. what u{number} chose") for number in range(count)}


def test_two_thousand_users_finish_against_a_faulty_server(tmp_path, endpoint):
    with serve(slow_seconds=2.5, **FAULTS) as server:
        endpoint(server)
        assert profile_fake_users(tmp_path / "s", 2000) == expected(2000)
        assert len(valid_answers(tmp_path / "s")) == 2000
        seen = server.seen()
        assert seen["requests"] > 2200 and seen["too_early"] == 0, "Retry-After is honoured"


def test_a_run_that_is_killed_ten_times_ends_with_the_same_store(tmp_path, endpoint):
    chance = random.Random(3)
    with serve(slow_seconds=2.5, **FAULTS) as server:
        endpoint(server)
        for kill in range(10):
            worker = FORK.Process(target=profile_fake_users, args=(tmp_path / "killed", 400))
            worker.start()
            enough = 35 * kill + chance.randrange(35)
            while not ((tmp_path / "killed").exists() and (tmp_path / "killed").read_bytes().count(b"\n") > enough):
                assert worker.is_alive()
                time.sleep(0.002)
            time.sleep(chance.random() / 50)
            os.kill(worker.pid, signal.SIGKILL)
            worker.join()
        assert profile_fake_users(tmp_path / "killed", 400) == expected(400)
        killed = server.seen()["answered"]
    with serve() as server:
        endpoint(server)
        profile_fake_users(tmp_path / "whole", 400)
    assert valid_answers(tmp_path / "killed") == valid_answers(tmp_path / "whole")
    assert sum(killed.values()) <= 400 + 10 * 32 + 40, "a kill loses at most what was in flight"
