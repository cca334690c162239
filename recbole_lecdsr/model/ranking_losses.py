"""Losses as functions of scores and embeddings.

Each takes the positive's score r⁺_i of B samples, (B,), and the scores r_in of their N negatives, (B, N).

==================  ====================================================  =======================================
function            value                                                 when
==================  ====================================================  =======================================
`all_pairs_hinge`   Σ_i Σ_j Σ_n max(0, 1 + (r_jn − r⁺_i)/τ)               LeCDSR-paper: the published script
`own_sample_hinge`  Σ_i Σ_n max(0, 1 + (r_in − r⁺_i)/τ)                   the paper's equation
`psl`               mean_i log Σ_n σ(r_in − r⁺_i)^{1/τ}                   pairwise softmax, logistic surrogate
`softmax`           −mean_i log softmax of r⁺_i/τ among N + 1 scores      many negatives; usually the strongest
==================  ====================================================  =======================================

Example:
    >>> positive, negative = torch.tensor([2.0, 3.0]), torch.tensor([[1.0, 3.0], [0.0, 2.5]])
    >>> own_sample_hinge(positive, negative, temperature=1.0), all_pairs_hinge(positive, negative, temperature=1.0)
    (tensor(2.5000), tensor(5.))
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from recbole_lecdsr import distributed


def all_pairs_hinge(positive: Tensor, negative: Tensor, temperature: float) -> Tensor:
    """Pairwise hinge of every positive and the negatives of every sample (docs/models.md, eq. 13), a sum.

    The B·B·N pairs are never formed: time is O(B·N log B), memory O(B·N). It compares and sums in float64. Where
    several processes share a batch, all of them must call it: it compares the positives of all processes with the
    negatives of this one, so the values of the processes add up to the loss of the whole batch, and the gradients are
    those of the whole batch.

    Args:
        positive: (B,) scores of the positives.
        negative: (B, N) scores of their negatives; -inf where there is none.
        temperature: τ.

    Returns:
        Scalar of the type of ``positive``. Its gradient is 0 at r_jn = r⁺_i − τ, and has no derivative.
    """
    return _AllPairsHinge.apply(positive, negative, temperature)


class _AllPairsHinge(torch.autograd.Function):
    """Value and both gradients from how many positives each negative meets, and how many negatives each positive.

    With the positives in ascending order, the hinge of a negative r is active for the first k of them, those with
    r⁺ − τ < r. The i-th of them is met by c_i negatives, those with k ≥ i. Therefore

        loss = Σ k + (Σ k·r − Σ c_i·r⁺_i)/τ,   ∂loss/∂r = k/τ,   ∂loss/∂r⁺_i = −c_i/τ.

    Only integers are cumulated and scattered, so that a GPU computes the same each time.
    """

    @staticmethod
    def forward(ctx: Any, positive: Tensor, negative: Tensor, temperature: float) -> Tensor:
        everyone, own = distributed.gather_rows(positive.double())
        ordered, order = everyone.sort()
        score = negative.double().contiguous()
        met = torch.searchsorted(ordered - temperature, score)
        histogram = torch.zeros(len(ordered) + 1, dtype=torch.int64, device=met.device)
        histogram.scatter_add_(0, met.view(-1), torch.ones_like(met).view(-1))
        count = met.numel() - histogram.cumsum(0)[:-1]
        score = torch.where(met > 0, score, 0.0)  # 0 · (-inf) is not a number
        loss = met.sum() + ((met * score).sum() - (count * ordered).sum()) / temperature
        row_count = torch.empty_like(count)
        row_count[order] = distributed.all_reduce_sum(count)
        ctx.save_for_backward(
            row_count[own].to(positive.dtype).div_(-temperature), met.to(negative.dtype).div_(temperature)
        )
        return loss.to(positive.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        positive, negative = ctx.saved_tensors
        return positive * grad, negative * grad, None


def own_sample_hinge(positive: Tensor, negative: Tensor, temperature: float) -> Tensor:
    """Pairwise hinge of each positive and the negatives of its own sample (docs/models.md, eq. 12), a sum.

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
    Recommendation", NeurIPS 2024, with the sigmoid surrogate. Arguments as for `own_sample_hinge`.
    """
    return torch.logsumexp(F.logsigmoid(negative - positive.unsqueeze(1)) / temperature, dim=1).mean()


def softmax(positive: Tensor, negative: Tensor, temperature: float) -> Tensor:
    """Sampled softmax cross-entropy at temperature τ, mean over the batch. Arguments as for `own_sample_hinge`."""
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
RANKING_LOSSES: dict[str, RankingLoss] = {
    "all_pairs_hinge": all_pairs_hinge,
    "own_sample_hinge": own_sample_hinge,
    "psl": psl,
    "softmax": softmax,
}
# Sums over all pairs of rows of a batch, and over its rows; the others are means over its rows.
ALL_PAIRS_LOSSES, SUMMED_LOSSES = ("all_pairs_hinge",), ("own_sample_hinge",)
