"""The README's commands and its Python, as they stand, on a small part of the default data."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recbole_lecdsr.cli import main
from recbole_lecdsr.prepare import movielens
from tests.helpers.pairs import write_vectors

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, flags=re.S)
COMMANDS = [
    line.partition("#")[0].strip().removeprefix("python run_lecdsr.py").strip()
    for language, block in BLOCKS if not language
    for line in block.splitlines() if line.startswith("python run_lecdsr.py")
]  # fmt: skip
TRAINS = ("", "compare", "ablate", "tune")
QUICK = "--epochs=1 --use_gpu=False --show_progress=False"
USERS = [f"100k_{user}" for user in range(30, 60)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Thirty users of movielens with random vectors, a table, a property file: what a reader of the README has."""
    root = tmp_path_factory.mktemp("readme")
    pair = root / "dataset" / "movielens"
    movielens.prepare(pair, "ml-100k")
    rng = np.random.default_rng(0)
    for domain in ("action", "drama"):
        path = pair / domain / f"{domain}.inter"
        lines = path.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines[1:] if line.split("\t")[0] in USERS]
        path.write_text("\n".join([lines[0], *kept]) + "\n", encoding="utf-8")
        items = sorted({line.split("\t")[1] for line in kept})
        write_vectors(pair / domain / f"{domain}.itememb", "item", {item: rng.normal(size=40) for item in items})
    write_vectors(pair / "movielens.useremb", "user", {user: rng.normal(size=40) for user in USERS})
    (root / "mine.yaml").write_text("learning_rate: 0.002\n", encoding="utf-8")
    events = [
        {"user_id": f"u{u}", "item_id": f"{d}{rng.integers(8)}", "domain": d, "timestamp": t}
        for u in range(20) for t, d in enumerate(["food", "kitchen"] * 4)
    ]  # fmt: skip
    items = [
        {"item_id": f"{d}{i}", "domain": d, "title": f"{d} number {i}"} for d in ("food", "kitchen") for i in range(8)
    ]
    pd.DataFrame(events).to_csv(root / "events.csv", index=False)
    pd.DataFrame(items).to_csv(root / "items.csv", index=False)
    return root


def test_the_readme_has_commands():
    assert len(COMMANDS) >= 12
    assert {command.split(" ")[0] for command in COMMANDS} >= {"", "prepare", "embed", "compare", "recommend", "doctor"}


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_run(folder, monkeypatch, capsys, command):
    """In their order, since some build on others."""
    monkeypatch.chdir(folder)
    arguments = shlex.split(command)
    name = arguments[0] if arguments and not arguments[0].startswith("-") else ""
    if name in TRAINS:
        arguments = [part for part in arguments if not part.startswith("--epochs=")] + shlex.split(QUICK)
    if name == "tune":
        arguments[arguments.index("--trials") + 1] = "2"
        arguments[arguments.index("--space") + 1] = str(Path(__file__).parents[1] / "properties/tune/LeCDSR.yaml")
    assert main(arguments) == 0
    assert capsys.readouterr().out


def test_the_python_runs(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    (code,) = (block for language, block in BLOCKS if language == "python")
    exec(compile(code, "README.md", "exec"), {})
    assert 0 <= float(capsys.readouterr().out.split()[-1]) <= 1
