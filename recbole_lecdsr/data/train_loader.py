"""Training samples as batches on the training device, with same-domain negatives."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from recbole.data.interaction import Interaction
from recbole_cdr.utils import CrossDomainDataLoaderState
from torch import Tensor

from recbole_lecdsr import distributed
from recbole_lecdsr.data.collator import SequenceCollator
from recbole_lecdsr.data.constants import DOMAIN_FIELD, SOURCE, TARGET, TARGET_FIELD
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.data.epoch_seed import epoch_seed
from recbole_lecdsr.data.negative_sampler import CrossDomainSequentialSampler
from recbole_lecdsr.data.samples import sequence_ends
from recbole_lecdsr.errors import UserError

# Sequences of a batch differ in length by no more than this where they can, so that little of it is padding.
_LENGTH_JITTER = 4


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

    def __init__(self, config, dataset: CrossDomainSequentialDataset, batches: SequenceCollator):
        self.dataset, self.batches, self.seed = dataset, batches, config["seed"]
        self.batch_size, self.device = config["train_batch_size"], config["device"]
        self.targets = torch.from_numpy(dataset.targets("train"))
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
        seed = epoch_seed(self.seed, self.epoch)
        parts = self._order(torch.Generator().manual_seed(seed))
        self.generator.manual_seed(seed + 1)
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
        number, size = len(fields[self.batches.item_field]), distributed.world_size()
        if size == 1 or number < 2 * size:  # too few to be dealt out: all learn the same
            self.weights = 1.0, 1.0
            return fields
        rows = distributed.shard(number)
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
