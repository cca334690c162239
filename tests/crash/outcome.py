"""What a job leaves behind: read in a form in which equal outcomes are equal, and checked for wholeness."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import torch
import yaml

from recbole_lecdsr.data.embeddings.cache import HEAD
from tests.crash.effects import is_log

# What differs between two runs of the same command, wherever it is in JSON, YAML or a checkpoint: measurements, dates,
# where it ran, that it was resumed, what a file has replaced, and checksums over these.
VOLATILE = frozenset({
    "seconds", "samples_per_second", "peak_memory_bytes", "device", "versions", "git_revision", "date", "time",
    "environment", "resume", "replaces", "checksum",
})  # fmt: skip
TEMPORARY = re.compile(r"(?:^|/)\.[^/]+\.[a-z0-9_]{8}\.tmp(?:/|$)")
JOURNAL = "journal.log"  # of a search
_STORES = ("answers.jsonl", "vectors.jsonl")
_TRIAL = re.compile(r"(?<=trials/)\d+(?=/)")

Outcome = dict[str, object]
"""Path below the folder -> content; equal contents are equal values."""


def read_outcome(folder: Path) -> Outcome:
    """All files below a folder but journals.

    Interrupted trials of a search, which do not count, are left out, and the others are numbered by their order.
    """
    outcome: Outcome = {}
    order = {number: str(position) for position, number in enumerate(_counted_trials(folder))}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if is_log(name) or (path.is_dir() and not path.is_symlink()):
            continue
        if (trial := _TRIAL.search(name)) and trial.group() not in order:
            continue
        outcome[_TRIAL.sub(lambda match: order[match.group()], name)] = read_content(path)
    return outcome


def read_content(path: Path) -> object:
    """A file without what is `VOLATILE` in it."""
    content = path.read_bytes()
    if path.name == JOURNAL:
        return _read_search(path)
    if path.name in _STORES:  # answers arrive in any order
        return sorted(json.dumps(_lasting(json.loads(line)), sort_keys=True) for line in content.splitlines())
    if path.suffix == ".json":
        return _lasting(json.loads(content))
    if path.suffix == ".pth":
        return _lasting(torch.load(path, weights_only=True))
    if path.suffix in (".yaml", ".yml"):
        settings = _lasting(yaml.safe_load(content))
        comments = [re.sub(r"trial \d+", "trial", line) for line in content.decode().splitlines() if line[:1] == "#"]
        if isinstance(settings, dict) and "output_dir" in settings:
            settings["output_dir"] = _TRIAL.sub("", f"{settings['output_dir']}/")
        return settings, comments
    if path.suffix == ".html":
        return _without_moment(content.decode())
    if content[:2] != b"PK" and b"embedding cache" in content[:HEAD]:
        return _digest(content[HEAD:])  # the head has times and the inode of the source
    return _digest(content)


def _without_moment(page: str) -> str:
    """The page of a report without its section of times and memory, and without the figure there."""
    page = re.sub(r"<h2>Quality and cost</h2>.*?(?=<h2>)", "", page, flags=re.DOTALL)
    return re.sub(r'(?<=id="figures">).*?(?=</script>)', _without_cost, page, flags=re.DOTALL)


def _without_cost(figures: re.Match[str]) -> str:
    return json.dumps({name: figure for name, figure in json.loads(figures.group()).items() if name != "cost"})


def _lasting(value: object) -> object:
    """Plain data without what is volatile; tensors as their bytes."""
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), _digest(value.contiguous().cpu().numpy().tobytes())
    if isinstance(value, Mapping):
        return {key: _lasting(one) for key, one in value.items() if key not in VOLATILE}
    if isinstance(value, (list, tuple)):
        return [_lasting(one) for one in value]
    return value


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def differences(expected: Outcome, found: Outcome) -> list[str]:
    """What differs between two outcomes, a line for each file."""
    lines = [f"{name} is missing" for name in expected.keys() - found.keys()]
    lines += [f"{name} is not there after an unbroken run" for name in found.keys() - expected.keys()]
    for name in expected.keys() & found.keys():
        if expected[name] != found[name]:
            lines.append(f"{name} differs: {_first_difference(expected[name], found[name])}")
    return sorted(lines)


def _first_difference(expected: Any, found: Any, place: str = "") -> str:
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        for key in expected.keys() | found.keys():
            if expected.get(key) != found.get(key):
                return _first_difference(expected.get(key), found.get(key), f"{place}.{key}")
    if isinstance(expected, (list, tuple)) and isinstance(found, (list, tuple)) and len(expected) == len(found):
        for number, (one, other) in enumerate(zip(expected, found, strict=True)):
            if one != other:
                return _first_difference(one, other, f"{place}[{number}]")
    if isinstance(expected, str) and isinstance(found, str) and max(len(expected), len(found)) > 200:
        start = next((n for n, pair in enumerate(zip(expected, found, strict=False)) if pair[0] != pair[1]), 0)
        expected, found = expected[max(0, start - 40) : start + 60], found[max(0, start - 40) : start + 60]
    return f"{place} {str(expected)[:200]!r} became {str(found)[:200]!r}"


# ------------------------------------------------------------------ searches


def _read_search(journal: Path) -> list[object]:
    return [
        (trial.state.name, trial.values, trial.params, trial.intermediate_values) for trial in _trials(journal).values()
    ]


def _counted_trials(folder: Path) -> list[str]:
    """Numbers of the trials that count, of the search in a folder."""
    journals = list(folder.rglob(JOURNAL))
    return [number for journal in journals for number in _trials(journal)]


def _trials(journal: Path) -> dict[str, Any]:
    """The trials that have ended by themselves, by number."""
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalStorage

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as elsewhere:  # opening a journal may change it
        copy = shutil.copy(journal, elsewhere)
        storage = JournalStorage(JournalFileBackend(copy))
        studies = optuna.get_all_study_names(storage)
        trials = optuna.load_study(study_name=studies[0], storage=storage).trials if studies else []
    return {
        str(trial.number): trial
        for trial in trials
        if trial.state.name in ("COMPLETE", "PRUNED") or "error" in trial.user_attrs
    }


# ------------------------------------------------------------------ in the midst


def find_damage(folder: Path, before: Outcome, after: Outcome, grows: frozenset[str]) -> list[str]:
    """What a crash has damaged: files that cannot be read whole, or are neither what they were nor what they become.

    Args:
        folder: of the job, after the crash.
        before, after: the outcome without the job, and after an unbroken one.
        grows: names of files that change while the job runs, and only have to be readable.
    """
    damage = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or is_log(name) or TEMPORARY.search(name) or path.name == ".lock":
            continue
        try:
            check_whole(path)
        except Exception as error:
            damage.append(f"{name} cannot be read: {type(error).__name__}: {error}")
            continue
        if path.name in grows or _TRIAL.search(name):
            continue
        content = read_content(path)
        if name not in before and name not in after:
            damage.append(f"{name} is neither there before nor after an unbroken run")
        elif content not in (before.get(name), after.get(name)):
            damage.append(f"{name} is neither what it was nor what it becomes")
    lost = [name for name in before.keys() & after.keys() if not (folder / name).exists()]
    return damage + [f"{name} is lost" for name in sorted(lost)]


def check_whole(path: Path) -> None:
    """Read a file to its end.

    Raises:
        Exception: of any kind; it is damaged.
    """
    content = path.read_bytes()
    if path.name in _STORES or path.name == JOURNAL:  # the next writer removes an incomplete last line
        for line in content.split(b"\n")[:-1]:
            json.loads(line)
    elif path.suffix == ".json":
        json.loads(content)
    elif path.suffix in (".yaml", ".yml"):
        if yaml.safe_load(content) is None:
            raise ValueError("empty")
    elif path.suffix == ".pth":
        torch.load(path, weights_only=True)
    elif path.suffix == ".npz":
        with zipfile.ZipFile(path) as archive:
            if archive.testzip():
                raise ValueError("a checksum is wrong")
        with np.load(path) as arrays:
            [arrays[name] for name in arrays.files]
    elif path.suffix == ".parquet":
        pyarrow.parquet.read_table(path)
    elif path.suffix == ".npy":
        np.load(path)
    elif path.suffix in (".csv", ".inter", ".item", ".itememb", ".useremb"):
        rows = csv.reader(io.StringIO(content.decode()), delimiter="," if path.suffix == ".csv" else "\t",
                          quoting=csv.QUOTE_MINIMAL if path.suffix == ".csv" else csv.QUOTE_NONE)  # fmt: skip
        if len({len(row) for row in rows}) > 1 or not content.endswith(b"\n"):
            raise ValueError("cut")
    elif path.suffix in (".jsonl", ".md", ".tex", ".html", ".svg", ".txt") and not content:
        raise ValueError("empty")
