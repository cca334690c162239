"""The parameters of a row: all runs of a model in a study have the same ones, but for the seed.

The training budget (``train_epochs``, ``stopping_step``, ``eval_step``) is among them. Only an unfinished run may get a
larger budget, when it resumes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.leaderboard.study_description import find_run_folders
from recbole_lecdsr.runs.comparison import Parameters, describe_difference, differing_parameters
from recbole_lecdsr.runs.identity import VECTORS, differing_parts, name_parts
from recbole_lecdsr.runs.result import RunResult
from recbole_lecdsr.runs.run_directory import RESULT


def differing_in_row(one: Parameters, other: Parameters) -> list[str]:
    """Names of the parameters by which two runs cannot be of one row, sorted.

    >>> differing_in_row({"seed": 1, "train_epochs": ["BOTH:3"]}, {"seed": 2, "train_epochs": ["BOTH:1"]})
    ['train_epochs']
    """
    return [name for name in differing_parameters(one, other) if name != "seed"]


def differing_rows(one: RunResult, other: RunResult) -> tuple[str, str] | None:
    """Why two finished runs cannot be of one row: what differs, and the values of parameters in both; None if they can.

    Runs of different versions of the plugin need to agree in the parameters that both have.
    """
    names = differing_in_row(one.parameters, other.parameters)
    if one.version != other.version:
        names = [name for name in names if name in one.parameters and name in other.parameters]
    if names:
        return "parameters", describe_difference(names, one.parameters, other.parameters)
    parts = differing_parts(one.identity or {}, other.identity or {}, (*VECTORS, "tested"))
    return (name_parts(parts, other.domains), "") if parts else None


def read_parameters(run_folder: Path) -> Parameters | None:
    """The parameters of a finished run; None where it has no result.

    Raises:
        UserError: a result.json that cannot be used.
    """
    path = run_folder / RESULT
    return RunResult.read(path).parameters if path.exists() else None


def read_identities(runs_folder: Path, dataset: str) -> dict[Path, Mapping[str, Any]]:
    """The identities of all finished runs of a study that recorded theirs: run directory -> identity.

    Args:
        runs_folder: ``<study>/runs``.
        dataset: name of the pair of domains.

    Raises:
        UserError: a result.json that cannot be read.
    """
    identities = {
        path.parent: RunResult.read(path).identity for path in sorted(runs_folder.glob(f"*/{dataset}/*/{RESULT}"))
    }
    return {folder: identity for folder, identity in identities.items() if identity is not None}


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
