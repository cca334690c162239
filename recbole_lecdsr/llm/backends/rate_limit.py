"""`RateLimit`: spaces requests out so that an endpoint's limits per minute are kept."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol


class HttpRequest(Protocol):
    """What a rate limit needs to see of an HTTP request."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Its headers, by names in lower case."""


class RateLimit:
    """Spreads requests evenly over time; repeated attempts count as well.

    It is a request hook of an HTTP client: ``event_hooks={"request": [RateLimit(…)]}``.

    Args:
        requests_per_minute: None for no limit.
        tokens_per_minute: of prompts and answers together; None for no limit. A prompt is estimated as a quarter of the
            request's bytes, an answer as the longest that is allowed.
        answer_tokens: the longest answer that is allowed.

    Example:
        >>> limit = RateLimit(requests_per_minute=60, tokens_per_minute=None, answer_tokens=400)
        >>> [limit.reserve(100, now=5.0) for _ in range(3)]
        [0.0, 1.0, 2.0]
    """

    def __init__(self, requests_per_minute: float | None, tokens_per_minute: float | None, answer_tokens: int):
        self.requests_per_minute, self.tokens_per_minute = requests_per_minute, tokens_per_minute
        self.answer_tokens = answer_tokens
        self._next_start = 0.0  # of the next request, in the clock of the event loop

    async def __call__(self, request: HttpRequest) -> None:
        """Wait until the request may be sent."""
        # Not request.content, which a redirected request does not have.
        n_bytes = int(request.headers.get("content-length", 0))
        wait = self.reserve(n_bytes, asyncio.get_running_loop().time())
        if wait > 0:
            await asyncio.sleep(wait)

    def reserve(self, n_bytes: int, now: float) -> float:
        """Reserve the next free moment for a request of ``n_bytes``.

        Args:
            n_bytes: size of the request's body.
            now: the present time, in seconds.

        Returns:
            The seconds to wait until that moment.
        """
        interval = 60 / self.requests_per_minute if self.requests_per_minute else 0.0
        if self.tokens_per_minute:
            interval = max(interval, 60 * (n_bytes / 4 + self.answer_tokens) / self.tokens_per_minute)
        start = max(self._next_start, now)
        self._next_start = start + interval
        return start - now
