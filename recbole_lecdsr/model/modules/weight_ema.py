"""An exponential moving average of a network's weights, to be used in the network's place."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call


class WeightEMA(nn.Module):
    """The average of the parameters w after each step, the weight of a step falling by β with each later one.

    After n steps w̄ = Σ_k β^(n − k) w_k / Σ_k β^(n − k), as w̄ ← w̄ + (w − w̄) (1 − β) / (1 − β^n): what the network was
    before the first step has no part in it. Before that it is the network itself. Saved with the model.

    The network's own buffers are not copied: LLM embeddings may be larger than all its parameters.

    Args:
        network: whose parameters are averaged.
        decay: β, from 0 to 1.
    """

    def __init__(self, network: nn.Module, decay: float):
        super().__init__()
        self.decay = decay
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self._names = [name for name, _ in network.named_parameters()]
        for name, parameter in network.named_parameters():
            self.register_buffer(_key(name), parameter.detach().clone())

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take in the parameters after a step."""
        averages = [getattr(self, _key(name)) for name in self._names]
        self.steps += 1
        weight = (1 - self.decay) / (1 - self.decay ** int(self.steps))
        torch._foreach_lerp_(averages, list(network.parameters()), weight)

    def run(self, network: nn.Module, *arguments: Tensor | None) -> Tensor:
        """The network's ``forward`` with the averaged parameters."""
        return functional_call(network, {name: getattr(self, _key(name)) for name in self._names}, arguments)


def _key(name: str) -> str:
    return name.replace(".", "/")  # names of buffers have no dots
