"""One call from property files to a result."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from recbole.utils import init_logger

from recbole_lecdsr import distributed
from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.data.collator import SequenceCollator
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.data.eval_loader import EvalLoader
from recbole_lecdsr.data.loaders import data_preparation, train_loader
from recbole_lecdsr.data.train_loader import TrainLoader
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.property_files import merge
from recbole_lecdsr.runs import run_directory
from recbole_lecdsr.runs.checkpoint import load_checkpoint
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
) -> dict[str, object]:
    """Train and evaluate one model on one pair of domains.

    Args:
        model: name or class; None takes it from the other arguments (default LeCDSR).
        dataset: name of the pair; None likewise (default movielens).
        config_file_list, config_dict, command_line: see `recbole_lecdsr.config.LeCDSRConfig`.
        saved: write checkpoints, and test the selected epoch rather than the last.

    Returns:
        What RecBole's quick starts return (``best_valid_score``, ``valid_score_bigger``, ``best_valid_result``,
        ``test_result``, flat metrics such as ``source_hit@10``), ``result`` (the content of result.json; None where
        nothing was tested, and in all processes but the first) and ``run_directory``.

    Raises:
        recbole_lecdsr.errors.UserError: a mistake in settings or data.
    """
    data = load_dataset(model, dataset, config_file_list, config_dict, command_line)
    config = data.config
    checkpoint = config.run_directory / run_directory.MODEL
    resuming = distributed.broadcast_flag(config["resume"] and checkpoint.exists())
    with distributed.main_process_first():  # it stores what they read
        train_data, valid_data, test_data = data_preparation(config, data)
        trainer = make_trainer(config, _learned_from(data, load_checkpoint(checkpoint)) if resuming else data)
    if resuming:
        trainer.resume_checkpoint(checkpoint)
    elif checkpoint.exists() and not (config.run_directory / run_directory.RESULT).exists():
        logger.warning(
            "%s holds an unfinished run, which starts anew; --resume=True goes on with it", checkpoint.parent
        )
    if not config["resume"] and distributed.rank() == 0:
        (config.run_directory / run_directory.RESULT).unlink(missing_ok=True)
    best_score, best_result = trainer.fit(train_data, valid_data, saved=saved, show_progress=config["show_progress"])
    if config["refit"] and saved and not trainer.refitted:
        refit(trainer, data)
    test_result = trainer.evaluate(test_data, load_best_model=saved, show_progress=config["show_progress"])
    result = None
    if test_result and distributed.rank() == 0:
        result = json.loads((config.run_directory / run_directory.RESULT).read_text(encoding="utf-8"))
    return {
        "best_valid_score": best_score,
        "valid_score_bigger": config["valid_metric_bigger"],
        "best_valid_result": best_result,
        "test_result": test_result,
        "result": result,
        "run_directory": str(config.run_directory),
    }


def refit(trainer: CrossDomainSequentialTrainer, data: CrossDomainSequentialDataset) -> None:
    """Train the model anew on training and validation events together, for as many epochs as validation chose.

    Nothing is chosen again, so the validation result stays that of the first training, and the test is of a model that
    has learned from everything before it, as one in use would have.
    """
    config, enlarged = data.config, data.with_validation_for_training()
    seed(config)
    model = config.model_class(config, enlarged).to(config["device"])
    train_data = train_loader(config, enlarged, SequenceCollator(config, enlarged))
    trainer.refit(model, train_data, config["show_progress"])


def load_dataset(
    model: str | type | None = None,
    dataset: str | None = None,
    config_file_list: Sequence[str] | None = None,
    config_dict: Mapping[str, object] | None = None,
    command_line: Sequence[str] | None = None,
) -> CrossDomainSequentialDataset:
    """Configure, seed and start the log; arguments as of `run_lecdsr`.

    Returns:
        The data set; its ``config`` is the configuration.
    """
    values = dict(config_dict or {})
    if dataset is not None:
        values["dataset"] = dataset
    config = LeCDSRConfig(model, config_file_list, values, command_line)
    seed(config)
    # RecBole makes this folder too, but fails where another process does so at the same moment.
    Path("log", config["model"]).mkdir(parents=True, exist_ok=True)
    init_logger(config)
    _plain_log_lines()
    return CrossDomainSequentialDataset(config)


def objective_function(
    config_dict: Mapping[str, object] | None = None,
    config_file_list: Sequence[str] | None = None,
    saved: bool = True,
) -> dict[str, object]:
    """The result of one run by its settings alone, for hyper-parameter search; see `run_lecdsr`."""
    return run_lecdsr(config_file_list=config_file_list, config_dict=config_dict, saved=saved, command_line=[])


def load_data_and_model(
    model_file: str | Path, config_dict: Mapping[str, object] | None = None
) -> tuple[LeCDSRConfig, torch.nn.Module, CrossDomainSequentialDataset, TrainLoader, EvalLoader, EvalLoader]:
    """A finished run again: its data, split as it was, and its selected model.

    Args:
        model_file: the ``model.pth`` of a run directory.
        config_dict: values to change, such as ``data_path`` on another machine.

    Returns:
        config, model (in evaluation mode), dataset, and the training, validation and test loaders.
    """
    state = load_checkpoint(Path(model_file))
    config, model, data = restore(state, config_dict)
    train_data, valid_data, test_data = data_preparation(config, data)
    return config, model, data, train_data, valid_data, test_data


def restore(
    state: Mapping[str, object], config_dict: Mapping[str, object] | None = None
) -> tuple[LeCDSRConfig, torch.nn.Module, CrossDomainSequentialDataset]:
    """Configuration, selected model (in evaluation mode) and data set of a checkpoint.

    Args:
        state: from `recbole_lecdsr.runs.checkpoint.load_checkpoint`.
        config_dict: values to change.

    Raises:
        UserError: data that are missing, or other than those of the training.
    """
    config = LeCDSRConfig(config_dict=merge(state["parameters"], config_dict or {}), command_line=[])
    seed(config)
    data = CrossDomainSequentialDataset(config)
    model = config.model_class(config, _learned_from(data, state)).to(config["device"])
    try:
        model.load_state_dict(state["state_dict"])
    except RuntimeError as error:
        raise UserError(
            f"the weights do not fit the data in {config['pair_path']}, which are not those of the training: give "
            f"data_path, or train again ({error})"
        ) from None
    model.eval()
    return config, model, data


def _learned_from(data: CrossDomainSequentialDataset, state: Mapping[str, object]) -> CrossDomainSequentialDataset:
    """The data whose training events the model of a checkpoint has learned from and counts."""
    return data.with_validation_for_training() if state.get("refitted") else data


def make_trainer(config: LeCDSRConfig, data: CrossDomainSequentialDataset) -> CrossDomainSequentialTrainer:
    """A fresh model of the run, the same for the same seed, and its trainer."""
    seed(config)
    model = config.model_class(config, data).to(config["device"])
    return CrossDomainSequentialTrainer(config, model)


def _plain_log_lines() -> None:
    """RecBole colours its log; where nobody sees colours, leave the codes out."""
    from recbole.utils.logger import RemoveColorFilter

    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stderr and not sys.stderr.isatty():
            handler.addFilter(RemoveColorFilter())
