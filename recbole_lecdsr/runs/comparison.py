"""Whether two runs are the same run, or one continues the other, by their parameters."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from recbole_lecdsr.schema import influential

Parameters = Mapping[str, Any]

# A run can be resumed with other values of these: they only decide when training stops.
BUDGET = frozenset({"train_epochs", "stopping_step"})


def differing_parameters(one: Parameters, other: Parameters) -> list[str]:
    """Names of the parameters because of which two runs are not the same run, sorted.

    >>> differing_parameters({"seed": 1, "output_dir": "runs/"}, {"seed": 2, "output_dir": "/tmp"})
    ['seed']
    """
    values, others = influential(one), influential(other)
    return sorted(name for name in values.keys() | others.keys() if values.get(name) != others.get(name))


def describe_difference(names: Sequence[str], one: Parameters, other: Parameters) -> str:
    """The values of the named parameters in two runs, as text.

    >>> describe_difference(["dropout_prob"], {"dropout_prob": 0.2}, {"dropout_prob": 0.5})
    'dropout_prob 0.2 and 0.5'
    """
    return ", ".join(f"{name} {_text(one, name)} and {_text(other, name)}" for name in names)


def _text(parameters: Parameters, name: str) -> str:
    return json.dumps(parameters[name], ensure_ascii=False) if name in parameters else "not set"


def can_continue(begun: Parameters, parameters: Parameters) -> bool:
    """Whether a run ends as an unbroken run with the given parameters would, if it is resumed with them.

    They are the same but for the budget, which may be larger: more epochs in the last phase, or more patience.

    >>> begun = {"train_epochs": ["BOTH:3"], "stopping_step": 2}
    >>> can_continue(begun, {"train_epochs": ["BOTH:5"], "stopping_step": 2})
    True
    >>> can_continue(begun, {"train_epochs": ["BOTH:2"], "stopping_step": 2})
    False
    """
    if set(differing_parameters(begun, parameters)) - BUDGET:
        return False
    *phases, last = map(str, begun.get("train_epochs", [""]))
    *phases_now, last_now = map(str, parameters.get("train_epochs", [""]))
    (mode, _, epochs), (mode_now, _, epochs_now) = last.partition(":"), last_now.partition(":")
    return (
        (phases, mode) == (phases_now, mode_now)
        and int(epochs or 0) <= int(epochs_now or 0)
        and begun.get("stopping_step", 0) <= parameters.get("stopping_step", 0)
    )
