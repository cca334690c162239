from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.llm.backends.base import Failure, Request
from recbole_lecdsr.llm.backends.openai_batch import MAX_BYTES, MAX_REQUESTS, OpenAIBatch, read_results
from recbole_lecdsr.llm.generation.answer_store import AnswerStore
from recbole_lecdsr.llm.generation.job import GenerationJob
from recbole_lecdsr.llm.settings import LLMSettings
from tests.helpers.subjects import ONE_STAGE, TWO_STAGES, FakeUsers

SETTINGS = LLMSettings(backend="batch", model="m", extra_body={"top_k": 3}, attempts=2)


def requests(count: int) -> list[Request]:
    return [Request(f"k{n}", [{"role": "user", "content": f"Ä {n}"}]) for n in range(count)]


def rows(path) -> list[dict]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def result(key: str, text: str | None = "fine", **changes) -> dict:
    message = {"role": "assistant", "content": text}
    body = {"choices": [{"message": message, "finish_reason": "stop"}], "usage": {"completion_tokens": 2}}
    return {"id": "r", "custom_id": key, "response": {"status_code": 200, "body": body}, "error": None, **changes}


def write(name: str, *lines: dict | str) -> Path:
    text = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    Path(name).write_text("\n".join(text) + "\n", encoding="utf-8")
    return Path(name)


def test_requests_are_written_in_the_batch_format(tmp_path):
    files = OpenAIBatch(SETTINGS, tmp_path / "b")
    files.run(requests(2), None)
    assert [path.name for path in files.request_files] == ["requests-001.jsonl"]
    assert rows(files.request_files[0])[1] == {
        "custom_id": "k1", "method": "POST", "url": "/v1/chat/completions",
        "body": {"model": "m", "messages": [{"role": "user", "content": "Ä 1"}], "max_tokens": 400, "temperature": 0.0,
                 "top_k": 3},
    }  # fmt: skip
    assert (MAX_REQUESTS, MAX_BYTES) == (50_000, 200_000_000)


def test_files_are_split_by_requests_and_by_bytes_and_old_ones_deleted(tmp_path):
    (tmp_path / "requests-009.jsonl").write_text("old\n")
    files = OpenAIBatch(SETTINGS, tmp_path, max_requests=2)
    files.run(requests(5), None)
    assert [len(rows(path)) for path in files.request_files] == [2, 2, 1]
    assert sorted(path.name for path in tmp_path.glob("requests*")) == [f"requests-00{n}.jsonl" for n in (1, 2, 3)]
    line = files.request_files[2].stat().st_size
    files = OpenAIBatch(SETTINGS, tmp_path, max_bytes=2 * line)
    files.run(requests(5), None)
    assert [len(rows(path)) for path in files.request_files] == [2, 2, 1]
    with pytest.raises(UserError, match=r"more than the .* of a batch file"):
        OpenAIBatch(SETTINGS, tmp_path, max_bytes=line - 1).run(requests(1), None)


def test_results_are_read_in_any_order_and_failed_rows_say_why(tmp_path):
    one = write("one.jsonl", result("b", "B"), result("a", "A"), "")
    other = write(
        "errors.jsonl",
        {"custom_id": "c", "response": None, "error": {"code": "batch_expired"}},
        {"custom_id": "d", "response": {"status_code": 400, "body": {"error": {"message": "too long"}}}, "error": None},
        {"custom_id": "a", "response": None, "error": {"code": "late"}},
        {"custom_id": "e", "response": {"status_code": 200, "body": {"choices": []}}},
    )
    found = read_results([one, other])
    assert (found["a"].text, found["b"].text, found["b"].tokens_out) == ("A", "B", 2)
    assert "batch_expired" in found["c"].reason and "too long" in found["d"].reason
    assert isinstance(found["e"], Failure)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("rubbish", "line 2: not a row of a result file"),
        ("[]", "line 2: not a row"),
        ('{"id": "x"}', "line 2: not a row"),
        ('{"custom_id": ["a"], "response": {}}', "line 2: not a row"),
        ('{"custom_id": "a", "response": "x"}', "line 2: not a row"),
        ("[" * 100_000, "line 2: not a row"),
        ('{"custom_id": "a", "method": "POST", "body": {}}', "line 2: this is a request"),
    ],
    ids=lambda value: value[:40],
)
def test_a_malformed_result_file_is_an_error_with_its_line(line, message):
    with pytest.raises(UserError, match=rf"r\.jsonl, {message}"):
        read_results([write("r.jsonl", result("a"), line)])
    with pytest.raises(UserError, match="absent cannot be read"):
        read_results(["absent"])


# ------------------------------------------------------------------ with a job


def step(store, results: list[Path] | None = None, template=ONE_STAGE, count: int = 4):
    files = OpenAIBatch(SETTINGS, Path("batch"))
    job = GenerationJob(FakeUsers(count), template, settings=SETTINGS, backend=files, store=store)
    ignored = job.store_results(read_results(results)) if results else 0
    return job.run(), files, ignored


def asked(files: OpenAIBatch) -> list[dict]:
    return [row for path in files.request_files for row in rows(path)]


def test_results_become_answers_and_failed_rows_are_written_again(tmp_path):
    with AnswerStore(tmp_path / "s") as store:
        job_result, files, _ = step(store)
        assert job_result.waiting == 4 and not job_result.answers and not job_result.failed
        keys = [row["custom_id"] for row in asked(files)]
        lines = [result(keys[0], "A"), result(keys[1], ""), result(keys[2], None, response=None, error={"code": "bad"}),
                 result("f" * 64)]  # fmt: skip
        random.Random(0).shuffle(lines)
        job_result, files, ignored = step(store, [write("r.jsonl", *lines)])
        assert ignored == 1 and job_result.answers == {0: "A"} and job_result.waiting == 1
        reasons = {one.token: one.reason.split(":")[0] for one in job_result.failed}
        assert reasons == {"u1": "empty", "u2": "row failed"}
        assert [row["custom_id"] for row in asked(files)] == keys[1:]


def test_a_result_file_that_is_read_twice_counts_once(tmp_path):
    with AnswerStore(tmp_path / "s") as store:
        _, files, _ = step(store, count=1)
        path = write("r.jsonl", result(asked(files)[0]["custom_id"], ""))
        step(store, [path], count=1)
        job_result, files, _ = step(store, [path], count=1)
        assert job_result.failed[0].attempts == 1 and len(asked(files)) == 1
        other = write("other.jsonl", result(asked(files)[0]["custom_id"], "", id="r2"))
        job_result, files, _ = step(store, [other], count=1)
        assert job_result.failed[0].attempts == 2 and not asked(files), "given up"


def test_a_stage_is_written_when_the_answers_before_it_exist(tmp_path):
    with AnswerStore(tmp_path / "s") as store:
        _, files, _ = step(store, template=TWO_STAGES, count=2)
        first = asked(files)
        assert len(first) == 3
        path = write("r.jsonl", *(result(row["custom_id"], "x") for row in first[:2]))
        job_result, files, _ = step(store, [path], template=TWO_STAGES, count=2)
        assert job_result.waiting == 2, "one for the first stage, one for the second"
        contents = [row["body"]["messages"][-1]["content"] for row in asked(files)]
        assert contents == ["In films: 1. what u1 chose", "Of these: [books]\nx"]
        path = write("r.jsonl", *(result(row["custom_id"], "y") for row in asked(files)))
        job_result, files, _ = step(store, [path], template=TWO_STAGES, count=2)
        assert job_result.answers == {0: "y"} and len(asked(files)) == 1
