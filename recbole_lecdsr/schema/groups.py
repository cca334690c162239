"""All parameters of a run, in groups."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from recbole_lecdsr.schema.aids import AIDS
from recbole_lecdsr.schema.data import DATA
from recbole_lecdsr.schema.evaluation import EVALUATION
from recbole_lecdsr.schema.llm_features import LLM_FEATURES
from recbole_lecdsr.schema.llm_text import LLM_TEXT
from recbole_lecdsr.schema.parameter import Parameter
from recbole_lecdsr.schema.run import RUN
from recbole_lecdsr.schema.training import TRAINING


@dataclass(frozen=True)
class Group:
    """Parameters on one subject.

    Attributes:
        title: of the group in the reference.
        parameters: in the order of the reference.
    """

    title: str
    parameters: tuple[Parameter, ...]


GROUPS = (
    Group("Run", RUN),
    Group("Data", DATA),
    Group("Texts by a language model", LLM_TEXT),
    Group("LLM features", LLM_FEATURES),
    Group("Training", TRAINING),
    Group("Aids for any model", AIDS),
    Group("Evaluation", EVALUATION),
)
PARAMETERS = tuple(parameter for group in GROUPS for parameter in group.parameters)


def walk(parameters: Iterable[Parameter]) -> Iterator[tuple[str, Parameter]]:
    """Full name and declaration of each parameter, of a mapping followed by its parts.

    Example:
        >>> [name for name, _ in walk(PARAMETERS) if name.startswith("eval_args")]
        ['eval_args', 'eval_args.split', 'eval_args.order', 'eval_args.group_by', 'eval_args.mode']
    """
    for parameter in parameters:
        yield parameter.name, parameter
        for name, part in walk(parameter.parts):
            yield f"{parameter.name}.{name}", part


def leaves(parameters: Iterable[Parameter]) -> Iterator[tuple[str, Parameter]]:
    """Full name and declaration of each parameter that has a value of its own: of a mapping, its parts.

    A mapping with a default of its own, such as ``source_domain``, counts as one parameter.
    """
    for parameter in parameters:
        if parameter.parts and parameter.default is None:
            for name, part in leaves(parameter.parts):
                yield f"{parameter.name}.{name}", part
        else:
            yield parameter.name, parameter


def find(name: str) -> Parameter:
    """The declaration of a parameter by its full name."""
    return dict(walk(PARAMETERS))[name]
