"""Validation and test samples, each with its candidates, as batches on the training device."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from recbole.data.interaction import Interaction
from torch import Tensor

from recbole_lecdsr import distributed
from recbole_lecdsr.data.candidates import (
    Candidates,
    CandidateSpec,
    candidate_digest,
    draw_candidates,
    stored_candidates,
)
from recbole_lecdsr.data.collator import SequenceCollator
from recbole_lecdsr.data.constants import DOMAINS, TRAIN
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.data.domain_rows import DomainRows
from recbole_lecdsr.data.item_pool import DomainItems, UserItemIndex
from recbole_lecdsr.data.run_parameters import RunParameters

logger = logging.getLogger(__name__)


class EvalLoader:
    """Validation or test samples in the order of the log, each with its candidates (docs/protocol.md, 6).

    Args:
        config: the run's parameters.
        dataset: the data set of the run.
        collator: makes the batches.
        phase: ``valid`` or ``test``.

    Attributes:
        targets: (S,) int64 indices of the samples' targets in the log.
        user, item, domain: (S,) int32, int32 and int8, those of the targets.
        candidates: the `Candidates` of the samples.
        item_field: the field of a batch that holds the targets.
        domain_items: for each domain the ids of its items, (C,) int64 on the device, ascending.

    Raises:
        UserError: a sample has fewer items to draw from than ``eval_args.mode`` needs.
    """

    def __init__(
        self, config: RunParameters, dataset: CrossDomainSequentialDataset, collator: SequenceCollator, phase: str
    ):
        self.dataset, self.collator, self.phase = dataset, collator, phase
        self.batch_size, self.device = config["eval_batch_size"], config["device"]
        self.item_field = collator.item_field
        self.targets = dataset.targets(phase)
        log = dataset.log
        self.user, self.item, self.domain = (column[self.targets] for column in (log.user, log.item, log.domain))
        spec = CandidateSpec(config["eval_args"]["mode"][phase], config["repeatable"], config["seed"])
        self.candidates = self._load_or_draw_candidates(Path(config["pair_path"]) / "candidates", spec)
        items = [torch.from_numpy(ids) for ids in dataset.domain_items]
        self.domain_items = [ids.to(self.device) for ids in items]
        self._column = DomainItems(items, dataset.num_total_item).position.to(self.device)  # in `domain_items`
        missing = [name for code, name in enumerate(DOMAINS) if not np.any(self.domain == code)]
        if missing:
            logger.warning("the %s split has no sample in the %s domain", phase, " and the ".join(missing))

    def _load_or_draw_candidates(self, folder: Path, spec: CandidateSpec) -> Candidates:
        digest = candidate_digest(
            spec, self.phase, log=self.dataset.log, targets=self.targets, domain_items=self.dataset.domain_items
        )
        return stored_candidates(folder, self.phase, spec=spec, digest=digest, draw=lambda: self._draw_candidates(spec))

    def _draw_candidates(self, spec: CandidateSpec) -> np.ndarray:
        """(S, N) int32."""
        log, n_items = self.dataset.log, self.dataset.num_total_item
        popularity = None
        if spec.by_popularity:
            trained = torch.from_numpy(log.item[log.split == TRAIN]).long()
            popularity = torch.bincount(trained, minlength=n_items)
        excluded = None
        if not spec.repeatable:
            excluded = UserItemIndex(torch.from_numpy(log.user), torch.from_numpy(log.item), n_items)
        user, positive, domain = (torch.from_numpy(column).long() for column in (self.user, self.item, self.domain))
        logger.info("drawing %d candidates for each of %d %s samples", spec.num, len(user), self.phase)
        items = [torch.from_numpy(ids) for ids in self.dataset.domain_items]
        return draw_candidates(
            spec,
            pool=DomainItems(items, n_items, popularity),
            excluded=excluded,
            user=user,
            positive=positive,
            domain=domain,
        )

    def with_collator(self, collator: SequenceCollator) -> EvalLoader:
        """A loader of the same samples and candidates whose batches another collator makes."""
        changed = copy(self)
        changed.collator = collator
        return changed

    def shard(self) -> EvalLoader:
        """A loader of the samples that this process ranks: all of them where it is the only one."""
        part, rows = copy(self), distributed.shard(len(self.targets))
        part.targets, part.user, part.item, part.domain = (
            values[rows] for values in (self.targets, self.user, self.item, self.domain)
        )
        if self.candidates.items is not None:
            part.candidates = replace(self.candidates, items=self.candidates.items[rows])
        return part

    def domain_rows(self, target: Tensor) -> list[DomainRows]:
        """Samples for full ranking: the candidates are the items of the target's domain and, unless ``repeatable``,
        not of what the user had before (`WindowGatherer.history`).

        Args:
            target: (B,) int64 indices of targets in the log, on the device.
        """
        gatherer, parts = self.collator.gatherer, []
        for code, items in enumerate(self.domain_items):
            rows = torch.nonzero(gatherer.domain[target] == code).flatten()
            if not len(rows):
                continue
            row = column = rows.new_zeros(0)
            if not self.candidates.spec.repeatable:
                row, item = gatherer.history(target[rows])
                column = self._column[code][item]
                row, column = row[column >= 0], column[column >= 0]
            place = self._column[code][gatherer.item[target[rows]].long()]
            parts.append(DomainRows(rows, items, place, (row, column)))
        return parts

    def __len__(self) -> int:
        return math.ceil(len(self.targets) / self.batch_size)

    def __iter__(self) -> Iterator[tuple[Interaction, Tensor | None, list[DomainRows]]]:
        """Batches of B samples.

        Yields:
            the `Interaction`; items (B, 1 + N) int64, the target and its candidates, or None for full ranking; then
            its `domain_rows`, else none.
        """
        for start in range(0, len(self.targets), self.batch_size):
            part = slice(start, start + self.batch_size)
            target = torch.from_numpy(self.targets[part]).to(self.device)
            batch = self.collator(target)
            if self.candidates.items is None:
                yield batch, None, self.domain_rows(target)
            else:
                chosen = torch.from_numpy(self.candidates.items[part].astype(np.int64)).to(self.device)
                yield batch, torch.cat([batch[self.item_field].unsqueeze(1), chosen], dim=1), []
