"""The gates of the published network: which dimensions and which interactions of a window matter to the user."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FeatureGate(nn.Module):
    """Which dimensions of each interaction matter to this user (docs/models.md, eq. 6 and 11); see `pool`."""

    def __init__(self, embedding_size: int):
        super().__init__()
        self.item = nn.Linear(embedding_size, embedding_size)
        self.user = nn.Linear(embedding_size, embedding_size)


class InstanceGate(nn.Module):
    """Which interactions of the window matter (docs/models.md, eq. 7 and 8); see `pool`."""

    def __init__(self, max_length: int, embedding_size: int):
        super().__init__()
        self.item = nn.Parameter(torch.empty(embedding_size, 1))
        self.user = nn.Parameter(torch.empty(embedding_size, max_length))
        self.position = nn.Parameter(torch.empty(embedding_size, 1))

    def logits(self, user: Tensor, table: Tensor, position: Tensor) -> Tensor:
        """The part that does not depend on items, U·V + P·v_p: (B, d), (L + 1, d) and (B, L) int64 -> (B, L).

        P·v_p is computed by way of the table P, so that no (B, L, d) tensor is made.
        """
        # Row 0 (padding) counts as it is but is not trained; v_p is trained by it as well, as published.
        frozen = torch.cat([table[:1].detach(), table[1:]])
        return user @ self.user + F.embedding(position, frozen @ self.position).squeeze(-1)


class Pooled(NamedTuple):
    """What the gates make of some windows, and what its gradient needs.

    Attributes:
        result: (B, d), o, the weighted mean of the gated interactions, plus the mean of all.
        gate: of the features, (B, L, d).
        weight: of the instances, (B, L), zero where masked.
        total: their sum, (B, 1), or 1 where that is zero.
        mean: weights of a mean over the interactions, (B, L).
    """

    result: Tensor
    gate: Tensor
    weight: Tensor
    total: Tensor
    mean: Tensor


def pool(
    item: Tensor,
    gate_logits: Tensor,
    instance: Tensor,
    instance_logits: Tensor,
    mask: Tensor | None,
) -> Pooled:
    """Pass windows through both gates. Not differentiable; `pool_backward` is.

    Args:
        item: Ê (or E), (B, L, d) float32.
        gate_logits: of the feature gate, (B, L, d) float32; its memory becomes that of the gate.
        instance: v_i, (d, 1).
        instance_logits: from `InstanceGate.logits`, (B, L).
        mask: (B, L) bool or None.
    """
    gate = gate_logits.sigmoid_()
    gated = item * gate
    weight = (gated @ instance).squeeze(-1).add_(instance_logits).sigmoid_()
    if mask is None:
        mean = torch.full_like(weight, 1 / item.shape[1])
    else:
        weight.mul_(mask)
        mean = mask.to(item.dtype) / mask.sum(dim=1, keepdim=True).clamp(min=1)
    total = weight.sum(dim=1, keepdim=True)
    total.masked_fill_(total == 0, 1.0)
    result = torch.bmm((weight / total).unsqueeze(1), gated)
    return Pooled(result.baddbmm_(mean.unsqueeze(1), item).squeeze(1), gate, weight, total, mean)


def pool_backward(
    grad: Tensor, item: Tensor, made: Pooled, instance: Tensor, grad_instance: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of `pool` by ``item`` without the way through the gate's logits, by those logits, (B, L, d) each, and
    by the instance logits, (B, L); that of v_i is added to ``grad_instance``.

    Args:
        grad: of the result, (B, d).
        item: as for `pool`.
        made: by `pool`.
        instance: v_i, (d, 1).
        grad_instance: (d, 1).
    """
    gated, share = item * made.gate, made.weight / made.total
    # Of each interaction with the gradient; with row vectors, as with column vectors it takes a multiple of the time.
    agreement = torch.bmm(grad.unsqueeze(1), gated.transpose(1, 2)).squeeze(1)
    by_instance_logits = agreement - (share * agreement).sum(dim=1, keepdim=True)
    by_instance_logits.div_(made.total).mul_(made.weight - made.weight * made.weight)
    grad_instance.addmm_(gated.view(-1, item.shape[2]).T, by_instance_logits.view(-1, 1))
    by_gated = grad.unsqueeze(1) * share.unsqueeze(-1)
    by_gated.addcmul_(by_instance_logits.unsqueeze(-1), instance.view(-1))
    by_gate_logits = gated.mul_(by_gated)
    by_gate_logits.addcmul_(by_gate_logits, made.gate, value=-1)  # σ' = σ − σ²
    by_item = by_gated.mul_(made.gate).addcmul_(grad.unsqueeze(1), made.mean.unsqueeze(-1))
    return by_item, by_gate_logits, by_instance_logits
