from __future__ import annotations

import numpy as np
import pytest

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.llm.encoders.base import EncoderSettings
from recbole_lecdsr.llm.encoders.chunking import normalize_rows
from recbole_lecdsr.llm.encoders.openai_embeddings import OpenAIEmbeddings, parse_embeddings
from recbole_lecdsr.llm.settings import LLMSettings
from tests.helpers.llm_server import serve, vector_of


@pytest.fixture
def encoder(tmp_path, monkeypatch):
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-key-0123456789")

    def make(server, retries: int = 5, **settings) -> OpenAIEmbeddings:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        llm = LLMSettings(max_retries=retries, concurrency=4, attempts=8, timeout=5)
        return OpenAIEmbeddings("m", EncoderSettings(**{"batch_size": 3, **settings}), llm=llm, folder=tmp_path)

    return make


TEXTS = [f"text {number}" for number in range(10)]


def test_texts_become_vectors_in_their_order_and_are_requested_once(encoder):
    with serve() as server:
        vectors = encoder(server).encode(TEXTS)
        np.testing.assert_allclose(
            vectors, normalize_rows(np.array([vector_of(text, 12) for text in TEXTS])), atol=1e-6
        )
        assert vectors.dtype == np.float32 and server.seen()["requests"] == 4
        assert server.seen()["last"]["path"] == "/v1/embeddings"
        again = encoder(server).encode([*TEXTS, "new", "text 3"])
        np.testing.assert_array_equal(again[:10], vectors)
        assert server.seen()["requests"] == 5 and server.seen()["last"]["input"] == ["new"]


def test_dimensions_are_requested_and_a_prompt_is_put_before_each_text(encoder):
    with serve() as server:
        vectors = encoder(server, dim=5, user_prompt="query: ", normalize=False).encode(["tea"], kind="user")
        np.testing.assert_allclose(vectors, [vector_of("query: tea", 5)], atol=1e-6)
        assert server.seen()["last"]["dimensions"] == 5


def test_long_texts_are_split_and_averaged(encoder, caplog):
    with serve() as server:
        vectors = encoder(server, max_tokens=2).encode(["one two three"])
        assert set(server.seen()["answered"]) == {"one two", "three"}
    mean = 2 * normalize_rows(np.array([vector_of("one two", 12)])) + 2 * normalize_rows(
        np.array([vector_of("three", 12)])
    )
    np.testing.assert_allclose(vectors, normalize_rows(mean), atol=1e-6)
    assert "1 of 1 texts are longer than the 2 tokens" in caplog.text


def test_a_faulty_server_gives_the_same_vectors_in_the_end(encoder):
    texts = [f"t{number}" for number in range(300)]
    with serve(_429=0.1, _500=0.1, rubbish=0.1, cut=0.05, wrong=0.05, drop=0.1) as server:
        vectors = encoder(server, normalize=False).encode(texts)
    np.testing.assert_allclose(vectors, [vector_of(text, 12) for text in texts], atol=1e-6)


def test_texts_without_a_vector_are_reported_and_the_others_stored(encoder):
    with serve(rubbish=1.0) as server, pytest.raises(UserError, match=r"10 of 10 texts have no .*encoder_max_tokens"):
        encoder(server).encode(TEXTS)
    with serve() as server:
        encoder(server).encode(TEXTS[:5])
    with serve(rubbish=1.0) as server, pytest.raises(UserError, match="5 of 10 texts have no vector"):
        encoder(server).encode(TEXTS)


@pytest.mark.parametrize(
    "response",
    ["text", {}, {"data": [{"index": 0}]}, {"data": [{"index": 0, "embedding": ["x"]}]},
     {"data": [{"index": 0, "embedding": [float("nan")]}]}, {"data": [{"index": 1, "embedding": [1.0]}]},
     {"data": []}, {"data": [{"index": 0, "embedding": []}]}],
    ids=str,
)  # fmt: skip
def test_a_response_without_a_list_of_vectors_is_rejected(response):
    with pytest.raises(ValueError):
        parse_embeddings(response, 1)
