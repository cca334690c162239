"""Which items directly follow an item, as a sparse row-normalised matrix."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ItemGraph(nn.Module):
    """A, (n_items, n_items): A_ij = how often j directly follows i, divided by the sum of the row.

    A row without successors is 0. The matrix follows from the data and is not part of a checkpoint.

    Args:
        previous, following: (P,) int, the two items of each pair of neighbours, a pair as often as it occurs.
        n_items: items, padding (row 0) included.

    Example:
        >>> graph = ItemGraph(np.array([1, 1, 1]), np.array([2, 2, 3]), n_items=4)
        >>> graph(torch.tensor([1, 2]), torch.eye(4))[:, 1:].mul(3).round().int().tolist()
        [[0, 2, 1], [0, 0, 0]]
    """

    start: Tensor
    successor: Tensor
    share: Tensor

    def __init__(self, previous: np.ndarray, following: np.ndarray, n_items: int):
        super().__init__()
        edge, count = np.unique(previous.astype(np.int64) * n_items + following, return_counts=True)
        row, successor = np.divmod(edge, n_items)
        total = np.bincount(row, weights=count, minlength=n_items)
        start = np.r_[0, np.bincount(row, minlength=n_items).cumsum()]
        self.register_buffer("start", torch.from_numpy(start), persistent=False)
        self.register_buffer("successor", torch.from_numpy(successor), persistent=False)
        share = torch.from_numpy((count / total[row]).astype(np.float32))
        self.register_buffer("share", share, persistent=False)

    def forward(self, item: Tensor, table: Tensor, dropout: nn.Module | None = None) -> Tensor:
        """Rows of A·drop(table).

        Args:
            item: (N,) int64, which rows.
            table: (n_items, d) float.
            dropout: applied once to the vector of each successor.

        Returns:
            (N, d).
        """
        first = self.start[item]
        count = self.start[item + 1] - first
        offset = count.cumsum(0) - count
        if not int(count.sum()):
            return table.new_zeros(len(item), table.shape[1])
        edge = torch.repeat_interleave(first - offset, count)
        edge += torch.arange(len(edge), device=edge.device)
        distinct, index = torch.unique(self.successor[edge], return_inverse=True)
        vectors = F.embedding(distinct, table)
        if dropout is not None:
            vectors = dropout(vectors)
        return F.embedding_bag(index, vectors, offset, mode="sum", per_sample_weights=self.share[edge])
