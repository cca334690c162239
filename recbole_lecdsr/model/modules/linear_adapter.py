"""The adapter of LLM4CDSR and LLM-ESR: two linear maps in a row, computed as the one that they are together."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class LinearAdapter(nn.Module):
    """a(v) = W₂(W₁v + b₁) + b₂ with D → ⌊D/2⌋ → d and no activation between; (…, D) -> (…, d).

    The product W₂W₁ is made once, so that a vector costs D·d multiplications instead of D·(D + d)/2. Values and
    gradients are those of the two maps.

    Args:
        llm_size: D.
        embedding_size: d.
    """

    def __init__(self, llm_size: int, embedding_size: int):
        super().__init__()
        hidden_size = max(1, llm_size // 2)
        self.inner = nn.Linear(llm_size, hidden_size)
        self.outer = nn.Linear(hidden_size, embedding_size)

    def forward(self, vectors: Tensor) -> Tensor:
        """See the class."""
        weight = self.outer.weight @ self.inner.weight
        return F.linear(vectors, weight, self.outer(self.inner.bias))
