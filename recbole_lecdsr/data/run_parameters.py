"""The part of a run's configuration that the data stage uses, as types: RecBole's `Config` itself is untyped."""

from __future__ import annotations

from typing import Any, Protocol


class RunParameters(Protocol):
    """Parameter -> value: a `recbole_lecdsr.config.LeCDSRConfig`, or a plain dictionary of all parameters."""

    def __getitem__(self, name: str, /) -> Any: ...


class RunConfig(RunParameters, Protocol):
    """A `recbole_lecdsr.config.LeCDSRConfig`.

    Attributes:
        final_config_dict: all parameters and their values.
        model_class: the class of the run's model, a `recbole_lecdsr.model.base.CrossDomainSequentialRecommender`.
    """

    final_config_dict: dict[str, Any]
    model_class: Any

    def __setitem__(self, name: str, value: Any, /) -> None: ...
