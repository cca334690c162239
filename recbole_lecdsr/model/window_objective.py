"""Training objective over windows: one target for each window, with negatives of its own or shared by the batch."""

from __future__ import annotations

import torch
from torch import Tensor

from recbole_lecdsr.model.published_network import LeCDSRNetwork
from recbole_lecdsr.model.ranking_losses import RankingLoss
from recbole_lecdsr.model.sequence_input import SequenceInput


class WindowObjective:
    """Ranking loss of each window's target, and λ times the alignment loss (docs/models.md, 4).

    Args:
        network: encodes windows.
        ranking_loss: of `recbole_lecdsr.model.ranking_losses`.
        temperature: τ.
        align_weight: λ; 0 leaves the alignment loss out.
        align_temperature: τ₂.
        shared_negatives: whether a batch shares the negatives of each domain.
    """

    def __init__(
        self,
        network: LeCDSRNetwork,
        *,
        ranking_loss: RankingLoss,
        temperature: float,
        align_weight: float,
        align_temperature: float,
        shared_negatives: bool,
    ):
        self.network, self.ranking_loss, self.temperature = network, ranking_loss, temperature
        self.align_weight, self.align_temperature = align_weight, align_temperature
        self._scores = self._shared_scores if shared_negatives else self._own_scores

    def __call__(self, inputs: SequenceInput, target: Tensor, negative: Tensor) -> tuple[Tensor, ...]:
        """Loss of a batch.

        Args:
            inputs: B windows.
            target: (B,) int64.
            negative: (B, N) int64, or (2, N) of each domain where the batch shares them; 0 beyond a domain's size.

        Returns:
            the ranking loss and, where λ > 0, the weighted alignment loss: scalars.
        """
        aligned = bool(self.align_weight) and self.network.item_text is not None
        encoded = self.network.encode(inputs, self.align_temperature if aligned else None)
        scores = self._scores(encoded.query, target.unsqueeze(1), negative, inputs.domain)
        ranking = self.ranking_loss(*scores, self.temperature)
        return (ranking, self.align_weight * encoded.alignment) if aligned else (ranking,)

    def count_terms(self, inputs: SequenceInput, target: Tensor) -> tuple[Tensor | int, ...]:
        """How many terms each part of the loss is a mean over; arguments as of a call: targets, and positions, with
        ``mask_padding`` real ones."""
        if not self.align_weight:
            return (len(target),)
        item_seq = inputs.item_seq
        return len(target), item_seq.ne(0).sum() if self.network.mask_padding else item_seq.numel()

    def _own_scores(self, query: Tensor, positive: Tensor, negative: Tensor, domain: Tensor) -> tuple[Tensor, Tensor]:
        """Scores of the positives (B, 1) -> (B,) and of each one's own negatives, (B, N)."""
        scores = self.network.score(query, torch.cat([positive, negative], dim=1)).float()
        return scores[:, 0], scores[:, 1:]

    def _shared_scores(
        self, query: Tensor, positive: Tensor, negative: Tensor, domain: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Scores of the positives, (B,), and of their domain's negatives, (B, N); -inf where one is the positive."""
        shared = self.network.score_shared(query, negative.view(-1)).float()
        shared = shared.view(len(query), 2, -1)[torch.arange(len(query), device=domain.device), domain]
        negative = negative[domain]
        hidden = negative.eq(positive) | negative.eq(0)
        return self.network.score(query, positive).float()[:, 0], shared.masked_fill(hidden, -torch.inf)
