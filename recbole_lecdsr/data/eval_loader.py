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
from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.data.item_pool import DomainItems, UserItemIndex

logger = logging.getLogger(__name__)


class EvalLoader:
    """Validation or test samples in the order of the log, each with its stored candidates.

    Attributes:
        targets: (S,) int64.
        user, item, domain: (S,) of the targets.
        candidates: the `Candidates`.
        item_field: where a batch has its targets.
        member: (2, n_items) bool on the device, the items of each domain.
    """

    def __init__(self, config, dataset: CrossDomainSequentialDataset, batches: SequenceCollator, phase: str):
        self.dataset, self.batches, self.phase = dataset, batches, phase
        self.batch_size, self.device = config["eval_batch_size"], config["device"]
        self.item_field = batches.item_field
        self.targets = dataset.targets(phase)
        log = dataset.log
        self.user, self.item, self.domain = (a[self.targets] for a in (log.user, log.item, log.domain))
        spec = CandidateSpec(config["eval_args"]["mode"][phase], config["repeatable"], config["seed"])
        self.candidates = self._candidates(Path(config["pair_path"]) / "candidates", spec)
        items = tuple(torch.from_numpy(part) for part in dataset.domain_items)
        self.member = DomainItems(items, dataset.num_total_item).member.to(self.device)
        missing = [name for code, name in enumerate(DOMAINS) if not np.any(self.domain == code)]
        if missing:
            logger.warning("the %s split has no sample in the %s domain", phase, " and the ".join(missing))

    def _candidates(self, folder: Path, spec: CandidateSpec) -> Candidates:
        log, items = self.dataset.log, self.dataset.domain_items
        digest = candidate_digest(spec, self.phase, log.user, log.item, log.domain, self.targets, *items)

        def draw() -> np.ndarray:
            popularity = None
            if spec.mode.startswith("pop"):
                popularity = torch.bincount(
                    torch.from_numpy(log.item[log.split == 0]).long(), minlength=self.dataset.num_total_item
                )
            pool = DomainItems(tuple(torch.from_numpy(part) for part in items), self.dataset.num_total_item, popularity)
            own = None
            if not spec.repeatable:
                user, item = (torch.from_numpy(array).long() for array in (log.user, log.item))
                own = UserItemIndex(user, item, self.dataset.num_total_item)
            user, item, domain = (torch.from_numpy(a).long() for a in (self.user, self.item, self.domain))
            logger.info("drawing %d candidates for each of %d %s samples", spec.num, len(user), self.phase)
            return draw_candidates(pool, own, user, item, domain, spec)

        return stored_candidates(folder, self.phase, spec, digest, draw)

    def own(self) -> EvalLoader:
        """The samples of this process, as a loader of their own."""
        part, rows = copy(self), distributed.shard(len(self.targets))
        part.targets, part.user, part.item, part.domain = (
            values[rows] for values in (self.targets, self.user, self.item, self.domain)
        )
        if self.candidates.items is not None:
            part.candidates = replace(self.candidates, items=self.candidates.items[rows])
        return part

    def allowed(self, target: Tensor) -> Tensor:
        """(B,) int64 targets -> (B, n_items) bool: the candidates of full ranking; of the target's domain and, unless
        ``repeatable``, not of the user's history."""
        allowed = self.member[self.batches.windows.domain[target].long()]
        if not self.candidates.spec.repeatable:
            allowed = allowed.index_put(self.batches.windows.history(target), torch.tensor(False, device=self.device))
        return allowed

    def __len__(self) -> int:
        return math.ceil(len(self.targets) / self.batch_size)

    def __iter__(self) -> Iterator[tuple[Interaction, Tensor | None, Tensor | None]]:
        """Batches as `recbole_lecdsr.evaluation.ranking.EvalSamples` says."""
        for start in range(0, len(self.targets), self.batch_size):
            part = slice(start, start + self.batch_size)
            target = torch.from_numpy(self.targets[part]).to(self.device)
            batch = self.batches(target)
            if self.candidates.items is None:
                yield batch, None, self.allowed(target)
            else:
                chosen = torch.from_numpy(self.candidates.items[part].astype(np.int64)).to(self.device)
                yield batch, torch.cat([batch[self.item_field].unsqueeze(1), chosen], dim=1), None
