"""Late fusion of a model's scores with features of the candidates, by weights fitted on calibration samples.

A network that learns a vector for each item has little to go by where an item has few interactions, and it is
overconfident about the interactions that it was trained on. Counts and text similarities need no training. A log-linear
model of a few weights combines the two, and these are fitted to training interactions that the network has not seen
(`recbole_lecdsr.model.score_fusion.calibration`), as it has not seen those of the test. User profiles that were written
from all training interactions have seen them, though.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recbole_lecdsr.model.score_fusion.candidate_features import CandidateFeatures, max_cells
from recbole_lecdsr.model.score_fusion.map_weights import fit_map_weights
from recbole_lecdsr.model.score_fusion.shared_items import FusionWeights, fuse_shared_items_
from recbole_lecdsr.model.sequence_input import SequenceInput


class ScoreFusion(nn.Module):
    """score = r (β_d + γ_d · φ') + α_d · φ, with a model's score r and the target's domain d.

    φ are the `CandidateFeatures` and φ' the first of them, those of popularity: they say how far the model's score is
    to be trusted. α, β and γ are K + 5 weights for each domain. Before `fit` the score is r.

    Args:
        features: φ.
    """

    weight: Tensor
    trust: Tensor
    scale: Tensor

    def __init__(self, features: CandidateFeatures):
        super().__init__()
        self.features = features
        self.register_buffer("weight", torch.zeros(2, features.size))  # α
        self.register_buffer("trust", torch.zeros(2, features.num_popularity))  # γ
        self.register_buffer("scale", torch.ones(2))  # β

    def forward(self, score: Tensor, inputs: SequenceInput, candidates: Tensor) -> Tensor:
        """Fused scores of each sample's own candidates.

        Args:
            score: r, (B, C) float32; minus infinity, for what is not to be scored, stays.
            inputs: histories of the B samples.
            candidates: (B, C) int64.

        Returns:
            As ``score``.
        """
        result = torch.empty_like(score)
        for rows, features in self.features.by_rows(inputs, candidates):
            result[rows] = self._fuse(score[rows], features, inputs.domain[rows])
        return result

    def fuse(self, score: Tensor, inputs: SequenceInput, features: Tensor) -> Tensor:
        """Fused scores of candidates whose features are known; scores as of `forward`, features φ (K, B, C)."""
        result = torch.empty_like(score)
        size = max(1, max_cells(score) // features[:, 0].numel())
        for start in range(0, len(score), size):
            rows = slice(start, start + size)
            result[rows] = self._fuse(score[rows], features[:, rows], inputs.domain[rows])
        return result

    def _fuse(self, score: Tensor, features: Tensor, domain: Tensor) -> Tensor:
        return fuse_scores(score, features, self.weight[domain], self.trust[domain], self.scale[domain])

    def fuse_items(self, score: Tensor, inputs: SequenceInput, items: Tensor) -> Tensor:
        """Fused scores of the same items for all samples.

        Args:
            score: r, (B, C) float32, which is overwritten; minus infinity, for what is not to be scored, stays.
            inputs: histories of the B samples.
            items: (C,) int64, distinct.

        Returns:
            As ``score``.
        """
        for domain in range(2):
            rows = torch.nonzero(inputs.domain == domain).flatten()
            if not len(rows):
                continue
            weights = FusionWeights(self.weight[domain], self.trust[domain], self.scale[domain])
            part = score if len(rows) == len(score) else score[rows]
            fuse_shared_items_(self.features, weights, part, inputs, rows=rows, items=items, domain=domain)
            if part is not score:
                score[rows] = part
        return score

    def fit(self, score: Tensor, features: Tensor, domain: Tensor) -> None:
        """Choose α, β and γ of each domain by `fit_map_weights`, starting at the present ones.

        Args:
            score: r, (S, C) float32; column 0 is the target, minus infinity marks what is no candidate.
            features: φ, (K, S, C) float32.
            domain: (S,) int64.
        """
        for code in range(2):
            chosen = torch.nonzero(domain == code).squeeze(1)
            start = torch.cat([self.weight[code], self.trust[code], self.scale[code : code + 1]])
            found = fit_map_weights(score[chosen], features[:, chosen], self.features.num_popularity, start)
            self.weight[code], self.trust[code], self.scale[code] = found


def fuse_scores(score: Tensor, features: Tensor, weight: Tensor, trust: Tensor, scale: Tensor) -> Tensor:
    """r (β + γ · φ') + α · φ.

    Args:
        score: r, (B, C); minus infinity stays.
        features: φ, (K, B, C); φ' are its first K'.
        weight: α, (B, K).
        trust: γ, (B, K').
        scale: β, (B,).

    Returns:
        (B, C).
    """
    trusted = torch.einsum("kbc,bk->bc", features[: trust.shape[1]], trust) + scale.unsqueeze(1)
    fused = torch.addcmul(torch.einsum("kbc,bk->bc", features, weight), score, trusted)
    return fused.masked_fill_(score == -torch.inf, -torch.inf)
