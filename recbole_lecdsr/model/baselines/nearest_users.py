"""The users whose profiles are most like a user's."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

_CHUNK = 1 << 25  # similarities at a time


def nearest_users(
    profile: Tensor, user: Tensor, candidate: Tensor, number: int, *, show_progress: bool = False
) -> Tensor:
    """The K users whose profiles have the largest cosine with each profile, never its own user; compares every pair.

    Args:
        profile: (R, D) float32, zero for no profile; row 0 is padding.
        user: (R,) int64, of the profiles.
        candidate: (C,) int64, the rows, of different users, by which users are among the nearest. A row without profile
            is not.
        number: K.
        show_progress: show a progress bar where it takes more than a few seconds.

    Returns:
        (R, K) int64 users, nearest first; 0 where there are not so many, and for rows without profile.

    Example:
        >>> profile = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
        >>> nearest_users(profile, torch.arange(4), torch.arange(4), 2).tolist()
        [[0, 0], [2, 3], [1, 3], [2, 1]]
    """
    known = profile.ne(0).any(dim=1)
    known[0] = False
    direction = F.normalize(profile, dim=1)
    learners, others = torch.nonzero(known).squeeze(1), candidate[known[candidate]]
    nearest = torch.zeros(len(profile), number, dtype=torch.int64, device=profile.device)
    width = min(number, len(others))
    if not width:
        return nearest
    among = direction[others]
    chunks = learners.split(max(1, _CHUNK // len(others)))
    for rows in tqdm(chunks, "similar users", disable=None if show_progress else True, delay=2, leave=False):
        cosine = direction[rows] @ among.T
        cosine.masked_fill_(user[rows].unsqueeze(1) == user[others], -torch.inf)
        found = cosine.topk(width, dim=1)
        nearest[rows, :width] = user[others[found.indices]].masked_fill(found.values.isneginf(), 0)
    return nearest
