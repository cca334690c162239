"""`PromptSource`: the users or items of a generation job, and the texts that fill in their prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from recbole_lecdsr.llm.generation.prompt_template import Stage


class Subject(NamedTuple):
    """What a text is written about.

    Attributes:
        token: of the user or item.
        events: how many first interactions of the user the text may know; None for all training interactions, and
            for an item.
    """

    token: str
    events: int | None = None


@dataclass(frozen=True)
class PromptPart:
    """What fills in one question about a subject.

    Attributes:
        name: the domain that the question is about, where a stage asks once for each; else empty.
        values: a text for each placeholder of the prompt.
    """

    name: str
    values: Mapping[str, str]


class PromptSource(Protocol):
    """Users or items that a language model is asked about."""

    @property
    def subjects(self) -> Sequence[Subject]:
        """The users or items, all different."""

    def parts(self, index: int, stage: Stage) -> list[PromptPart]:
        """What fills in the questions of a stage about one subject.

        Args:
            index: of the subject in ``subjects``.
            stage: the stage that asks.

        Returns:
            One part for each question.
        """
