"""The ``profile`` command, killed at any step of writing its files."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path

import pytest

from recbole_lecdsr.data.embeddings.provenance import read_provenance
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import write_whole
from recbole_lecdsr.llm.generation.job_result import FailedSubject
from recbole_lecdsr.llm.generation.profiler import Profiler
from recbole_lecdsr.llm.user_profiles import read_profiles
from tests.helpers.pairs import random_events, write_pair
from tests.helpers.runs import load

FORK = multiprocessing.get_context("fork")
OTHER_SPLIT = {"split": {"RS": [0.6, 0.2, 0.2]}}
PROFILES = Path("dataset/pair/profiles.jsonl")
SIDECAR = Path("dataset/pair/profiles.jsonl.json")


@pytest.fixture
def settings(tmp_path) -> dict[str, object]:
    return write_pair(Path("dataset"), random_events(6))


def profile(settings, **changes) -> None:
    llm = {"backend": "history", **changes.pop("llm", {})}
    Profiler(load(settings, llm=llm, **changes)).run()


def kill_before_rename(number: int, settings, **changes) -> None:
    """Run `profile` in a process that is killed right before it renames its file of that number, from 0 on."""

    def run() -> None:
        replace, count = os.replace, 0

        def replace_or_die(*paths) -> None:
            nonlocal count
            if "profiles" in str(paths[1]):
                if count == number:
                    os._exit(9)
                count += 1
            replace(*paths)

        os.replace = replace_or_die
        profile(settings, **changes)

    process = FORK.Process(target=run)
    process.start()
    process.join()
    assert process.exitcode == 9


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("before", [None, {}, {"eval_args": OTHER_SPLIT}], ids=["first", "same split", "other split"])
def test_case_r09_a_restart_resumes_and_embed_never_accepts_profiles_of_another_split(settings, number, before):
    if before is not None:
        profile(settings, llm={"max_history_tokens": 20}, **before)
    kill_before_rename(number, settings)
    if PROFILES.exists():
        for split in ({}, {"eval_args": OTHER_SPLIT}):
            is_of_this_split = number == 0 and before == split
            if is_of_this_split:
                assert read_profiles(load(settings, **split)).tokens
            else:
                with pytest.raises(UserError, match=r"profiles\.jsonl (is not the file|was made for split)"):
                    read_profiles(load(settings, **split))
    profile(settings)
    assert len(read_profiles(load(settings)).tokens) == 6
    with pytest.raises(UserError, match=r"was made for split"):
        read_profiles(load(settings, eval_args=OTHER_SPLIT))


def test_case_r09_profiles_without_their_sidecar_are_not_embedded(settings):
    profile(settings)
    SIDECAR.unlink()
    with pytest.raises(UserError, match=r"profiles\.jsonl was made by `profile`.*profiles\.jsonl\.json is missing"):
        read_profiles(load(settings, eval_args=OTHER_SPLIT))


def test_case_r09_a_sidecar_without_a_checksum_is_not_believed(settings):
    profile(settings)
    content = {name: value for name, value in json.loads(SIDECAR.read_text()).items() if name != "sha256"}
    SIDECAR.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"another version wrote it.*run_lecdsr\.py profile"):
        read_profiles(load(settings))
    profile(settings)
    assert read_profiles(load(settings)).tokens


def test_profiles_that_were_changed_by_hand_are_neither_overwritten_nor_embedded(settings):
    profile(settings)
    changed = PROFILES.read_text().replace("1. [", "1: [")
    PROFILES.write_text(changed)
    with pytest.raises(UserError, match=r"was changed since `profile` wrote it and is not overwritten.*--profile_file"):
        profile(settings)
    with pytest.raises(UserError, match=r"is not the file that profiles\.jsonl\.json describes"):
        read_profiles(load(settings))
    assert PROFILES.read_text() == changed


def test_profiles_of_ones_own_need_no_sidecar(settings):
    PROFILES.write_text('{"user_id": "u0", "profile": "likes tea"}\n')
    assert read_provenance(PROFILES) == {} and read_profiles(load(settings)).texts == {"profile": ["likes tea"]}


@pytest.mark.parametrize("name", ["profiles.failed.jsonl", "batch-users/requests-001.jsonl"])
def test_case_t3_a_full_disk_is_an_error_whatever_is_written(settings, monkeypatch, name):
    settings = {**settings, "llm": {"backend": "batch", "model": "m"}}

    def fail(path, mode="w") -> None:
        if str(path).endswith(name):
            raise OSError(28, "No space left on device", str(path))
        return write_whole(path, mode)

    monkeypatch.setattr("recbole_lecdsr.llm.generation.profiler.write_whole", fail)
    monkeypatch.setattr("recbole_lecdsr.llm.backends.openai_batch.write_whole", fail)
    job = Profiler(load(settings))
    with pytest.raises(UserError, match=rf"{name} cannot be written \(No space left on device\): make room"):
        job._write_failures([FailedSubject("u0", "profile", "", reason="empty", attempts=1, answer=None)])
        job.run()


def test_a_full_disk_leaves_all_files_as_they_were(settings, monkeypatch):
    profile(settings)
    before = {path: path.read_bytes() for path in (PROFILES, SIDECAR)}

    def fail(file) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UserError, match=r"cannot be written \(No space left on device\): make room"):
        profile(settings, llm={"max_history_tokens": 20})
    assert {path: path.read_bytes() for path in before} == before
    assert not list(PROFILES.parent.glob(".*.tmp"))
