"""Dataloaders: samples of the event log as RecBole `Interaction` batches, made on the training device.

Fields of a batch (names by the property file; these are the defaults): ``user_id`` (B,), ``item_id`` (B,) the target,
``item_id_list`` (B, L), ``position_id`` (B, L), ``domain_list`` (B, L), ``calendar_list`` (B, L), ``item_length`` (B,),
``domain`` (B,) of the target; in training ``neg_item_id``: (B, N), or (2, N) for each domain where the batch shares
them; and where sequences are trained on, ``target_list`` (B, L): the item after each position, 0 where it is not to be
learned.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from recbole.data.interaction import Interaction
from recbole_cdr.utils import CrossDomainDataLoaderState
from torch import Tensor

from recbole_lecdsr import processes
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.data.pool import DomainItems, OwnItems
from recbole_lecdsr.data.sampler import CrossDomainSequentialSampler
from recbole_lecdsr.data.sequence import (
    DOMAINS,
    SOURCE,
    TARGET,
    TRAIN,
    VALID,
    EventLog,
    SingleDomainGatherer,
    Window,
    WindowGatherer,
    sequence_ends,
)
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.evaluation import (
    Candidates,
    CandidateSpec,
    candidate_digest,
    draw_candidates,
    stored_candidates,
)

logger = logging.getLogger(__name__)

DOMAIN_FIELD = "domain"
TARGET_FIELD = "target"
CALENDAR_FIELD = "calendar"
# Sequences of a batch differ in length by no more than this where they can, so that little of it is padding.
_LENGTH_JITTER = 4


class SequenceBatches:
    """Makes the `Interaction` of any samples; shared by the loaders of one run.

    Args:
        config: the run's configuration.
        dataset: of the run.
        log: events to take instead of the data set's own.
    """

    def __init__(self, config, dataset: CrossDomainSequentialDataset, log: EventLog | None = None):
        self.user_field, self.item_field = config["USER_ID_FIELD"], config["ITEM_ID_FIELD"]
        self.list_suffix = config["LIST_SUFFIX"]
        self.position_field, self.length_field = config["POSITION_FIELD"], config["ITEM_LIST_LENGTH_FIELD"]
        self.negative_field = config["NEG_PREFIX"] + self.item_field
        gatherer = SingleDomainGatherer if config["sequence"] == "single" else WindowGatherer
        log = dataset.log if log is None else log
        self.windows = gatherer(log, config["MAX_ITEM_LIST_LENGTH"], config["device"])

    def __call__(self, target: Tensor) -> Interaction:
        """The batch of the given target events, (B,) int64 on the device."""
        log = self.windows
        user, item, domain = (part[target].long() for part in (log.user, log.item, log.domain))
        return self._batch(user, item, domain, log(target))

    def after(self, last: Tensor, domain: Tensor) -> Interaction:
        """The batch of events still to come, each of the given domain and of an item not known yet (0).

        Args:
            last: (B,) int64 on the device, indices of users' latest events.
            domain: (B,) int64.
        """
        user = self.windows.user[last].long()
        return self._batch(user, torch.zeros_like(user), domain, self.windows.after(last, domain))

    def _batch(self, user: Tensor, item: Tensor, domain: Tensor, window: Window) -> Interaction:
        return Interaction(
            {
                self.user_field: user,
                self.item_field: item,
                DOMAIN_FIELD: domain,
                self.item_field + self.list_suffix: window.item,
                self.position_field: window.position,
                DOMAIN_FIELD + self.list_suffix: window.domain,
                CALENDAR_FIELD + self.list_suffix: window.calendar,
                self.length_field: window.item.ne(0).sum(dim=1),
            }
        )


class TrainLoader:
    """Training samples in a fresh order each epoch, with fresh same-domain negatives each step.

    Order and negatives follow from the seed and the number of the epoch alone, so that a resumed run sees what
    an unbroken one would have seen.

    ``train_samples: targets`` makes a row of each target. ``sequences`` makes a row of each window that
    `sequence_ends` names, whose positions are all trained on at once: the same targets, with a fraction of the work for
    models that can learn so. Its rows come in batches of about the same length.

    Where a run has several processes, each gets its rows of every batch.

    Args:
        config: the run's configuration.
        dataset: of the run; ``loader.dataset`` for RecBole's trainer and models.
        batches: makes the batches.

    Attributes:
        weights: how often the loss of the batch at hand counts if it is a mean, and if it is a sum, so that the mean
            over the processes is the loss of the whole batch; numbers or scalar tensors.
    """

    shuffle = True
    weights: tuple[float | Tensor, float | Tensor] = (1.0, 1.0)

    def __init__(self, config, dataset: CrossDomainSequentialDataset, batches: SequenceBatches):
        self.dataset, self.batches, self.seed = dataset, batches, config["seed"]
        self.batch_size, self.device = config["train_batch_size"], config["device"]
        targets = dataset.targets("train")
        if config["evidence"]:
            targets = np.setdiff1d(targets, dataset.held_out_targets(), assume_unique=True)
        self.targets = torch.from_numpy(targets)
        arguments = config["train_neg_sample_args"]
        self.num_negatives, self.shared = arguments["sample_num"], arguments["shared"]
        self.sequences = config["train_samples"] == "sequences"
        if self.sequences and not self.shared:
            raise UserError(
                "train_samples: sequences needs train_neg_sample_args.shared: True: the positions of a batch share "
                "their negatives"
            )
        self.max_length = config["MAX_ITEM_LIST_LENGTH"]
        self.generator = torch.Generator(self.device)
        train = torch.from_numpy(np.flatnonzero(dataset.log.split == 0)).to(self.device)
        self.sampler = CrossDomainSequentialSampler(
            items=tuple(torch.from_numpy(items).to(self.device) for items in dataset.domain_items),
            n_items=dataset.num_total_item,
            train_user=batches.windows.user[train].long(),
            train_item=batches.windows.item[train].long(),
            distribution=arguments["distribution"],
            alpha=arguments["alpha"],
            exclude_user_items=arguments["exclude_user_items"],
            generator=self.generator,
        )
        self.set_mode(CrossDomainDataLoaderState.BOTH)
        self.set_epoch(0)

    def set_mode(self, state: CrossDomainDataLoaderState) -> None:
        """Choose the samples of RecBole-CDR's train mode.

        SOURCE and TARGET: samples whose target is of that domain; OVERLAP: samples of users of both domains;
        BOTH: all. Windows are mixed in every mode.
        """
        domain = torch.from_numpy(self.dataset.log.domain)[self.targets]
        user = torch.from_numpy(self.dataset.log.user)[self.targets]
        chosen = {
            CrossDomainDataLoaderState.SOURCE: domain == SOURCE,
            CrossDomainDataLoaderState.TARGET: domain == TARGET,
            CrossDomainDataLoaderState.OVERLAP: user < self.dataset.num_overlap_user,
            CrossDomainDataLoaderState.BOTH: torch.ones_like(domain, dtype=torch.bool),
        }[state]
        chosen = self.targets[chosen]
        self.num_samples = len(chosen)
        if not self.sequences:
            self.active = chosen
            return
        log, order = self.batches.windows.sequences, self.batches.windows.order
        chosen, every = (np.isin(order, part) & (log.history_length > 0) for part in (chosen, self.targets))
        stride = (self.max_length + 1) // 2
        end, count = sequence_ends(log, np.flatnonzero(every), self.max_length, stride)
        before = np.r_[0, chosen.cumsum()]
        keep = before[end + 1] > before[end + 1 - count]
        end, count = end[keep], count[keep]
        length = np.minimum(log.history_length[end], self.max_length)
        self.active = torch.from_numpy(order[end])
        self.end, self.count, self.length = map(torch.from_numpy, (end, count, length))
        self.learned = torch.from_numpy(np.where(chosen, log.item, 0).astype(np.int64)).to(self.device)
        self.num_samples = int(chosen.sum())

    def set_epoch(self, epoch: int) -> None:
        """Number of the next epoch."""
        self.epoch = epoch

    def get_model(self, model) -> None:
        """Nothing: RecBole's dynamic sampling is not used."""

    def __len__(self) -> int:
        return math.ceil(len(self.active) / self.batch_size)

    def __iter__(self) -> Iterator[Interaction]:
        parts = self._order(torch.Generator().manual_seed(self._seed()))
        self.generator.manual_seed(self._seed() + 1)
        self.epoch += 1
        for part in parts:
            batch = self.batches(self.active[part].to(self.device))
            fields = batch.interaction
            if self.sequences:
                fields[TARGET_FIELD + self.batches.list_suffix] = self._targets(part)
            if self.shared:
                negative = self.sampler.domain_items.draw_shared(self.num_negatives, self.generator)
            else:
                negative = self.sampler.sample(
                    fields[self.batches.user_field],
                    fields[self.batches.item_field],
                    fields[DOMAIN_FIELD],
                    self.num_negatives,
                )
            fields[self.batches.negative_field] = negative
            yield Interaction(self._own(fields))

    def _order(self, generator: torch.Generator) -> list[Tensor]:
        """Rows of each batch of an epoch."""
        if not self.sequences:
            return torch.randperm(len(self.active), generator=generator).split(self.batch_size)
        length = self.length + torch.rand(len(self.active), generator=generator) * _LENGTH_JITTER
        parts = torch.argsort(length, stable=True).split(self.batch_size)
        return [parts[index] for index in torch.randperm(len(parts), generator=generator).tolist()]

    def _own(self, fields: dict[str, Tensor]) -> dict[str, Tensor]:
        """The rows of this process, of a batch that all have made alike."""
        number, size = len(fields[self.batches.item_field]), processes.size()
        if size == 1 or number < 2 * size:  # too few to be dealt out: all learn the same
            self.weights = 1.0, 1.0
            return fields
        rows = processes.own(number)
        if self.sequences:
            targets = fields[TARGET_FIELD + self.batches.list_suffix].ne(0).sum(dim=1)
            self.weights = size * targets[rows].sum() / targets.sum(), size
        else:
            self.weights = size * len(range(number)[rows]) / number, size
        common = {self.batches.negative_field} if self.shared else set()
        return {name: values if name in common else values[rows] for name, values in fields.items()}

    def _targets(self, part: Tensor) -> Tensor:
        """Items to learn after each position of the windows, (B, L) int64, 0 where there is none."""
        end, count = (array[part].to(self.device).unsqueeze(1) for array in (self.end, self.count))
        back = torch.arange(self.max_length - 1, -1, -1, device=self.device)  # of each position from the newest
        return self.learned[(end - back).clamp(min=0)] * (back < count)

    def _seed(self) -> int:
        return (self.seed * 1_000_003 + self.epoch) * 2


