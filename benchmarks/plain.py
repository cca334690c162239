"""The published LeCDSR, written as its equations are (docs/models.md, 3 and 4), to compare its speed with the plugin's.

Every position goes through the adapter, FFTs are complex, and scores are three batched products with gathered rows.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_lecdsr.model.published_network import LeCDSRNetwork
from recbole_lecdsr.model.ranking_losses import RankingLoss


def broadcast_hinge(positive: Tensor, negative: Tensor, temperature: float) -> Tensor:
    """Eq. 13 as the published script computes it, with an array of B × B × N numbers; arguments as `RankingLoss`."""
    return F.relu(1 + (negative.unsqueeze(0) - positive.view(-1, 1, 1)) / temperature).sum()


class PlainLeCDSR(nn.Module):
    """Evaluates the equations of docs/models.md literally, with the weights of a network of the plugin.

    Its loss equals that of `LeCDSR`.

    Args:
        network: of the plugin, with ``mask_padding: False``.
        ranking_loss: `broadcast_hinge`, or a loss of the plugin.
        temperature, align_temperature, align_weight: τ, τ₂, λ.
    """

    def __init__(
        self,
        network: LeCDSRNetwork,
        ranking_loss: RankingLoss,
        temperature: float,
        align_temperature: float,
        align_weight: float,
    ):
        super().__init__()
        self.network, self.ranking_loss = network, ranking_loss
        self.temperature, self.align_temperature, self.align_weight = temperature, align_temperature, align_weight

    def loss(self, item_seq: Tensor, position: Tensor, user: Tensor, candidates: Tensor) -> Tensor:
        """Total loss of a batch (docs/models.md, 4.5).

        Args:
            item_seq, position: (B, L) int64.
            user: (B,) int64.
            candidates: (B, 1 + N) int64 item ids, the positive first.

        Returns:
            a scalar.
        """
        net = self.network
        length = item_seq.shape[1]
        item = net.item_id(item_seq)
        semantics = net.item_adapter(net.item_text[item_seq])
        profile = net.user_adapter(net.user_text[user])
        spectrum = torch.fft.rfft(item, dim=1, norm="ortho")
        filtered = torch.fft.irfft(spectrum * torch.view_as_complex(net.fusion.filter), n=length, dim=1, norm="ortho")
        fused = torch.fft.irfft(
            spectrum * torch.fft.rfft(semantics, dim=1, norm="ortho"), n=length, dim=1, norm="ortho"
        )
        fused = filtered * net.fusion.item_gate(filtered).sigmoid() + fused * net.fusion.fusion_gate(fused).sigmoid()
        gate = net.feature_gate.item(fused) + net.feature_gate.user(profile).unsqueeze(1)
        gated = fused * gate.sigmoid()
        weight = (
            (gated @ net.instance_gate.item).squeeze(-1)
            + profile @ net.instance_gate.user
            + (net.position(position) @ net.instance_gate.position).squeeze(-1)
        ).sigmoid()
        union = (weight.unsqueeze(-1) * gated).sum(dim=1) / weight.sum(dim=1, keepdim=True)
        rows, bias = net.output(candidates), net.output_bias[candidates]
        scores = bias + torch.bmm(rows, profile.unsqueeze(-1)).squeeze(-1)
        scores = scores + torch.bmm(rows, union.unsqueeze(-1)).squeeze(-1)
        scores = scores + torch.bmm(rows, fused.transpose(1, 2)).mean(dim=-1)
        ranking = self.ranking_loss(scores[:, 0], scores[:, 1:], self.temperature)
        # The alignment computes the adapted item texts a second time.
        again = net.item_adapter(net.item_text[item_seq])
        return ranking + self.align_weight * (self._align(item, again) + self._align(again, item))

    def _align(self, first: Tensor, second: Tensor) -> Tensor:
        logits = first @ second.transpose(1, 2) / self.align_temperature
        own = first @ first.transpose(1, 2) + second @ second.transpose(1, 2)
        targets = F.softmax(own / (2 * self.align_temperature), dim=-1)
        one = -(targets * F.log_softmax(logits, dim=-1)).sum(dim=-1)
        other = -(targets * F.log_softmax(logits.transpose(1, 2), dim=-1)).sum(dim=-1)
        return ((one + other) / 2).mean()
