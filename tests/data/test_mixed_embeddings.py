"""Embedding files of which one was replaced without the others."""

from __future__ import annotations

import json

import pytest

from recbole_lecdsr.data.embeddings.provenance import DIGEST, content_digest
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import sidecar
from tests.helpers.pairs import random_events, write_pair
from tests.helpers.runs import load


@pytest.fixture
def described(tmp_path):
    """A pair whose item embeddings have sidecars of one encoder, as `embed` writes them."""
    settings = write_pair(tmp_path, random_events())
    files = [tmp_path / "pair" / domain / f"{domain}.itememb" for domain in ("source", "target")]
    for file in files:
        sidecar(file).write_text(json.dumps({"encoder": "one", DIGEST: content_digest(file)}), encoding="utf-8")
    return settings, files


def test_case_r08_domains_of_two_encoders_are_refused(described):
    settings, (_, target) = described
    load(settings).item_embedding()
    other = {"encoder": "two", DIGEST: content_digest(target)}
    sidecar(target).write_text(json.dumps(other), encoding="utf-8")
    with pytest.raises(UserError, match=r"embedded in different ways .encoder 'one' and 'two'"):
        load(settings).item_embedding()


def test_case_r08_a_file_that_its_sidecar_does_not_describe_is_refused(described):
    settings, (source, _) = described
    load(settings).item_embedding()
    other = {"encoder": "one", DIGEST: "0" * 64}  # put in place first, and then the process was killed
    sidecar(source).write_text(json.dumps(other), encoding="utf-8")
    with pytest.raises(UserError, match=r"source.itememb is not the file that source.itememb.json describes"):
        load(settings).item_embedding()


def test_a_second_start_does_not_read_the_whole_file_again(described, monkeypatch):
    settings, _ = described
    before = load(settings).item_embedding()
    monkeypatch.setattr("recbole_lecdsr.data.embeddings.provenance.content_digest", None)
    assert (load(settings).item_embedding() == before).all()


def test_case_t2_a_broken_sidecar_of_user_vectors_is_an_error_with_a_remedy(tmp_path):
    settings = write_pair(tmp_path, random_events())
    (tmp_path / "pair" / "pair.useremb.json").write_text("[]", encoding="utf-8")
    with pytest.raises(UserError, match=r"pair.useremb.json, line 1: must be a JSON object"):
        load(settings).user_vectors()
