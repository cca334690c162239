"""Batches of any samples: windows, positions, domains and times as a RecBole `Interaction`."""

from __future__ import annotations

import torch
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_lecdsr.data.constants import (
    DOMAIN_FIELD,
    DOMAIN_ITEM_FIELD,
    DOMAIN_PLACE_FIELD,
    N_EARLIER_FIELD,
    PLACE_FIELD,
    RELATIVE_TIME_FIELD,
)
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.data.domain_windows import DomainWindowGatherer, DomainWindows
from recbole_lecdsr.data.event_log import EventLog
from recbole_lecdsr.data.run_parameters import RunParameters
from recbole_lecdsr.data.windows import SingleDomainGatherer, Window, WindowGatherer


class SequenceCollator:
    """Makes the `Interaction` of any samples; shared by the loaders of one run.

    The fields of a batch are listed in `recbole_lecdsr.data.loaders`.

    Args:
        config: the run's parameters.
        dataset: the data set of the run.
        log: interactions to use instead of those of the data set.

    Attributes:
        gatherer: makes the windows, mixed or of a single domain (``sequence``).
        domain_gatherer: makes the windows of each domain beside them (``sequence: mixed_and_single``), or None.
        user_field, item_field, position_field, length_field, negative_field: names of fields.
        list_suffix: what is added to the name of a field for that of its sequence.
    """

    def __init__(self, config: RunParameters, dataset: CrossDomainSequentialDataset, log: EventLog | None = None):
        self.user_field, self.item_field = config["USER_ID_FIELD"], config["ITEM_ID_FIELD"]
        self.list_suffix = config["LIST_SUFFIX"]
        self.position_field, self.length_field = config["POSITION_FIELD"], config["ITEM_LIST_LENGTH_FIELD"]
        self.negative_field = config["NEG_PREFIX"] + self.item_field
        gatherer = SingleDomainGatherer if config["sequence"] == "single" else WindowGatherer
        log = dataset.log if log is None else log
        size = config["MAX_ITEM_LIST_LENGTH"], config["device"]
        self.gatherer: WindowGatherer = gatherer(log, *size)
        self.domain_gatherer = DomainWindowGatherer(log, *size) if config["sequence"] == "mixed_and_single" else None

    def __call__(self, target: Tensor) -> Interaction:
        """The batch of the given targets.

        Args:
            target: (B,) int64 indices of targets in the log, on the device.
        """
        columns = self.gatherer.user, self.gatherer.item, self.gatherer.domain, self.gatherer.n_earlier
        user, item, domain, n_earlier = (column[target].long() for column in columns)
        of_domains = self.domain_gatherer(target) if self.domain_gatherer else None
        return self._interaction(user, item, domain, n_earlier, self.gatherer(target), of_domains)

    def collate_next(self, last: Tensor, domain: Tensor) -> Interaction:
        """The batch of users' next interactions, whose items are not known yet (0).

        Args:
            last: (B,) int64 indices of users' latest interactions in the log, on the device.
            domain: (B,) int64 domains of the next interactions.
        """
        user, n_earlier = self.gatherer.user[last].long(), self.gatherer.n_earlier[last].long() + 1
        of_domains = self.domain_gatherer.gather_next(last) if self.domain_gatherer else None
        window = self.gatherer.gather_next(last, domain)
        return self._interaction(user, torch.zeros_like(user), domain, n_earlier, window, of_domains)

    def _interaction(
        self,
        user: Tensor,
        item: Tensor,
        domain: Tensor,
        n_earlier: Tensor,
        window: Window,
        of_domains: DomainWindows | None,
    ) -> Interaction:
        extra = {}
        if of_domains is not None:
            extra = {
                DOMAIN_ITEM_FIELD + self.list_suffix: of_domains.item,
                DOMAIN_PLACE_FIELD + self.list_suffix: of_domains.place,
                PLACE_FIELD + self.list_suffix: of_domains.mixed_place,
            }
        return Interaction(
            {
                self.user_field: user,
                self.item_field: item,
                DOMAIN_FIELD: domain,
                N_EARLIER_FIELD: n_earlier,
                self.item_field + self.list_suffix: window.item,
                self.position_field: window.position,
                DOMAIN_FIELD + self.list_suffix: window.domain,
                RELATIVE_TIME_FIELD + self.list_suffix: window.relative_time,
                self.length_field: window.item.ne(0).sum(dim=1),
                **extra,
            }
        )
