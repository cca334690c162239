"""The aids that any model can have, put around its class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recbole_lecdsr.model.base import CrossDomainSequentialRecommender
from recbole_lecdsr.model.score_fusion.wrapper import with_score_fusion
from recbole_lecdsr.model.weight_averaging import with_weight_averaging


def with_aids(
    model_class: type[CrossDomainSequentialRecommender], values: Mapping[str, Any]
) -> type[CrossDomainSequentialRecommender]:
    """The class with the aids that the parameters switch on. Score fusion fuses what the averaged weights score.

    Args:
        model_class: of the model alone.
        values: ``ema_decay`` and ``score_fusion``.
    """
    if values["ema_decay"]:
        model_class = with_weight_averaging(model_class)  # type: ignore[arg-type]  # a class is hashable
    if values["score_fusion"]:
        model_class = with_score_fusion(model_class)  # type: ignore[arg-type]  # likewise
    return model_class
