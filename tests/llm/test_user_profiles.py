from __future__ import annotations

import json
from pathlib import Path

import pytest

from recbole_lecdsr.data.embeddings.provenance import check_embedding_files, read_provenance
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.llm.generation.profiler import Profiler
from recbole_lecdsr.llm.text_sources import item_records
from recbole_lecdsr.llm.user_profiles import read_profiles
from tests.helpers.pairs import random_events, write_pair
from tests.helpers.runs import load

PROFILES = Path("dataset/pair/profiles.jsonl")
SIDECAR = Path("dataset/pair/profiles.jsonl.json")
BROKEN = {
    "empty": "", "cut": "{", "list": "[]", "text": '"x"', "number": "3", "null": "null", "deep": "[" * 100_000,
    "digits": '{"rows": ' + "1" * 5000 + "}", "bytes": b"\xff\xfe",
}  # fmt: skip


@pytest.fixture
def settings() -> dict[str, object]:
    return write_pair(Path("dataset"), random_events(6))


def write(path: Path, content: str | bytes) -> None:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "line 1: it has no lines: write .*or make the file with `run_lecdsr.py profile`"),
        ("\n \n\r\n", "line 1: it has no lines"),
        (
            '{"user_id": "u0", "age": 7, "taste": {"food": "tea"}}\n',
            r"line 1: no line has a text under any field \(fields: age, taste\): write",
        ),
        ('{"user_id": "u0", "profile": " "}\n', r"line 1: no line has a text under 'profile'"),
        ('{"user_id": "u0", "profile": "\\ud800"}\n', r"line 1: profile contains '\\ud800', half of a surrogate pair"),
        ("[" * 100_000, "line 1: not JSON"),
    ],
    ids=lambda value: value[:20],
)
def test_case_t2_profiles_without_a_text_are_an_error(settings, content, message):
    write(PROFILES, content)
    with pytest.raises(UserError, match=rf"profiles\.jsonl, {message}"):
        read_profiles(load(settings))


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_case_t2_a_broken_sidecar_is_an_error_with_its_remedy(settings, content):
    write(PROFILES, '{"user_id": "u0", "profile": "likes tea"}\n')
    write(SIDECAR, content)
    message = (
        r"profiles\.jsonl\.json, line 1: (not JSON|must be a JSON object).*: delete it together with profiles\.jsonl"
    )
    with pytest.raises(UserError, match=message):
        read_profiles(load(settings))
    with pytest.raises(UserError, match=message):
        Profiler(load(settings, llm={"backend": "history"})).run()
    path = Path("dataset/pair/pair.useremb.json")
    write(path, content)
    with pytest.raises(UserError, match=r"pair\.useremb\.json, line 1: "):
        check_embedding_files([], path.with_suffix(""))


@pytest.mark.parametrize(
    "content",
    [
        {"made_by": []},
        {"made_by": "profile", "sha256": 3},
        {"split": 3},
        {"made_by": "profile", "sha256": {}},
        {"x": 1},
    ],
    ids=str,
)
def test_case_t2_a_sidecar_with_values_of_other_types_is_an_error_or_ignored(settings, content):
    write(PROFILES, '{"user_id": "u0", "profile": "likes tea"}\n')
    write(SIDECAR, json.dumps(content))
    assert read_provenance(PROFILES) == content
    if content.keys() & {"sha256", "split"}:
        with pytest.raises(UserError, match=r"profiles\.jsonl (is not the file|was made for split 3)"):
            read_profiles(load(settings))
    else:
        assert read_profiles(load(settings)).texts == {"profile": ["likes tea"]}
    with pytest.raises(UserError, match="is not overwritten"):
        Profiler(load(settings, llm={"backend": "history"})).run()


def test_case_r17_texts_are_read_as_the_parameters_of_the_data_say(settings):
    dataset = load(settings, encoding="gbk")
    path = Path("dataset/pair/source/source.item")
    path.write_bytes("item_id:token\ttitle:token\ns1\t\u7eff\u8336\n".encode("gbk"))
    assert item_records(dataset, "source")["s1"] == {"title": "\u7eff\u8336"}
