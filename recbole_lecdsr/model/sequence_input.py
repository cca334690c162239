"""What a network reads of a batch: plain tensors, no framework."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class SequenceInput(NamedTuple):
    """The histories of B samples and the domain of each sample's target.

    Attributes:
        item_seq: (B, L) int64, left-padded with 0, newest interaction last.
        position: (B, L) int64, counted backwards from 1 within each interaction's own domain; 0 at padding.
        domain_seq: (B, L) int64, domain of each interaction: 0 source, 1 target.
        time_seq: (B, L) float32 in [0, 1], relative time of each interaction (`EventLog.relative_time`).
        domain: (B,) int64, domain of the target.
        user: (B,) int64.
        n_earlier: (B,) int64, how many interactions of the user come before the target, of which the window holds the
            newest; where the targets of all positions are trained on, (B, L), of each of these.
    """

    item_seq: Tensor
    position: Tensor
    domain_seq: Tensor
    time_seq: Tensor
    domain: Tensor
    user: Tensor
    n_earlier: Tensor
