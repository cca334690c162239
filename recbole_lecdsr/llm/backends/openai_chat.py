"""The back end `openai`: any OpenAI-compatible chat endpoint, such as vLLM, Ollama or a cloud."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from recbole_lecdsr.llm.backends.base import Answer, Done, Failure, Request
from recbole_lecdsr.llm.backends.connection import connect, failure_of, many
from recbole_lecdsr.llm.generation.history_text import estimate_tokens
from recbole_lecdsr.llm.settings import LLMSettings

PATH = "/chat/completions"


class ChatEndpoint:
    """Asks an endpoint, many requests at a time.

    Args:
        settings: of the request and of the pace.
    """

    answers_differ = True
    deferred = False

    def __init__(self, settings: LLMSettings):
        self.settings = settings

    def count(self, text: str) -> int:
        """An estimate of a text's tokens: the endpoint's tokenizer is not at hand."""
        return estimate_tokens(text)

    def run(self, requests: Iterable[Request], done: Done) -> None:
        """See `recbole_lecdsr.llm.backends.base.Backend.run`."""
        asyncio.run(self._run(requests, done))

    async def _run(self, requests: Iterable[Request], done: Done) -> None:
        async with connect(self.settings) as client:

            async def ask(request: Request) -> Answer:
                # Not client.chat.completions.create, whose conversions of types cost more than the request itself.
                return answer_of(await client.post(PATH, body=body(self.settings, request), cast_to=object))

            def tell(request: Request, outcome: Answer | Exception) -> bool:
                good = isinstance(outcome, Answer)
                done(request, outcome if good else Failure(failure_of(outcome)))
                return good

            await many(requests, ask, tell, self.settings.concurrency)


def body(settings: LLMSettings, request: Request) -> dict[str, object]:
    """What is asked of a chat endpoint; ``llm.extra_body`` stands at the top, as with the client of openai."""
    sampling = {name: value for name, value in settings.sampling.items() if name != "extra_body"}
    return {"model": settings.model, "messages": request.messages, **sampling, **settings.extra_body}


def answer_of(completion: object, row: str | None = None) -> Answer:
    """The answer in a chat completion.

    Args:
        completion: the decoded JSON.
        row: id of a row of a result file.

    Raises:
        ValueError: anything else than a chat completion.
    """
    try:
        choice = completion["choices"][0]
        message, usage = choice["message"], completion.get("usage") or {}
        text, refusal = message.get("content"), message.get("refusal")
        if not (isinstance(text, str | None) and isinstance(refusal, str | None) and isinstance(usage, Mapping)):
            raise TypeError("its message holds no text")
        return Answer(text, choice.get("finish_reason"), refusal, usage.get("prompt_tokens"),
                      usage.get("completion_tokens"), row)  # fmt: skip
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f"no chat completion ({type(error).__name__}: {error})") from None
