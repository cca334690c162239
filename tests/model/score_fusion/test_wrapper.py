"""Score fusion around models of every kind."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recbole_lecdsr.data.constants import TRAIN
from recbole_lecdsr.data.loaders import data_preparation
from recbole_lecdsr.model.score_fusion.calibration import calibration_targets
from recbole_lecdsr.model.score_fusion.wrapper import ScoreFusionMixin, with_score_fusion
from recbole_lecdsr.quick_start import load_data_and_model, load_dataset, run_lecdsr
from tests.helpers.pairs import random_events, write_pair

MODELS = ["SASRec", "GRU4Rec", "LightGCN", "BPR", "Pop", "EASE", "TextSASRec", "LeCDSR-paper"]
RIVALS = ["ABXI", "C2DSR", "TriCDR", "LLM4CDSR", "LLMESR", "UniSRec", "AlphaFuse"]


@pytest.fixture
def settings(tmp_path):
    pair = write_pair(tmp_path / "dataset", random_events())
    return {name: value for name, value in pair.items() if not name.endswith("_size")} | {"score_fusion": True}


def prepared(settings, model, **changes):
    data = load_dataset(model, config_dict={**settings, **changes})
    return data, data.config.model_class(data.config, data).eval(), data_preparation(data.config, data)


@pytest.mark.parametrize("model", [*MODELS, *RIVALS])
def test_any_model_trains_with_it_and_is_read_back(settings, model):
    run = run_lecdsr(model, config_dict={**settings, "train_epochs": ["BOTH:1"]}, command_line=[])
    for domain in ("source", "target"):
        assert np.isfinite(list(run["result"]["test"][domain].values())).all()
    config, read, _, _, _, test = load_data_and_model(f"{run['run_directory']}/model.pth")
    assert isinstance(read, ScoreFusionMixin) and type(read).__name__ == model.partition("-")[0]
    assert read.score_fusion.weight.any(dim=1).all(), "fitted, saved and read back"
    batch, _, _ = next(iter(test))
    with torch.no_grad():
        alone = super(ScoreFusionMixin, read).full_sort_predict(batch).view(len(batch), -1).float()
        inputs = read.sequence_input(batch)
        every = torch.arange(read.total_num_items)
        expected = read.score_fusion(alone, inputs, every.expand(len(batch), -1))
        assert torch.allclose(read.full_sort_predict(batch), expected, atol=1e-4)
        for items in map(torch.from_numpy, (test.dataset.domain_items[1], every.numpy()[::3])):
            assert torch.allclose(read.score_items(batch, items), expected[:, items], atol=1e-4)
        chosen = torch.randint(1, read.total_num_items, (len(batch), 3))
        batch.interaction[config["ITEM_ID_FIELD"]] = chosen
        assert torch.allclose(read.predict(batch), expected.gather(1, chosen), atol=1e-4)


def test_what_is_withheld_is_in_no_training_batch_and_in_no_graph(settings):
    data, model, (train, valid, _) = prepared(settings, "LightGCN")
    withheld = calibration_targets(data.log, data.targets("train"))
    assert len(withheld) and not np.isin(train.targets, withheld).any()
    matrix = model.view.inter_matrix().toarray()
    kept = data.log.split == TRAIN
    kept[withheld] = False
    expected = np.zeros_like(matrix)
    expected[data.log.user[kept], data.log.item[kept]] = 1
    np.testing.assert_array_equal(matrix, expected)
    np.testing.assert_array_equal(valid.targets, data.targets("valid"))


def test_without_it_nothing_is_withheld(settings):
    data, model, (train, *_) = prepared(settings, "SASRec", score_fusion=False)
    assert not isinstance(model, ScoreFusionMixin)
    np.testing.assert_array_equal(train.targets, data.targets("train"))


def test_without_item_texts_it_counts_alone(settings):
    _, with_texts, _ = prepared(settings, "SASRec")
    _, without, _ = prepared(settings, "SASRec", no_item_semantics=True)
    assert (with_texts.score_fusion.features.size, without.score_fusion.features.size) == (11, 6)


def test_a_model_class_is_wrapped_once(settings):
    data = load_dataset("SASRec", config_dict=settings)
    plain = type(data.config.model_class).__mro__ and data.config.model_class.__mro__[2]
    assert with_score_fusion(plain) is with_score_fusion(plain)
    assert not with_score_fusion(plain).has_inner_product_scores
