"""The selected models of a finished run, and its data set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.model.base import CrossDomainSequentialRecommender
from recbole_lecdsr.quick_start import restore
from recbole_lecdsr.runs import run_directory
from recbole_lecdsr.runs.checkpoint import Checkpoint
from recbole_lecdsr.runs.comparison import differing_parameters
from recbole_lecdsr.runs.result import RunResult

_MAX_NAMED_RUNS = 5  # other runs that an error names


def load_run(
    folder: str | Path, config_dict: Mapping[str, object] | None = None
) -> tuple[dict[str, CrossDomainSequentialRecommender], CrossDomainSequentialDataset]:
    """A run's selected models and its data set.

    Args:
        folder: the run directory.
        config_dict: values to change, such as ``data_path``.

    Returns:
        Domain (source, target) -> model in evaluation mode, which are two models only with ``selection:
        per_domain_best``; and the data set.

    Raises:
        UserError: no such run, a run that is not finished, or data that are missing.
    """
    folder = Path(folder)
    if folder.name == run_directory.MODEL:
        folder = folder.parent
    path = folder / run_directory.MODEL
    if not path.exists():
        raise UserError(_missing_run(folder))
    checkpoint = Checkpoint.load(path)
    # A split without test samples leaves no result.json; a run that is being lengthened still has the former one.
    if not checkpoint.training_ended and not _has_result_of(checkpoint, folder / run_directory.RESULT):
        raise UserError(
            f"the run in {folder} is not finished (after epoch {checkpoint.epoch}): resume it with --resume=True and "
            "the settings in its config.yaml"
        )
    config, model, dataset = restore(checkpoint, config_dict)
    models = dict.fromkeys(DOMAINS, model)
    best = checkpoint.best
    if config["selection"] == "per_domain_best" and all(name in best for name in DOMAINS):
        models = {name: _make_model(config, dataset, best[name].state_dict) for name in DOMAINS}
    return models, dataset


def _has_result_of(checkpoint: Checkpoint, path: Path) -> bool:
    return path.exists() and not differing_parameters(RunResult.read(path).parameters, checkpoint.parameters)


def _missing_run(folder: Path) -> str:
    """The error for a folder that is no run directory, with other runs nearby."""
    problem = f"holds no {run_directory.MODEL}" if folder.is_dir() else "does not exist"
    found = sorted(str(path.parent) for path in folder.parent.glob(f"*/{run_directory.MODEL}"))
    found += sorted(str(path.parent) for path in folder.glob(f"**/{run_directory.MODEL}"))[:_MAX_NAMED_RUNS]
    remedy = f"there is {', '.join(found[:_MAX_NAMED_RUNS])}" if found else "train first (`run_lecdsr.py`)"
    return f"run directory {folder} {problem}: {remedy}"


def _make_model(
    config: LeCDSRConfig, dataset: CrossDomainSequentialDataset, weights: Mapping[str, Tensor]
) -> CrossDomainSequentialRecommender:
    model = config.model_class(config, dataset).to(config["device"])
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(f"the weights of a domain do not fit the data: train again ({error})") from None
    return model.eval()
