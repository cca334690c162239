"""`PromptSource`: the users or items of a generation job, and the texts that fill in their prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from recbole_lecdsr.llm.generation.prompt_template import Stage


@dataclass(frozen=True)
class PromptPart:
    """What fills in one question about a user or an item.

    Attributes:
        name: the domain that the question is about, where a stage asks once for each; else empty.
        values: a text for each placeholder of the prompt.
    """

    name: str
    values: Mapping[str, str]


class PromptSource(Protocol):
    """Users or items that a language model is asked about."""

    @property
    def tokens(self) -> Sequence[str]:
        """Their tokens."""

    def parts(self, index: int, stage: Stage) -> list[PromptPart]:
        """What fills in the questions of a stage about one user or item.

        Args:
            index: of its token in ``tokens``.
            stage: the stage that asks.

        Returns:
            One part for each question.
        """
