"""The run directory: config.yaml, result.json, ranks.npz, model.pth; each written whole or not at all."""

from __future__ import annotations

import json
import platform
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import IO

import numpy as np
import torch
import yaml

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.files import write_whole

CONFIG, RESULT, RANKS, MODEL = "config.yaml", "result.json", "ranks.npz", "model.pth"


def make_folder(folder: Path) -> None:
    """Make the run directory.

    Raises:
        UserError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be made ({error}): give another output_dir") from error


@contextmanager
def _whole(path: Path, mode: str = "w") -> Iterator[IO]:
    """`write_whole`, with a remedy where there is no room or no permission."""
    try:
        with write_whole(path, mode) as file:
            yield file
    except (OSError, RuntimeError) as error:
        reason = error if isinstance(error, OSError) else error.__context__  # torch hides it behind one of its own
        if not isinstance(reason, OSError):
            raise
        raise UserError(
            f"{path} cannot be written ({reason}): make room or get permission there, then go on with --resume=True, "
            "or give another output_dir"
        ) from error


def write_config(folder: Path, values: dict[str, object]) -> None:
    """Write all parameters of the run."""
    with _whole(folder / CONFIG) as file:
        yaml.safe_dump(values, file, sort_keys=True, allow_unicode=True)


def write_result(folder: Path, result: dict[str, object]) -> None:
    """Write result.json."""
    with _whole(folder / RESULT) as file:
        json.dump(result, file, indent=2, ensure_ascii=False)
        file.write("\n")


def write_ranks(
    folder: Path, rank: np.ndarray, domain: np.ndarray, user: np.ndarray, item: np.ndarray, history: np.ndarray,
    popularity: np.ndarray,
) -> None:
    """Write ranks.npz, an entry for each test sample.

    Args:
        folder: the run directory.
        rank: (S,) int64 from 1.
        domain: (S,) 0 source, 1 target.
        user, item: (S,) str, tokens of the user and of the target.
        history: (S,) int64, earlier events of the user.
        popularity: (S,) int64, events of the target item in training.
    """
    with _whole(folder / RANKS, "wb") as file:
        np.savez_compressed(
            file, rank=rank, domain=domain.astype(np.int8), user=user.astype(str), item=item.astype(str),
            history=history, popularity=popularity,
        )  # fmt: skip


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


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    names = ("recbole", "recbole-cdr", "torch", "numpy", "pandas", "scipy")
    found = {name: metadata.version(name) for name in names}
    from recbole_lecdsr import __version__

    return {"recbole_lecdsr": __version__, **found, "python": platform.python_version()}


def git_revision() -> str | None:
    """Commit of the checkout the package runs from, with '+' when files differ; None outside a checkout."""
    here = Path(__file__).parent
    try:
        # An environment may lie inside a checkout of something else.
        _git(here, "ls-files", "--error-unmatch", Path(__file__).name)
        commit = _git(here, "rev-parse", "HEAD")
        return commit + ("+" if _git(here, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=10
    ).stdout.strip()


def device_name(device: torch.device) -> str:
    """The processor or GPU that the run used, for the result."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"


def forget_peak_memory() -> None:
    """Measure peak memory from now on, where the system can (Linux; GPUs everywhere)."""
    if (switch := Path("/proc/self/clear_refs")).exists():
        switch.write_text("5")
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_memory_bytes(device: torch.device) -> dict[str, int]:
    """Peak memory of the process, and of the GPU when there is one, in bytes, since `forget_peak_memory`."""
    unit = 1 if sys.platform == "darwin" else 1024
    peak = {"process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}
    if (status := Path("/proc/self/status")).exists():  # unlike the former, Linux lets this one be reset
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        peak["process"] = int(line.split()[1]) * 1024
    if device.type == "cuda":
        peak["gpu"] = torch.cuda.max_memory_allocated(device)
    return peak
