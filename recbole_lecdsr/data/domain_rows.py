"""Samples to rank among all items of a domain, with the items that are no candidates as a sparse list."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor


class DomainRows(NamedTuple):
    """The samples of a batch whose targets are of one domain, for full ranking.

    Attributes:
        rows: (R,) int64, their rows in the batch.
        items: (C,) int64, the items of the domain, ascending.
        target: (R,) int64, column of each target in ``items``.
        hidden: row (of R) and column of each item that is no candidate, (E,) int64 each, rows ascending. A target may
            be among them; ranking adds it.
    """

    rows: Tensor
    items: Tensor
    target: Tensor
    hidden: tuple[Tensor, Tensor]

    def split(self, size: int) -> Iterator[DomainRows]:
        """The same samples, at most ``size`` at a time.

        >>> one = torch.arange(3)
        >>> parts = DomainRows(one, one, one, (torch.tensor([0, 2]), torch.tensor([1, 0]))).split(2)
        >>> [part.hidden[0].tolist() for part in parts]
        [[0], [0]]
        """
        row, column = self.hidden
        for start in range(0, len(self.rows), size):
            part = slice(start, start + size)
            low, high = torch.searchsorted(row, torch.tensor([start, start + size], device=row.device)).tolist()
            hidden = row[low:high] - start, column[low:high]
            yield DomainRows(self.rows[part], self.items, self.target[part], hidden)
