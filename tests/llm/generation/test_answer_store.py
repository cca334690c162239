from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time

import pytest

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.llm.generation.answer_store import VALID, AnswerStore, Record, record_key

FORK = multiprocessing.get_context("fork")  # children need not import torch again


def record(key: str, answer: str = "x", status: str = VALID) -> Record:
    return Record(key=key, status=status, answer=answer)


def lines(path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def test_appended_records_are_there_after_reopening(tmp_path):
    path = tmp_path / "store.jsonl"
    with AnswerStore(path) as store:
        assert store.append(record("a", "line\nbreak, Ä, \u2028 and \ud800"))
        assert store.append(record("b", "no", "refused")) and store.append(record("b", "", "empty"))
        assert "a" in store and "b" not in store and len(store) == 1
    with AnswerStore(path) as store:
        assert store.get("a").answer == "line\nbreak, Ä, \u2028 and \ud800" and store.get("b") is None
        assert store.failure_count("b") == 2 and [one.status for one in store.failures("b")] == ["refused", "empty"]
    assert len(lines(path)) == 3


def test_a_key_gets_one_valid_record_only(tmp_path):
    with AnswerStore(tmp_path / "s") as store:
        assert store.append(record("a", "first"))
        assert not store.append(record("a", "second")) and not store.append(record("a", "no", "refused"))
        assert store.get("a").answer == "first" and len(lines(tmp_path / "s")) == 1


def test_two_open_stores_see_what_the_other_writes(tmp_path):
    with AnswerStore(tmp_path / "s") as one, AnswerStore(tmp_path / "s") as other:
        one.append(record("a", "of one"))
        assert "a" not in other
        assert not other.append(record("a", "of other")), "noticed when it writes"
        other.append(record("b"))
        one.refresh()
        assert "b" in one and one.get("a") == other.get("a") == record("a", "of one")


@pytest.mark.parametrize("torn", [b'{"key": "c", "sta', b"{", b'{"key": "c", "status": "valid", "answer": "\xc3'])
def test_a_torn_last_line_is_cut_off(tmp_path, torn, caplog):
    path = tmp_path / "s"
    with AnswerStore(path) as store:
        store.append(record("a"))
    good = path.read_bytes()
    path.write_bytes(good + torn)
    with AnswerStore(path) as store:
        assert f"{len(torn)} bytes" in caplog.text
        assert path.read_bytes() == good
        store.append(record("b"))
    assert [one["key"] for one in lines(path)] == ["a", "b"]


def test_a_line_torn_by_another_process_while_the_store_is_open_is_cut_off_too(tmp_path):
    path = tmp_path / "s"
    with AnswerStore(path) as store:
        with path.open("ab") as file:
            file.write(b'{"key": "torn')
        store.append(record("b"))
    assert [one["key"] for one in lines(path)] == ["b"]


@pytest.mark.parametrize("line", ["rubbish", "[]", '{"key": "a"}', '{"key": 1, "status": "no"}', ""])
def test_a_line_that_is_not_a_record_is_named(tmp_path, line):
    path = tmp_path / "store.jsonl"
    path.write_text(f"{record('a').to_line().decode()}{line}\n")
    with pytest.raises(UserError, match=r"store\.jsonl, line 2: .* correct or delete"):
        AnswerStore(path)


def test_a_store_that_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(UserError, match=r"absent/store cannot be written"):
        AnswerStore(tmp_path / "absent" / "store")


@pytest.mark.parametrize("fault", ["short", "error"])
def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch, fault):
    path = tmp_path / "s"
    with AnswerStore(path) as store:
        store.append(record("a"))
        before = path.read_bytes()
        write = os.write

        def full(file, data):
            if fault == "error":
                raise OSError(28, "No space left on device")
            return write(file, data[:10])

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            with pytest.raises(UserError, match="cannot be written"):
                store.append(record("b"))
        assert path.read_bytes() == before and "b" not in store
        assert store.append(record("b")) and "b" in store


def test_the_key_depends_on_every_part():
    keys = {
        record_key(template="t", text=text, sampling=sampling) for text in ("a", "b") for sampling in ({}, {"n": 1})
    }
    assert len(keys) == 4 and all(len(key) == 64 for key in keys)
    assert record_key(a=1, b={"c": 2, "d": 3}) == record_key(b={"d": 3, "c": 2}, a=1)


# ------------------------------------------------------------------ processes


def write_many(path, own: int, shared: int) -> None:
    with AnswerStore(path) as store:
        for number in range(200):
            store.append(record(f"{own}-{number}", "y" * 3000))
            store.append(record(f"shared-{number % shared}", f"of {own}"))


def test_processes_can_share_a_store(tmp_path):
    path = tmp_path / "s"
    workers = [FORK.Process(target=write_many, args=(path, own, 50)) for own in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    keys = [one["key"] for one in lines(path)]
    assert len(keys) == len(set(keys)) == 4 * 200 + 50


def write_without_end(path, own: int) -> None:
    with AnswerStore(path) as store:
        for number in range(10**9):
            store.append(record(f"{own}-{os.getpid()}-{number}", "z" * 20_000))


def test_killed_writers_lose_no_complete_record(tmp_path):
    path = tmp_path / "s"
    known: dict[str, int] = {}
    for kill in range(6):
        writers = [FORK.Process(target=write_without_end, args=(path, own)) for own in range(2)]
        for writer in writers:
            writer.start()
        before = len(known)
        while True:
            time.sleep(0.003 * (kill + 1))
            if path.exists() and path.read_bytes().count(b"\n") > before + 5:
                break
        for writer in writers:
            os.kill(writer.pid, signal.SIGKILL)
            writer.join()
        with AnswerStore(path) as store:
            assert all(key in store for key in known)
        records = lines(path)
        assert [one["key"] for one in records][: len(known)] == list(known)
        assert all(one["answer"] == "z" * 20_000 for one in records)
        known = {one["key"]: 1 for one in records}


@pytest.mark.parametrize(
    "line",
    [
        '{"key": "a", "status": "valid"}', '{"key": "a", "status": "valid", "answer": 3}', '{"key": 1, "status": "no"}',
        '{"key": "a", "status": "empty", "tokens_in": "x"}', '{"key": "a", "status": "valid", "answer": null}', "[]",
        "[" * 100_000, '{"key": "a", "status": "valid", "answer": "x", "vector": []}',
    ],
    ids=lambda line: line[:60],
)  # fmt: skip
def test_case_t2_a_line_that_is_no_complete_record_is_named(tmp_path, line):
    (tmp_path / "s").write_text(f'{{"key": "b", "status": "valid", "answer": "x"}}\n{line}\n')
    with pytest.raises(
        UserError, match=r"s, line 2: .* is not a record of an answer store: correct or delete the line"
    ):
        AnswerStore(tmp_path / "s")
