"""The weights of score fusion: maximum a posteriori estimates, by Newton's method (docs/models.md, 7.3)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from recbole_lecdsr.model.score_fusion.candidate_features import max_cells

_ITERATIONS = 50
_HALVINGS = 30  # of a step that raises the loss
_NOISE = 1e-3  # of the loss, a sum over all samples of logarithms in float32
# Newton's decrement squared is twice what the loss lies above its minimum. The step from here squares it once more, so
# weights end a millionth of their standard deviation from the optimum: as near as sums in float32 can tell.
_TOLERANCE = 1e-6


def fit_map_weights(
    score: Tensor, features: Tensor, num_trust: int, start: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Maximum a posteriori weights of `fuse_scores`: likelihood of the targets among their candidates, normal prior.

    The prior has unit variance and mean 0 for α and γ and 1 for β. The loss is strictly convex: it has one minimum,
    which is found whatever the start and the order of the samples.

    Args:
        score: r, (S, C) float32; column 0 is the target, minus infinity marks what is no candidate.
        features: φ, (K, S, C) float32.
        num_trust: K'.
        start: α, γ and β to start at, (K + K' + 1,); None for the mean of the prior.

    Returns:
        α, (K,), γ, (K',), and β, scalar; those of the prior where there is no sample or a score is no number.
    """
    sizes = [len(features), num_trust, 1]
    prior = torch.zeros(sum(sizes), dtype=torch.float64, device=score.device)
    prior[-1] = 1
    hidden = score == -torch.inf
    # Scores that are no numbers teach nothing; evaluation refuses them.
    if not len(score) or not (score.isfinite() | hidden).all() or hidden[:, 0].any():
        values = prior
    else:
        posterior = _Posterior(score, hidden, features, prior)
        values = _minimize(posterior, prior if start is None else start.double())
    weight, trust, scale = values.float().split(sizes)
    return weight, trust, scale.squeeze(0)


class _Expansion(NamedTuple):
    """The loss at a point, float64, and its first two derivatives."""

    loss: Tensor
    gradient: Tensor
    hessian: Tensor


def _minimize(posterior: _Posterior, values: Tensor) -> Tensor:
    here = posterior.expand(values)
    for _ in range(_ITERATIONS):
        factor, failed = torch.linalg.cholesky_ex(here.hessian)
        step = torch.cholesky_solve(here.gradient.unsqueeze(1), factor).squeeze(1)
        decrement = here.gradient @ step
        if failed or not decrement.isfinite():
            return values  # scores so large that their squares are no numbers
        if decrement < _TOLERANCE:
            return values - step
        for _ in range(_HALVINGS):
            there = posterior.expand(values - step)
            if there.loss <= here.loss + _NOISE:
                break
            step = step / 2
        else:
            return values
        values, here = values - step, there
    return values


class _Posterior:
    """The negative logarithm of the posterior density of the weights, less a constant.

    Args:
        score, features: as of `fit_map_weights`, the scores finite but for minus infinity.
        hidden: (S, C) bool, true where the score is minus infinity.
        prior: mean of the prior, (P,) float64.
    """

    def __init__(self, score: Tensor, hidden: Tensor, features: Tensor, prior: Tensor):
        self.score, self.hidden, self.features, self.prior = score.masked_fill(hidden, 0.0), hidden, features, prior
        self.rows = max(1, max_cells(score) // (8 * len(prior) * score.shape[1]))  # whose design stays in a CPU's cache

    def expand(self, values: Tensor) -> _Expansion:
        """Loss, gradient and Hessian at (P,) float64; sums over samples are float64."""
        size = len(values)
        difference = values - self.prior
        loss, gradient = difference.square().sum() / 2, difference.clone()
        hessian = torch.eye(size, dtype=torch.float64, device=values.device)
        num_trust = size - len(self.features) - 1
        for start in range(0, len(self.score), self.rows):
            rows = slice(start, start + self.rows)
            score, features = self.score[rows], self.features[:, rows]
            design = torch.cat([features, score * features[:num_trust], score[None]])
            logits = torch.einsum("krc,k->rc", design, values.float()).masked_fill_(self.hidden[rows], -torch.inf)
            log_share = logits.log_softmax(dim=1)
            share = log_share.exp()
            mean = (design * share).sum(dim=2)
            loss -= log_share[:, 0].double().sum()
            gradient += (mean - design[:, :, 0]).double().sum(dim=1)
            design -= mean.unsqueeze(2)  # the variance of large scores would drown in the square of their mean
            hessian += ((design * share).flatten(1) @ design.flatten(1).T).double()
        return _Expansion(loss, gradient, hessian)
