"""Numbers that the official implementations of the rivals computed, and how close ours must come."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

TOLERANCE = 1e-4
_FOLDER = Path(__file__).parents[1] / "golden"


class Golden:
    """A golden file: ``tests/golden/<name>.npz``, or the one that the environment variable ``<NAME>_GOLDEN`` names.

    Args:
        name: of the file, such as ``abxi``.
    """

    def __init__(self, name: str):
        path = os.environ.get(f"{name.upper()}_GOLDEN") or _FOLDER / f"{name}.npz"
        with np.load(path) as file:
            self.arrays: dict[str, np.ndarray] = {key: file[key] for key in file.files}

    def __getitem__(self, key: str) -> Tensor:
        """An array by its whole name, such as ``input/train_mixed``."""
        return torch.from_numpy(np.asarray(self.arrays[key]))

    def part(self, prefix: str) -> dict[str, Tensor]:
        """All arrays under a prefix, such as ``released/grad``, by the rest of their names."""
        start = f"{prefix.strip('/')}/"
        return {key[len(start) :]: self[key] for key in self.arrays if key.startswith(start)}

    def setting(self, name: str) -> float:
        """A number under ``setting/``."""
        return self.arrays[f"setting/{name}"].item()


def relative(ours: Tensor | np.ndarray | float, theirs: Tensor | np.ndarray | float) -> float:
    """Largest absolute difference over largest absolute value of theirs."""
    one, other = (
        np.asarray(value.detach() if isinstance(value, Tensor) else value, np.float64) for value in (ours, theirs)
    )
    assert one.shape == other.shape, f"{one.shape} is not {other.shape}"
    return float(np.abs(one - other).max() / max(np.abs(other).max(), 1e-12))


def assert_reproduced(ours: Tensor | float, theirs: Tensor, what: str) -> None:
    """Fail, with the difference, where ours is not theirs within 1e-4 of their largest absolute value."""
    difference = relative(ours, theirs)
    assert difference < TOLERANCE, f"{what}: differs by {difference:.2g}"


def load_weights(module: nn.Module, weights: Mapping[str, Tensor], names: Mapping[str, str]) -> None:
    """Copy the weights of a golden file into a module.

    Args:
        module: whose parameters and buffers are set.
        weights: by their names in the file.
        names: name in the file -> name of our parameter or buffer; shapes may differ by axes of size 1.

    Raises:
        KeyError: a name that either does not have.
    """
    ours = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    with torch.no_grad():
        for theirs, name in names.items():
            ours[name].copy_(weights[theirs].reshape(ours[name].shape))


def sasrec_names(theirs: str, ours: str, blocks: int) -> dict[str, str]:
    """Names of a SASRec encoder in a golden file -> those of `recbole_lecdsr.model.modules.sasrec_encoder`.

    Args:
        theirs, ours: prefix of the encoder in the file and in our module, without the dot; "" for none.
        blocks: number of blocks.
    """
    names = {"last_layernorm": "last_layernorm"}
    arrays = {}
    for block in range(blocks):
        names[f"attention_layernorms.{block}"] = f"attention_layernorms.{block}"
        names[f"forward_layernorms.{block}"] = f"forward_layernorms.{block}"
        names[f"attention_layers.{block}.out_proj"] = f"attention_layers.{block}.out_proj"
        names[f"forward_layers.{block}.conv1"] = f"forward_layers.{block}.0"
        names[f"forward_layers.{block}.conv2"] = f"forward_layers.{block}.3"
        for kind in ("in_proj_weight", "in_proj_bias"):
            arrays[f"attention_layers.{block}.{kind}"] = f"attention_layers.{block}.{kind}"
    arrays |= {f"{one}.{kind}": f"{other}.{kind}" for one, other in names.items() for kind in ("weight", "bias")}
    prefix, own = (f"{part}." if part else "" for part in (theirs, ours))
    return {prefix + one: own + other for one, other in arrays.items()}
