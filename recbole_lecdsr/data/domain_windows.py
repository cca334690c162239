"""Windows of each domain beside the mixed one, for models that read three sequences (docs/protocol.md, 4)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from recbole_lecdsr.data.constants import SOURCE, TARGET
from recbole_lecdsr.data.event_log import EventLog
from recbole_lecdsr.data.windows import separate_domains


class DomainWindows(NamedTuple):
    """The up to L interactions of each domain before each of B targets: the newest last, padded with 0 on the left.

    They reach as far back as the history does, so a domain's window may hold interactions that the mixed window of L
    no longer holds. A place numbers the interactions of a user's mixed history from 1, in its order; 0 is padding.

    Attributes:
        item: (B, 2, L) int64, of the source and of the target domain.
        place: (B, 2, L) int64, the place of each of them.
        mixed_place: (B, L) int64, the place of each interaction of the mixed window.
    """

    item: Tensor
    place: Tensor
    mixed_place: Tensor


class DomainWindowGatherer:
    """Gathers the windows of both domains for any samples on one device.

    Args:
        log: the interactions.
        max_length: L.
        device: where the arrays are kept and the windows are made.

    Example:
        >>> from recbole_lecdsr.data.event_log import build_event_log
        >>> user, item, domain = np.ones(4), np.array([10, 20, 11, 21]), np.array([0, 1, 0, 1])
        >>> log = build_event_log(user, item, domain, np.arange(4.0), split={"LS": "test_only"})
        >>> windows = DomainWindowGatherer(log, max_length=3)(torch.tensor([3]))
        >>> windows.item.tolist(), windows.place.tolist(), windows.mixed_place.tolist()
        ([[[0, 10, 11], [0, 0, 20]]], [[[0, 1, 3], [0, 0, 2]]], [[1, 2, 3]])
    """

    def __init__(self, log: EventLog, max_length: int, device: torch.device | str = "cpu"):
        self._first = torch.from_numpy(log.first).to(device)
        self._domain = torch.from_numpy(log.domain).to(device)
        self._source_before = torch.from_numpy(log.source_before).to(device)
        separated, order = separate_domains(log)
        self._owner = torch.from_numpy(separated.user).to(device)
        self._item = torch.from_numpy(separated.item).to(device)
        self._place = torch.from_numpy((order - log.first[order] + 1).astype(np.int32)).to(device)
        self._offset = torch.arange(-max_length, 0, device=device)

    def __call__(self, target: Tensor) -> DomainWindows:
        """Gather the windows before each target, (B,) int64 indices in the log."""
        return self._gather(self._first[target], target - self._first[target], self._source_before[target])

    def gather_next(self, last: Tensor) -> DomainWindows:
        """Gather the windows that the next interaction of each user will have.

        Args:
            last: (B,) int64 indices of users' latest interactions, which the windows include.
        """
        source_before = self._source_before[last] + (self._domain[last] == SOURCE)
        return self._gather(self._first[last], last + 1 - self._first[last], source_before)

    def _gather(self, first: Tensor, length: Tensor, source_before: Tensor) -> DomainWindows:
        """Windows of sequences that begin at ``first``, of their ``length`` first interactions; (B,) each."""
        items, places = [], []
        for domain, count in ((SOURCE, source_before), (TARGET, length - source_before)):
            start = torch.searchsorted(self._owner, (2 * first + domain).int())
            index = (start + count).unsqueeze(1) + self._offset
            real = index >= start.unsqueeze(1)
            index = index.clamp(min=0, max=len(self._item) - 1)
            items.append(self._item[index].long() * real)
            places.append(self._place[index].long() * real)
        mixed = (length.unsqueeze(1) + self._offset + 1).clamp(min=0)
        return DomainWindows(torch.stack(items, dim=1), torch.stack(places, dim=1), mixed)
