"""The interface of an encoder: texts come in; vectors go out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

TextKind = Literal["item", "user"]


@dataclass(frozen=True, kw_only=True)
class EncoderSettings:
    """How an encoder is used, whatever it is; docs/configuration.md explains each field as ``encoder_<field>``.

    Attributes:
        batch_size: texts at a time.
        prompt: put before each text: a text such as ``"passage: "``, or for a sentence-transformers model the name of
            one of its own prompts; None for the model's default.
        user_prompt: the same for the texts of users; None for ``prompt``.
        dim: D, to which vectors are truncated; None for all dimensions.
        normalize: whether to scale vectors to length 1.
        max_tokens: the length at which texts are split into chunks; None for the encoder's own limit, if it has one.
    """

    batch_size: int = 64
    prompt: str | None = None
    user_prompt: str | None = None
    dim: int | None = None
    normalize: bool = True
    max_tokens: int | None = None

    def prompt_for(self, kind: TextKind) -> str | None:
        """The prompt for the texts of items or users.

        Example:
            >>> EncoderSettings(prompt="passage: ").prompt_for("user")
            'passage: '
        """
        return self.prompt if kind == "item" or self.user_prompt is None else self.user_prompt


class Encoder(ABC):
    """A way to make vectors of texts."""

    @abstractmethod
    def encode(self, texts: Sequence[str], show_progress: bool = False, kind: TextKind = "item") -> np.ndarray:
        """Encode texts.

        Args:
            texts: N texts. One that is longer than the encoder's limit is split into chunks, whose vectors are averaged
                by their lengths; the log says how many are split.
            show_progress: show a bar.
            kind: whether they describe items or users, which may have different prompts.

        Returns:
            (N, D) float32.
        """
