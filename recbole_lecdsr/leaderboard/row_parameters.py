"""The parameters of a row: all runs of a model in a study have the same ones, but for the seed.

The training budget (``train_epochs``, ``stopping_step``, ``eval_step``) is among them. Only an unfinished run may get a
larger budget, when it resumes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.leaderboard.study_description import find_run_folders
from recbole_lecdsr.runs.comparison import WITHOUT_INFLUENCE, differing_parameters
from recbole_lecdsr.runs.result import RunResult
from recbole_lecdsr.runs.run_directory import RESULT

Parameters = Mapping[str, Any]

_FREE_IN_A_ROW = WITHOUT_INFLUENCE | {"seed"}


def differing_in_row(one: Parameters, other: Parameters) -> list[str]:
    """Names of the parameters by which two runs cannot be of one row, sorted.

    >>> differing_in_row({"seed": 1, "train_epochs": ["BOTH:3"]}, {"seed": 2, "train_epochs": ["BOTH:1"]})
    ['train_epochs']
    """
    names = (one.keys() | other.keys()) - _FREE_IN_A_ROW
    return sorted(name for name in names if one.get(name) != other.get(name))


def describe_difference(names: Sequence[str], one: Parameters, other: Parameters) -> str:
    """The values of the named parameters in two runs, as text.

    >>> describe_difference(["dropout_prob"], {"dropout_prob": 0.2}, {"dropout_prob": 0.5})
    'dropout_prob 0.2 and 0.5'
    """
    return ", ".join(f"{name} {_text(one, name)} and {_text(other, name)}" for name in names)


def _text(parameters: Parameters, name: str) -> str:
    return json.dumps(parameters[name], ensure_ascii=False) if name in parameters else "not set"


def read_parameters(run_folder: Path) -> Parameters | None:
    """The parameters of a finished run; None where it has no result.

    Raises:
        UserError: a result.json that cannot be used.
    """
    path = run_folder / RESULT
    return RunResult.read(path).parameters if path.exists() else None


def require_same_parameters(row_folder: Path, label: str, parameters: Parameters) -> None:
    """Refuse a run with other parameters than the finished runs of its row.

    Args:
        row_folder: the folder of the run directories of the model in a study.
        label: of the model.
        parameters: of the run.

    Raises:
        UserError: names what differs; or a result that cannot be read.
    """
    for seed, folders in sorted(find_run_folders(row_folder, label).items()):
        for folder in folders:
            finished = read_parameters(folder)
            names = differing_in_row(finished, parameters) if finished is not None else []
            if finished is not None and names:
                raise UserError(
                    f"{label} is in the study with different parameters (seed {seed} and this call: "
                    f"{describe_difference(names, finished, parameters)}): repeat the values of the study, give "
                    f"another --study, or add a row of its own with the label {label}:NAME=VALUE"
                )


def can_continue(begun: Parameters, parameters: Parameters) -> bool:
    """Whether an unfinished run ends as an unbroken run with the given parameters would, if it is resumed with them.

    They are the same but for the budget, which may be larger: more epochs in the last phase, or more patience.

    >>> begun = {"train_epochs": ["BOTH:3"], "stopping_step": 2}
    >>> can_continue(begun, {"train_epochs": ["BOTH:5"], "stopping_step": 2})
    True
    >>> can_continue(begun, {"train_epochs": ["BOTH:2"], "stopping_step": 2})
    False
    """
    if differing_parameters(begun, parameters):
        return False
    *phases, last = map(str, begun.get("train_epochs", [""]))
    *phases_now, last_now = map(str, parameters.get("train_epochs", [""]))
    (mode, _, epochs), (mode_now, _, epochs_now) = last.partition(":"), last_now.partition(":")
    return (
        (phases, mode) == (phases_now, mode_now)
        and int(epochs or 0) <= int(epochs_now or 0)
        and begun.get("stopping_step", 0) <= parameters.get("stopping_step", 0)
    )
