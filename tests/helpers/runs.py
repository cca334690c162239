"""Short runs for the tests, and what is compared between two of them."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.data.loaders import data_preparation
from recbole_lecdsr.model.lecdsr import LeCDSR
from recbole_lecdsr.quick_start import run_lecdsr
from recbole_lecdsr.runs.result import RunResult

# Parts of result.json that tell of the machine and the moment.
MEASURED = {"seconds", "samples_per_second", "peak_memory_bytes", "device", "versions", "git_revision", "checksum"}


class Recorder(LeCDSR):
    """Keeps what it was trained on; the fixture ``recorder`` makes a fresh one of LeCDSR's name."""

    batches: list[dict[str, torch.Tensor]]

    def calculate_loss(self, interaction):
        self.batches.append({name: tensor.clone() for name, tensor in interaction.interaction.items()})
        return super().calculate_loss(interaction)


def train(settings: Mapping[str, object], model: str | type | None = None, saved: bool = True, **changes) -> RunResult:
    """`run_lecdsr` without a command line."""
    return run_lecdsr(model, config_dict={**settings, **changes}, saved=saved, command_line=[])


def load(settings: Mapping[str, object], **changes) -> CrossDomainSequentialDataset:
    """The data set of a run."""
    return CrossDomainSequentialDataset(LeCDSRConfig("LeCDSR", config_dict={**settings, **changes}, command_line=[]))


def loaders(settings: Mapping[str, object], **changes):
    """Training, validation and test loader of a run."""
    dataset = load(settings, **changes)
    return data_preparation(dataset.config, dataset)


def lasting(result: Mapping[str, object]) -> dict[str, object]:
    """result.json without what is measured and without where files lie."""
    kept = {key: value for key, value in result.items() if key not in MEASURED}
    kept["history"] = [{key: value for key, value in epoch.items() if key != "seconds"} for epoch in kept["history"]]
    placed = ("output_dir", "resume", "data_path")
    kept["parameters"] = {key: value for key, value in kept["parameters"].items() if key not in placed}
    return kept


def read_run(folder: str | Path) -> dict[str, object]:
    """What a run directory holds of a result: result.json, the arrays of ranks.npz, the tensors of model.pth."""
    folder = Path(folder)
    with np.load(folder / "ranks.npz") as ranks:
        arrays = {name: ranks[name] for name in ranks.files}
    checkpoint = torch.load(folder / "model.pth", weights_only=True)
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return {"result": lasting(result), "ranks": arrays, "weights": checkpoint["state_dict"]}


def assert_same_run(one: str | Path, other: str | Path) -> None:
    """Two run directories hold the same result, the same ranks and the same weights, bit by bit."""
    one, other = read_run(one), read_run(other)
    assert one["result"] == other["result"]
    assert one["ranks"].keys() == other["ranks"].keys()
    for name, array in one["ranks"].items():
        np.testing.assert_array_equal(array, other["ranks"][name], err_msg=name)
    assert_same_weights(one["weights"], other["weights"])


def assert_same_weights(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    differing = [name for name in one if not _equal(one[name], other[name])]
    assert not differing


def _equal(one: object, other: object) -> bool:
    """Tensors, or extra state of a module."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_equal(one[name], other[name]) for name in one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return torch.equal(one, other)
    return type(one) is type(other) and one == other


@contextmanager
def full_disk() -> Iterator[None]:
    """Files cannot grow beyond 20,000 bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def process(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )
