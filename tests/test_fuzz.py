"""Damaged files through every reader, in the short form of ``make fuzz``; tests of the fuzzer; round trips."""

from __future__ import annotations

import re
import time
from pathlib import Path
from random import Random

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from recbole_lecdsr.data.candidates import CandidateSpec, stored_candidates
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.property_files import read_property_file
from tests.fuzz import runner
from tests.fuzz.mutations import mutate
from tests.fuzz.runner import Target, run_target, share
from tests.fuzz.targets import TARGETS

INPUTS = 2000


@pytest.mark.parametrize(
    ("target", "inputs"), zip(TARGETS, share(TARGETS, INPUTS), strict=True), ids=[target.name for target in TARGETS]
)
def test_a_damaged_file_is_refused_or_read(target, inputs):
    counts = run_target(target, inputs)
    assert not counts.failures, "\n".join(map(str, counts.failures))
    assert counts.refused + counts.accepted == counts.inputs == inputs


# Found by `make fuzz`, mended, and tried again: target, seed, number of the input.
MENDED = [
    ("item and user", 11, 105),  # a byte order mark before the first row
    ("windows", 11, 2039),  # a quoted window, which RecBole unquotes
    ("table events.csv, bad lines skipped", 21, 98),  # a byte order mark as an item
    ("answer store", 22, 2215),  # UTF-16
    ("table parquet", 23, 431),  # values that are not UTF-8
    ("table parquet", 14, 110),  # names of columns that are not UTF-8
    ("property file", 12, 1833),  # brackets nested 100,000 deep, read in minutes
    ("domain in gbk", 12, 1464),  # a name of a column of 140,000 characters
    ("study", 11, 1968),  # UTF-16, and a key that no version writes
    ("amazon 2014 .json", 11, 11),  # text that looks like a zlib stream
    ("amazon 2018 .json.gz", 11, 124),
    ("amazon 2018 .json, bad lines skipped", 11, 457),
]


@pytest.mark.parametrize(("name", "seed", "index"), MENDED)
def test_what_was_found_is_refused_or_read(name, seed, index):
    (target,) = (target for target in TARGETS if target.name == name)
    counts = run_target(target, 1, seed, index)
    assert not counts.failures, "\n".join(map(str, counts.failures))


def test_all_names_of_targets_differ():
    assert len({target.name for target in TARGETS}) == len(TARGETS)


# ------------------------------------------------------------------ the fuzzer


def write_line() -> list[str]:
    Path("line.txt").write_text("a\tb\n" * 9)
    return ["line.txt"]


def refuse() -> object:
    if Path("line.txt").read_bytes() != b"a\tb\n" * 9:
        raise UserError("line.txt, line 1: damaged")
    return 1


def read_bytes() -> object:
    return Path("line.txt").read_bytes()


def sleep_if_damaged() -> object:
    if read_bytes() != b"a\tb\n" * 9:
        time.sleep(9)
    return 1


def fail_with(message: str, kind: type[Exception] = UserError):
    def read() -> object:
        if read_bytes() != b"a\tb\n" * 9:
            raise kind(message)
        return 1

    return read


@pytest.mark.parametrize(
    ("read", "options", "problem"),
    [
        (fail_with("x", RecursionError), {}, r"RecursionError at test_fuzz\.py:\d+: x"),
        (fail_with("somewhere"), {}, "the error does not name the file: somewhere"),
        (read_bytes, {"stored": True}, "accepted with another meaning"),
        (sleep_if_damaged, {}, "longer than 1 s"),
    ],
)
def test_faults_are_found_and_say_how_to_repeat_them(monkeypatch, read, options, problem):
    monkeypatch.setattr(runner, "SECONDS", 1)
    counts = run_target(Target("line", write_line, read, **options), 1, seed=5, first=3)
    assert len(counts.failures) == 1
    text = str(counts.failures[0])
    assert re.search(problem, text) and "--target 'line' --seed 5 --index 3" in text


def test_refusals_and_stored_files_that_are_made_again_are_no_failures():
    assert not run_target(Target("line", write_line, refuse, stored=True), 40).failures
    counts = run_target(Target("line", write_line, lambda: runner.ABSENT, stored=True), 40)
    assert (counts.accepted, counts.failures) == (40, [])


def test_damage_follows_from_the_generator_and_changes_nearly_every_file():
    content = b"user_id:token\titem_id:token\nu1\ti1\nu2\ti2\n"
    damaged = [mutate(content, Random(seed)) for seed in range(200)]
    assert damaged == [mutate(content, Random(seed)) for seed in range(200)]
    assert sum(one == content for one in damaged) < 20 and len(set(damaged)) > 150


# ------------------------------------------------------------------ round trips

# Without the next-line character, which PyYAML writes into keys as it is and reads as a blank.
_TEXT = st.text(st.characters(exclude_characters="\x85", exclude_categories=["Cs"]))
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(_TEXT.filter(bool), _VALUES, max_size=4))
def test_property_files_are_read_as_they_were_written(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("yaml") / "run.yaml"
    path.write_text(yaml.safe_dump(values, allow_unicode=True), encoding="utf-8")
    assert read_property_file(path) == values


@given(st.integers(0, 20), st.integers(1, 6), st.integers(0, 99))
def test_candidates_are_read_as_they_were_drawn(tmp_path_factory, rows, number, seed):
    folder = tmp_path_factory.mktemp("candidates")
    drawn = np.random.default_rng(seed).integers(1, 1 << 30, size=(rows, number), dtype=np.int32)
    spec = CandidateSpec(f"uni{number}", repeatable=False, seed=seed)

    def never() -> np.ndarray:
        raise AssertionError("drawn again")

    stored_candidates(folder, "test", spec=spec, digest="a" * 16, draw=lambda: drawn)
    again = stored_candidates(folder, "test", spec=spec, digest="a" * 16, draw=never)
    np.testing.assert_array_equal(again.items, drawn)
