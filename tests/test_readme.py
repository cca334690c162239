"""The README's commands and its Python, as they stand, on a small part of the default data."""

from __future__ import annotations

import io
import re
import shlex
import shutil
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recbole_lecdsr import property_files
from recbole_lecdsr.cli import main
from recbole_lecdsr.cli.options import run_options
from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.model import registry
from recbole_lecdsr.prepare import movielens
from recbole_lecdsr.property_files import PROPERTIES
from tests.helpers.pairs import write_vectors

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, flags=re.S)
COMMANDS = [
    line.partition("#")[0].strip().removeprefix("python run_lecdsr.py").strip()
    for language, block in BLOCKS if not language
    for line in block.splitlines() if line.startswith("python run_lecdsr.py")
]  # fmt: skip
TRAINS = ("", "compare", "ablate", "tune")
QUICK = "--use_gpu=False --show_progress=False"
USERS = [f"100k_{user}" for user in range(30, 60)]


@pytest.fixture(autouse=True, scope="module")
def quick_defaults(tmp_path_factory):
    """The property files with one epoch by default, so that commands without parameters are default runs and quick."""
    folder = tmp_path_factory.mktemp("properties") / "properties"
    shutil.copytree(PROPERTIES, folder)
    for path in (folder / "overall.yaml", *(folder / "model").glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        path.write_text(re.sub(r"(?m)^train_epochs:.*(\n- .*)*", "train_epochs: ['BOTH:1']", text), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        for module in (property_files, registry):
            patch.setattr(module, "PROPERTIES", folder)
        yield


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


def job(command: str) -> str:
    """The command's name; "" for the main job, which makes a run."""
    arguments = shlex.split(command)
    return arguments[0] if arguments and not arguments[0].startswith("-") else ""


def quick(command: str) -> list[str]:
    """The arguments of a command, with few epochs and trials if it trains."""
    arguments, name = shlex.split(command), job(command)
    if name in TRAINS:
        arguments = [part for part in arguments if not part.startswith("--epochs=")] + shlex.split(QUICK)
    if name == "tune":
        arguments[arguments.index("--trials") + 1] = "2"
        arguments[arguments.index("--space") + 1] = str(Path(__file__).parents[1] / "properties/tune/LeCDSR.yaml")
    return arguments


@pytest.fixture(scope="module")
def after_commands(folder):
    """The folder after all commands in their order, since some build on others, and of each its status and output."""
    outcomes = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command in COMMANDS:
            with redirect_stdout(io.StringIO()) as output:
                outcomes[command] = main(quick(command)), output.getvalue()
    return folder, outcomes


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_run(after_commands, command):
    status, output = after_commands[1][command]
    assert status == 0
    assert output


def test_case_r03_commands_make_runs_in_folders_of_their_own(after_commands, monkeypatch):
    monkeypatch.chdir(after_commands[0])
    folder_of: dict[Path, str] = {}
    for command in COMMANDS:
        if job(command) != "":
            continue
        options = run_options(quick(command))
        values = {"dataset": options.dataset} if options.dataset else {}
        config = LeCDSRConfig(options.model, options.config_files, values, options.overrides)
        assert folder_of.setdefault(config.run_directory, command) == command
    read = [shlex.split(command) for command in COMMANDS if job(command) == "recommend"]
    runs = {Path(arguments[arguments.index("--run") + 1]) for arguments in read}
    assert runs and runs <= folder_of.keys(), "recommend reads runs of the commands above it"


def test_case_r03_commands_done_twice_replace_nothing(after_commands, monkeypatch):
    monkeypatch.chdir(after_commands[0])
    before = {path: path.read_bytes() for path in Path("runs").glob("*/*/*") if path.is_file()}
    assert sum(path.name == "result.json" for path in before) == sum(job(command) == "" for command in COMMANDS)
    for command in COMMANDS:
        if job(command) in ("", "recommend"):
            assert main(quick(command)) == 0
    assert {path: path.read_bytes() for path in Path("runs").glob("*/*/*") if path.is_file()} == before


def test_the_python_runs(after_commands, monkeypatch, capsys):
    monkeypatch.chdir(after_commands[0])
    (code,) = (block for language, block in BLOCKS if language == "python")
    exec(compile(code, "README.md", "exec"), {})
    assert 0 <= float(capsys.readouterr().out.split()[-1]) <= 1
