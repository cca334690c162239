"""`OpenAIEmbeddings`: an OpenAI-compatible embeddings endpoint, with its vectors stored as they arrive."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.llm.backends.connection import RequestFailure, classify_error, open_client, run_concurrently
from recbole_lecdsr.llm.backends.server_errors import raise_if_error
from recbole_lecdsr.llm.encoders.base import Encoder, EncoderSettings, TextKind
from recbole_lecdsr.llm.encoders.batch_queue import Batch, BatchQueue
from recbole_lecdsr.llm.encoders.chunking import chunk_texts, normalize_rows, warn_of_split_texts
from recbole_lecdsr.llm.file_group import disk_errors_reported
from recbole_lecdsr.llm.generation.answer_store import VALID, AnswerStore, Record, record_key
from recbole_lecdsr.llm.generation.history_text import estimate_tokens
from recbole_lecdsr.llm.settings import LLMSettings

NAME_PREFIX = "openai:"  # of the parameter ``encoder``, before the model's name
VECTOR_STORE_FILE = "vectors.jsonl"

OnVectors = Callable[[Batch, "list[np.ndarray] | Exception"], "bool | None"]
_N_FAILURES = 3  # texts without a vector that an error names
_MAX_EXCERPT = 60  # characters of each


class OpenAIEmbeddings(Encoder):
    """Requests vectors from an endpoint, each only once: they are kept in a store.

    Args:
        model: its name at the endpoint.
        settings: batch size, prompts, dimensions and limits. The endpoint's tokenizer is not available here, so
            ``max_tokens`` is compared with an estimate, and nothing is split without it.
        llm: concurrency, rate limits, retries and time-out of the connection.
        folder: of the store.
    """

    def __init__(self, model: str, settings: EncoderSettings, *, llm: LLMSettings, folder: Path):
        self.model, self.settings, self.llm = model, settings, llm
        self.path = folder / VECTOR_STORE_FILE

    def encode(self, texts: Sequence[str], show_progress: bool = False, kind: TextKind = "item") -> np.ndarray:
        """See `recbole_lecdsr.llm.encoders.base.Encoder.encode`.

        Raises:
            UserError: texts without a vector (the vectors received are stored); vectors of different sizes.
        """
        prompt, limit = self.settings.prompt_for(kind) or "", self.settings.max_tokens
        chunk_size = limit and max(1, limit - estimate_tokens(prompt))
        chunks = chunk_texts(texts, lambda some: [estimate_tokens(text) for text in some], chunk_size)
        warn_of_split_texts(chunks, limit, self.model)
        inputs = [f"{prompt}{chunk}" for chunk in chunks.texts]
        keys = [record_key(model=self.model, dimensions=self.settings.dim, text=text) for text in inputs]
        with disk_errors_reported():
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with AnswerStore(self.path) as store:
            self._fetch(dict(zip(keys, inputs, strict=True)), store, show_progress)
            rows = [_stored_vector(store, key) for key in keys]
        if len(sizes := {len(row) for row in rows}) > 1:
            raise UserError(
                f"the endpoint returned vectors of {' and '.join(map(str, sorted(sizes)))} dimensions: delete "
                f"{self.path} and set encoder_dim"
            )
        matrix = np.stack(rows)
        normalize = self.settings.normalize
        return chunks.average(normalize_rows(matrix) if normalize else matrix, normalize)

    def _fetch(self, inputs: Mapping[str, str], store: AnswerStore, show_progress: bool) -> None:
        """Request the vectors that the store lacks.

        Args:
            inputs: key -> text.
            store: receives the vectors.
            show_progress: show a bar.
        """
        missing = [key for key in inputs if key not in store]
        if not missing:
            return
        queue = BatchQueue(missing, self.settings.batch_size, self.llm.attempts)

        def on_vectors(batch: Batch, outcome: list[np.ndarray] | Exception) -> bool | None:
            if isinstance(outcome, Exception):
                return queue.fail(batch, classify_error(outcome))
            for key, vector in zip(batch.keys, outcome, strict=True):
                store.append(Record(key=key, status=VALID, vector=base64.b64encode(vector.tobytes()).decode()))
            queue.succeed(batch)
            bar.update(len(batch.keys))
            return True

        with tqdm(total=len(missing), desc=self.model, unit=" texts", disable=None if show_progress else True) as bar:
            asyncio.run(self._run(inputs, queue, on_vectors))
        if queue.failed:
            raise UserError(_describe_failures(inputs, queue.failed))

    async def _run(self, inputs: Mapping[str, str], queue: BatchQueue, on_vectors: OnVectors) -> None:
        dimensions = {} if self.settings.dim is None else {"dimensions": self.settings.dim}
        # llm.max_tokens limits answers; here it would only slow the rate down.
        async with open_client(replace(self.llm, max_tokens=None)) as client:

            async def send(batch: Batch) -> list[np.ndarray]:
                texts = [inputs[key] for key in batch.keys]
                body = {"model": self.model, "input": texts, "encoding_format": "float", **dimensions}
                return parse_embeddings(await client.post("/embeddings", body=body, cast_to=object), len(texts))

            await run_concurrently(queue, send, on_vectors, self.llm.concurrency)


def parse_embeddings(response: Any, count: int) -> list[np.ndarray]:
    """The vectors of an embeddings response, in the order of its inputs, each (D,) little-endian float32.

    Args:
        response: the decoded JSON.
        count: the number of inputs.

    Raises:
        ErrorResponse: the endpoint's error, which some servers send with status 200.
        ValueError: anything else than ``count`` vectors of finite numbers.

    Example:
        >>> parse_embeddings({"data": [{"index": 0, "embedding": [0.5, 1]}]}, 1)
        [array([0.5, 1. ], dtype=float32)]
    """
    raise_if_error(response)
    try:
        rows = sorted(response["data"], key=lambda row: row["index"])
        vectors = [np.asarray(row["embedding"], dtype="<f4") for row in rows]
        is_complete = [row["index"] for row in rows] == list(range(count))
        are_finite = all(vector.ndim == 1 and vector.size and np.isfinite(vector).all() for vector in vectors)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"not a list of vectors ({type(error).__name__}: {error})") from None
    if not (is_complete and are_finite):
        raise ValueError(f"not {count} vectors of finite numbers")
    return vectors


def _describe_failures(inputs: Mapping[str, str], failed: Mapping[str, RequestFailure]) -> str:
    """The texts without a vector, the endpoint's words about each of the first ones, and what to do."""
    named = [
        f"{inputs[key][:_MAX_EXCERPT]!r} ({failure.reason})" for key, failure in list(failed.items())[:_N_FAILURES]
    ]
    refused = any(failure.is_refusal for failure in failed.values())
    remedy = "correct or remove the refused texts, or set encoder_max_tokens if they are too long for the model"
    return (
        f"{len(failed)} of {len(inputs)} texts have no vector; the vectors of the others are stored. The first: "
        f"{'; '.join(named)}. {remedy.capitalize() if refused else 'Run the command again'}"
        + ("" if refused else "; if texts are too long for the model, set encoder_max_tokens")
    )


def _stored_vector(store: AnswerStore, key: str) -> np.ndarray:
    record = store.get(key)
    try:
        if record is None or record.vector is None:
            raise ValueError("no vector")
        vector = np.frombuffer(base64.b64decode(record.vector, validate=True), dtype="<f4")
        if not vector.size or not np.isfinite(vector).all():
            raise ValueError("not finite numbers")
    except ValueError as error:
        raise UserError(
            f"{store.path} has a record without a vector for key {key} ({error}): delete its line, then run the "
            "command again"
        ) from None
    return vector
