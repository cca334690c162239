"""OpenAI-compatible endpoints: the client, many requests at a time, and what their errors mean."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.llm.backends.rate_limit import RateLimit
from recbole_lecdsr.llm.backends.redaction import API_KEY_VARIABLE, BASE_URL_VARIABLE, redact_secrets
from recbole_lecdsr.llm.backends.server_errors import MAX_REASON, ErrorResponse, ServerError, parse_server_error
from recbole_lecdsr.llm.settings import LLMSettings

if TYPE_CHECKING:
    import openai
    from openai import AsyncOpenAI

_MAX_CONSECUTIVE_FAILURES = 20

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class RequestFailure:
    """Why a request got no answer.

    Attributes:
        reason: in one line without secrets.
        is_refusal: whether the endpoint declines what the request contains, so that repeating it is pointless.
        is_connection: whether the endpoint was not reached, so that the contents of the request have no influence.
    """

    reason: str
    is_refusal: bool = False
    is_connection: bool = False


def open_client(settings: LLMSettings) -> AsyncOpenAI:
    """Make a client that retries by itself, with exponential back-off, jitter and respect for Retry-After.

    Args:
        settings: rate limits, time-out and number of retries.

    Raises:
        UserError: neither a key nor an address in the environment; an address that is not a URL; a key with line
            breaks or blanks.
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
    if not all("!" <= character <= "~" for character in key):
        raise UserError(
            f"{API_KEY_VARIABLE} contains a line break, a blank or a character that no key has: export the key alone, "
            "in one line"
        )
    auth = None
    if url:
        url, auth = _split_address(url)
    limit = RateLimit(settings.requests_per_minute, settings.tokens_per_minute, settings.max_tokens or 0)
    hooks: dict[str, list[Any]] = {"request": [limit], "response": [_stop_retries_of_permanent_errors]}
    http_client = DefaultAsyncHttpxClient(auth=auth, event_hooks=hooks, timeout=settings.timeout)
    return AsyncOpenAI(
        api_key=key or "none", base_url=url or None, http_client=http_client, timeout=settings.timeout,
        max_retries=settings.max_retries,
    )  # fmt: skip


def classify_error(error: Exception) -> RequestFailure:
    """What went wrong with a request.

    Raises:
        UserError: an error that every other request would meet as well: the endpoint rejects the key or the model, the
            account has no credit, or the address is wrong.
    """
    import openai

    if isinstance(error, openai.APIStatusError | ErrorResponse):
        told = error.error if isinstance(error, ErrorResponse) else _parse_status_error(error)
        if told.remedy:
            raise UserError(f"the endpoint answers {told.status}: {told.message}; {told.remedy}") from None
        return RequestFailure(told.describe(), is_refusal=told.is_refusal)
    if isinstance(error, openai.APITimeoutError):
        return RequestFailure("no answer in time", is_connection=True)
    if isinstance(error, openai.APIConnectionError):
        return RequestFailure(redact_secrets(f"no connection ({error.__cause__ or error})"), is_connection=True)
    reason = redact_secrets(f"not an answer of the OpenAI API ({type(error).__name__}: {error})")
    return RequestFailure(reason[:MAX_REASON])


def _split_address(url: str) -> tuple[str, tuple[str, str] | None]:
    """The address without user and password, which libraries would show in their errors, and these two."""
    try:
        address = urlsplit(url)
        is_valid = address.scheme in ("http", "https") and bool(address.hostname) and address.port != 0
    except ValueError:  # brackets that do not match, a port above 65535
        is_valid = False
    if not is_valid:
        raise UserError(
            f"{BASE_URL_VARIABLE} must be an address such as http://localhost:8000/v1, not {redact_secrets(url)!r}"
        )
    if address.username is None:
        return url, None
    auth = (unquote(address.username), unquote(address.password or ""))
    return urlunsplit(address._replace(netloc=address.netloc.rpartition("@")[2])), auth


def _parse_status_error(error: openai.APIStatusError) -> ServerError:
    try:
        body = json.loads(error.response.text)
    except (ValueError, RecursionError):
        body = error.response.text
    return parse_server_error(error.status_code, body)


async def _stop_retries_of_permanent_errors(response: Any) -> None:
    """Response hook of the HTTP client, httpx or httpx2; without it, the openai client repeats all 429 and 5xx."""
    if response.status_code < 400:
        return
    await response.aread()
    try:
        body = json.loads(response.text)
    except (ValueError, RecursionError):
        body = response.text
    if parse_server_error(response.status_code, body).remedy:
        response.headers["x-should-retry"] = "false"


async def run_concurrently(
    tasks: Iterable[Task],
    send: Callable[[Task], Awaitable[Result]],
    on_outcome: Callable[[Task, Result | Exception], bool | None],
    concurrency: int,
) -> None:
    """Send a request for each task, with a fixed number in flight.

    Args:
        tasks: any number; the next one is taken when a request has finished.
        send: sends the request of a task.
        on_outcome: called with each task and its result or error; returns whether the task succeeded, None if that says
            nothing about the endpoint.
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
            has_succeeded = on_outcome(task, outcome)
            if has_succeeded is not None:
                consecutive_failures = 0 if has_succeeded else consecutive_failures + 1
            if consecutive_failures >= max(_MAX_CONSECUTIVE_FAILURES, 2 * concurrency):
                reason = classify_error(outcome).reason if isinstance(outcome, Exception) else "see the report"
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
