"""The loaders of a run: samples of the event log as RecBole `Interaction` batches, made on the training device.

Fields of a batch of B samples, with windows of L positions and N negatives (the names are parameters, these are their
defaults):

| field | shape | content |
|---|---|---|
| ``user_id`` | (B,) int64 | user |
| ``item_id`` | (B,) int64 | target |
| ``domain`` | (B,) int64 | domain of the target |
| ``n_earlier`` | (B,) int64 | interactions of the user before the target, of any age (`EventLog.n_earlier`) |
| ``item_id_list`` | (B, L) int64 | items of the window, padded with 0 on the left |
| ``position_id`` | (B, L) int64 | their positions, counted backwards within each domain |
| ``domain_list`` | (B, L) int64 | their domains |
| ``relative_time_list`` | (B, L) float32 | their relative times |
| ``item_length`` | (B,) int64 | interactions in the window |
| ``neg_item_id`` | (B, N) or (2, N) int64 | in training: negatives of each row, or of each domain for the whole batch |
| ``neg_item_id`` | (B, L, N) or (B, L, 2N) int64 | likewise, for a model that wants them for each position |
| ``target_list`` | (B, L) int64 | with ``train_samples: sequences``: the item to predict at each position, else 0 |
| ``n_earlier_list`` | (B, L) int64 | likewise: ``n_earlier`` of that target; any number where there is none |
| ``domain_item_list`` | (B, 2, L) int64 | with ``sequence: mixed_and_single``: the window of each domain |
| ``domain_place_list`` | (B, 2, L) int64 | likewise: the place of its interactions in the mixed history, from 1 |
| ``place_list`` | (B, L) int64 | likewise: the place of those of the mixed window |
"""

from __future__ import annotations

import logging

import numpy as np

from recbole_lecdsr.data.collator import SequenceCollator
from recbole_lecdsr.data.constants import PHASES
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.data.eval_loader import EvalLoader
from recbole_lecdsr.data.run_parameters import RunConfig
from recbole_lecdsr.data.samples import targets_of_unseen_users, targets_without_history
from recbole_lecdsr.data.train_loader import TrainLoader

logger = logging.getLogger(__name__)


def train_loader(config: RunConfig, dataset: CrossDomainSequentialDataset, collator: SequenceCollator) -> TrainLoader:
    """The training loader of a run.

    The model class decides what kind of loader it is and which of the training interactions it may see.
    """
    model_class = config.model_class
    return model_class.train_loader(config, model_class.training_data(dataset), collator)


def data_preparation(
    config: RunConfig, dataset: CrossDomainSequentialDataset
) -> tuple[TrainLoader, EvalLoader, EvalLoader]:
    """Training, validation and test loaders of a run.

    Raises:
        UserError: the samples or candidates that the configuration describes cannot be made from the data.
    """
    collator = SequenceCollator(config, dataset)
    train = train_loader(config, dataset, collator)
    valid, test = (EvalLoader(config, dataset, collator, phase) for phase in ("valid", "test"))
    logger.info(
        "%d training, %d validation and %d test samples; windows of up to %d interactions",
        len(train.dataset.targets("train")),
        len(valid.targets),
        len(test.targets),
        config["MAX_ITEM_LIST_LENGTH"],
    )
    for phase in ("valid", "test"):
        _report_unseen_users(dataset, phase)
    return train, valid, test


def _report_unseen_users(dataset: CrossDomainSequentialDataset, phase: str) -> None:
    """Say how many users meet validation or the test without training, which per-user splits do not have."""
    log, code = dataset.log, PHASES[phase]
    if left_out := len(targets_without_history(log, code)):
        logger.info("%d interactions of the %s split are the first of their user and no samples", left_out, phase)
    if len(unseen := targets_of_unseen_users(log, code)):
        logger.info(
            "%d %s samples are of %d users without training interactions",
            len(unseen), phase, len(np.unique(log.user[unseen])),
        )  # fmt: skip
