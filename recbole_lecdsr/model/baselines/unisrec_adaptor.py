"""The adaptor of UniSRec: a mixture of experts from LLM embeddings to the space of the model.

Source: Hou et al., KDD 2022, arXiv 2206.05941 (docs/models.md, 12.1).

Notation: D size of an LLM embedding, d embedding size, K experts, N any number of texts.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

INITIAL_STD = 0.02
_SMALLEST_NOISE = 0.01


class Experts(NamedTuple):
    """What the adaptor computes of N texts, before the noise of an occurrence.

    Attributes:
        logit, scale: of the gate, (N, K): its mean and the standard deviation of its noise.
        output: (N, K, d).
    """

    logit: Tensor
    scale: Tensor
    output: Tensor


class MixtureOfExperts(nn.Module):
    """A(x; ε) = Σ_k g_k W_k (drop_k(x) − b_k), g = softmax(x W_g + ε ⊙ (softplus(x W_n) + 0.01)).

    In evaluation ε = 0.

    Args:
        llm_size: D.
        size: d.
        experts: K.
        dropout: rate of the mask that each expert draws on its input.
    """

    def __init__(self, llm_size: int, size: int, *, experts: int, dropout: float):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(experts, size, llm_size).normal_(std=INITIAL_STD))
        self.bias = nn.Parameter(torch.zeros(experts, llm_size))
        self.gate = nn.Parameter(torch.zeros(llm_size, experts))
        self.gate_noise = nn.Parameter(torch.zeros(llm_size, experts))
        self.dropout = dropout

    def draw_noise(self, *shape: int) -> Tensor:
        """ε of occurrences, (*shape, K)."""
        return torch.randn(*shape, len(self.weight), device=self.weight.device)

    def experts(self, text: Tensor) -> Experts:
        """Experts and gates of texts, (N, D)."""
        size, llm_size = self.weight.shape[1:]
        if self.training and self.dropout:
            inputs = F.dropout(text.expand(len(self.weight), -1, -1), self.dropout)
            output = torch.bmm(inputs - self.bias.unsqueeze(1), self.weight.transpose(1, 2)).transpose(0, 1)
        else:
            shift = torch.bmm(self.weight, self.bias.unsqueeze(2)).flatten()
            output = (text @ self.weight.reshape(-1, llm_size).T - shift).unflatten(1, (-1, size))
        return Experts(text @ self.gate, F.softplus(text @ self.gate_noise) + _SMALLEST_NOISE, output)

    def mix(self, experts: Experts, item: Tensor | None = None) -> Tensor:
        """A of occurrences, each with noise of its own in training.

        Args:
            experts: of N texts.
            item: int64 of any shape, the text of each occurrence; None for each text once.

        Returns:
            (\\*item, d), or (N, d).
        """
        logit = experts.logit if item is None else F.embedding(item, experts.logit)
        if self.training:
            scale = experts.scale if item is None else F.embedding(item, experts.scale)
            logit = logit + self.draw_noise(*logit.shape[:-1]) * scale
        weight = torch.softmax(logit, dim=-1)
        if item is None:
            return torch.einsum("nk,nkd->nd", weight, experts.output)
        # A weighted sum of K rows of one table: no (…, K, d) tensor is made.
        number, rows = len(self.weight), item.reshape(-1, 1)
        row = rows * number + torch.arange(number, device=item.device)
        table = experts.output.reshape(-1, experts.output.shape[-1]).float()
        mixed = F.embedding_bag(row, table, per_sample_weights=weight.reshape(row.shape).float(), mode="sum")
        return mixed.view(*item.shape, -1)
