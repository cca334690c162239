"""Faults of RecBole: what it does by itself, and what it does after the plugin is imported."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import recbole.trainer.trainer
import scipy.sparse
import torch
from recbole.data.dataset import Dataset
from recbole.model.general_recommender import Pop
from recbole.model.sequential_recommender import SASRecF
from recbole.trainer import Trainer

from recbole_lecdsr.compat import pandas as pandas_adaptations
from recbole_lecdsr.compat.checkpoints import load_checkpoint, stock_torch_load
from recbole_lecdsr.compat.patching import ModuleView
from recbole_lecdsr.compat.recbole import gradient_scaler, no_tensorboard, numpy_aliases, sparse_matrix_update
from recbole_lecdsr.property_files import read_property_file
from tests.helpers import stock as shop

PROPERTIES = Path(__file__).parents[2] / "properties"


@pytest.fixture
def whole(tmp_path):
    shop.write_shop(tmp_path / "whole")
    return tmp_path / "whole"


@pytest.fixture
def holes(tmp_path):
    shop.write_shop(tmp_path / "holes", missing=True)
    return tmp_path / "holes"


@pytest.mark.parametrize("model", shop.MODELS)
def test_stock_models_compute_exactly_what_they_computed_before(stock, fresh, model):
    assert isinstance(stock["training"][model], dict), stock["training"][model]
    assert fresh["training"][model] == stock["training"][model]


# ------------------------------------------------------------------ NumPy and SciPy


def test_stock_configuration_fails_on_names_that_numpy_removed(stock, whole):
    assert "np.float_" in stock["configuration"]
    assert shop.configuration(whole)["model"] == "BPR"


@pytest.mark.parametrize("name", ["float", "float_", "int", "bool", "bool8", "complex", "object", "str", "unicode_"])
def test_removed_names_of_numpy_are_types(name):
    assert np.issubdtype(np.zeros(1, dtype=getattr(np, name)).dtype, getattr(np, name))


def test_names_that_numpy_has_are_left_alone(monkeypatch):
    mine = type("float_", (), {})
    monkeypatch.setattr(np, "float_", mine)
    numpy_aliases()
    assert np.float_ is mine


def test_graph_models_can_fill_a_sparse_matrix(stock):
    if isinstance(stock["dok_matrix"], str):
        assert "_update" in stock["dok_matrix"]
    matrix = scipy.sparse.dok_matrix((2, 2))
    matrix._update({(0, 1): 3.0})
    assert matrix.toarray().tolist() == [[0, 3], [0, 0]]


def test_an_existing_update_of_a_sparse_matrix_is_left_alone(monkeypatch):
    monkeypatch.setattr(scipy.sparse.dok_matrix, "_update", "mine", raising=False)
    sparse_matrix_update()
    assert scipy.sparse.dok_matrix._update == "mine"


def test_a_sequential_model_takes_a_float_sequence_as_a_feature(whole, monkeypatch, without):
    columns = {"inter": ["user_id", "item_id", "timestamp"], "item": ["item_id", "size"]}
    features = {"selected_features": ["size"], "numerical_features": ["size"], "load_col": columns}
    monkeypatch.setitem(shop.MODELS, "SASRecF", {**shop.MODELS["SASRec"], **features})
    assert len(shop.train(whole, "SASRecF")["losses"]) == 2
    without(SASRecF, "__init__")
    with pytest.raises(RuntimeError, match="shapes"):
        shop.train(whole, "SASRecF")


def test_hgn_takes_a_weight_decay(whole, monkeypatch, without):
    monkeypatch.setitem(shop.MODELS, "HGN", {"train_neg_sample_args": None, "loss_type": "CE", "weight_decay": 0.01})
    assert len(shop.train(whole, "HGN")["losses"]) == 2
    without(Trainer, "_build_optimizer")
    with pytest.raises(TypeError, match="sequence"):
        shop.train(whole, "HGN")


def test_pop_counts_an_item_once_a_batch():
    pop = SimpleNamespace(ITEM_ID="item_id", item_cnt=torch.zeros(4, 1, dtype=torch.long), device="cpu")
    Pop.calculate_loss(pop, {"item_id": torch.tensor([2, 2, 2, 3])})
    assert pop.item_cnt.flatten().tolist() == [0, 0, 1, 1]
    assert read_property_file(PROPERTIES / "model/Pop.yaml")["train_batch_size"] <= 8


# ------------------------------------------------------------------ ray


def test_the_quick_start_is_imported_without_ray_and_nothing_stays_under_its_name(stock, fresh):
    assert "ray" in stock["quick_start"]
    assert fresh["quick_start"] == "run_recbole"
    assert fresh["ray"] == []


def test_results_are_reported_to_ray_where_it_runs_the_program(monkeypatch):
    reported = []
    stand_in = sys.modules["recbole.quick_start.quick_start"].tune
    stand_in.report(score=1)
    monkeypatch.setitem(sys.modules, "ray.tune", SimpleNamespace(report=lambda **values: reported.append(values)))
    stand_in.report(score=2)
    assert reported == [{"score": 2}]


# ------------------------------------------------------------------ checkpoints


def test_stock_checkpoints_are_refused_by_torch_and_read_again(stock, whole, caplog):
    assert stock["checkpoint"].startswith("UnpicklingError")
    assert shop.loaded_again(whole) == "resumed"
    assert "can run any code" in caplog.text


def test_a_run_of_recbole_can_be_loaded_by_its_quick_start(whole):
    from recbole.quick_start import load_data_and_model

    shop.loaded_again(whole)
    [path] = (whole / "saved").glob("BPR*.pth")
    config, model, *_ = load_data_and_model(str(path))
    assert config["model"] == "BPR" and type(model).__name__ == "BPR"


def test_plain_tensors_are_read_as_such_without_a_warning(tmp_path, caplog):
    torch.save({"weight": torch.ones(2)}, tmp_path / "plain.pth")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_checkpoint(tmp_path / "plain.pth")["weight"].tolist() == [1, 1]
    assert not caplog.text


def test_an_explicit_weights_only_is_obeyed(tmp_path):
    torch.save(SimpleNamespace(), tmp_path / "objects.pth")
    with pytest.raises(Exception, match="weights_only"):
        load_checkpoint(tmp_path / "objects.pth", weights_only=True)


def test_torch_load_itself_is_unchanged(tmp_path):
    assert torch.load is stock_torch_load
    torch.save(SimpleNamespace(), tmp_path / "objects.pth")
    with pytest.raises(Exception, match="weights_only"):
        torch.load(tmp_path / "objects.pth")


# ------------------------------------------------------------------ torch


def test_the_gradient_scaler_does_not_warn(stock):
    assert any("deprecated" in message for message in stock["scaler"])
    assert shop.scaler_warnings() == []


def test_a_newer_gradient_scaler_is_left_alone(monkeypatch):
    mine = SimpleNamespace(GradScaler=None)
    monkeypatch.setattr(recbole.trainer.trainer, "amp", mine)
    gradient_scaler()
    assert recbole.trainer.trainer.amp is mine


def test_importing_the_plugin_leaves_the_anomaly_mode_of_autograd_off(stock, fresh):
    assert stock["anomaly_detection"] is True
    assert fresh["anomaly_detection"] is False


def test_a_trainer_can_be_made_without_a_tensorboard_writer(tmp_path):
    with no_tensorboard():
        writer = recbole.trainer.trainer.get_tensorboard(None)
        writer.add_scalar("loss", 1.0, 0)
    assert recbole.trainer.trainer.get_tensorboard.__name__ == "get_tensorboard"
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------ pandas


def lost_by_copy_on_write() -> bool:
    return int(pd.__version__.split(".")[0]) >= 3


def test_missing_cells_are_filled(stock, holes):
    assert stock["missing_cells"] == (2 if lost_by_copy_on_write() else 0)  # of the item and of the padding
    data = shop.dataset(holes)
    tokens, prices = data.item_feat["colour"], data.item_feat["price"].to_numpy()
    at = {token: data.token2id("item_id", token) for token in ("i3", "i5")}
    assert tokens[at["i3"]] == 0 and tokens[at["i5"]] != 0
    others = [float(line.split("\t")[2]) for line in item_lines(holes) if line.split("\t")[2]]
    assert prices[at["i5"]] == pytest.approx(np.mean(others))


def item_lines(root) -> list[str]:
    return (root / "shop" / "shop.item").read_text().splitlines()[1:]


def test_a_missing_sequence_is_an_empty_one(stock, holes):
    if lost_by_copy_on_write():
        assert stock["missing_sequence"].startswith("AttributeError")
    data = shop.dataset(holes)
    assert len(data.item_feat["size"][data.token2id("item_id", "i5")]) == 0
    assert len(data.item_feat["size"][data.token2id("item_id", "i8")]) == 3


def test_sequences_of_different_lengths_are_normalised_cell_by_cell(stock, whole):
    if lost_by_copy_on_write():
        assert stock["sequence_lengths"].startswith("ValueError")
    cells = shop.sequence_cells(whole)
    assert sorted({tuple(cell) for cell in cells}) == [(), (0.0,), (0.0, 0.4), (0.0, 0.4, 1.0)]


def test_no_read_only_array_reaches_torch(stock, whole):
    assert bool(stock["read_only"]) == lost_by_copy_on_write()
    assert shop.read_only_warnings(whole) == []


def frame_of(values: np.ndarray):
    return lambda data: {"value": SimpleNamespace(values=values)}


@pytest.mark.parametrize(("adaptation", "fixed"), [
    ("pandas_missing_cells", {"DataFrame": lambda data: {"value": pd.Series([0.0])}, "StringDtype": int}),
    ("pandas_sequence_lengths", {}),
    ("pandas_read_only_arrays", {"DataFrame": frame_of(np.zeros(1))}),
])  # fmt: skip
def test_where_pandas_has_no_fault_nothing_is_adapted(monkeypatch, adaptation, fixed):
    monkeypatch.setattr(pd.Series, "agg", lambda self, function: self.map(function))
    monkeypatch.setattr(pandas_adaptations, "pd", ModuleView(pd, **fixed))
    before = adapted_for_pandas()
    getattr(pandas_adaptations, adaptation)()
    assert adapted_for_pandas() == before


def adapted_for_pandas() -> list[object]:
    """All that the adaptations to pandas change."""
    modules = [sys.modules[f"recbole.data.dataset.{name}"] for name in ("dataset", "sequential_dataset", "kg_dataset")]
    methods = [vars(Dataset)[name] for name in ("_load_feat", "_fill_nan", "_dataframe_to_interaction")]
    return [modules[0].pd, *(vars(module).get("len") for module in modules), *methods]
