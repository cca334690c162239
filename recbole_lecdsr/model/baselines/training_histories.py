"""What users have had in training before their newest training target, for models that read it beside the batch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from recbole_lecdsr.data.event_log import EventLog
from recbole_lecdsr.data.windows import WindowGatherer, separate_domains

_USERS = 65536  # whose windows are gathered together


def newest_targets(log: EventLog, targets: np.ndarray, n_users: int) -> np.ndarray:
    """Index of each user's newest training target in the log.

    Args:
        log: the interactions.
        targets: (S,) int64 indices of training targets, ascending.
        n_users: ids of users, padding included.

    Returns:
        (n_users,) int64, -1 for a user without one.
    """
    newest = np.full(n_users, -1, dtype=np.int64)
    newest[log.user[targets]] = targets
    return newest


def newest_windows(log: EventLog, newest: np.ndarray, max_length: int) -> Tensor:
    """The up to L interactions before each user's newest training target.

    Args:
        log: the interactions.
        newest: from `newest_targets`.
        max_length: L.

    Returns:
        (n_users, L) int64 items, padded with 0 on the left; zeros for a user without a training target.
    """
    gatherer = WindowGatherer(log, max_length)
    windows = torch.zeros(len(newest), max_length, dtype=torch.int64)
    for users in torch.from_numpy(np.flatnonzero(newest >= 0)).split(_USERS):
        windows[users] = gatherer(torch.from_numpy(newest)[users]).item
    return windows


class DomainHistories(torch.nn.Module):
    """The items of each domain that a user has had before the newest training target.

    Args:
        log: the interactions.
        newest: from `newest_targets`.
    """

    item: Tensor  # (E,) int32, the interactions of the log, those of one domain in a sequence together
    start: Tensor  # (2, n_users) int64, where those of a user and domain begin
    count: Tensor  # (2, n_users) int64, how many there are

    def __init__(self, log: EventLog, newest: np.ndarray):
        super().__init__()
        separated, _ = separate_domains(log)
        has_target = newest >= 0
        first = log.first[newest]
        source = log.source_before[newest].astype(np.int64)
        count = np.stack([source, newest - first - source]) * has_target
        start = np.searchsorted(separated.user, 2 * first + np.array([[0], [1]]))
        for name, values in (("item", separated.item), ("start", start), ("count", count)):
            self.register_buffer(name, torch.from_numpy(values), persistent=False)

    def draw(self, user: Tensor) -> Tensor:
        """One item of each domain, uniformly: (B,) int64 -> (B, 2) int64, 0 where a user has had none."""
        count = self.count[:, user]
        # Doubles: the product of a single-precision number below 1 and a count may round up to the count.
        share = torch.rand(count.shape, dtype=torch.float64, device=count.device)
        index = self.start[:, user] + (share * count).long()
        drawn = self.item[index.clamp(max=len(self.item) - 1)].long()
        return (drawn * count.gt(0)).t()
