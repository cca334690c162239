"""Calibration samples: training interactions withheld from a model, on which its scores are weighed.

They are the newest training targets of a quarter of the users, so that each is as far from what the model was trained
on as a test target is. In a split by time they are the newest training targets of all users, and everything from the
earliest of them on is withheld, so that the model and its counts know of nothing later.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_lecdsr.data.collator import SequenceCollator
from recbole_lecdsr.data.constants import TEST, TRAIN, VALID
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.data.event_log import EventLog
from recbole_lecdsr.data.item_pool import DomainItems, UserItemIndex


def calibration_targets(log: EventLog, target: np.ndarray, by_time: bool = False) -> np.ndarray:
    """The newest training targets of some users: of a quarter of them, or of about 2,000 of very many.

    Args:
        log: the interactions.
        target: (S,) int64 indices of the training targets, ascending.
        by_time: of all users, where the split is by time.

    Returns:
        (H,) int64 indices, ascending: as many of each of these users as it has test interactions, but never all of its
        training targets. With ``by_time`` about that number of those from one moment on, which are never all.
    """
    n_users = int(log.user.max()) + 1
    part = max(4, n_users // 2000)
    if by_time:
        return _targets_of_newest_moments(log, target, int(np.sum(log.split == TEST)) // part)
    chosen = target[log.user[target] % part == 0]
    user = log.user[chosen]
    number = np.minimum(
        np.bincount(log.user[log.split == TEST], minlength=n_users), np.bincount(user, minlength=n_users) - 1
    )
    age = np.searchsorted(user, user, side="right") - np.arange(len(user))  # 1 for the newest of a user
    return chosen[age <= number[user]]


def _targets_of_newest_moments(log: EventLog, target: np.ndarray, number: int) -> np.ndarray:
    """The targets from one moment on: ``number``, or up to twice as many evenly spaced where times are equal."""
    number = min(number, len(target) // 2)
    if not number:
        return target[:0]
    time = log.time[target]
    start = np.sort(time)[-number]
    chosen = target[time >= start] if start > time.min() else target[:0]
    return chosen[:: max(1, len(chosen) // number)]


def _split_without(log: EventLog, calibration: np.ndarray, by_time: bool) -> np.ndarray:
    """(E,) int8, the split with calibration targets, or all that is not earlier, counted as validation."""
    split = log.split.copy()
    split[calibration] = VALID
    if by_time and len(calibration):
        split[(split == TRAIN) & (log.time >= log.time[calibration].min())] = VALID
    return split


def withhold_calibration(dataset: CrossDomainSequentialDataset) -> CrossDomainSequentialDataset:
    """The data set without the calibration targets among its training interactions: they count as validation.

    Windows, ids and features are the same, and so are validation and test samples of ``dataset`` itself.
    """
    by_time = dataset.splits_by_time
    targets = calibration_targets(dataset.log, dataset.targets("train"), by_time)
    return dataset.with_split(_split_without(dataset.log, targets, by_time))


class CalibrationSamples:
    """The calibration targets, each with random candidates of its domain; the same ones at each iteration.

    Iterating gives a batch; its items, (B, 1 + N) int64: the target and N candidates; and hidden, (B, 1 + N) bool:
    candidates that the user has had in training, which are not to be ranked.

    Attributes:
        log: the interactions, the calibration targets no longer among the training ones.
        domain: (H,) int64, domain of each target.
    """

    num_candidates = 1000  # N

    def __init__(self, config: Any, dataset: CrossDomainSequentialDataset):
        log = dataset.log
        self.batch_size, self.device = config["eval_batch_size"], config["device"]
        self.collator, self.item_field = SequenceCollator(config, dataset), config["ITEM_ID_FIELD"]
        targets = calibration_targets(log, dataset.targets("train"), dataset.splits_by_time)
        self.log = replace(log, split=_split_without(log, targets, dataset.splits_by_time))
        self.targets = torch.from_numpy(targets)
        self.user, self.domain = (torch.from_numpy(part[targets]).long() for part in (log.user, log.domain))
        source, target = (torch.from_numpy(items) for items in dataset.domain_items)
        pool = DomainItems((source, target), dataset.num_total_item)
        generator = torch.Generator().manual_seed(config["seed"])
        place = torch.rand(len(targets), self.num_candidates, generator=generator, dtype=torch.float64)
        place = (place * pool.size[self.domain].unsqueeze(1)).long() + pool.start[self.domain].unsqueeze(1)
        self.items = pool.flat[place]
        user, item = (torch.from_numpy(part[log.split == TRAIN]).long() for part in (log.user, log.item))
        self.hidden = UserItemIndex(user, item, dataset.num_total_item).contains(self.user.unsqueeze(1), self.items)

    def __iter__(self) -> Iterator[tuple[Interaction, Tensor, Tensor]]:
        for start in range(0, len(self.targets), self.batch_size):
            part = slice(start, start + self.batch_size)
            batch = self.collator(self.targets[part].to(self.device))
            items, hidden = self.items[part].to(self.device), self.hidden[part].to(self.device)
            target = batch[self.item_field].unsqueeze(1)
            yield batch, torch.cat([target, items], dim=1), F.pad(hidden, (1, 0))
