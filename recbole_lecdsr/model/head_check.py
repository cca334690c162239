"""Checks of parameters that several models share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def check_heads(values: Mapping[str, Any], heads: str = "attention_heads") -> list[str]:
    """An error where the embedding cannot be divided among the heads of the attention.

    Args:
        values: parameter -> value, of which ``embedding_size`` and the number of heads are read.
        heads: name of the parameter that holds the number of heads.

    >>> check_heads({"embedding_size": 7, "attention_heads": 2})
    ['embedding_size 7 is not a multiple of attention_heads 2: change one of the two']
    """
    size, number = values["embedding_size"], values[heads]
    return (
        [f"embedding_size {size} is not a multiple of {heads} {number}: change one of the two"] if size % number else []
    )
