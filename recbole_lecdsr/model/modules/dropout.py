"""Dropout that is faster than torch's on a CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_LEVELS = 1 << 16  # of a 16-bit number


class Dropout(nn.Module):
    """Dropout whose mask on a CPU is drawn as 16-bit numbers, four from each draw of the generator.

    The share that is dropped is rounded to a multiple of 2⁻¹⁶, and what is kept is scaled by the rounded share, so that
    the expectation is exact.

    Args:
        p: share to drop.
    """

    def __init__(self, p: float):
        super().__init__()
        self.p = p

    def extra_repr(self) -> str:
        """For printing."""
        return f"p={self.p}"

    def forward(self, values: Tensor) -> Tensor:
        """Values of any shape -> the same shape."""
        dropped = round(self.p * _LEVELS)
        if not self.training or dropped in (0, _LEVELS) or values.device.type != "cpu":
            return F.dropout(values, self.p, self.training)
        size = values.numel()
        drawn = torch.empty(-(-size // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
        kept = drawn[:size].view(values.shape) >= dropped - _LEVELS // 2
        return values * kept.to(values.dtype).mul_(_LEVELS / (_LEVELS - dropped))
