"""Where a result comes from: versions, git revision, device, and how much memory it took."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import torch


def versions() -> dict[str, str]:
    """Library -> version, of those that the numbers depend on."""
    names = ("recbole", "recbole-cdr", "torch", "numpy", "pandas", "scipy")
    found = {name: metadata.version(name) for name in names}
    from recbole_lecdsr import __version__

    return {"recbole_lecdsr": __version__, **found, "python": platform.python_version()}


def git_revision() -> str | None:
    """Commit of the checkout that the package is imported from, with ``+`` where files differ from it.

    None outside a checkout and without git.
    """
    here = Path(__file__).parent
    try:
        # Fails where the package is installed inside a checkout of something else.
        _git(here, "ls-files", "--error-unmatch", Path(__file__).name)
        commit = _git(here, "rev-parse", "HEAD")
        return commit + ("+" if _git(here, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def environment(device: torch.device) -> dict[str, str]:
    """What a run depends on beside its identity: versions, git revision and device, name -> text."""
    return {**versions(), "git revision": str(git_revision()), "device": device_name(device)}


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=10
    ).stdout.strip()


def device_name(device: torch.device) -> str:
    """The GPU, or the processor with the number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"


def reset_peak_memory() -> None:
    """Measure peak memory from now on: of the process on Linux only, of a GPU everywhere."""
    if (switch := Path("/proc/self/clear_refs")).exists():
        switch.write_text("5")  # resets VmHWM
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_memory_bytes(device: torch.device) -> dict[str, int]:
    """Peak memory in bytes since `reset_peak_memory`.

    Args:
        device: of the run.

    Returns:
        ``process``, and ``gpu`` where the device is one -> bytes.
    """
    unit = 1 if sys.platform == "darwin" else 1024
    peak = {"process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}
    if (status := Path("/proc/self/status")).exists():  # can be reset, unlike ru_maxrss
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        peak["process"] = int(line.split()[1]) * 1024
    if device.type == "cuda":
        peak["gpu"] = torch.cuda.max_memory_allocated(device)
    return peak
