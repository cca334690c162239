"""Binary cross-entropy of targets and their own negatives, as LLM4CDSR and LLM-ESR train with."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def inner_products(state: Tensor, vectors: Tensor) -> Tensor:
    """(N, d) and (N, C, d) -> (N, C)."""
    return (vectors @ state.unsqueeze(-1)).squeeze(-1)


def mean_cross_entropy(logits: Tensor) -> Tensor:
    """Mean over targets of softplus(−z⁺) + softplus(z⁻), the latter averaged over negatives; 0 of no targets.

    Args:
        logits: (N, 1 + negatives), the positive first.
    """
    logits = logits.float()
    each = F.softplus(-logits[:, 0]) + F.softplus(logits[:, 1:]).mean(dim=1)
    return each.sum() / max(1, len(logits))
