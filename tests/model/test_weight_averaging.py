"""Averaged weights as an aid of any model."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from recbole_cdr.utils import get_model
from torch import nn

from recbole_lecdsr import CrossDomainSequentialRecommender
from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.model.aids import with_aids
from recbole_lecdsr.model.modules.layers import masked_mean
from recbole_lecdsr.model.modules.weight_ema import WeightEMA
from recbole_lecdsr.model.weight_averaging import WeightAveragingMixin, with_weight_averaging
from recbole_lecdsr.quick_start import load_data_and_model, load_dataset
from tests.helpers.pairs import random_events, write_pair
from tests.helpers.runs import assert_same_run, read_run, train

# Own caches while scoring, caches between batches, state outside parameters, a recurrent network, each kind of scores.
MODELS = ["SASRec", "GRU4Rec", "LightGCN", "BPR", "TextSASRec", "AlphaFuse", "UniSRec", "C2DSR", "TriCDR", "ABXI"]


@pytest.fixture
def settings(tmp_path):
    pair = write_pair(tmp_path / "dataset", random_events())
    return {name: value for name, value in pair.items() if not name.endswith("_size")} | {"ema_decay": 0.9}


@pytest.mark.parametrize("model", MODELS)
def test_any_model_scores_with_the_average_of_its_weights(settings, model):
    run = train(settings, model, train_batch_size=32)
    config, read, data, _, _, test = load_data_and_model(run["run_directory"])
    assert isinstance(read, WeightAveragingMixin) and type(read).__name__ == model
    assert read.ema.steps > 1, "saved and read back"
    plain = type(read).__mro__[2]
    assert plain is with_aids(plain, {"ema_decay": 0, "score_fusion": False})
    alone, other = (plain(config, data).eval() for _ in range(2))
    state = read.state_dict()
    averages = {name.removeprefix("ema.").replace("/", "."): value for name, value in state.items()}
    own = {name: state[name] for name in alone.state_dict()}
    batch, _, _ = next(iter(test))
    items = torch.from_numpy(data.domain_items[1])

    def scores(model, weights):
        model.load_state_dict(weights)
        if model is not read and hasattr(model, "recbole_model"):  # LightGCN keeps what it has scored with
            model.recbole_model.restore_user_e = model.recbole_model.restore_item_e = None
        with torch.no_grad(), model.scoring():
            return model.score_items(batch, items), model.full_sort_predict(batch).view(len(batch), -1)[:, items]

    expected = scores(alone, {**own, **{name: averages[name] for name, _ in alone.named_parameters()}})
    assert all(torch.isfinite(part).all() for part in expected)
    for found, part in zip(scores(read, state), expected, strict=True):
        assert torch.allclose(found, part, atol=1e-6)
    assert not torch.allclose(scores(other, own)[0], expected[0]), "the weights themselves score otherwise"
    assert all(torch.equal(value, state[name]) for name, value in read.named_parameters()), "and are there again"


@pytest.mark.parametrize("model", ["ABXI", "LightGCN"])
def test_a_run_with_both_aids_resumes_to_the_result_of_the_unbroken_one(settings, tmp_path, model):
    both = {**settings, "score_fusion": True, "stopping_step": 9}
    unbroken = train(both, model, train_epochs=["BOTH:2"], output_dir=str(tmp_path / "unbroken"))
    train(both, model, train_epochs=["BOTH:1"], output_dir=str(tmp_path / "resumed"))
    resumed = train(both, model, train_epochs=["BOTH:2"], output_dir=str(tmp_path / "resumed"), resume=True)
    assert_same_run(unbroken["run_directory"], resumed["run_directory"])


class ScoresInLoss(CrossDomainSequentialRecommender):
    """Scores by `query`, with which it computes its loss too."""

    uses_every_parameter = True
    has_inner_product_scores = True

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.item = nn.Embedding(self.total_num_items, 4, padding_idx=0)

    def query(self, interaction):
        inputs = self.sequence_input(interaction)
        return masked_mean(self.item(inputs.item_seq), inputs.item_seq.ne(0))

    def item_vectors(self):
        return self.item.weight

    def calculate_loss(self, interaction):
        scores = self.query(interaction) @ self.item_vectors().T
        return F.cross_entropy(scores, interaction[self.item_field])


def test_a_loss_that_is_made_of_scores_is_that_of_the_weights_themselves(tmp_path):
    pair = write_pair(tmp_path / "dataset", random_events())
    values = {name: value for name, value in pair.items() if not name.endswith(("_size", "_hidden_size"))}
    runs = [
        train(
            {**values, "train_epochs": ["BOTH:1"], "train_batch_size": 32, "output_dir": str(tmp_path / str(decay))},
            ScoresInLoss,
            ema_decay=decay,
        )
        for decay in (0.0, 0.9)
    ]
    first, second = (read_run(run["run_directory"])["weights"] for run in runs)
    assert torch.equal(first["item.weight"], second["item.weight"])
    assert not torch.equal(second["item.weight"], second["ema.item/weight"])
    assert runs[0]["result"]["history"][0]["loss"] == runs[1]["result"]["history"][0]["loss"]


def test_the_running_statistics_of_batch_normalisation_are_averaged():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = WeightEMA(model, 0.5)
    values = []
    for number in (1.0, 4.0):
        model[1].running_mean.fill_(number)
        average.update(model)
        with average.applied_to(model):
            values.append(model[1].running_mean[0].item())
    assert values == pytest.approx([1.0, 3.0])  # 4 · 1 and 1 · 0.5, over 1.5
    assert model[1].running_mean[0] == 4.0
    assert int(model[1].num_batches_tracked) == 0


@pytest.mark.parametrize("model", ["Pop", "EASE"])
def test_a_model_without_steps_is_refused(settings, model):
    with pytest.raises(UserError, match=rf"{model} is fitted in one pass .* by the label {model}:ema_decay=0"):
        LeCDSRConfig(model, config_dict=settings, command_line=[])


def test_a_model_class_is_wrapped_once(settings):
    plain = get_model("ABXI")
    assert with_weight_averaging(plain) is with_weight_averaging(plain)
    assert with_weight_averaging(plain).has_inner_product_scores
    assert load_dataset("ABXI", config_dict=settings, command_line=[]).config.model_class is with_weight_averaging(
        plain
    )
