"""Which run directory a run takes: that of the same run if there is one, never that of another run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path

import yaml

from recbole_lecdsr.config import DIGEST_DIGITS, LeCDSRConfig
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.runs.checkpoint import Checkpoint
from recbole_lecdsr.runs.comparison import Parameters, can_continue, describe_difference, differing_parameters
from recbole_lecdsr.runs.identity import Identity, require_same_identity
from recbole_lecdsr.runs.result import RunResult
from recbole_lecdsr.runs.run_directory import CONFIG, MODEL, RESULT
from recbole_lecdsr.schema import parameter_digest

_MOST_NAMED = 6  # parameters in an error or a warning


def take_run_directory(config: LeCDSRConfig) -> Path:
    """Choose the run directory, which is ``config.run_directory`` from then on.

    It is, in this order:

    1. the directory of this model and seed that holds a run of the same parameters;
    2. with ``resume``, the one whose run has the same parameters but for a smaller budget, of several the largest;
    3. ``<model>-<seed>``, with the digest of the parameters if they are not the defaults, unless another run is there;
    4. the name with the digest, and a number if another run (one that was lengthened) is there as well.

    A directory that ``run_name`` names is taken if it holds no run, the same one, or one to be lengthened or replaced.
    Repeated calls choose the same directory.

    Args:
        config: of the run.

    Returns:
        The directory, which may not exist yet.

    Raises:
        UserError: ``run_name`` names the directory of a run with different parameters.
    """
    parameters = config.plain()
    folder = _named(config, parameters) if config["run_name"] else _unnamed(config, parameters)
    config.final_config_dict["checkpoint_dir"] = str(folder)
    return folder


def _named(config: LeCDSRConfig, parameters: Parameters) -> Path:
    folder = config.run_directory
    begun = read_recorded_parameters(folder)
    if begun is None or config["overwrite"] or not (differing := differing_parameters(begun, parameters)):
        return folder
    if config["resume"] and can_continue(begun, parameters):
        return folder
    raise UserError(
        f"{folder} holds a run with different parameters ({_describe(differing, begun, parameters)}): give another "
        "--run_name, or replace that run by --overwrite=True"
    )


def _unnamed(config: LeCDSRConfig, parameters: Parameters) -> Path:
    own = config.run_directory
    name = f"{config.model_name}-{config['seed']}"
    with_digest = own.with_name(f"{name}-{parameter_digest(parameters)[:DIGEST_DIGITS]}")
    if (found := read_recorded_parameters(own)) is not None and not differing_parameters(found, parameters):
        return own  # as is usual, without a look at the others
    recorded = _recorded_siblings(own, name)
    for path, found in recorded.items():
        if not differing_parameters(found, parameters):
            return path
    if config["resume"]:
        shorter = [path for path, found in recorded.items() if found and can_continue(found, parameters)]
        if shorter:
            return max(shorter, key=lambda path: _budget(recorded[path]))
    numbered = (with_digest.with_name(f"{with_digest.name}-{number}") for number in count(2))
    return next(path for path in chain([own, with_digest], numbered) if path not in recorded)


def _recorded_siblings(own: Path, name: str) -> dict[Path, Parameters]:
    """The runs of a model and a seed beside a run directory, that directory included: directory -> parameters."""
    paths = sorted({own.with_name(name), *own.parent.glob(f"{name}-*")})
    return {path: found for path in paths if (found := read_recorded_parameters(path)) is not None}


def describe_similar_run(config: LeCDSRConfig) -> str:
    """The run of the same model and seed that differs in the fewest parameters, and in which; empty without one."""
    parameters = config.plain()
    recorded = _recorded_siblings(config.run_directory, f"{config.model_name}-{config['seed']}")
    others = [
        (len(names), f"{path} differs in {_describe(names, found, parameters)}")
        for path, found in recorded.items()
        if found and (names := differing_parameters(found, parameters))
    ]
    return min(others, default=(0, ""))[1]


def _describe(names: Sequence[str], one: Parameters, other: Parameters) -> str:
    """The values of the first few parameters in two runs, and how many more differ."""
    more = len(names) - _MOST_NAMED
    return describe_difference(names[:_MOST_NAMED], one, other) + (f" and {more} more" if more > 0 else "")


def _budget(parameters: Parameters) -> tuple[int, int]:
    """Epochs of the last phase, and patience."""
    return int(str(parameters["train_epochs"][-1]).partition(":")[2] or 0), int(parameters["stopping_step"])


def read_recorded_parameters(folder: Path) -> Parameters | None:
    """The parameters of the run in a directory.

    Returns:
        The parameters; without any where they cannot be read, so that no run has the same ones; None where the
        directory holds no run.
    """
    try:
        # SafeLoader reads what `write_config` wrote, and property files of the plugin read more texts as numbers.
        values = yaml.load((folder / CONFIG).read_text(encoding="utf-8"), yaml.SafeLoader)
    except (FileNotFoundError, NotADirectoryError):
        return _parameters_of_result(folder)
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return values if isinstance(values, dict) else {}


def _parameters_of_result(folder: Path) -> Parameters | None:
    """As `read_recorded_parameters`, of a directory without config.yaml."""
    try:
        parameters = json.loads((folder / RESULT).read_text(encoding="utf-8"))["parameters"]
    except (FileNotFoundError, NotADirectoryError):
        return {} if (folder / MODEL).exists() else None
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return parameters if isinstance(parameters, dict) else {}


def resumes(config: LeCDSRConfig, data: CrossDomainSequentialDataset) -> bool:
    """Whether training continues from the checkpoint in the run directory.

    It does with ``resume``, and where the training has ended and there is no test sample, so that there is no result.

    Args:
        config: of the run, after `take_run_directory`.
        data: of the run.

    Raises:
        UserError: a checkpoint that cannot be read.
    """
    path = config.run_directory / MODEL
    if config["overwrite"] or not path.exists():
        return False
    return bool(config["resume"]) or (not len(data.origin.targets("test")) and Checkpoint.load(path).training_ended)


def read_finished_run(config: LeCDSRConfig, identity: Identity) -> RunResult | None:
    """The result of the same run, if it has finished, from the run directory.

    Args:
        config: of the run, after `take_run_directory`.
        identity: of the run.

    Returns:
        The result; None where there is none, or that of a run which is being lengthened or is to be replaced.

    Raises:
        UserError: a result that cannot be read, or of other data; names what differs.
    """
    path = config.run_directory / RESULT
    if config["overwrite"] or not path.exists():
        return None
    result = RunResult.read(path)
    if differing_parameters(result.parameters, config.plain()):
        return None
    require_same_identity(config.run_directory, result.identity, identity, config)
    return result
