"""The examples run, on fewer users and for one epoch, and say what they are about."""

from __future__ import annotations

import json
import os
import runpy
import sys
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

FOLDER = Path(__file__).parents[1] / "examples"
SCRIPTS = {
    "quickstart": ["action: NDCG@10", "best epoch", "title", "drama"],
    "own_data": ["NDCG@10 in both domains", "kitchen", "food"],
    "llm_profiles": ["answers: 40 valid", "Likes ", "NDCG@10 with profiles"],
    "compare_models": ["both ndcg@10", "SASRec", "Pop"],
    "serve": ["has the network alone", "share of the exact top 10", "drama"],
}


@pytest.fixture
def examples(monkeypatch, tmp_path):
    """The folder of the examples is that of the script; their data have fewer users."""
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.chdir(tmp_path)
    import small_movielens

    fewer = partial(small_movielens.write_small_movielens, users=40)
    monkeypatch.setattr(small_movielens, "write_small_movielens", lambda folder, users=40: fewer(folder))
    yield
    sys.modules.pop("small_movielens", None)


def test_every_script_is_run():
    assert {path.stem for path in FOLDER.glob("*.py")} == {*SCRIPTS, "small_movielens"}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_runs_and_leaves_nothing(name, examples, monkeypatch, capsys, tmp_path):
    if name == "serve":
        pytest.importorskip("faiss", reason="exports need faiss: pip install faiss-cpu")
    monkeypatch.setenv("OPENAI_BASE_URL", "")  # as they were, after an example that sets them
    monkeypatch.setenv("OPENAI_API_KEY", "")
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--epochs=1"])
    runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    printed = capsys.readouterr().out
    for text in SCRIPTS[name]:
        assert text in printed
    assert not os.listdir(tmp_path)


def test_the_notebook_runs_and_is_stored_without_outputs(examples, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.mkdtemp", lambda: str(tmp_path / "data"))
    notebook = json.loads((FOLDER / "quickstart.ipynb").read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) >= 5 and not any(cell["outputs"] or cell["execution_count"] for cell in cells)
    names: dict[str, object] = {}
    for cell in cells:
        *lines, last = "".join(cell["source"]).split("\n")
        exec("\n".join(lines), names)
        shown = eval(last, names)
    assert isinstance(shown, pd.Series) and len(shown) > 100
    assert names["result"].test["overall"]["ndcg@10"] >= 0


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_no_example_names_a_place_of_one_machine(path):
    if path.is_file():
        text = path.read_text(encoding="utf-8")
        folders = [f"/{folder.name}/" for folder in Path(path.anchor).iterdir()]
        assert not [folder for folder in folders if folder in text]
