"""An OpenAI-compatible embeddings endpoint as an encoder, its vectors kept in a store as they come."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.llm.backends.connection import connect, failure_of, many
from recbole_lecdsr.llm.encoders.chunking import split_all, unit
from recbole_lecdsr.llm.generation.answer_store import VALID, Store, key_of
from recbole_lecdsr.llm.generation.history_text import estimate_tokens
from recbole_lecdsr.llm.settings import LLMSettings

PREFIX = "openai:"  # of an encoder's name
STORE = "vectors.jsonl"


class EndpointEncoder:
    """Asks an endpoint for vectors; what it has been asked before is in the store.

    Args:
        model: as the endpoint names it.
        settings: concurrency, limits, retries and time-out of ``llm``.
        folder: of the store.
        batch_size: texts in a request.
        prompts: text put before each text of an ``item`` or a ``user``.
        dim: numbers that the endpoint is asked for; None takes what it gives.
        normalize: whether vectors get the length 1.
        max_tokens: longer texts (by an estimate of their tokens) are split and averaged; None splits none.
    """

    def __init__(
        self, model: str, settings: LLMSettings, folder: Path, batch_size: int = 64,
        prompts: dict[str, str] | None = None, dim: int | None = None, normalize: bool = True,
        max_tokens: int | None = None,
    ):  # fmt: skip
        self.model, self.settings, self.path = model, settings, folder / STORE
        self.batch_size, self.prompts, self.dim = batch_size, prompts or {}, dim
        self.normalize, self.max_tokens = normalize, max_tokens

    def encode(self, texts: Sequence[str], show_progress: bool = False, kind: str = "item") -> np.ndarray:
        """Encode texts.

        Args:
            texts: N of them.
            show_progress: show a bar.
            kind: ``item`` or ``user``, for the prompt.

        Returns:
            (N, D) float32.

        Raises:
            UserError: texts that got no vector (those that came are stored), or vectors of different sizes.
        """
        from recbole_lecdsr.llm.encoders.sentence_transformer import log_split

        prompt = self.prompts.get(kind) or ""
        room = self.max_tokens and max(1, self.max_tokens - estimate_tokens(prompt))
        pieces = split_all(texts, lambda some: [estimate_tokens(text) for text in some], room)
        log_split(pieces, len(texts), self.max_tokens, self.model)
        asked = [f"{prompt}{piece}" for piece in pieces.texts]
        keys = [key_of(model=self.model, dimensions=self.dim, text=text) for text in asked]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with Store(self.path) as store:
            self._fetch(dict(zip(keys, asked, strict=True)), store, show_progress)
            rows = [np.frombuffer(base64.b64decode(store.get(key)["vector"]), dtype="<f4") for key in keys]
        if len(sizes := {len(row) for row in rows}) > 1:
            raise UserError(f"the endpoint gave vectors of {' and '.join(map(str, sorted(sizes)))} numbers: "
                            f"delete {self.path} and set encoder_dim")  # fmt: skip
        matrix = np.stack(rows)
        return pieces.average(unit(matrix) if self.normalize else matrix, self.normalize)

    def _fetch(self, texts: dict[str, str], store: Store, show_progress: bool) -> None:
        """Get what the store has not; what fails is asked for again in the next round."""
        reason = ""

        def batches() -> Iterator[list[str]]:
            missing = [key for key in texts if key not in store]
            for start in range(0, len(missing), self.batch_size):
                yield missing[start : start + self.batch_size]

        def done(keys: list[str], outcome: list[np.ndarray] | Exception) -> bool:
            nonlocal reason
            if isinstance(outcome, Exception):
                reason = failure_of(outcome)
                return False
            for key, vector in zip(keys, outcome, strict=True):
                store.append({"key": key, "status": VALID, "vector": base64.b64encode(vector.tobytes()).decode()})
            bar.update(len(keys))
            return True

        missing = sum(key not in store for key in texts)
        with tqdm(total=missing, desc=self.model, unit=" texts", disable=None if show_progress else True) as bar:
            if missing:
                asyncio.run(self._run(texts, batches, done))
        if missing := [key for key in texts if key not in store]:
            raise UserError(
                f"{len(missing)} of {len(texts)} texts got no vector ({reason}), the first is "
                f"{texts[missing[0]][:60]!r}; the others are stored. If texts are too long for the model, set "
                "encoder_max_tokens; else run again"
            )

    async def _run(
        self,
        texts: dict[str, str],
        batches: Callable[[], Iterator[list[str]]],
        done: Callable[[list[str], list[np.ndarray] | Exception], bool],
    ) -> None:
        size = {} if self.dim is None else {"dimensions": self.dim}
        async with connect(replace(self.settings, max_tokens=None)) as client:  # vectors are no tokens

            async def ask(keys: list[str]) -> list[np.ndarray]:
                body = {"model": self.model, "input": [texts[key] for key in keys], "encoding_format": "float", **size}
                return vectors_of(await client.post("/embeddings", body=body, cast_to=object), len(keys))

            for _ in range(self.settings.attempts):
                await many(batches(), ask, done, self.settings.concurrency)


def vectors_of(response: object, count: int) -> list[np.ndarray]:
    """The vectors of an embeddings response, in the order of its inputs, each (D,) little-endian float32.

    Raises:
        ValueError: anything else than ``count`` vectors of finite numbers.
    """
    try:
        rows = sorted(response["data"], key=lambda row: row["index"])
        vectors = [np.asarray(row["embedding"], dtype="<f4") for row in rows]
        good = [row["index"] for row in rows] == list(range(count))
        good = good and all(v.ndim == 1 and v.size and np.isfinite(v).all() for v in vectors)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"no list of vectors ({type(error).__name__}: {error})") from None
    if not good:
        raise ValueError(f"not {count} vectors of finite numbers")
    return vectors
