"""The users whose profiles are most like a user's."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

_CHUNK = 1 << 25  # similarities at a time


def nearest_users(profile: Tensor, eligible: Tensor, number: int, *, show_progress: bool = False) -> Tensor:
    """The K eligible users of the largest cosine with each user, never herself; compares every pair.

    Args:
        profile: (n_users, D) float32, zero for a user without profile; user 0 is padding.
        eligible: (n_users,) bool, who may be among the nearest. Users without profile may not.
        number: K.
        show_progress: show a progress bar where it takes more than a few seconds.

    Returns:
        (n_users, K) int64, nearest first; 0 where there are not so many, and for users without profile.

    Example:
        >>> profile = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
        >>> nearest_users(profile, torch.ones(4, dtype=torch.bool), 2).tolist()
        [[0, 0], [2, 3], [1, 3], [2, 1]]
    """
    known = profile.ne(0).any(dim=1)
    known[0] = False
    direction = F.normalize(profile, dim=1)
    users, others = (torch.nonzero(chosen).squeeze(1) for chosen in (known, known & eligible))
    nearest = torch.zeros(len(profile), number, dtype=torch.int64, device=profile.device)
    width = min(number, len(others))
    if not width:
        return nearest
    among = direction[others]
    chunks = users.split(max(1, _CHUNK // len(others)))
    for rows in tqdm(chunks, "similar users", disable=None if show_progress else True, delay=2, leave=False):
        cosine = direction[rows] @ among.T
        cosine.masked_fill_(rows.unsqueeze(1) == others, -torch.inf)
        found = cosine.topk(width, dim=1)
        nearest[rows, :width] = others[found.indices].masked_fill(found.values.isneginf(), 0)
    return nearest
