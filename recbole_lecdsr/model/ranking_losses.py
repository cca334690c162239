"""Losses as functions of scores and embeddings.

Pairwise and softmax losses take the positive's score r⁺, (B,), and those of its N negatives, (B, N).

=================  =================================================  ==========================================
function           per sample                                         when
=================  =================================================  ==========================================
`psl_hinge`        Σ_n max(0, 1 + (r_n − r⁺)/τ)                       the published form of LeCDSR
`psl`              τ⁻¹-powered: log Σ_n σ(r_n − r⁺)^{1/τ}             pairwise softmax as its authors give it
`softmax`          −log softmax of r⁺/τ among all N + 1 scores        many negatives; usually the strongest
=================  =================================================  ==========================================

Example:
    >>> positive, negative = torch.tensor([2.0]), torch.tensor([[1.0, 3.0]])
    >>> psl_hinge(positive, negative, temperature=1.0)
    tensor(2.)
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


def psl_hinge(positive: Tensor, negative: Tensor, temperature: float) -> Tensor:
    """Pairwise loss with the ReLU surrogate, summed over the batch (MODEL.md, Loss).

    A sum and not a mean, as published: the learning rates of the paper are meant for it.

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
    """`softmax`, whose gradient is made in one matrix: autograd would take three of the negatives' size."""

    @staticmethod
    def forward(ctx, positive: Tensor, negative: Tensor, temperature: float) -> Tensor:
        logit = positive / temperature
        # Joining the columns first would copy the negatives.
        total = torch.logaddexp(torch.logsumexp(negative / temperature, dim=1), logit)
        ctx.save_for_backward(logit, negative, total)
        ctx.temperature = temperature
        return (total - logit).mean()

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor):
        logit, negative, total = ctx.saved_tensors
        grad = grad / (len(logit) * ctx.temperature)
        share = (negative / ctx.temperature).sub_(total.unsqueeze(1)).exp_()
        return ((logit - total).exp() - 1) * grad, share.mul_(grad), None


RankingLoss = Callable[[Tensor, Tensor, float], Tensor]
RANKING_LOSSES: dict[str, RankingLoss] = {"psl_hinge": psl_hinge, "psl": psl, "softmax": softmax}
SUMMED_LOSSES = ("psl_hinge",)  # sums over the batch; the others are means
