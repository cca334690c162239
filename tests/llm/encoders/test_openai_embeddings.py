from __future__ import annotations

import json

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
    with serve(rubbish=1.0) as server, pytest.raises(UserError, match=r"2 of 2 texts have no .*encoder_max_tokens"):
        encoder(server).encode(TEXTS[:2])
    with serve() as server:
        encoder(server).encode(TEXTS[:8])
    with serve(rubbish=1.0) as server, pytest.raises(UserError, match="2 of 10 texts have no vector"):
        encoder(server).encode(TEXTS)


def test_a_server_that_answers_nothing_but_rubbish_ends_the_job_soon(encoder):
    with serve(rubbish=1.0) as server:
        with pytest.raises(UserError, match="20 consecutive requests failed"):
            encoder(server).encode([f"t{number}" for number in range(300)])
        assert server.seen()["requests"] <= 30


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_case_t4_one_refused_text_is_named_and_the_others_are_stored(encoder, batch_size):
    texts = [f"text {number}" for number in range(40)]
    texts[17] = "poison 17"
    with serve(poison="poison") as server:
        with pytest.raises(
            UserError, match=r"1 of 40 texts have no vector.*'poison 17' \(status 400: input is not acc"
        ):
            encoder(server, batch_size=batch_size).encode(texts)
        assert set(server.seen()["answered"]) == {*texts} - {"poison 17"}
        requests = server.seen()["requests"]
        assert requests <= 40 // batch_size + 14
    with serve() as server:
        encoder(server, batch_size=batch_size).encode(texts)
        assert set(server.seen()["answered"]) == {"poison 17"}


def test_case_t4_a_limit_on_the_texts_of_a_request_is_learned(encoder, caplog):
    texts = [f"text {number}" for number in range(200)]
    with serve(max_inputs=10) as server:
        vectors = encoder(server, batch_size=64, normalize=False).encode(texts)
        assert server.seen()["requests"] <= 200 / 8 + 20
    np.testing.assert_allclose(vectors, [vector_of(text, 12) for text in texts], atol=1e-6)
    assert "(status 422: too many inputs)" in caplog.text and "--encoder_batch_size=8" in caplog.text


def test_case_t4_an_endpoint_that_refuses_every_text_ends_the_job_soon(encoder):
    with serve(poison="t") as server:
        with pytest.raises(UserError, match=r"consecutive requests failed.*status 400: input is not acceptable"):
            encoder(server, batch_size=64).encode([f"t{number}" for number in range(500)])
        assert server.seen()["requests"] <= 80


def test_case_t4_an_error_with_status_200_shows_the_words_of_the_server(encoder):
    error = {"message": "the model is asleep", "type": "server_error"}
    with serve(error=error) as server, pytest.raises(UserError, match=r"\(status 200: the model is asleep\)"):
        encoder(server).encode(TEXTS[:1])


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


@pytest.mark.parametrize("vector", ["?", "AAAA", "", "AADAfw=="], ids=["no base64", "three bytes", "empty", "NaN"])
def test_case_t2_a_damaged_stored_vector_is_an_error(encoder, tmp_path, vector):
    with serve() as server:
        encoder(server).encode(["tea"])
        path = tmp_path / "vectors.jsonl"
        record = json.loads(path.read_text())
        path.write_text(json.dumps({**record, "vector": vector}) + "\n")
        with pytest.raises(UserError, match=r"vectors\.jsonl has a record without a vector .*delete its line"):
            encoder(server).encode(["tea"])
