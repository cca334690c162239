"""Features of samples that are ranked again and again: those of validation, which follow from the data alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from torch import Tensor

from recbole_lecdsr.model.sequence_input import SequenceInput

_LIMIT = 1 << 30  # bytes kept


class FeatureCache:
    """Keeps the features of batches as long as there is room: those of validation come first and come again.

    A batch is known by the SHA-256 of its windows and candidates.

    Args:
        limit: bytes of features that are kept at most; the features of further batches are computed each time.
    """

    def __init__(self, limit: int = _LIMIT):
        self.room = limit
        self._kept: dict[bytes, Tensor] = {}

    def features(
        self, inputs: SequenceInput, candidates: Tensor, compute: Callable[[SequenceInput, Tensor], Tensor]
    ) -> Tensor:
        """φ of a batch, (K, B, C), from the cache or computed.

        Args:
            inputs: histories of B samples.
            candidates: (B, C) int64.
            compute: makes φ.
        """
        key = _digest(*inputs, candidates)
        if key in self._kept:
            return self._kept[key]
        values = compute(inputs, candidates)
        size = values.numel() * values.element_size()
        if size <= self.room:
            self.room -= size
            self._kept[key] = values
        return values


def _digest(*tensors: Tensor) -> bytes:
    digest = hashlib.sha256(repr([(values.shape, str(values.device)) for values in tensors]).encode())
    for values in tensors:
        digest.update(values.contiguous().cpu().numpy().data)
    return digest.digest()
