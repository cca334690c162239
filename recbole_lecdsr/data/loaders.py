"""Dataloaders: samples of the event log as RecBole `Interaction` batches, made on the training device.

Fields of a batch (names by the property file; these are the defaults): ``user_id`` (B,), ``item_id`` (B,) the target,
``item_id_list`` (B, L), ``position_id`` (B, L), ``domain_list`` (B, L), ``relative_time_list`` (B, L), ``item_length``
(B,), ``domain`` (B,) of the target; in training ``neg_item_id``: (B, N), or (2, N), for each domain, where the batch
shares them; and, where sequences are trained on, ``target_list`` (B, L): the item after each position, 0 where it is
not trained on.
"""

from __future__ import annotations

import logging

from recbole_lecdsr.data.collator import SequenceCollator
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.data.eval_loader import EvalLoader
from recbole_lecdsr.data.train_loader import TrainLoader

logger = logging.getLogger(__name__)


def train_loader(config, dataset: CrossDomainSequentialDataset, batches: SequenceCollator) -> TrainLoader:
    """The training loader of a run: the model class's own, on the data that the model class trains on."""
    model_class = config.model_class
    return model_class.train_loader(config, model_class.training_data(dataset), batches)


def data_preparation(config, dataset: CrossDomainSequentialDataset) -> tuple[TrainLoader, EvalLoader, EvalLoader]:
    """Training, validation and test loaders of a run."""
    batches = SequenceCollator(config, dataset)
    train = train_loader(config, dataset, batches)
    valid, test = (EvalLoader(config, dataset, batches, phase) for phase in ("valid", "test"))
    logger.info(
        "%d training, %d validation and %d test samples; windows of up to %d events",
        *(len(dataset.targets(phase)) for phase in ("train", "valid", "test")),
        config["MAX_ITEM_LIST_LENGTH"],
    )
    return train, valid, test
