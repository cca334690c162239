"""A model from outside the package, added by following CONTRIBUTING.md alone."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from recbole_lecdsr.cli import main
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.quick_start import load_data_and_model
from tests.helpers.runs import assert_same_run, process, read_run, train

CHECKOUT = Path(__file__).parents[2]
NAME = "my_models.MeanOfItems"


def code_of_the_page() -> str:
    """The model that CONTRIBUTING.md shows."""
    page = (CHECKOUT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = page[page.index("## Add a model") : page.index("## Add a data set")]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.S)
    return code


@pytest.fixture
def settings(pair, tmp_path, monkeypatch):
    """A pair of domains, and my_models.py in the current folder."""
    (tmp_path / "my_models.py").write_text(code_of_the_page(), encoding="utf-8")
    monkeypatch.delitem(sys.modules, "my_models", raising=False)
    own = {"embedding_size", "adapter_hidden_size"}  # of LeCDSR
    values = {name: value for name, value in pair.items() if name not in own}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    yield values
    sys.modules.pop("my_models", None)


def test_it_trains_and_is_loaded_again_with_its_own_parameter(settings):
    outcome = train(settings, NAME, vector_size=5)
    assert outcome["result"]["parameters"]["vector_size"] == 5
    config, model, dataset, _, _, test = load_data_and_model(Path(outcome["run_directory"]) / "model.pth")
    assert model.item_vectors().shape == (dataset.num_total_item, 5)
    batch, items, _ = next(iter(test))
    with torch.no_grad():
        every = model.full_sort_predict(batch)
        assert torch.allclose(every, model.query(batch) @ model.item_vectors().T)
    assert config["train_samples"] == "targets" and items is None


def test_its_parameter_has_the_declared_default_and_bounds(settings):
    assert train(settings, NAME, train_epochs=["BOTH:1"])["result"]["parameters"]["vector_size"] == 16
    with pytest.raises(UserError, match="vector_size"):
        train(settings, NAME, vector_size=0)
    with pytest.raises(UserError, match=r"vector_siz.*did you mean vector_size"):
        train(settings, NAME, vector_siz=3)


def test_it_resumes_to_the_same_result(settings, tmp_path):
    long = train(settings, NAME, train_epochs=["BOTH:4"], output_dir=str(tmp_path / "long"))
    train(settings, NAME, train_epochs=["BOTH:2"], output_dir=str(tmp_path / "runs"))
    resumed = train(settings, NAME, train_epochs=["BOTH:4"], output_dir=str(tmp_path / "runs"), resume=True)
    long, resumed = (Path(run["run_directory"]) for run in (long, resumed))
    np.testing.assert_equal(read_run(long)["ranks"], read_run(resumed)["ranks"])


def test_scores_can_be_fused(settings):
    outcome = train(settings, NAME, score_fusion=True)
    assert outcome["result"]["parameters"]["score_fusion"] is True
    weights = read_run(outcome["run_directory"])["weights"]
    assert weights["score_fusion.weight"].any(), "the weights of the fusion are fitted and saved"


def test_the_commands_take_it(settings, tmp_path, capsys):
    run = ("--config_files", "mine.yaml", "--output_dir=runs")
    assert main(["--model", NAME, "--vector_size=5", *run]) == 0
    capsys.readouterr()
    (folder,) = (tmp_path / "runs" / "pair").glob(f"{NAME}-2022-*")
    assert main(["recommend", "--run", str(folder), "--user", "u1", "-k", "2", "--format", "json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert [len(items) for items in found["recommended"].values()] == [2, 2]
    assert main(["compare", "--models", f"{NAME},{NAME}:vector_size=5", "--seeds", "1", *run]) == 0
    assert NAME in capsys.readouterr().out
    (tmp_path / "space.yaml").write_text("vector_size: {type: int, low: 2, high: 6}\n", encoding="utf-8")
    assert main(["tune", "--model", NAME, "--space", "space.yaml", "--trials", "1", *run]) == 0
    assert "vector_size" in capsys.readouterr().out


def test_two_processes_learn_what_one_does(settings, tmp_path):
    sgd = {"learner": "sgd", "train_batch_size": 13}
    alone = train(settings, NAME, **sgd, output_dir=str(tmp_path / "alone"))
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({**settings, **sgd, "output_dir": "two"}), encoding="utf-8")
    start = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(CHECKOUT / "run_lecdsr.py"))
    done = process(*start, "--model", NAME, "--config_files", "mine.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "two" / "pair").iterdir()
    one, other = read_run(alone["run_directory"]), read_run(folder)
    for name, weight in one["weights"].items():
        torch.testing.assert_close(weight, other["weights"][name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent_module.Model", "no module 'absent_module'"),
        ("my_models.Absent", "my_models has no class Absent"),
        ("my_models.F", "my_models.F' is a module, not a class"),
        ("my_models.nn.Module", "no module"),
        ("torch.nn.Linear", "Linear is no model of this plugin: derive it from"),
    ],
)
def test_what_is_no_model_is_refused(settings, name, message):
    with pytest.raises(UserError, match=message):
        train(settings, name)


def test_a_run_twice_is_the_same(settings, tmp_path):
    one, other = (train(settings, NAME, output_dir=str(tmp_path / name)) for name in ("one", "other"))
    assert_same_run(one["run_directory"], other["run_directory"])