class EvalLoader:
    """Validation or test samples in the order of the log, each with its stored candidates.

    Attributes:
        targets: (S,) int64.
        user, item, domain: (S,) of the targets.
        candidates: the `Candidates`.
        item_field: where a batch has its targets.
        member: (2, n_items) bool on the device, the items of each domain.
    """

    def __init__(self, config, dataset: CrossDomainSequentialDataset, batches: SequenceBatches, phase: str):
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
                own = OwnItems(user, item, self.dataset.num_total_item)
            user, item, domain = (torch.from_numpy(a).long() for a in (self.user, self.item, self.domain))
            logger.info("drawing %d candidates for each of %d %s samples", spec.num, len(user), self.phase)
            return draw_candidates(pool, own, user, item, domain, spec)

        return stored_candidates(folder, self.phase, spec, digest, draw)

    def own(self) -> EvalLoader:
        """The samples of this process, as a loader of their own."""
        part, rows = copy(self), processes.own(len(self.targets))
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
        """Batches as `recbole_lecdsr.evaluation.EvalSamples` says."""
        for start in range(0, len(self.targets), self.batch_size):
            part = slice(start, start + self.batch_size)
            target = torch.from_numpy(self.targets[part]).to(self.device)
            batch = self.batches(target)
            if self.candidates.items is None:
                yield batch, None, self.allowed(target)
            else:
                chosen = torch.from_numpy(self.candidates.items[part].astype(np.int64)).to(self.device)
                yield batch, torch.cat([batch[self.item_field].unsqueeze(1), chosen], dim=1), None


