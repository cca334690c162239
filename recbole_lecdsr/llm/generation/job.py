"""`GenerationJob`: asks the questions of a template about many users or items until each has a valid answer.

Every answer is stored as soon as it arrives, so a job that is interrupted resumes where it stopped.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from tqdm import tqdm

from recbole_lecdsr.llm.backends.base import Answer, Backend, Failure, Request
from recbole_lecdsr.llm.backends.redaction import redact_secrets
from recbole_lecdsr.llm.generation.answer_checks import validate_answer
from recbole_lecdsr.llm.generation.answer_store import AnswerStore, Record, record_key
from recbole_lecdsr.llm.generation.history_text import join_answers
from recbole_lecdsr.llm.generation.job_result import FailedSubject, JobPreview, JobResult
from recbole_lecdsr.llm.generation.prompt_source import PromptSource
from recbole_lecdsr.llm.generation.prompt_template import Messages, PromptTemplate, Stage
from recbole_lecdsr.llm.settings import LLMSettings

logger = logging.getLogger(__name__)

HOLDS_SECRET = "holds a secret"
_MAX_EXCERPT = 300  # characters of an invalid answer in the report
_N_EXAMPLES = 2  # prompts that a preview shows


@dataclass(frozen=True, slots=True)
class Question:
    """One question about one user or item.

    Attributes:
        subject: index in ``source.subjects``.
        stage: the stage that asks.
        position: index among the questions of the stage about this subject.
        part: the domain that it is about, where the stage asks once for each; else empty.
        key: identifies the question in the answer store.
    """

    subject: int
    stage: Stage
    position: int
    part: str
    key: str


class GenerationJob:
    """Asks the questions of a template about users or items.

    Args:
        source: the users or items, and the texts of their prompts.
        template: what is asked.
        settings: model, sampling, number of attempts, prices.
        backend: runs the model.
        store: where the answers are kept.
    """

    def __init__(
        self,
        source: PromptSource,
        template: PromptTemplate,
        *,
        settings: LLMSettings,
        backend: Backend,
        store: AnswerStore,
    ):
        self.source, self.template, self.settings = source, template, settings
        self.backend, self.store = backend, store
        self.max_attempts = 1 if backend.deterministic else settings.attempts
        self._request_failures: dict[str, list[str]] = {}  # key -> reasons of requests without any answer, in this run
        self._refused: set[str] = set()  # keys of requests that the endpoint refuses, in this run
        self._questions_cache: dict[tuple[int, int], list[Question]] = {}  # (index of the stage, subject) -> questions
        self._counts: Counter[str] = Counter()
        self._tokens_in = self._tokens_out = 0

    # ------------------------------------------------------------------ the whole job

    def run(self, show_progress: bool = False) -> JobResult:
        """Ask the questions without a valid answer, stage by stage.

        Args:
            show_progress: show a bar.

        Raises:
            UserError: an error of the back end that would affect every further request; the answers so far are stored.
        """
        subjects: Sequence[int] = range(len(self.source.subjects))
        failed: list[FailedSubject] = []
        deferred: list[Question] = []
        waiting = 0
        for stage in self.template.stages:
            questions = self._unanswered(stage, subjects)
            if self.backend.deferred:
                deferred += questions.values()
            else:
                self._ask(stage, questions, show_progress)
            answered: list[int] = []
            for subject in subjects:
                missing = [question for question in self._questions(stage, subject) if question.key not in self.store]
                failures = [failure for question in missing if (failure := self._failure(question))]
                if not missing:
                    answered.append(subject)
                elif failures:
                    failed.append(failures[0])
                else:
                    waiting += 1
            subjects = answered
        if self.backend.deferred:
            self.backend.run(self._requests(deferred), _reject_outcome)
        last = self.template.stages[-1]
        return JobResult(
            answers={subject: self._answers(last, subject)[0][1] for subject in subjects},
            failed=tuple(failed),
            waiting=waiting,
            counts=dict(self._counts.most_common()),
            tokens_in=self._tokens_in,
            tokens_out=self._tokens_out,
        )

    def store_results(self, outcomes: Mapping[str, Answer | Failure]) -> int:
        """Store the outcomes of batch result files.

        Args:
            outcomes: key of the question -> its answer or failure.

        Returns:
            How many of them answer no question that is still open; these are ignored.
        """
        used: set[str] = set()
        subjects: Sequence[int] = range(len(self.source.subjects))
        for stage in self.template.stages:
            for key, question in self._unanswered(stage, subjects, include_given_up=True).items():
                if key in outcomes and key not in used:
                    used.add(key)
                    self._store_outcome(question, outcomes[key])
            subjects = [
                subject
                for subject in subjects
                if all(question.key in self.store for question in self._questions(stage, subject))
            ]
        return len(outcomes.keys() - used)

    def preview(self) -> JobPreview:
        """What a run would ask, without asking."""
        answer_tokens = self.settings.max_tokens
        requests = tokens_in = 0
        is_upper_bound = False
        examples: list[Messages] = []
        seen: set[str] = set()
        for subject in range(len(self.source.subjects)):
            n_before = 0  # answers of the stage before that do not exist yet
            for stage in self.template.stages:
                messages = list(self._messages(stage, subject, include_answers=not n_before))
                if n_before:
                    is_upper_bound = True
                    open_messages = messages
                    tokens_in += len(messages) * n_before * (answer_tokens or 0)
                    n_before = len(messages)
                else:
                    questions = self._questions(stage, subject)
                    missing = [question for question in questions if question.key not in self.store]
                    if any(self.store.failure_count(question.key) >= self.max_attempts for question in missing):
                        break  # given up
                    open_messages = [messages[question.position] for question in missing if question.key not in seen]
                    seen.update(question.key for question in missing)
                    examples += open_messages[: _N_EXAMPLES - len(examples)]
                    n_before = len(messages) if missing else 0
                requests += len(open_messages)
                tokens_in += sum(
                    self.backend.count_tokens(message["content"]) for chat in open_messages for message in chat
                )
        tokens_out = None if answer_tokens is None else answer_tokens * requests
        return JobPreview(
            n_subjects=len(self.source.subjects),
            requests=requests,
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            cost=self._cost(tokens_in, tokens_out),
            examples=tuple(examples),
            is_upper_bound=is_upper_bound,
        )

    def _cost(self, tokens_in: int, tokens_out: int | None) -> float | None:
        price_in, price_out = self.settings.price_in, self.settings.price_out
        if tokens_out is None or (price_in is None and price_out is None):
            return None
        return (tokens_in * (price_in or 0) + tokens_out * (price_out or 0)) / 1e6

    # ------------------------------------------------------------------ questions

    def _questions(self, stage: Stage, subject: int) -> list[Question]:
        """The questions of a stage about a subject, whose earlier stages must be answered."""
        cached = (self.template.stages.index(stage), subject)
        if cached not in self._questions_cache:
            parts = self.source.parts(subject, stage)
            self._questions_cache[cached] = [
                Question(subject=subject, stage=stage, position=position, part=part.name, key=self._key(messages))
                for position, (part, messages) in enumerate(zip(parts, self._messages(stage, subject), strict=True))
            ]
        return self._questions_cache[cached]

    def _key(self, messages: Messages) -> str:
        return record_key(
            template=self.template.digest,
            model=self.settings.model,
            sampling=self.settings.sampling,
            messages=messages,
        )

    def _messages(self, stage: Stage, subject: int, include_answers: bool = True) -> Iterator[Messages]:
        """The messages of a subject's questions, with the answers of the stage before if these exist."""
        index = self.template.stages.index(stage)
        answers = ""
        if index and include_answers:
            answers = join_answers(self._answers(self.template.stages[index - 1], subject))
        for part in self.source.parts(subject, stage):
            yield self.template.render(stage, {**part.values, "answers": answers})

    def _answers(self, stage: Stage, subject: int) -> list[tuple[str, str]]:
        """(part, answer) of a subject, of whose questions in this stage all are answered."""
        answers = []
        for question in self._questions(stage, subject):
            record = self.store.get(question.key)
            if record is None:
                raise KeyError(f"{question.key} has no valid answer")
            answers.append((question.part, str(record.answer)))
        return answers

    def _unanswered(self, stage: Stage, subjects: Iterable[int], include_given_up: bool = False) -> dict[str, Question]:
        """Key -> question, of those without a valid answer that may be asked (again); equal questions occur once."""
        questions: dict[str, Question] = {}
        for subject in subjects:
            for question in self._questions(stage, subject):
                key = question.key
                may_ask = include_given_up or self.store.failure_count(key) < self.max_attempts
                if key not in self.store and may_ask:
                    questions.setdefault(key, question)
        return questions

    def _requests(self, questions: Iterable[Question]) -> Iterator[Request]:
        for question in questions:
            if question.key not in self.store:  # another process may have stored an answer in the meantime
                messages = list(self._messages(question.stage, question.subject))
                yield Request(question.key, messages[question.position])

    # ------------------------------------------------------------------ answers

    def _ask(self, stage: Stage, questions: dict[str, Question], show_progress: bool) -> None:
        """Ask each question until it has a valid answer or its attempts are used up."""
        name = f"{self.template.name}, {stage.name}" if len(self.template.stages) > 1 else self.template.name
        with tqdm(total=len(questions), desc=name, unit=" answers", disable=None if show_progress else True) as bar:

            def on_outcome(request: Request, outcome: Answer | Failure) -> None:
                self._store_outcome(questions[request.key], outcome)
                bar.update(not self._is_open(request.key))

            pending = questions
            while pending:
                self.backend.run(self._requests(pending.values()), on_outcome)
                pending = {key: question for key, question in pending.items() if self._is_open(key)}

    def _is_open(self, key: str) -> bool:
        """Whether a question has no valid answer and may be asked again."""
        attempts = self.store.failure_count(key) + len(self._request_failures.get(key, ()))
        return key not in self.store and key not in self._refused and attempts < self.max_attempts

    def _store_outcome(self, question: Question, outcome: Answer | Failure) -> None:
        """Validate and store an answer; a failed request is only counted, so the next run asks again."""
        key = question.key
        if isinstance(outcome, Failure):
            self._request_failures.setdefault(key, []).append(outcome.reason)
            self._counts["failed"] += 1
            if outcome.is_refusal:
                self._refused.add(key)
            return
        checked = validate_answer(
            question.stage, outcome.text, finish_reason=outcome.finish_reason, refusal=outcome.refusal
        )
        status, text = checked.status, redact_secrets(checked.text)
        if text != checked.text:
            status = HOLDS_SECRET
        if outcome.row_id and any(record.id == outcome.row_id for record in self.store.failures(key)):
            return
        self.store.append(
            Record(
                key=key,
                status=status,
                answer=text,
                finish=outcome.finish_reason,
                tokens_in=outcome.tokens_in,
                tokens_out=outcome.tokens_out,
                id=outcome.row_id,
                time=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            )
        )
        self._counts[status] += 1
        self._tokens_in += outcome.tokens_in or 0
        self._tokens_out += outcome.tokens_out or 0

    def _failure(self, question: Question) -> FailedSubject | None:
        """Why a question has no valid answer; None if it has not been asked yet."""
        invalid, failed = self.store.failures(question.key), self._request_failures.get(question.key, [])
        if not invalid and not failed:
            return None
        subject = self.source.subjects[question.subject]
        return FailedSubject(
            token=subject.token,
            stage=question.stage.name,
            part=question.part,
            reason=failed[-1] if failed else invalid[-1].status,
            attempts=len(invalid) + len(failed),
            answer=str(invalid[-1].answer)[:_MAX_EXCERPT] if invalid else None,
            events=subject.events,
        )


def _reject_outcome(request: Request, outcome: Answer | Failure) -> None:
    raise AssertionError("a deferred back end must not report outcomes")
