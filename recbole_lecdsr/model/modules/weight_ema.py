"""An exponential moving average of a network's weights, to score with in their place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightEMA(nn.Module):
    """The average of the parameters w after each step; the weight of a step falls by β with each later one.

    After n steps w̄ = Σ_k β^(n − k) w_k / Σ_k β^(n − k), as w̄ ← w̄ + (w − w̄) (1 − β) / (1 − β^n): the weights before the
    first step have no part in it (docs/models.md, eq. 30). Before that it is the weights themselves. Saved with the
    model. Buffers are not copied: LLM embeddings may be larger than all parameters.

    Args:
        network: whose parameters are averaged.
        decay: β, from 0 to 1.
    """

    steps: Tensor

    def __init__(self, network: nn.Module, decay: float):
        super().__init__()
        self.decay = decay
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self._keys = [_buffer_name(name) for name, _ in network.named_parameters()]
        for key, parameter in zip(self._keys, network.parameters(), strict=True):
            self.register_buffer(key, parameter.detach().clone())

    @property
    def averages(self) -> list[Tensor]:
        """w̄, in the order of the network's parameters."""
        buffers = dict(self.named_buffers())
        return [buffers[key] for key in self._keys]

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take in the parameters after a step."""
        self.steps += 1
        weight = (1 - self.decay) / (1 - self.decay ** int(self.steps))
        torch._foreach_lerp_(self.averages, list(network.parameters()), weight)

    @contextmanager
    def applied_to(self, network: nn.Module) -> Iterator[None]:
        """The network has the averaged weights within the block, and its own again after it."""
        parameters = list(network.parameters())
        own = [parameter.data for parameter in parameters]
        try:
            for parameter, average in zip(parameters, self.averages, strict=True):
                parameter.data = average
            yield
        finally:
            for parameter, values in zip(parameters, own, strict=True):
                parameter.data = values


def _buffer_name(name: str) -> str:
    return name.replace(".", "/")  # names of buffers have no dots
