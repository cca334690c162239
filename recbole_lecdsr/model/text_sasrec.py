"""TextSASRec: the text-initialised SASRec that LeCDSR is compared with (docs/models.md, 8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recbole_lecdsr.model.lecdsr import LeCDSR


class TextSASRec(LeCDSR):
    """SASRec with what is known to make it strong, and nothing of LeCDSR: the baseline to beat.

    The causal network without profile, fusion and alignment: self-attention over the mixed sequence, trained at every
    position with a softmax over many negatives of the target's domain; one item table for input and output, initialised
    with the principal components of the items' text embeddings.
    """

    @classmethod
    def check_parameters(cls, values: Mapping[str, Any]) -> list[str]:
        """See `CrossDomainSequentialRecommender.check_parameters`."""
        fixed = {"network": "causal", "no_user_profile": True, "no_semantic_fusion": True}
        return super().check_parameters(values) + [
            f"{cls.__name__} needs {name}: {value}; for another value use LeCDSR"
            for name, value in fixed.items()
            if values[name] != value
        ]
