"""Training samples as batches on the training device, with negatives of the target's domain (docs/protocol.md, 5)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from recbole.data.interaction import Interaction
from recbole_cdr.utils import CrossDomainDataLoaderState
from torch import Tensor, nn

from recbole_lecdsr import distributed
from recbole_lecdsr.data.collator import SequenceCollator
from recbole_lecdsr.data.constants import DOMAIN_FIELD, N_EARLIER_FIELD, SOURCE, TARGET, TARGET_FIELD, TRAIN
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.data.epoch_seed import epoch_seed
from recbole_lecdsr.data.negative_sampler import CrossDomainSequentialSampler
from recbole_lecdsr.data.run_parameters import RunParameters
from recbole_lecdsr.data.samples import sequence_ends
from recbole_lecdsr.errors import UserError

# The windows of a batch differ in length by about this at most, where there are enough of them: little padding, and
# yet not the same batches each epoch.
_LENGTH_JITTER = 4


@dataclass(frozen=True)
class _SequenceWindows:
    """Windows that are trained on as whole sequences.

    Attributes:
        end: (C,) int64, index of each window's newest target in the sequences of the gatherer.
        count: (C,) int64, how many of its newest positions are trained on.
        length: (C,) int64, how many positions hold an interaction.
        target_item: (E,) int64 on the device, the item of each interaction that is a target, 0 for the others.
        n_earlier: (E,) int32 on the device, of each interaction.
    """

    end: Tensor
    count: Tensor
    length: Tensor
    target_item: Tensor
    n_earlier: Tensor

    def targets(self, rows: Tensor, max_length: int) -> tuple[Tensor, Tensor]:
        """What is to be predicted at each position of some windows, (B,) int64.

        Returns:
            items, (B, L) int64, 0 where there is none; and their ``n_earlier``, (B, L) int64.
        """
        device = self.target_item.device
        end, count = (column[rows].to(device).unsqueeze(1) for column in (self.end, self.count))
        back = torch.arange(max_length - 1, -1, -1, device=device)  # distance of each position from the newest
        target = (end - back).clamp(min=0)
        return self.target_item[target] * (back < count), self.n_earlier[target].long()


class TrainLoader:
    """Training samples in another order each epoch, with negatives drawn for each batch.

    Order and negatives follow from the seed and the number of the epoch alone, so that a resumed run sees what the
    uninterrupted run would have seen.

    ``train_samples: targets`` makes a row of each target. ``sequences`` makes a row of each window of `sequence_ends`,
    whose positions are all trained on together: the same targets, with a fraction of the work for models that can learn
    from them. The windows of a batch have about the same length.

    Where a run has several processes, all make the same batches, and each keeps its rows of them.

    Args:
        config: the run's parameters.
        dataset: the data set of the run. RecBole's trainer and models read ``loader.dataset``.
        collator: makes the batches.

    Attributes:
        targets: (S,) int64, indices of the targets of all training samples in the log.
        num_samples: targets of an epoch in the current train mode.
        is_sharded: whether each process has its own rows of the current batch. Where there are too few rows, or one
            process, each has them all.

    Raises:
        UserError: ``train_samples: sequences`` without shared negatives.
    """

    shuffle = True
    shares_negatives: ClassVar[bool] = True  # of a batch of sequences
    num_samples: int
    is_sharded: bool = False

    def __init__(self, config: RunParameters, dataset: CrossDomainSequentialDataset, collator: SequenceCollator):
        self.dataset, self.collator, self.seed = dataset, collator, config["seed"]
        self.batch_size, self.device = config["train_batch_size"], config["device"]
        self.max_length = config["MAX_ITEM_LIST_LENGTH"]
        arguments = config["train_neg_sample_args"]
        self.num_negatives, self.shared = arguments["sample_num"], arguments["shared"]
        self.sequences = config["train_samples"] == "sequences"
        if self.sequences and not self.shared and self.shares_negatives:
            raise UserError(
                "train_samples: sequences needs train_neg_sample_args.shared: True: the positions of a batch share "
                "their negatives"
            )
        self.targets = torch.from_numpy(dataset.targets("train"))
        self.generator = torch.Generator(self.device)
        train = torch.from_numpy(np.flatnonzero(dataset.log.split == TRAIN)).to(self.device)
        self.sampler = CrossDomainSequentialSampler(
            items=[torch.from_numpy(items).to(self.device) for items in dataset.domain_items],
            n_items=dataset.num_total_item,
            train_user=collator.gatherer.user[train].long(),
            train_item=collator.gatherer.item[train].long(),
            distribution=arguments["distribution"],
            alpha=arguments["alpha"],
            exclude_user_items=arguments["exclude_user_items"],
            generator=self.generator,
        )
        self.set_mode(CrossDomainDataLoaderState.BOTH)
        self.set_epoch(0)

    # ------------------------------------------------------------------ which samples

    def set_mode(self, state: CrossDomainDataLoaderState) -> None:
        """Choose the samples of RecBole-CDR's train mode.

        SOURCE and TARGET: samples whose target is of that domain; OVERLAP: samples of users of both domains;
        BOTH: all. Windows are the same in every mode.
        """
        targets = self._targets_of_mode(state)
        self._windows = self._select_windows(targets) if self.sequences else None
        if self._windows is None:
            self._row_targets = torch.from_numpy(targets)
            self.num_samples = len(targets)
        else:
            self._row_targets = torch.from_numpy(self.collator.gatherer.order)[self._windows.end]
            self.num_samples = int(self._windows.target_item.ne(0).sum())

    def _targets_of_mode(self, state: CrossDomainDataLoaderState) -> np.ndarray:
        """(S,) int64 indices of targets in the log."""
        targets = self.targets.numpy()
        domain, user = self.dataset.log.domain[targets], self.dataset.log.user[targets]
        match state:
            case CrossDomainDataLoaderState.SOURCE:
                return targets[domain == SOURCE]
            case CrossDomainDataLoaderState.TARGET:
                return targets[domain == TARGET]
            case CrossDomainDataLoaderState.OVERLAP:
                return targets[user < self.dataset.num_overlap_user]
        return targets

    def _select_windows(self, targets: np.ndarray) -> _SequenceWindows:
        """The windows of all training targets, as far as they hold one of the given ones."""
        log, order = self.collator.gatherer.sequences, self.collator.gatherer.order
        every, chosen = (np.isin(order, part) & (log.history_length > 0) for part in (self.targets.numpy(), targets))
        stride = (self.max_length + 1) // 2
        end, count = sequence_ends(log, np.flatnonzero(every), self.max_length, stride)
        before = np.r_[0, chosen.cumsum()]
        keep = before[end + 1] > before[end + 1 - count]
        end, count = end[keep], count[keep]
        length = np.minimum(log.history_length[end], self.max_length)
        return _SequenceWindows(
            end=torch.from_numpy(end),
            count=torch.from_numpy(count),
            length=torch.from_numpy(length),
            target_item=torch.from_numpy(np.where(chosen, log.item, 0).astype(np.int64)).to(self.device),
            n_earlier=torch.from_numpy(log.n_earlier).to(self.device),
        )

    def set_epoch(self, epoch: int) -> None:
        """Set the number of the next epoch."""
        self.epoch = epoch

    def get_model(self, model: nn.Module) -> None:
        """Part of RecBole's interface; without effect, since its dynamic sampling is not used."""

    # ------------------------------------------------------------------ batches

    def __len__(self) -> int:
        return math.ceil(len(self._row_targets) / self.batch_size)

    def __iter__(self) -> Iterator[Interaction]:
        seed = epoch_seed(self.seed, self.epoch)
        parts = self._shuffle_into_batches(torch.Generator().manual_seed(seed))
        self.generator.manual_seed(seed + 1)
        self.epoch += 1
        for rows in parts:
            fields = self.collator(self._row_targets[rows].to(self.device)).interaction
            if self._windows is not None:
                target, n_earlier = self._windows.targets(rows, self.max_length)
                fields[TARGET_FIELD + self.collator.list_suffix] = target
                fields[N_EARLIER_FIELD + self.collator.list_suffix] = n_earlier
            fields[self.collator.negative_field] = self._draw_negatives(fields)
            yield Interaction(self._take_shard(fields))

    def _shuffle_into_batches(self, generator: torch.Generator) -> list[Tensor]:
        """Rows of each batch of an epoch, (B,) int64 each."""
        number = len(self._row_targets)
        if self._windows is None:
            return list(torch.randperm(number, generator=generator).split(self.batch_size))
        length = self._windows.length + torch.rand(number, generator=generator) * _LENGTH_JITTER
        parts = torch.argsort(length, stable=True).split(self.batch_size)
        return [parts[index] for index in torch.randperm(len(parts), generator=generator).tolist()]

    def _draw_negatives(self, fields: dict[str, Tensor]) -> Tensor:
        """(2, N) int64 for each domain where the batch shares them, else (B, N) int64."""
        if self.shared:
            return self.sampler.domain_items.draw_shared(self.num_negatives, self.generator)
        user, item = fields[self.collator.user_field], fields[self.collator.item_field]
        return self.sampler.sample(user, item, fields[DOMAIN_FIELD], self.num_negatives)

    def _take_shard(self, fields: dict[str, Tensor]) -> dict[str, Tensor]:
        """The rows of this process from a batch that all processes have made alike; sets `is_sharded`."""
        number, size = len(fields[self.collator.item_field]), distributed.world_size()
        self.is_sharded = size > 1 and number >= 2 * size
        if not self.is_sharded:
            return fields
        rows = distributed.shard(number)
        common = {self.collator.negative_field} if self.shared else set()
        return {name: values if name in common else values[rows] for name, values in fields.items()}
