from __future__ import annotations

import pytest
import torch
from recbole.data.interaction import Interaction
from recbole.model.layers import FeedForward, TransformerEncoder
from torch import nn

from recbole_lecdsr.model.baselines.acceleration import LastPositionLayer, accelerate
from recbole_lecdsr.model.baselines.recbole import recbole_class
from recbole_lecdsr.model.modules.dropout import Dropout
from recbole_lecdsr.quick_start import load_dataset
from tests.helpers.pairs import random_events, write_pair


@pytest.mark.parametrize("p", [0.1, 0.5, 0.75])
def test_dropout_drops_the_share_and_keeps_the_expectation(p):
    torch.manual_seed(0)
    dropped = Dropout(p)(torch.ones(300, 1000))
    assert (dropped == 0).float().mean() == pytest.approx(p, abs=0.005)
    assert dropped[dropped > 0].unique().tolist() == pytest.approx([1 / (1 - p)], rel=1e-4)
    assert dropped.mean() == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("shape", [(1,), (5,), (3, 7), (2, 3, 5)], ids=str)
def test_dropout_keeps_shapes_and_gives_the_gradient_of_what_it_kept(shape):
    torch.manual_seed(1)
    values = torch.ones(shape, requires_grad=True)
    kept = Dropout(0.5)(values)
    assert kept.shape == values.shape
    kept.sum().backward()
    assert torch.equal(values.grad, kept.detach())


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_dropout_of_nothing_and_of_everything(p):
    assert torch.equal(Dropout(p)(torch.ones(9)), torch.full((9,), 1 - p))


def test_dropout_does_nothing_in_evaluation_and_follows_the_seed():
    values, layer = torch.ones(99), Dropout(0.5)
    assert torch.equal(layer.eval()(values), values)
    layer.train()
    torch.manual_seed(3)
    first, second = layer(values), layer(values)
    torch.manual_seed(3)
    assert torch.equal(layer(values), first)
    assert not torch.equal(first, second)


@pytest.fixture
def pair_of_models(tmp_path):
    """A stock model and the same one made faster, with the same weights and no dropout; and a batch of windows."""

    def make(name: str):
        settings = write_pair(tmp_path, random_events(), size=40)
        own = {"adapter_hidden_size", "embedding_size", "train_neg_sample_args", "train_epochs"}
        values = {key: value for key, value in settings.items() if key not in own}
        off = {"hidden_dropout_prob": 0.0, "attn_dropout_prob": 0.0}
        data = load_dataset(name, config_dict={**values, **off, "hidden_size": 8, "inner_size": 16})
        whole = data.config.model_class(data.config, data)
        stock = recbole_class(name)(whole.view.config, whole.view)
        fast = recbole_class(name)(whole.view.config, whole.view)
        fast.load_state_dict(stock.state_dict())
        length = torch.tensor([6, 1, 3, 2])
        item_seq = torch.randint(1, data.num_total_item, (4, 6), generator=torch.Generator().manual_seed(0))
        item_seq = item_seq * (torch.arange(6) < length[:, None])
        accelerate(fast, lambda: length - 1)
        batch = {"item_id_list": item_seq, "item_length": length, "item_id": torch.tensor([1, 2, 3, 4])}
        return stock, fast, Interaction(batch)

    return make


@pytest.mark.parametrize("name", ["SASRec", "SASRecF", "FDSA", "BERT4Rec", "LightSANs"])
def test_a_faster_model_computes_the_same_scores(pair_of_models, name):
    stock, fast, batch = pair_of_models(name)
    expected, found = (model.eval().full_sort_predict(batch) for model in (stock, fast))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["SASRec", "SASRecF", "FDSA"])
def test_the_last_layer_is_worked_out_for_the_last_event_with_the_same_gradients(pair_of_models, name):
    stock, fast, batch = pair_of_models(name)
    assert any(isinstance(module, LastPositionLayer) for module in fast.modules())
    assert list(fast.state_dict()) == list(stock.state_dict()), "checkpoints stay as they are"
    for model in (stock, fast):
        model.calculate_loss(batch).backward()
    pairs = zip(stock.named_parameters(), fast.parameters(), strict=True)
    for (label, expected), found in pairs:
        if expected.grad is not None:
            torch.testing.assert_close(found.grad, expected.grad, rtol=0, atol=1e-6, msg=label)


def test_models_that_read_other_places_and_classes_of_a_users_own_keep_their_last_layer(pair_of_models):
    _, fast, _ = pair_of_models("BERT4Rec")
    assert not any(isinstance(module, LastPositionLayer) for module in fast.modules())

    class SASRec(nn.Module):
        def __init__(self):
            super().__init__()
            self.trm_encoder = TransformerEncoder(hidden_size=8, inner_size=8)

    model = SASRec()
    accelerate(model, lambda: torch.zeros(1, dtype=torch.int64))
    assert not any(isinstance(module, LastPositionLayer) for module in model.modules())


def test_another_activation_and_a_class_derived_from_dropout_stay():
    class Own(nn.Dropout):
        pass

    layer = FeedForward(4, 4, 0.5, "relu", 1e-12)
    before, layer.dropout = layer.intermediate_act_fn, Own(0.5)
    accelerate(layer, lambda: torch.zeros(1, dtype=torch.int64))
    assert layer.intermediate_act_fn is before
    assert type(layer.dropout) is Own
