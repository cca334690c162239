"""The interface of a back end: requests come in; for each of them an answer or a failure goes out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from recbole_lecdsr.llm.generation.prompt_template import Messages


@dataclass(frozen=True)
class Request:
    """One question for a language model.

    Attributes:
        key: identifies the question in the answer store.
        messages: the chat to complete.
    """

    key: str
    messages: Messages


@dataclass(frozen=True)
class Answer:
    """The reply of a language model as it came, not yet validated.

    Attributes:
        text: the content of the message; None if it has none.
        finish_reason: why the model stopped, in the terms of chat endpoints: ``stop``, ``length``, ``content_filter``.
        refusal: the endpoint's own refusal, if it reports one.
        tokens_in, tokens_out: length of prompt and answer as counted by the model; None if it does not say.
        row_id: identifies the row of a batch result file, so that a row that is read twice counts as one attempt.
    """

    text: str | None
    finish_reason: str | None = None
    refusal: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    row_id: str | None = None


@dataclass(frozen=True)
class Failure:
    """A request that got no reply.

    Attributes:
        reason: what the endpoint or the connection did wrong, in one line without secrets.
        is_refusal: whether the endpoint declines this request for what it contains, so that asking again is pointless.
    """

    reason: str
    is_refusal: bool = False


OnOutcome = Callable[[Request, "Answer | Failure"], None]


class Backend(ABC):
    """A way to run a language model.

    Attributes:
        deterministic: whether the same request always gets the same answer, so that asking again is pointless.
        deferred: whether `run` only hands the requests over, and the answers arrive in a later run as result files.
        request_files: the files that `run` has written for the user to have answered; empty unless ``deferred``.
    """

    deterministic: bool = False
    deferred: bool = False
    request_files: Sequence[Path] = ()

    @abstractmethod
    def count_tokens(self, text: str) -> int:
        """The length of a text in tokens, or an estimate of it."""

    @abstractmethod
    def run(self, requests: Iterable[Request], on_outcome: OnOutcome) -> None:
        """Send the requests.

        Args:
            requests: any number of them, consumed lazily.
            on_outcome: called once for each request, in any order, from the calling thread; never called by a back end
                that is ``deferred``.

        Raises:
            UserError: an error that would affect every further request, such as a wrong key.
        """
