"""TextSASRec: the text-initialised SASRec that LeCDSR is compared with."""

from __future__ import annotations

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.model.lecdsr import LeCDSR


class TextSASRec(LeCDSR):
    """SASRec with what is known to make it strong, and nothing of LeCDSR: the baseline to beat.

    The causal network without profile, fusion and alignment: self-attention over the mixed sequence, trained at every
    position with a softmax over many in-domain negatives, one item table for input and output, which starts as the
    principal components of the items' text embeddings.
    """

    def __init__(self, config, dataset):
        for name, value in {"network": "causal", "no_user_profile": True, "no_semantic_fusion": True}.items():
            if config[name] != value:
                raise UserError(f"{type(self).__name__} needs {name}: {value}; for another value take LeCDSR")
        super().__init__(config, dataset)
