"""Parts of a mixed window: the interactions of one domain, at their places or without gaps, and positions.

Notation as in `recbole_lecdsr.model.modules.layers`. Windows are left-padded; ``mask`` is (B, L) bool, true where a
window holds an interaction that counts.
"""

from __future__ import annotations

import torch
from torch import Tensor


def positions_from_oldest(mask: Tensor) -> Tensor:
    """(B, L) int64: 1 for the oldest interaction, 2 for the next; 0 where there is none.

    >>> positions_from_oldest(torch.tensor([[False, True, False, True]])).tolist()
    [[0, 1, 0, 2]]
    """
    return mask.cumsum(dim=1) * mask


def positions_from_newest(mask: Tensor) -> Tensor:
    """(B, L) int64: 1 for the newest interaction, 2 for the one before; 0 where there is none.

    >>> positions_from_newest(torch.tensor([[False, True, False, True]])).tolist()
    [[0, 2, 0, 1]]
    """
    return mask.flip(1).cumsum(dim=1).flip(1) * mask


def newest_so_far(mask: Tensor) -> Tensor:
    """(B, L) int64: the column of the newest interaction at or before each column; -1 where there is none yet.

    >>> newest_so_far(torch.tensor([[False, True, False, True]])).tolist()
    [[-1, 1, 1, 3]]
    """
    column = torch.arange(mask.shape[1], device=mask.device).expand(mask.shape)
    return torch.where(mask, column, -1).cummax(dim=1).values


def take_columns(values: Tensor, column: Tensor) -> Tensor:
    """Values at the given columns: (B, L) or (B, L, d), and (B, K) int64 with -1 for 0 -> (B, K) or (B, K, d).

    >>> take_columns(torch.tensor([[7, 8, 9]]), torch.tensor([[-1, 2]])).tolist()
    [[0, 9]]
    """
    index, found = column.clamp(min=0), column >= 0
    if values.dim() == 3:
        index, found = index.unsqueeze(-1).expand(-1, -1, values.shape[-1]), found.unsqueeze(-1)
    return values.gather(1, index) * found.to(values.dtype)


def close_gaps(mask: Tensor) -> Tensor:
    """(B, L) int64: the columns of the interactions that count, in order and left-padded with -1, for `take_columns`.

    >>> close_gaps(torch.tensor([[True, False, True, False]])).tolist()
    [[-1, -1, 0, 2]]
    """
    column = mask.to(torch.int8).sort(dim=1, stable=True).indices
    return torch.where(mask.gather(1, column), column, -1)
