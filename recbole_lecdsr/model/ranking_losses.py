"""Losses as functions of scores and embeddings.

Pairwise and softmax losses take the positive's score r⁺, (B,), and those of its N negatives, (B, N).

=================  =================================================  ==========================================
function           per sample                                         when
=================  =================================================  ==========================================
`psl_hinge`        Σ_n max(0, 1 + (r_n − r⁺)/τ)                       LeCDSR-paper: the paper's equation
`psl`              log Σ_n σ(r_n − r⁺)^{1/τ}                          pairwise softmax, logistic surrogate
`softmax`          −log softmax of r⁺/τ among all N + 1 scores        many negatives; usually the strongest
=================  =================================================  ==========================================

Example:
    >>> positive, negative = torch.tensor([2.0]), torch.tensor([[1.0, 3.0]])
    >>> psl_hinge(positive, negative, temperature=1.0)
    tensor(2.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


def psl_hinge(positive: Tensor, negative: Tensor, temperature: float) -> Tensor:
    """Pairwise loss with the ReLU surrogate, summed over the batch (docs/models.md, eq. 12).

    A sum and not a mean, as published: the paper's learning rates suit it. Each positive meets its own negatives;
    the published training script compares it with the negatives of the whole batch (docs/models.md, eq. 13).

    Args:
        positive: (B,) scores of the positives.
        negative: (B, N) scores of their negatives.
        temperature: τ.

    Returns:
        Scalar.
    """
    return F.relu(1 + (negative - positive.unsqueeze(1)) / temperature).sum()


def psl(positive: Tensor, negative: Tensor, temperature: float) -> Tensor:
    """Pairwise softmax loss, log Σ_n σ(r_n − r⁺)^{1/τ}, mean over the batch.

    Source: Yang et al., "PSL: Rethinking and Improving Softmax Loss from Pairwise Perspective for
    Recommendation", NeurIPS 2024, with the sigmoid surrogate. Arguments as for `psl_hinge`.
    """
    return torch.logsumexp(F.logsigmoid(negative - positive.unsqueeze(1)) / temperature, dim=1).mean()


def softmax(positive: Tensor, negative: Tensor, temperature: float) -> Tensor:
    """Sampled softmax cross-entropy at temperature τ, mean over the batch. Arguments as for `psl_hinge`."""
    return _Softmax.apply(positive, negative, temperature)


class _Softmax(torch.autograd.Function):
    """`softmax` whose gradient needs one matrix of the negatives' size, where autograd would need three."""

    @staticmethod
    def forward(ctx: Any, positive: Tensor, negative: Tensor, temperature: float) -> Tensor:
        logit = positive / temperature
        # Joining the columns first would copy the negatives.
        total = torch.logaddexp(torch.logsumexp(negative / temperature, dim=1), logit)
        ctx.save_for_backward(logit, negative, total)
        ctx.temperature = temperature
        return (total - logit).mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        logit, negative, total = ctx.saved_tensors
        grad = grad / (len(logit) * ctx.temperature)
        share = (negative / ctx.temperature).sub_(total.unsqueeze(1)).exp_()
        return ((logit - total).exp() - 1) * grad, share.mul_(grad), None


RankingLoss = Callable[[Tensor, Tensor, float], Tensor]
RANKING_LOSSES: dict[str, RankingLoss] = {"psl_hinge": psl_hinge, "psl": psl, "softmax": softmax}
SUMMED_LOSSES = ("psl_hinge",)  # sums over the batch; the others are means