class HeldOutSamples:
    """The training samples that `TrainLoader` leaves to `recbole_lecdsr.model.evidence`, each with its candidates.

    Iterating gives (batch, items (B, 1 + N) int64: the target and random items of its domain, hidden (B, 1 + N) bool:
    those that the user has among the training events), the same each time.

    Attributes:
        log: the events, these targets no longer among the training events.
        domain: (H,) int64, of the targets.
    """

    num = 1000  # candidates of each, N

    def __init__(self, config, dataset: CrossDomainSequentialDataset):
        log, device = dataset.log, config["device"]
        self.batch_size, self.device = config["eval_batch_size"], device
        self.batches, self.item_field = SequenceBatches(config, dataset), config["ITEM_ID_FIELD"]
        targets = dataset.held_out_targets()
        split = log.split.copy()
        split[targets] = VALID
        self.log = replace(log, split=split)
        self.targets = torch.from_numpy(targets)
        self.user, self.domain = (torch.from_numpy(part[targets]).long() for part in (log.user, log.domain))
        pool = DomainItems(tuple(torch.from_numpy(items) for items in dataset.domain_items), dataset.num_total_item)
        generator = torch.Generator().manual_seed(config["seed"])
        place = torch.rand(len(targets), self.num, generator=generator, dtype=torch.float64)
        place = (place * pool.size[self.domain].unsqueeze(1)).long() + pool.start[self.domain].unsqueeze(1)
        self.items = pool.flat[place]
        user, item = (torch.from_numpy(part[log.split == TRAIN]).long() for part in (log.user, log.item))
        self.hidden = OwnItems(user, item, dataset.num_total_item).contains(self.user.unsqueeze(1), self.items)

    def __iter__(self) -> Iterator[tuple[Interaction, Tensor, Tensor]]:
        for start in range(0, len(self.targets), self.batch_size):
            part = slice(start, start + self.batch_size)
            batch = self.batches(self.targets[part].to(self.device))
            items, hidden = self.items[part].to(self.device), self.hidden[part].to(self.device)
            target = batch[self.item_field].unsqueeze(1)
            yield batch, torch.cat([target, items], dim=1), F.pad(hidden, (1, 0))


def train_loader(config, dataset: CrossDomainSequentialDataset, batches: SequenceBatches) -> TrainLoader:
    """The training loader of a run: the model class's own ``train_loader``, or `TrainLoader`."""
    return getattr(config.model_class, "train_loader", TrainLoader)(config, dataset, batches)


def data_preparation(config, dataset: CrossDomainSequentialDataset) -> tuple[TrainLoader, EvalLoader, EvalLoader]:
    """Training, validation and test loaders of a run."""
    batches = SequenceBatches(config, dataset)
    train = train_loader(config, dataset, batches)
    valid, test = (EvalLoader(config, dataset, batches, phase) for phase in ("valid", "test"))
    logger.info(
        "%d training, %d validation and %d test samples; windows of up to %d events",
        *(len(dataset.targets(phase)) for phase in ("train", "valid", "test")),
        config["MAX_ITEM_LIST_LENGTH"],
    )
    return train, valid, test
