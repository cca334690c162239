from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.domains import write_domains

HERE = Path(__file__).parent


def python(*arguments: str, cwd: Path, **environment: str) -> str:
    """The output of a fresh interpreter that can import the plugin and the tests."""
    paths = [str(HERE.parents[1]), *filter(None, [environment.pop("PYTHONPATH", ""), os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


# The same sums in the same order, whatever runs beside and wherever arrays lie in memory.
REPEATABLE = {"OMP_NUM_THREADS": "1", "MKL_CBWR": "COMPATIBLE"}


@pytest.fixture(scope="session")
def stock(tmp_path_factory) -> dict:
    """What the frameworks do in a process of their own that never imports the plugin."""
    folder = tmp_path_factory.mktemp("stock")
    return json.loads(python(str(HERE.parent / "helpers" / "stock.py"), cwd=folder, **REPEATABLE).splitlines()[-1])


FRESH = """
import json, sys
from pathlib import Path
import recbole_lecdsr
import recbole.model.sequential_recommender, recbole_cdr.quick_start, recbole_cdr.utils, torch
from recbole.quick_start import run_recbole
from tests.helpers import stock
stock.write_shop(Path("whole"))
print(json.dumps({
    "quick_start": run_recbole.__name__,
    "ray": [name for name in sys.modules if name.split(".")[0] == "ray"],
    "anomaly_detection": torch.is_anomaly_enabled(),
    "model": recbole_cdr.utils.get_model("LeCDSR").__module__,
    "training": {model: stock.train(Path("whole"), model) for model in stock.MODELS},
}))
"""


@pytest.fixture(scope="session")
def fresh(tmp_path_factory) -> dict:
    """What a process does that has imported the plugin and nothing else."""
    return json.loads(python("-c", FRESH, cwd=tmp_path_factory.mktemp("fresh"), **REPEATABLE).splitlines()[-1])


@pytest.fixture
def domains(tmp_path) -> dict[str, object]:
    return write_domains(tmp_path / "dataset")


@pytest.fixture
def without(monkeypatch) -> Callable[[object, str], None]:
    """Take one adaptation away for a test; skips where this version of the framework did not need it."""

    def take_away(owner: object, name: str) -> None:
        adapted = vars(owner).get(name)
        if getattr(getattr(adapted, "__code__", None), "co_name", None) != "adapted":
            pytest.skip(f"{name} needs no adaptation in the installed versions")
        monkeypatch.setattr(owner, name, adapted.__wrapped__)

    return take_away
