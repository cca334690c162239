"""AlphaFuse, WhitenRec and LLMInit against numbers that the official code computed, and what those cannot show."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.model.baselines.alphafuse import SCALE, AlphaFuse, null_dimensions
from recbole_lecdsr.model.baselines.alphafuse_network import (
    AlphaFuseNetwork,
    binary_cross_entropy,
    cross_entropy,
    info_nce,
    unit,
)
from recbole_lecdsr.model.baselines.alphafuse_tables import AdaptedTable, FusedTable, InitializedTable, ItemTable
from recbole_lecdsr.model.modules.whitening import whiten
from recbole_lecdsr.quick_start import load_dataset
from tests.helpers.golden import Golden, assert_reproduced, load_weights
from tests.helpers.pairs import random_events, write_pair
from tests.helpers.runs import train
from tests.test_distributed import assert_about_the_same, in_two

# ------------------------------------------------------------------ the official code's numbers

VARIANTS = ("alphafuse", "alphafuse_cover", "whitenrec", "llminit")
_PARTS = {
    "ln_1": "input_norm", "ln_2": "attention_norm", "ln_3": "output_norm", "mh_attn.linear_q": "query",
    "mh_attn.linear_v": "value", "feed_forward.w_1": "inner", "feed_forward.w_2": "outer",
    "feed_forward.layer_norm": "forward_norm",
}  # fmt: skip
# name in the file -> name of our parameter; the bias of the keys, which has no effect, is left out
NETWORK = {
    "positional_embeddings.weight": "position.weight",
    "mh_attn.linear_k.weight": "key.weight",
    **{f"{theirs}.{kind}": f"{ours}.{kind}" for theirs, ours in _PARTS.items() for kind in ("weight", "bias")},
}
TABLE = {
    "item_embeddings.ID_embeddings.weight": "item_id.weight",
    "adapter.0.weight": "adapter.weight",
    "adapter.0.bias": "adapter.bias",
}


@pytest.fixture(scope="module")
def golden() -> Golden:
    return Golden("alphafuse")


def golden_table(golden: Golden, variant: str) -> ItemTable:
    weights, size = golden.part(f"{variant}/weight"), int(golden.setting("d"))
    text = weights.get("item_embeddings.language_embeddings.weight")
    if variant == "llminit":
        table: ItemTable = InitializedTable(golden["llminit/initial"])
    elif variant == "whitenrec":
        table = AdaptedTable(text, size)
    else:
        table = FusedTable(text, int(golden.setting("null_dim")), cover=variant == "alphafuse_cover")
    load_weights(table, weights, {theirs: ours for theirs, ours in TABLE.items() if theirs in weights})
    return table


def golden_network(golden: Golden) -> AlphaFuseNetwork:
    network = AlphaFuseNetwork(
        max_length=int(golden.setting("L")),
        size=int(golden.setting("d")),
        heads=int(golden.setting("heads")),
        dropout=0.0,
    )
    load_weights(network, golden.part("weight"), NETWORK)
    return network


@pytest.mark.parametrize("variant", VARIANTS)
def test_golden_states_scores_losses_and_gradients(golden, variant):
    table, network = golden_table(golden, variant), golden_network(golden)
    item_seq, target, negatives = (golden[f"input/{name}"] for name in ("item_seq", "target", "negatives"))
    output, whole = golden.part(f"{variant}/output"), table.whole()
    state = network(table(item_seq), item_seq.ne(0))
    assert_reproduced(state, output["state"], "state")
    scores = state @ whole.T
    assert_reproduced(scores[:, 1:], output["scores_all"], "all scores")
    candidates = golden["input/candidates"]
    assert_reproduced(scores.gather(1, candidates), output["scores"], "scores")
    cosine = (unit(state) @ unit(whole).T).gather(1, candidates)
    assert_reproduced(cosine, output["scores_cosine"], "cosines")
    positive, negative = table(target), table(negatives)
    loss = info_nce(state, positive, negative, golden.setting("temperature"))
    assert_reproduced(loss, output["loss_infonce"], "InfoNCE")
    assert_reproduced(loss, output["loss"], "loss")
    assert_reproduced(cross_entropy(state, whole, target), output["loss_ce"], "cross-entropy")
    assert_reproduced(binary_cross_entropy(state, positive, negative), output["loss_bce"], "binary cross-entropy")
    loss.backward()
    expected = golden.part(f"{variant}/grad")
    key_bias = expected.pop("mh_attn.linear_k.bias")
    assert key_bias.abs().max() < 1e-4, "ours has none, since it has no effect"
    own = {**dict(network.named_parameters()), **dict(table.named_parameters())}
    compared = {theirs: ours for theirs, ours in {**NETWORK, **TABLE}.items() if theirs in expected}
    assert compared.keys() == expected.keys() and sorted(compared.values()) == sorted(own)
    for theirs, ours in compared.items():
        assert_reproduced(own[ours].grad, expected[theirs].reshape(own[ours].shape), theirs)


def gram(vectors: Tensor) -> Tensor:
    """Inner products of the items, whatever the signs of the columns."""
    return vectors.double() @ vectors.double().T


def test_golden_whitening(golden):
    text, size = SCALE * golden["input/text"], int(golden.setting("d"))
    assert golden.setting("scale") == SCALE
    stored = golden["alphafuse/weight/item_embeddings.language_embeddings.weight"]
    standard = whiten(text, size)
    assert_reproduced(gram(standard.vectors[1:]), gram(stored[1:]), "standard")
    assert_reproduced(gram(standard.vectors[1:]), gram(golden["llminit/initial"][1:]), "start of LLMInit")
    cover = golden["alphafuse_cover/weight/item_embeddings.language_embeddings.weight"]
    assert_reproduced(gram(standard.vectors[1:, : cover.shape[1]]), gram(cover[1:]), "text of cover")
    assert_reproduced(standard.spectrum, golden["whitening/spectrum"], "spectrum")
    every = golden["whitenrec/weight/item_embeddings.language_embeddings.weight"]
    assert_reproduced(gram(whiten(text).vectors[1:]), gram(every[1:]), "all directions")
    plain = whiten(text, size, standardize=False)
    assert_reproduced(gram(plain.vectors[1:]), gram(golden["whitening/plain"]), "without standardisation")
    popularity = whiten(text, size, weight=golden["input/popularity"], center_weighted=True)
    assert_reproduced(gram(popularity.vectors[1:]), gram(golden["whitening/popularity"]), "popularity")


def test_golden_threshold(golden):
    spectrum = whiten(SCALE * golden["input/text"], 1).spectrum
    threshold, expected = (golden.arrays[f"whitening/{name}"].item() for name in ("threshold", "threshold_nullity"))
    assert null_dimensions(spectrum, threshold, len(spectrum)) == expected


# ------------------------------------------------------------------ whitening


def texts(n: int = 30, size: int = 6) -> Tensor:
    torch.manual_seed(0)
    made = torch.randn(n, size) @ torch.randn(size, size) + 3.0
    made[0] = made[4] = 0
    return made


def test_whitened_columns_have_mean_0_variance_1_and_do_not_correlate():
    text = texts()
    whitened, known = whiten(text), text.ne(0).any(dim=1)
    vectors = whitened.vectors[known]
    assert torch.allclose(vectors.mean(dim=0), torch.zeros(6), atol=1e-5)
    assert torch.allclose(vectors.T @ vectors / (len(vectors) - 1), torch.eye(6), atol=1e-4)
    assert not whitened.vectors[~known].any(), "an item without text has no part in it"
    assert torch.equal(whitened.vectors[known], whiten(text[known]).vectors)
    assert (whitened.spectrum.diff() <= 0).all()


def test_popularity_whitens_the_distribution_of_interactions():
    """An item with two interactions counts as two items with one each, up to the divisor."""
    text = texts()[1:4].repeat(3, 1) + torch.randn(9, 6) * torch.arange(1, 10).unsqueeze(1)
    weight = torch.tensor([2, 1, 1, 3, 1, 1, 1, 1, 2])
    whitened = whiten(text, weight=weight)
    repeated = whiten(text.repeat_interleave(weight, dim=0))
    number = int(weight.sum())
    expected = gram(repeated.vectors) * number / (number - 1)
    own = gram(whitened.vectors.repeat_interleave(weight, dim=0))
    assert torch.allclose(own, expected, rtol=1e-3, atol=1e-3)


def test_directions_without_variance_are_left_out():
    """Defect 7: they would be divided by the root of a rounding error."""
    text = texts()
    flat = torch.cat([text, text[:, :2] * 2.0], dim=1)
    whitened = whiten(flat)
    assert whitened.directions == 6 and whitened.vectors.shape == (30, 6)
    assert torch.allclose(gram(whitened.vectors), gram(whiten(text).vectors), atol=1e-3)
    wide = whiten(flat, 9).vectors
    assert torch.isfinite(wide).all() and not wide[:, 6:].any()
    few = whiten(text[:4], 6)
    assert few.directions == 2 and torch.isfinite(few.vectors).all()
    for text in (torch.zeros(3, 2), torch.ones(3, 2)):
        assert not whiten(text, 2).vectors.any()


def test_signs_of_directions_do_not_depend_on_the_solver(monkeypatch):
    """Trainable IDs are added to the columns, which are made again when a checkpoint is loaded."""
    expected, original = whiten(texts()).vectors, torch.linalg.eigh

    def mirrored(matrix):
        variances, directions = original(matrix)
        return variances, directions * torch.tensor([1.0, -1.0, -1.0, 1.0, -1.0, 1.0])

    monkeypatch.setattr(torch.linalg, "eigh", mirrored)
    assert torch.equal(whiten(texts()).vectors, expected)


def test_the_number_of_null_dimensions_must_be_usable():
    spectrum = torch.tensor([4.0, 2.0, 1.0, 0.5])
    assert null_dimensions(spectrum, 1.0, 3) == 2
    for threshold in (0.1, 4.0):
        with pytest.raises(UserError, match=r"give one from 0\.5 to"):
            null_dimensions(spectrum, threshold, 3)


# ------------------------------------------------------------------ network and tables

WINDOWS = torch.tensor([[0, 0, 0, 1, 2, 3], [0, 4, 5, 6, 7, 8], [4, 9, 10, 11, 1, 2]])


def network(**changes) -> AlphaFuseNetwork:
    torch.manual_seed(0)
    made = AlphaFuseNetwork(**{"max_length": 6, "size": 8, "heads": 2, "dropout": 0.0, **changes})
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return made


def table(**changes) -> FusedTable:
    torch.manual_seed(1)
    return FusedTable(whiten(texts(12, 9), 8).vectors, 3, random_ids=True, **changes)


def in_full(net: AlphaFuseNetwork, vectors: Tensor, real: Tensor) -> Tensor:
    """The block as the publication writes it: keys, values and queries of all positions."""
    inputs = (vectors + net.position.weight) * real.unsqueeze(2)
    own = net.input_norm(inputs)
    query, key, value = (
        layer(part).unflatten(2, (net.heads, -1)).transpose(1, 2)
        for layer, part in ((net.query, own), (net.key, inputs), (net.value, inputs))
    )
    logits = query @ key.transpose(2, 3) / inputs.shape[2] ** 0.5
    length = inputs.shape[1]
    seen = torch.ones(length, length).tril().bool() & real[:, None, None, :] | torch.eye(length).bool()
    attended = torch.softmax(logits.masked_fill(~seen, -torch.inf), dim=-1) @ value
    hidden = net.attention_norm(attended.transpose(1, 2).flatten(2) + own)
    hidden = net.forward_norm(net.outer(F.relu(net.inner(hidden))) + hidden)
    return net.output_norm(hidden * real.unsqueeze(2))[:, -1]


def test_the_newest_state_alone_is_that_of_the_whole_block():
    net, items = network(), table()
    expected = in_full(net, items(WINDOWS), WINDOWS.ne(0))
    assert torch.allclose(net(items(WINDOWS), WINDOWS.ne(0)), expected, atol=1e-5)


def test_padding_changes_no_state_and_an_empty_window_has_a_finite_one():
    net, items = network(), table()
    state = net(items(WINDOWS), WINDOWS.ne(0))
    shorter = WINDOWS[:1, 3:]
    assert torch.allclose(net(items(shorter), shorter.ne(0)), state[:1], atol=1e-6)
    state.sum().backward()
    assert not items.item_id.weight.grad[0].any()
    with torch.no_grad():
        items.item_id.weight[0] = 50.0
    assert torch.allclose(net(items(WINDOWS), WINDOWS.ne(0)), state, atol=1e-6)
    empty = torch.zeros(2, 6, dtype=torch.int64)
    assert torch.isfinite(net(items(empty), empty.ne(0))).all()


def test_tables_compute_the_equations():
    text = whiten(texts(12, 9), 8).vectors
    item = torch.tensor([[1, 4], [11, 1]])
    fused = FusedTable(text, 3, random_ids=True)
    assert torch.equal(fused.whole()[:, :5], text[:, :5])
    assert torch.equal(fused.whole()[:, 5:], text[:, 5:] + fused.item_id.weight)
    covered = FusedTable(text[:, :5], 3, cover=True, random_ids=True)
    assert torch.equal(covered.whole(), torch.cat([text[:, :5], covered.item_id.weight], dim=1))
    adapted = AdaptedTable(text, 4)
    assert torch.allclose(adapted.whole(), F.gelu(text @ adapted.adapter.weight.T + adapted.adapter.bias))
    initial = InitializedTable(text)
    assert torch.equal(initial.whole()[1], text[1])
    only_ids = FusedTable(text, 8, random_ids=True)
    assert torch.equal(only_ids.whole(), text + only_ids.item_id.weight)
    for one in (fused, covered, adapted, initial, only_ids):
        assert torch.allclose(one(item), one.whole()[item], atol=1e-6)
        assert "text" not in one.state_dict()


def test_an_item_without_text_starts_with_a_direction():
    """The gradient of the direction of a zero vector is 10¹²."""
    text = whiten(texts(12, 9), 8).vectors
    for items in (FusedTable(text, 3), FusedTable(text[:, :5], 3, cover=True), InitializedTable(text)):
        assert items.whole()[4].any()
    ids = FusedTable(text, 3).item_id.weight
    assert [row for row in range(12) if ids[row].any()] == [0, 4]


# ------------------------------------------------------------------ runs

SMALL = {
    "embedding_size": 8, "id_size": 3, "learning_rate": 0.01, "train_batch_size": 16, "stopping_step": 9,
    "train_neg_sample_args": {"sample_num": 5},
}  # fmt: skip


@pytest.fixture
def settings(tmp_path) -> dict[str, object]:
    pair = write_pair(tmp_path / "dataset", random_events(), size=10)
    return {name: value for name, value in pair.items() if name != "adapter_hidden_size"} | SMALL


def losses(outcome: dict) -> list[float]:
    return [sum(epoch["loss"]) for epoch in outcome["result"]["history"]]


@pytest.mark.parametrize(("model", "changes"), [
    ("AlphaFuse-whitenrec", {}), ("AlphaFuse-llminit", {"loss_type": "BCE"}),
    ("AlphaFuse", {"variant": "cover", "loss_type": "CE", "score_by": "dot"}),
    ("AlphaFuse-paper", {"whitening": "popularity", "valid_metric": "NDCG@10"}),
], ids=str)  # fmt: skip
def test_the_loss_of_its_variants_falls_and_both_domains_are_scored(settings, model, changes):
    outcome = train({**settings, **changes}, model, train_epochs=["BOTH:4"])
    assert losses(outcome)[-1] < losses(outcome)[0]
    assert {name.partition("_")[0] for name in outcome["test_result"]} >= {"source", "target"}
    assert np.isfinite(list(outcome["test_result"].values())).all()


def test_two_processes_train_as_one(settings, tmp_path):
    changes = {"dropout_prob": 0.0, "learner": "sgd", "learning_rate": 0.05, "train_batch_size": 13}
    alone = train(settings, "AlphaFuse", **changes, output_dir=str(tmp_path / "alone"))
    in_two(settings, "AlphaFuse", tmp_path, **changes, output_dir=str(tmp_path / "two"))
    (folder,) = (tmp_path / "two" / "pair").iterdir()
    assert_about_the_same(alone["run_directory"], folder)


def made(settings, **changes) -> AlphaFuse:
    data = load_dataset("AlphaFuse", config_dict={**settings, **changes})
    return AlphaFuse(data.config, data)


def test_llminit_of_the_size_of_the_texts_starts_as_the_texts(settings):
    data = load_dataset("AlphaFuse", config_dict={**settings, "variant": "llminit", "embedding_size": 10})
    table = AlphaFuse(data.config, data).table
    assert torch.allclose(table.whole()[1:], SCALE * torch.from_numpy(data.item_embedding()[1:]))


def test_a_threshold_decides_on_the_ids(settings):
    spectrum = whiten(
        SCALE * torch.from_numpy(load_dataset("AlphaFuse", config_dict=settings).item_embedding())
    ).spectrum
    threshold = float(spectrum[-4] + spectrum[-5]) / 2
    table = made(settings, null_threshold=threshold, id_size=99).table
    assert isinstance(table, FusedTable) and isinstance(table.item_id, nn.Embedding)
    assert table.item_id.embedding_dim == 4


def test_texts_of_few_directions_are_warned_of(settings, caplog):
    made(settings, embedding_size=16)
    assert "the item texts differ in 10 directions only: the other 6 of 16 dimensions have no text" in caplog.text


def test_what_cannot_be_trained_is_refused(settings):
    for changes, message in (
        ({"n_heads": 3}, "embedding_size 8 is not a multiple of n_heads 3"),
        ({"id_size": 9}, "id_size 9 is larger than embedding_size 8"),
        ({"no_item_semantics": True}, "AlphaFuse has no items without their texts"),
        ({"train_neg_sample_args": {"shared": True}}, "negatives of its own"),
        ({"train_samples": "sequences"}, "AlphaFuse cannot learn from train_samples: sequences"),
    ):
        with pytest.raises(UserError, match=message):
            made(settings, **changes)
