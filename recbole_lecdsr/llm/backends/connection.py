"""OpenAI-compatible endpoints: the client, many requests at a time, and what their errors mean."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.llm.backends.rate_limit import RateLimit
from recbole_lecdsr.llm.backends.redaction import API_KEY_VARIABLE, BASE_URL_VARIABLE, redact_secrets
from recbole_lecdsr.llm.settings import LLMSettings

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_MAX_CONSECUTIVE_FAILURES = 20
_MAX_REASON = 300  # characters of an error that are shown

Task = TypeVar("Task")
Result = TypeVar("Result")


def open_client(settings: LLMSettings) -> AsyncOpenAI:
    """Make a client that retries by itself, with exponential back-off, jitter and respect for Retry-After.

    Args:
        settings: rate limits, time-out and number of retries.

    Raises:
        UserError: neither a key nor an address in the environment; an address that is not a URL.
    """
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient  # slow to import, and not needed for training

    for name in ("openai", "httpx", "httpx2", "httpcore", "httpcore2"):  # their log lines contain addresses
        logging.getLogger(name).setLevel(logging.WARNING)
    key, url = os.environ.get(API_KEY_VARIABLE, "").strip(), os.environ.get(BASE_URL_VARIABLE, "").strip()
    if not key and not url:
        raise UserError(
            f"neither {BASE_URL_VARIABLE} nor {API_KEY_VARIABLE} is set: export "
            f"{BASE_URL_VARIABLE}=http://localhost:8000/v1 for a server of your own (vLLM, Ollama), or "
            f"{API_KEY_VARIABLE}=… for a cloud service"
        )
    auth = None
    if url:
        address = urlsplit(url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise UserError(
                f"{BASE_URL_VARIABLE} must be an address such as http://localhost:8000/v1, not {redact_secrets(url)!r}"
            )
        if address.username:
            # Taken out of the address, which libraries show in their errors.
            auth = (unquote(address.username), unquote(address.password or ""))
            url = urlunsplit(address._replace(netloc=address.netloc.rpartition("@")[2]))
    limit = RateLimit(settings.requests_per_minute, settings.tokens_per_minute, settings.max_tokens or 0)
    http_client = DefaultAsyncHttpxClient(auth=auth, event_hooks={"request": [limit]}, timeout=settings.timeout)
    return AsyncOpenAI(
        api_key=key or "none", base_url=url or None, http_client=http_client, timeout=settings.timeout,
        max_retries=settings.max_retries,
    )  # fmt: skip


def describe_error(error: Exception) -> str:
    """What went wrong with a request, in one line without secrets.

    Raises:
        UserError: an error that every other request would meet as well: the endpoint rejects the key or the model, or
            the address is wrong.
    """
    import openai

    if isinstance(error, openai.APIStatusError):
        message = redact_secrets(" ".join(str(error.message).split()))[:_MAX_REASON]
        remedies = {
            401: f"set {API_KEY_VARIABLE} to a key that the endpoint accepts",
            403: f"set {API_KEY_VARIABLE} to a key with access to the model",
            404: f"check {BASE_URL_VARIABLE}, which usually ends in /v1, and the model's name",
        }
        if error.status_code in remedies:
            remedy = remedies[error.status_code]
            raise UserError(f"the endpoint answers {error.status_code}: {message}; {remedy}") from None
        return f"status {error.status_code}: {message}"
    if isinstance(error, openai.APITimeoutError):
        return "no answer in time"
    if isinstance(error, openai.APIConnectionError):
        return redact_secrets(f"no connection ({error.__cause__ or error})")
    return redact_secrets(f"not an answer of the OpenAI API ({type(error).__name__}: {error})")[:_MAX_REASON]


async def run_concurrently(
    tasks: Iterable[Task],
    send: Callable[[Task], Awaitable[Result]],
    on_outcome: Callable[[Task, Result | Exception], bool],
    concurrency: int,
) -> None:
    """Send a request for each task, with a fixed number in flight.

    Args:
        tasks: any number; the next one is taken when a request has finished.
        send: sends the request of a task.
        on_outcome: called with each task and its result or error; returns whether the task succeeded.
        concurrency: how many requests are in flight at a time.

    Raises:
        UserError: too many consecutive requests failed.
        Exception: whatever ``on_outcome`` raises; the remaining tasks are cancelled.
    """
    remaining = iter(tasks)
    consecutive_failures = 0

    async def worker() -> None:
        nonlocal consecutive_failures
        for task in remaining:
            outcome: Result | Exception
            try:
                outcome = await send(task)
            except Exception as error:  # a server can cause any; each is reported with its task
                outcome = error
            consecutive_failures = 0 if on_outcome(task, outcome) else consecutive_failures + 1
            if consecutive_failures >= max(_MAX_CONSECUTIVE_FAILURES, 2 * concurrency):
                reason = describe_error(outcome) if isinstance(outcome, Exception) else "see the report"
                raise UserError(
                    f"{consecutive_failures} consecutive requests failed, the last with: {reason}. The answers so far "
                    "are stored: check the endpoint, then run the command again"
                )

    workers = [asyncio.create_task(worker()) for _ in range(concurrency)]
    try:
        await asyncio.gather(*workers)
    finally:
        for one in workers:
            one.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
