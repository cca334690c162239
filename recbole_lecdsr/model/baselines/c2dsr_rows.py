"""What C2DSR trains on: the streams of each domain in a mixed window, their targets, and the item graph's edges."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from recbole_lecdsr.data.constants import SOURCE, TARGET, TRAIN
from recbole_lecdsr.data.event_log import EventLog
from recbole_lecdsr.data.windows import separate_domains


class TrainingRows(NamedTuple):
    """B windows with the items to predict; the axis of size 2 is that of the domains, source first.

    Attributes:
        mixed: q, (B, L) int64.
        own: x and y, (2, B, L) int64, the interactions of each domain at their places in q, 0 elsewhere; one without a
            later interaction of its domain is taken out.
        mixed_target: (2, B, L) int64, the item that follows each place of q, where it is of the domain; 0 where it is
            not or is not trained on.
        own_target: (2, B, L) int64, the next item of the same domain, for each place of x and of y; 0 where it is not
            trained on.
    """

    mixed: Tensor
    own: Tensor
    mixed_target: Tensor
    own_target: Tensor

    def select(self, row: Tensor) -> TrainingRows:
        """Some of the rows: (B,) bool."""
        return TrainingRows(self.mixed[row], *(part[:, row] for part in self[1:]))

    @property
    def is_two_sided(self) -> Tensor:
        """(B,) bool, whether x and y both have a place."""
        return self.own.ne(0).any(dim=2).all(dim=0)


def split_streams(item_seq: Tensor, domain_seq: Tensor) -> Tensor:
    """x and y without anything taken out, as scoring reads them: (B, L) items and domains -> (2, B, L) int64."""
    return torch.stack([item_seq * (domain_seq == domain) for domain in (SOURCE, TARGET)])


def training_rows(
    item_seq: Tensor, domain_seq: Tensor, next_item: Tensor, next_domain: Tensor, trained: Tensor
) -> TrainingRows:
    """The rows of windows whose positions are all trained on.

    Args:
        item_seq, domain_seq: (B, L) int64, left-padded.
        next_item, next_domain: (B,) int64, the interaction after the newest one.
        trained: (B, L) int64, nonzero where the interaction after a position is trained on.

    Example:
        >>> one = torch.tensor
        >>> rows = training_rows(one([[5, 1, 2]]), one([[1, 0, 0]]), one([6]), one([1]), one([[1, 2, 6]]))
        >>> rows.own.tolist(), rows.own_target.tolist()
        ([[[0, 1, 0]], [[5, 0, 0]]], [[[0, 2, 0]], [[6, 0, 0]]])
    """
    length = item_seq.shape[1]
    item = torch.cat([item_seq, next_item.unsqueeze(1)], dim=1)
    domain = torch.cat([domain_seq, next_domain.unsqueeze(1)], dim=1)
    column = torch.arange(length + 1, device=item.device).expand_as(item)
    is_trained = trained.ne(0)
    own, mixed_target, own_target = [], [], []
    for code in (SOURCE, TARGET):
        of_domain = (domain == code) & item.ne(0)
        at_or_after = torch.where(of_domain, column, length + 1).flip(1).cummin(dim=1).values.flip(1)
        following = at_or_after[:, 1:]
        place = of_domain[:, :-1] & (following <= length)
        following = following.clamp(max=length)
        own.append(item_seq * place)
        own_target.append(item.gather(1, following) * (place & is_trained.gather(1, following - 1)))
        mixed_target.append(item[:, 1:] * (of_domain[:, 1:] & item_seq.ne(0) & is_trained))
    return TrainingRows(item_seq, torch.stack(own), torch.stack(mixed_target), torch.stack(own_target))


def corrupt(mixed: Tensor, domain_seq: Tensor, domain_items: tuple[Tensor, Tensor]) -> Tensor:
    """q̃^X and q̃^Y: each keeps the interactions of one domain and replaces those of the other.

    Args:
        mixed: (B, L) int64.
        domain_seq: (B, L) int64.
        domain_items: ids of the items of the source and of the target domain, from which the replacements are drawn
            uniformly by torch's global generator.

    Returns:
        (2, B, L) int64.
    """
    corrupted = []
    for kept, items in ((SOURCE, domain_items[TARGET]), (TARGET, domain_items[SOURCE])):
        drawn = items[torch.randint(len(items), mixed.shape, device=mixed.device)]
        corrupted.append(torch.where(domain_seq == kept, mixed, drawn) * mixed.ne(0))
    return torch.stack(corrupted)


def successor_pairs(log: EventLog, *, within_domain: bool) -> tuple[np.ndarray, np.ndarray]:
    """Each training interaction with the one directly before it.

    Args:
        log: the interactions.
        within_domain: the interaction before it in its own domain, instead of in the mixed sequence.

    Returns:
        the earlier and the later item of each pair, (P,) int32.
    """
    if within_domain:
        log, _ = separate_domains(log)
    later = np.flatnonzero((log.split == TRAIN) & (log.history_length > 0))
    return log.item[later - 1], log.item[later]
