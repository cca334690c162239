"""What a model reads, its size and what it is trained on: the conditions under which it is compared with others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

# How the domain that items are wanted of enters a model, beside the choice of the candidates: a history of this domain
# alone, an input, parameters of its own for each domain.
DomainUse = Literal["history", "input", "parameters"]
DOMAIN_USES: tuple[DomainUse, ...] = get_args(DomainUse)
Size = Annotated[int, Field(ge=1)]

TARGETS = "a window for each target"
SEQUENCES = "every target of whole sequences"
INTERACTIONS = "all interactions, a user's first one included"


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """The conditions of a model with given parameters.

    Attributes:
        item_texts: whether it reads embeddings of item texts.
        user_profiles: whether it reads embeddings of user profiles, if only in training.
        times: whether it reads when interactions took place, beyond their order.
        target_domain: how the target's domain enters, beside the choice of the candidates; empty: not at all.
        counts: whether interactions are counted for its scores: score fusion, and models that only count.
        history: ``mixed``, ``single``, or both: the windows that it reads; empty: none.
        window: L, the longest window; None without.
        embedding_size: of an item; None where there is none, or the parameters do not say.
        layers: of its encoder; None likewise.
        trained_on: which training interactions are targets, and how they are presented.
        withholds_calibration: whether training interactions are withheld to fit score fusion.
    """

    item_texts: bool
    user_profiles: bool
    times: bool
    target_domain: tuple[DomainUse, ...]
    counts: bool
    history: tuple[Literal["mixed", "single"], ...]
    window: Size | None
    embedding_size: Size | None
    layers: Size | None
    trained_on: str
    withholds_calibration: bool = False


def window_kinds(sequence: str) -> tuple[Literal["mixed", "single"], ...]:
    """The windows that a value of ``sequence`` gives a model.

    >>> window_kinds("mixed_and_single")
    ('mixed', 'single')
    """
    kinds: tuple[Literal["mixed", "single"], ...] = ("mixed", "single")
    return tuple(kind for kind in kinds if kind in sequence.split("_"))


def first_number(values: Mapping[str, Any], names: Iterable[str]) -> int | None:
    """The first of some parameters that a model has with a positive whole number.

    >>> first_number({"hidden_size": 64, "mlp_hidden_size": [128]}, ("embedding_size", "hidden_size"))
    64
    """
    found = (values.get(name) for name in names)
    return next((value for value in found if type(value) is int and value > 0), None)


def with_phases(trained_on: str, phases: Iterable[str]) -> str:
    """The text with the phases of ``train_epochs``, where there are several.

    >>> with_phases("all interactions", ["SOURCE:30", "BOTH:10"])
    'all interactions; phases SOURCE, BOTH'
    """
    names = [phase.partition(":")[0] for phase in phases]
    return f"{trained_on}; phases {', '.join(names)}" if len(names) > 1 else trained_on
