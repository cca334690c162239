"""Which profile each target of a batch meets."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recbole_lecdsr.data.user_vectors import UserVectors, find_rows


class ProfileRows(nn.Module):
    """Finds, on the device, the row of `UserVectors` that a target may meet; nothing is trained or saved.

    Args:
        vectors: whose rows are found.

    Attributes:
        is_as_of: whether row 0 means that a target meets no profile; see `UserVectors`.

    Example:
        >>> import numpy as np
        >>> from recbole_lecdsr.data.user_vectors import UserVectors
        >>> rows = ProfileRows(UserVectors.one_per_user(np.zeros((3, 2), dtype=np.float32)))
        >>> rows(torch.tensor([2, 1, 2]), torch.tensor([0, 5, 9])).tolist()
        [2, 1, 2]
    """

    key: Tensor  # (R + 1,) int64

    def __init__(self, vectors: UserVectors):
        super().__init__()
        self.register_buffer("key", torch.from_numpy(vectors.key), persistent=False)
        self.stride, self.is_as_of = vectors.stride, vectors.is_as_of

    def forward(self, user: Tensor, n_earlier: Tensor) -> Tensor:
        """Rows of the targets of users (N,) int64 with so many interactions before them, (N,) int64 -> (N,) int64."""
        return find_rows(self.key, self.stride, user, n_earlier, search=_search)


def _search(ordered: Tensor, values: Tensor) -> Tensor:
    return torch.searchsorted(ordered, values, right=True)
