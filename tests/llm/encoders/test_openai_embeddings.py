from __future__ import annotations

import numpy as np
import pytest

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.llm.encoders.chunking import unit
from recbole_lecdsr.llm.encoders.openai_embeddings import EndpointEncoder, vectors_of
from recbole_lecdsr.llm.settings import LLMSettings
from tests.helpers.llm_server import serve, vector_of


@pytest.fixture
def encoder(tmp_path, monkeypatch):
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-key-0123456789")

    def make(server, retries: int = 5, **arguments) -> EndpointEncoder:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        settings = LLMSettings(max_retries=retries, concurrency=4, attempts=8, timeout=5)
        return EndpointEncoder("m", settings, tmp_path, **{"batch_size": 3, **arguments})

    return make


TEXTS = [f"text {number}" for number in range(10)]


def test_texts_become_vectors_in_their_order_and_are_asked_for_once(encoder):
    with serve() as server:
        vectors = encoder(server).encode(TEXTS)
        np.testing.assert_allclose(vectors, unit(np.array([vector_of(text, 12) for text in TEXTS])), atol=1e-6)
        assert vectors.dtype == np.float32 and server.seen()["requests"] == 4
        assert server.seen()["last"]["path"] == "/v1/embeddings"
        again = encoder(server).encode([*TEXTS, "new", "text 3"])
        np.testing.assert_array_equal(again[:10], vectors)
        assert server.seen()["requests"] == 5 and server.seen()["last"]["input"] == ["new"]


def test_the_size_is_asked_for_and_a_prompt_stands_before_each_text(encoder):
    with serve() as server:
        vectors = encoder(server, dim=5, prompts={"user": "query: "}, normalize=False).encode(["tea"], kind="user")
        np.testing.assert_allclose(vectors, [vector_of("query: tea", 5)], atol=1e-6)
        assert server.seen()["last"]["dimensions"] == 5


def test_long_texts_are_split_and_averaged(encoder, caplog):
    with serve() as server:
        vectors = encoder(server, max_tokens=2).encode(["one two three"])
        assert set(server.seen()["answered"]) == {"one two", "three"}
    mean = 2 * unit(np.array([vector_of("one two", 12)])) + 2 * unit(np.array([vector_of("three", 12)]))
    np.testing.assert_allclose(vectors, unit(mean), atol=1e-6)
    assert "1 of 1 texts are longer than the 2 tokens" in caplog.text


def test_a_server_that_misbehaves_gives_the_same_in_the_end(encoder):
    texts = [f"t{number}" for number in range(300)]
    with serve(_429=0.1, _500=0.1, rubbish=0.1, cut=0.05, wrong=0.05, drop=0.1) as server:
        vectors = encoder(server, normalize=False).encode(texts)
    np.testing.assert_allclose(vectors, [vector_of(text, 12) for text in texts], atol=1e-6)


def test_texts_without_a_vector_are_told_and_the_others_stored(encoder):
    with serve(rubbish=1.0) as server, pytest.raises(UserError, match=r"10 of 10 texts got no .*encoder_max_tokens"):
        encoder(server).encode(TEXTS)
    with serve() as server:
        encoder(server).encode(TEXTS[:5])
    with serve(rubbish=1.0) as server, pytest.raises(UserError, match="5 of 10 texts got no vector"):
        encoder(server).encode(TEXTS)


@pytest.mark.parametrize(
    "response",
    ["text", {}, {"data": [{"index": 0}]}, {"data": [{"index": 0, "embedding": ["x"]}]},
     {"data": [{"index": 0, "embedding": [float("nan")]}]}, {"data": [{"index": 1, "embedding": [1.0]}]},
     {"data": []}, {"data": [{"index": 0, "embedding": []}]}],
    ids=str,
)  # fmt: skip
def test_what_is_no_list_of_vectors_is_no_answer(response):
    with pytest.raises(ValueError):
        vectors_of(response, 1)
