"""The ``embed`` command: its files are of one job, also if it is killed."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest

from recbole_lecdsr.data.embeddings.provenance import check_embedding_files, read_provenance
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.llm.encoders import embed as embed_module
from recbole_lecdsr.llm.encoders import user_vectors
from recbole_lecdsr.llm.encoders.base import Encoder
from tests.helpers.pairs import random_events, write_pair
from tests.helpers.runs import load

FORK = multiprocessing.get_context("fork")
ITEM_FILES = [Path(f"dataset/pair/{domain}/{domain}.itememb") for domain in ("source", "target")]
USER_FILE = Path("dataset/pair/pair.useremb")
N_RENAMED = 7  # three embedding files, their sidecars, and a reduction


class RandomEncoder(Encoder):
    """Random vectors, others for each name of an encoder."""

    def __init__(self, name: str):
        self.rng = np.random.default_rng(len(name))

    def encode(self, texts, show_progress=False, kind="item"):
        return self.rng.normal(size=(len(texts), 6)).astype(np.float32)


@pytest.fixture
def settings(monkeypatch) -> dict[str, object]:
    monkeypatch.setattr(embed_module, "build_encoder", lambda config: RandomEncoder(config["encoder"]))
    written = write_pair(Path("dataset"), random_events(6))
    for domain in ("source", "target"):
        rows = [f"{domain[0]}{number}\tthe {number}" for number in range(12)]
        path = Path(f"dataset/pair/{domain}/{domain}.item")
        path.write_text("\n".join(["item_id:token\ttitle:token", *rows]) + "\n", encoding="utf-8")
    return {**written, "item_text": ["title"], "user_text": "history"}


def embed(settings, **changes) -> None:
    embed_module.embed(load(settings, **changes))


def kill_before_rename(number: int, settings, **changes) -> None:
    """Run `embed` in a process that is killed right before it renames its file of that number, from 0 on."""

    def run() -> None:
        replace, count = os.replace, 0

        def replace_or_die(*paths) -> None:
            nonlocal count
            if count == number:
                os._exit(9)
            count += 1
            replace(*paths)

        dataset = load(settings, **changes)
        os.replace = replace_or_die
        embed_module.embed(dataset)

    process = FORK.Process(target=run)
    process.start()
    process.join()
    assert process.exitcode == 9


def contents() -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (*ITEM_FILES, USER_FILE)}


@pytest.mark.parametrize("number", range(N_RENAMED))
def test_case_r08_files_of_an_embed_that_was_killed_are_those_of_one_job_or_are_refused(settings, number):
    changes = {"embedding_reduction": "pca", "embedding_reduction_size": 3}
    embed(settings, encoder="one", **changes)
    before = contents()
    check_embedding_files(ITEM_FILES, USER_FILE)
    kill_before_rename(number, settings, encoder="another", **changes)
    try:
        check_embedding_files(ITEM_FILES, USER_FILE)
    except UserError as error:
        assert number and "`embed` was interrupted" in str(error) and "run_lecdsr.py embed` again" in str(error)
    else:
        assert contents() == before or all(contents()[path] != before[path] for path in before)
    embed(settings, encoder="another", **changes)
    check_embedding_files(ITEM_FILES, USER_FILE)


def test_a_failure_while_writing_leaves_all_files_as_they_were(settings, monkeypatch):
    embed(settings, encoder="one")
    before = contents()

    def fail(file, path, **arguments) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(user_vectors, "write_user_vectors_to", fail)
    with pytest.raises(UserError, match="No space left on device"):
        embed(settings, encoder="another")
    assert contents() == before and not list(Path("dataset").rglob(".*.tmp"))
    check_embedding_files(ITEM_FILES, USER_FILE)


@pytest.mark.parametrize(
    ("changes", "differing"),
    [
        ({"encoder": "another"}, "encoder 'one' and 'another'"),
        ({"encoder_dim": 5}, "encoder_dim None and 5"),
        ({"encoder_normalize": False}, "encoder_normalize True and False"),
        ({"embedding_reduction": "pca", "embedding_reduction_size": 2}, "embedding_reduction None and 'pca'"),
    ],
    ids=str,
)
def test_case_r08_domains_embedded_in_different_ways_are_refused_and_users_warned_of(
    settings, caplog, changes, differing
):
    embed(settings, encoder="one")
    embed(settings, **{"encoder": "one", **changes}, item_embedding_file="x.itememb", user_embedding_file="x.useremb")
    other = [path.with_name("x.itememb") for path in ITEM_FILES]
    check_embedding_files(other, USER_FILE.with_name("x.useremb"))
    assert "different ways" not in caplog.text
    with pytest.raises(UserError, match=f"were embedded in different ways.*{differing}"):
        check_embedding_files([ITEM_FILES[0], other[1]])
    check_embedding_files(ITEM_FILES, USER_FILE.with_name("x.useremb"))
    assert f"different ways ({differing}" in caplog.text


def test_files_of_other_origins_and_of_older_sidecars_are_accepted(settings):
    check_embedding_files(ITEM_FILES, USER_FILE)
    ITEM_FILES[0].with_name("source.itememb.json").write_text('{"encoder": "one", "rows": 12}')
    check_embedding_files(ITEM_FILES, USER_FILE)
    check_embedding_files([Path("absent.itememb")], None)


def test_a_file_that_was_changed_after_it_was_embedded_is_refused(settings):
    embed(settings, encoder="one")
    assert len(read_provenance(USER_FILE)["sha256"]) == 64
    USER_FILE.write_bytes(USER_FILE.read_bytes().replace(b"1", b"2", 1))
    check_embedding_files(ITEM_FILES)
    with pytest.raises(UserError, match=r"pair\.useremb is not the file that pair\.useremb\.json describes"):
        check_embedding_files(ITEM_FILES, USER_FILE)
