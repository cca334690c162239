"""Checkpoints: tensors and plain data only, written whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.runs.run_directory import _whole


def save_checkpoint(path: Path, state: dict[str, object]) -> None:
    """Write a checkpoint of tensors and plain data; a crash on the way leaves the last good one."""
    with _whole(path, "wb") as file:
        torch.save(state, file)


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> dict[str, object]:
    """Read a checkpoint without running any code it might hold.

    Raises:
        UserError: a file that is missing, truncated or not of this plugin.
    """
    path = Path(path)
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: train first, or leave out --resume") from None
    except Exception as error:  # on bytes that are no checkpoint torch raises whatever its reader stumbles over
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(
            f"checkpoint {path} ({path.stat().st_size} bytes) cannot be read, it is truncated or not one of ours "
            f"({reason}): delete it and train again, or restore it from a copy"
        ) from None
    if not isinstance(state, dict) or "state_dict" not in state or "parameters" not in state:
        raise UserError(f"checkpoint {path} holds no LeCDSR run (no 'state_dict' or 'parameters'): give another file")
    return state


# What may differ between a run and its resumption without changing the result.
FREE_TO_CHANGE = {
    "train_epochs", "stopping_step", "resume", "show_progress", "state", "gpu_id", "use_gpu", "output_dir", "data_path",
    "eval_batch_size", "log_wandb", "wandb_project", "worker",
}  # fmt: skip


def differing_parameters(one: Mapping[str, object], other: Mapping[str, object]) -> list[str]:
    """Names of the parameters by which two runs may have different results, sorted."""
    names = (one.keys() | other.keys()) - FREE_TO_CHANGE
    return sorted(name for name in names if one.get(name) != other.get(name))
