"""An exponential moving average of a network's weights, to be used in the network's place."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call


class WeightAverage(nn.Module):
    """The average w̄ ← β w̄ + (1 − β) w of the parameters w after each step, saved with the model.

    The network's own buffers are not copied: LLM embeddings may be larger than all its parameters.

    Args:
        network: its parameters now are where the average starts.
        decay: β, from 0 to 1.
    """

    def __init__(self, network: nn.Module, decay: float):
        super().__init__()
        self.decay = decay
        self._names = [name for name, _ in network.named_parameters()]
        for name, parameter in network.named_parameters():
            self.register_buffer(_key(name), parameter.detach().clone())

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take in the parameters after a step."""
        averages = [getattr(self, _key(name)) for name in self._names]
        torch._foreach_lerp_(averages, list(network.parameters()), 1 - self.decay)

    def run(self, network: nn.Module, *arguments: Tensor | None) -> Tensor:
        """The network's ``forward`` with the averaged parameters."""
        return functional_call(network, {name: getattr(self, _key(name)) for name in self._names}, arguments)


def _key(name: str) -> str:
    return name.replace(".", "/")  # names of buffers have no dots
