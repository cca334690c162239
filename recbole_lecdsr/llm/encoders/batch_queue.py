"""`BatchQueue`: texts in batches for an endpoint; a batch that fails is halved until the culprit is alone."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from recbole_lecdsr.llm.backends.connection import RequestFailure

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Batch:
    """Texts that are sent in one request.

    Attributes:
        keys: of the texts.
        n_failures: how often this batch has failed.
        refused_whole: the refused batch of which it is a half, and what the endpoint said of that.
        n_good_halves: if this batch was refused, how many of its halves have vectors.
    """

    keys: Sequence[str]
    n_failures: int = 0
    refused_whole: tuple[Batch, RequestFailure] | None = None
    n_good_halves: int = 0


class BatchQueue:
    """The batches that have yet to be sent; iteration takes them out.

    Iteration may go on after it has ended, when `fail` has put batches back.

    Args:
        keys: of all texts.
        size: texts in a batch.
        max_failures: how often a request may fail that is not refused.

    Attributes:
        failed: key -> why its text has no vector.

    Example:
        >>> queue = BatchQueue(["a", "b", "c"], size=2, max_failures=3)
        >>> refused = next(queue)
        >>> queue.fail(refused, RequestFailure("status 400: no", is_refusal=True))
        >>> [list(batch.keys) for batch in queue]
        [['a'], ['b'], ['c']]
    """

    def __init__(self, keys: Sequence[str], size: int, max_failures: int):
        self.size, self.max_failures = size, max_failures
        self.failed: dict[str, RequestFailure] = {}
        self._pending = deque(Batch(keys[start : start + size]) for start in range(0, len(keys), size))

    def __iter__(self) -> BatchQueue:
        return self

    def __next__(self) -> Batch:
        if not self._pending:
            raise StopIteration
        batch = self._pending.popleft()
        if len(batch.keys) > self.size:  # the limit was learned after the batch was made
            self._pending.appendleft(Batch(batch.keys[self.size :], batch.n_failures))
            batch = Batch(batch.keys[: self.size], batch.n_failures)
        return batch

    def succeed(self, batch: Batch) -> None:
        """Note that a batch has its vectors; both halves of a refused batch say how many texts are accepted."""
        if batch.refused_whole is None:
            return
        whole, refusal = batch.refused_whole
        whole.n_good_halves += 1
        size = (len(whole.keys) + 1) // 2
        if whole.n_good_halves == 2 and size < self.size:
            logger.warning(
                "the endpoint refused %d texts in one request (%s) and accepted them as two halves: at most %d are "
                "sent in a request from now on; --encoder_batch_size=%d avoids the refused requests",
                len(whole.keys), refusal.reason, size, size,
            )  # fmt: skip
            self.size = size

    def fail(self, batch: Batch, failure: RequestFailure) -> bool | None:
        """Note that a batch has failed: it is sent again, in halves unless the endpoint was not reached.

        Args:
            batch: the batch.
            failure: why it failed.

        Returns:
            False, or None if a refused batch is halved, which says nothing about the endpoint.
        """
        batch.n_failures += 1
        middle = (len(batch.keys) + 1) // 2
        if middle == len(batch.keys) or failure.is_connection:
            if failure.is_refusal or batch.n_failures >= self.max_failures:
                self.failed.update(dict.fromkeys(batch.keys, failure))
            else:
                self._pending.append(batch)
            return False
        halves = [Batch(part) for part in (batch.keys[:middle], batch.keys[middle:])]
        if not failure.is_refusal:
            self._pending.extend(halves)
            return False
        for half in reversed(halves):  # at once, so that a limit is learned before all batches are refused
            half.refused_whole = (batch, failure)
            self._pending.appendleft(half)
        return None
