"""State in attributes of a foreign model: found where it changes, stored as plain data, put back."""

from __future__ import annotations

import io
from collections import deque

import numpy as np
import pytest
import scipy.sparse
import torch
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.utils import InputType
from torch import nn

from recbole_lecdsr.model.baselines.attribute_state import AttributeState
from recbole_lecdsr.trainer.trainer import CrossDomainSequentialTrainer
from tests.helpers.pairs import random_events, write_pair
from tests.helpers.runs import assert_same_run, train

SPARSE = scipy.sparse.random(5, 4, density=0.4, random_state=1)
VALUES = {
    "number": 7, "real": 0.1, "text": "TARGET", "nothing": None, "numpy_number": np.float32(0.3),
    "tensor": torch.arange(6.0).view(2, 3), "bits": torch.tensor([True, False]), "half": torch.ones(2).bfloat16(),
    "array": np.array([[0.1, np.nan]]), "objects": np.array([np.arange(2), None], dtype=object),
    "count": {"SOURCE": 1, 3: [torch.ones(1), (2, {4})]}, "recent": deque([1, 2], maxlen=2),
    "torch_sparse": torch.sparse_coo_tensor([[0, 1]], [1.0, 2.0], (3,), check_invariants=True),
    **{f"sparse_{form}": SPARSE.asformat(form) for form in ("csr", "csc", "coo", "lil", "dok")},
    "sparse_array": scipy.sparse.csr_array(SPARSE),
}  # fmt: skip


class Part(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))
        self.constant = np.arange(1000)


class Model(Part):
    def __init__(self):
        super().__init__()
        self.part = Part()
        self.count, self.seen, self.cache = torch.zeros(3), {"a": 1}, None
        self.function = len


def stored(state: dict) -> dict:
    """As a checkpoint gives it back."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def plain(value):
    """A value in a form that `==` compares, types included."""
    if isinstance(value, torch.Tensor):
        return value.dtype, value.to_dense().tolist()
    if scipy.sparse.issparse(value):
        return type(value), value.dtype, value.toarray().tolist()
    if isinstance(value, np.ndarray):
        return value.dtype, [plain(part) for part in value] if value.dtype == object else repr(value)
    if isinstance(value, (list, tuple, deque)):
        return type(value), getattr(value, "maxlen", None), [plain(part) for part in value]
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    return type(value), value


@pytest.mark.parametrize("name", VALUES)
def test_a_value_comes_back_from_a_checkpoint_as_it_was(name):
    model, other = Model(), Model()
    attributes, others = AttributeState(model), AttributeState(other)
    model.part.state = VALUES[name]
    others.write(other, stored(attributes.read(model)))
    assert plain(other.part.state) == plain(VALUES[name])
    assert others.read(other)["values"].keys() == {"part.state"}


def test_only_what_has_changed_is_stored():
    model = Model()
    attributes = AttributeState(model)
    assert attributes.read(model) == {"values": {}, "frozen": []}
    model.count[1] += 1  # in place
    model.seen["b"] = 2
    model.part.constant = np.arange(1000)  # another array of the same numbers
    model.function = model.later = max  # a function is not stored
    model.part.weight.requires_grad_(False)
    state = attributes.read(model)
    assert state["values"].keys() == {"count", "seen"}
    assert state["frozen"] == ["part.weight"]


def test_a_state_is_a_copy():
    model = Model()
    attributes = AttributeState(model)
    model.count = torch.ones(3)
    state = attributes.read(model)
    model.count += 1
    attributes.write(model, state)
    model.count += 1
    attributes.write(model, state)
    assert model.count.tolist() == [1, 1, 1]


def test_what_a_state_does_not_have_is_as_at_first():
    model = Model()
    attributes = AttributeState(model)
    first = attributes.read(model)
    model.cache, model.seen = torch.ones(2), {"a": 5}
    model.part.weight.requires_grad_(False)
    attributes.write(model, first)
    assert model.cache is None and model.seen == {"a": 1} and model.part.weight.requires_grad


def test_tensors_go_to_the_device_of_the_model():
    model = Model()
    attributes = AttributeState(model)
    model.count, model.cache = torch.ones(3), [torch.ones(1)]
    state = attributes.read(model)
    attributes.write(model.to("meta"), state)
    assert model.count.device.type == model.cache[0].device.type == "meta"
    assert all(value["kind"] in ("tensor", "list") for value in state["values"].values())


# ------------------------------------------------------------------ in runs


class Momentum(GeneralRecommender):
    """Its loss and scores depend on what it has seen so far, which it keeps in attributes of three kinds."""

    input_type = InputType.PAIRWISE

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.item = nn.Embedding(self.n_items, 4)
        self.seen, self.mean, self.steps = scipy.sparse.csr_matrix((1, self.n_items)), np.zeros(4), 0

    def calculate_loss(self, interaction):
        item = interaction[self.ITEM_ID]
        self.steps += 1
        self.mean = 0.9 * self.mean + 0.1 * self.item(item).mean(dim=0).detach().numpy()
        self.seen = self.seen + scipy.sparse.csr_matrix(np.bincount(item.numpy(), minlength=self.n_items))
        wanted = torch.from_numpy(self.mean).float() * self.steps
        return (self.item(item) - wanted).square().sum() - self.item(interaction[self.NEG_ITEM_ID]).mean()

    def full_sort_predict(self, interaction):
        counts = torch.from_numpy(self.seen.toarray()).float()
        return (self.item.weight @ torch.from_numpy(self.mean).float() + counts).expand(len(interaction), -1)


@pytest.mark.parametrize("epochs", [1, 3], ids=["after the first epoch", "before the test"])
@pytest.mark.parametrize("model", [Momentum, "ADMMSLIM"], ids=["state in attributes", "random numbers in scores"])
def test_a_run_with_state_outside_its_parameters_resumes_to_the_same_result(tmp_path, monkeypatch, model, epochs):
    pair = write_pair(tmp_path / "dataset", random_events())
    settings = {name: value for name, value in pair.items() if not name.endswith("_size")} | {"stopping_step": 9}
    unbroken = train(settings, model, train_epochs=["BOTH:3"], output_dir=str(tmp_path / "unbroken"))
    settings["output_dir"] = str(tmp_path / "resumed")
    with monkeypatch.context() as patch:  # the end of a process before the test
        patch.setattr(CrossDomainSequentialTrainer, "test", lambda *args, **kwargs: (_ for _ in ()).throw(EOFError))
        with pytest.raises(EOFError):
            train(settings, model, train_epochs=[f"BOTH:{epochs}"])
    resumed = train(settings, model, train_epochs=["BOTH:3"], resume=True)
    assert_same_run(unbroken["run_directory"], resumed["run_directory"])
