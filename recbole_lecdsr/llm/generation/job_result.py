"""What a generation job returns: its result, or a preview of what it would ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from recbole_lecdsr.llm.generation.prompt_template import Messages


@dataclass(frozen=True)
class FailedSubject:
    """A user or item without a result.

    Attributes:
        token: of the user or item.
        stage, part: the question that has no valid answer.
        reason: what was wrong with the last attempt.
        attempts: how often it was asked.
        answer: the beginning of the last invalid answer; None if there was none.
        events: how many first interactions of the user were to be described; None for all, and for an item.
    """

    token: str
    stage: str
    part: str
    reason: str
    attempts: int
    answer: str | None
    events: int | None = None


@dataclass(frozen=True)
class JobResult:
    """The result of a job.

    Attributes:
        answers: index of the subject -> its answer to the last stage.
        failed: the subjects without a result, and why.
        waiting: how many wait for batch result files.
        counts: status -> number of requests, most frequent first; ``failed`` are those without any answer.
        tokens_in, tokens_out: of the answers received by this job, as counted by the model.
    """

    answers: Mapping[int, str]
    failed: Sequence[FailedSubject] = ()
    waiting: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    tokens_in: int = 0
    tokens_out: int = 0


@dataclass(frozen=True)
class JobPreview:
    """What a job would ask.

    Attributes:
        n_subjects: how many texts there are to write.
        requests: how many questions have no valid answer yet.
        tokens_in: of their prompts.
        tokens_out: the most that their answers may have; None without ``llm.max_tokens``.
        cost: by the prices given; None without prices.
        examples: messages of the first questions.
        is_upper_bound: whether some prompts will contain answers that do not exist yet, so that ``tokens_in`` assumes
            the longest ones.
    """

    n_subjects: int
    requests: int = 0
    tokens_in: int = 0
    tokens_out: int | None = 0
    cost: float | None = None
    examples: Sequence[Messages] = ()
    is_upper_bound: bool = False
