"""Declarations of parameters: name, kind, range or choices, default, help.

Imports neither a framework nor torch, so that ``--help`` is fast.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Parameter:
    """One parameter of a run.

    Attributes:
        name: as in property files and on the command line; ``llm.model`` for a nested one.
        kind: type of a value: bool, int, float, str, list or dict. A float takes whole numbers too.
        help: one sentence for ``--help`` and docs/configuration.md.
        default: value where no property file gives one.
        choices: the only values allowed, where there are few.
        minimum, maximum: inclusive bounds of a number.
        optional: whether ``~`` (None) is a value.
    """

    name: str
    kind: type
    help: str
    default: object = None
    choices: tuple[object, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    optional: bool = False
