"""The back end ``openai``: any OpenAI-compatible chat endpoint, such as vLLM, Ollama or a cloud service."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from recbole_lecdsr.llm.backends.base import Answer, Backend, Failure, OnOutcome, Request
from recbole_lecdsr.llm.backends.connection import classify_error, open_client, run_concurrently
from recbole_lecdsr.llm.backends.server_errors import raise_if_error
from recbole_lecdsr.llm.generation.history_text import estimate_tokens
from recbole_lecdsr.llm.settings import LLMSettings

CHAT_COMPLETIONS_PATH = "/chat/completions"


class OpenAIChat(Backend):
    """Sends requests to a chat endpoint, many at a time.

    Args:
        settings: model, sampling, concurrency and rate limits.
    """

    def __init__(self, settings: LLMSettings):
        self.settings = settings

    def count_tokens(self, text: str) -> int:
        """An estimate, since the endpoint's tokenizer is not available here."""
        return estimate_tokens(text)

    def run(self, requests: Iterable[Request], on_outcome: OnOutcome) -> None:
        """See `recbole_lecdsr.llm.backends.base.Backend.run`."""
        asyncio.run(self._run(requests, on_outcome))

    async def _run(self, requests: Iterable[Request], on_outcome: OnOutcome) -> None:
        async with open_client(self.settings) as client:

            async def send(request: Request) -> Answer:
                # Not client.chat.completions.create: converting its types costs more time than the request itself.
                body = request_body(self.settings, request)
                return parse_completion(await client.post(CHAT_COMPLETIONS_PATH, body=body, cast_to=object))

            def report(request: Request, outcome: Answer | Exception) -> bool:
                if isinstance(outcome, Exception):
                    failure = classify_error(outcome)
                    on_outcome(request, Failure(failure.reason, is_refusal=failure.is_refusal))
                    return False
                on_outcome(request, outcome)
                return True

            await run_concurrently(requests, send, report, self.settings.concurrency)


def request_body(settings: LLMSettings, request: Request) -> dict[str, object]:
    """The body of a chat request; ``llm.extra_body`` is merged into its top level, as the openai client does."""
    sampling = {name: value for name, value in settings.sampling.items() if name != "extra_body"}
    return {"model": settings.model, "messages": request.messages, **sampling, **settings.extra_body}


def parse_completion(completion: Any, row_id: str | None = None) -> Answer:
    """The answer in a chat completion.

    Args:
        completion: the decoded JSON of a response.
        row_id: identifies the row of a batch result file.

    Raises:
        ErrorResponse: the endpoint's error, which some servers send with status 200.
        ValueError: anything else than a chat completion.

    Example:
        >>> parse_completion({"choices": [{"message": {"content": "likes tea"}, "finish_reason": "stop"}]}).text
        'likes tea'
    """
    raise_if_error(completion)
    try:
        choice = completion["choices"][0]
        message, usage = choice["message"], completion.get("usage") or {}
        text, refusal = _join_parts(message.get("content")), message.get("refusal")
        if not (isinstance(text, str | None) and isinstance(refusal, str | None) and isinstance(usage, Mapping)):
            raise TypeError("its message has no text")
        return Answer(
            text,
            finish_reason=finish if isinstance(finish := choice.get("finish_reason"), str) else None,
            refusal=refusal,
            tokens_in=_count(usage.get("prompt_tokens")),
            tokens_out=_count(usage.get("completion_tokens")),
            row_id=row_id,
        )
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f"not a chat completion ({type(error).__name__}: {error})") from None


def _count(value: object) -> int | None:
    """A number of tokens; None for anything else, which does not make an answer worthless."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _join_parts(content: object) -> object:
    """The text of a content that some servers send as a list of parts, ``[{"type": "text", "text": …}]``."""
    if not isinstance(content, list):
        return content
    return "".join(part if isinstance(part, str) else part["text"] for part in content if not _is_reasoning(part))


def _is_reasoning(part: object) -> bool:
    return isinstance(part, Mapping) and part.get("type") in ("thinking", "reasoning")
