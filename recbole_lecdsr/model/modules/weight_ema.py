"""An exponential moving average of a model's weights, to score with in their place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class WeightEMA(nn.Module):
    """The average of the parameters w after each step; the weight of a step falls by β with each later one.

    After n steps w̄ = Σ_k β^(n − k) w_k / Σ_k β^(n − k), as w̄ ← w̄ + (w − w̄) (1 − β) / (1 − β^n): the weights before the
    first step have no part in it (docs/models.md, eq. 30). Before that it is the weights themselves. Saved with the
    model. The running means and variances of batch normalisation are averaged with them. Other buffers are not: LLM
    embeddings may be larger than all parameters.

    Args:
        model: whose weights are averaged. It is not kept.
        decay: β, from 0 to 1.
    """

    steps: Tensor

    def __init__(self, model: nn.Module, decay: float):
        super().__init__()
        self.decay = decay
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        weights = dict(_weights(model))
        self._keys = {name: _buffer_name(name) for name in weights}
        for name, weight in weights.items():
            self.register_buffer(self._keys[name], weight.detach().clone())

    def _pairs(self, model: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
        """The weights of the model, and w̄ of each."""
        names, weights = zip(*_weights(model), strict=True)
        buffers = dict(self.named_buffers())
        return list(weights), [buffers[self._keys[name]] for name in names]

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the weights after a step."""
        self.steps += 1
        weights, averages = self._pairs(model)
        torch._foreach_lerp_(averages, weights, (1 - self.decay) / (1 - self.decay ** int(self.steps)))

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        """The model has the averaged weights within the block, and its own again after it."""
        weights, averages = self._pairs(model)
        own = [weight.data for weight in weights]
        try:
            for weight, average in zip(weights, averages, strict=True):
                weight.data = average
            yield
        finally:
            for weight, values in zip(weights, own, strict=True):
                weight.data = values


def _weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Name and value of the parameters, and of the running statistics of batch normalisation."""
    yield from model.named_parameters()
    for path, module in model.named_modules():
        if isinstance(module, _BatchNorm):
            for name in ("running_mean", "running_var"):
                if (statistic := getattr(module, name)) is not None:
                    yield f"{path}.{name}", statistic


def _buffer_name(name: str) -> str:
    return name.replace(".", "/")  # names of buffers have no dots
