"""UniSRec against numbers that the official code computed, and what those cannot show."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from recbole_lecdsr import distributed
from recbole_lecdsr.data.loaders import data_preparation
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.model.baselines.unisrec import UniSRec
from recbole_lecdsr.model.baselines.unisrec_network import UniSRecNetwork, in_batch_softmax, item_drop
from recbole_lecdsr.model.modules.streams import positions_from_oldest
from recbole_lecdsr.quick_start import load_dataset
from tests.helpers.golden import Golden, assert_reproduced, load_weights, relative
from tests.helpers.pairs import random_events, write_pair, write_vectors
from tests.helpers.runs import assert_same_run, read_run, train
from tests.test_distributed import assert_about_the_same, in_two

# ------------------------------------------------------------------ the official code's numbers

FORMS = {
    "pretrain": {"released_drop": True, "exclude_repeated": False},
    "pretrain_masked": {"released_drop": True},
    "pretrain_word_drop": {"drop_words": True, "exclude_repeated": False},
}
SOFTMAX = {"inductive": True, "transductive": True, "inductive_no_pad": False, "transductive_no_pad": False}
QUIET = ("pretrain", "inductive", "transductive")  # in the file with noise and without


def with_and_without_noise(variants) -> list[tuple[str, bool]]:
    return [(name, quiet) for name in variants for quiet in (False, True) if name in QUIET or not quiet]


@pytest.fixture(scope="module")
def golden() -> Golden:
    return Golden("unisrec")


def to_left(values: Tensor, length: Tensor) -> Tensor:
    """Right-padded (B, L, …) as left-padded."""
    rows = [torch.roll(row, len(row) - n, dims=0) for row, n in zip(values, length.tolist(), strict=True)]
    return torch.stack(rows)


def names(golden: Golden) -> dict[str, str]:
    """Name in the file -> name of our parameter, apart from the experts, whose arrays are stacked."""
    found = {"position_embedding.weight": "position.weight", "item_embedding.weight": "item_id.weight"}
    found |= {
        f"moe_adaptor.{one}": f"adaptor.{other}" for one, other in (("w_gate", "gate"), ("w_noise", "gate_noise"))
    }
    parts = {
        "multi_head_attention.query": "query", "multi_head_attention.key": "key", "multi_head_attention.value": "value",
        "multi_head_attention.dense": "output", "multi_head_attention.LayerNorm": "norm",
        "feed_forward.dense_1": "feed_forward.0", "feed_forward.dense_2": "feed_forward.2",
        "feed_forward.LayerNorm": "forward_norm",
    }  # fmt: skip
    layers = {
        f"trm_encoder.layer.{block}.{theirs}": f"blocks.{block}.{ours}"
        for block in range(int(golden.setting("layers")))
        for theirs, ours in parts.items()
    }
    for theirs, ours in {"LayerNorm": "norm", **layers}.items():
        found |= {f"{theirs}.{kind}": f"{ours}.{kind}" for kind in ("weight", "bias")}
    return found


def stacked(arrays: dict[str, Tensor], part: str) -> Tensor:
    """``weight`` or ``bias`` of all experts."""
    suffix = {"weight": "lin.weight", "bias": "bias"}[part]
    number = sum(name.endswith(suffix) and "experts" in name for name in arrays)
    return torch.stack([arrays[f"moe_adaptor.experts.{index}.{suffix}"] for index in range(number)])


def golden_network(golden: Golden, *, item_id: bool, **changes) -> UniSRecNetwork:
    network = UniSRecNetwork(
        golden["input/text"],
        golden["input/text_augmented"],
        max_length=int(golden.setting("L")),
        size=int(golden.setting("d")),
        experts=int(golden.setting("K")),
        blocks=int(golden.setting("layers")),
        heads=int(golden.setting("heads")),
        inner_size=int(golden.setting("inner")),
        temperature=golden.setting("temperature"),
        adaptor_dropout=0.0, dropout=0.0, attention_dropout=0.0, item_id=item_id, **changes,
    )  # fmt: skip
    weights = golden.part("weight")
    ours = {theirs: name for theirs, name in names(golden).items() if item_id or name != "item_id.weight"}
    load_weights(network, weights, ours)
    with torch.no_grad():
        network.adaptor.weight.copy_(stacked(weights, "weight"))
        network.adaptor.bias.copy_(stacked(weights, "bias"))
    return network


def give_noise(network: UniSRecNetwork, *noise: Tensor) -> None:
    """The network draws this noise; of a window it takes the newest columns that it asks for."""
    drawn: Iterator[Tensor] = iter(noise)

    def draw(*shape: int) -> Tensor:
        given = next(drawn)
        return given[:, -shape[1] :] if len(shape) == 2 else given

    network.adaptor.draw_noise = draw


def assert_gradients(golden: Golden, network: UniSRecNetwork, prefix: str) -> None:
    expected = golden.part(prefix)
    own = {name: parameter.grad for name, parameter in network.named_parameters()}
    pairs = [(theirs, own.get(name)) for theirs, name in names(golden).items() if theirs in expected]
    for theirs, gradient in pairs:
        stored = expected[theirs]
        if gradient is None:
            assert not stored.any(), theirs
        elif stored.abs().max() < 1e-6:
            assert (gradient - stored).abs().max() < 1e-4, theirs
        else:
            assert_reproduced(gradient, stored, theirs)
    for part in ("weight", "bias"):
        assert_reproduced(own[f"adaptor.{part}"], stacked(expected, part), f"experts' {part}")


@pytest.mark.parametrize(("variant", "quiet"), with_and_without_noise(FORMS))
def test_golden_pretraining(golden, variant, quiet):
    network = golden_network(golden, item_id=False)
    length, target = golden["input/item_length"], golden["input/target"]
    item_seq = to_left(golden["input/item_seq"], length)
    keep = to_left(golden["augment/input/keep"], length)
    noise = [to_left(golden["input/noise_sequence"], length), golden["input/noise_target"]]
    augmented = golden["input/noise_augmented"]
    if FORMS[variant].get("drop_words"):
        noise.append(to_left(augmented, length))
    else:  # the stored noise belongs to the place after the drop
        kept, _ = item_drop(item_seq.ne(0), keep, released=FORMS[variant]["released_drop"])
        place = (positions_from_oldest(kept) - 1).clamp(min=0)
        noise.append(augmented.gather(1, place.unsqueeze(-1).expand(-1, -1, augmented.shape[-1])))
    give_noise(network, *(torch.zeros_like(part) if quiet else part for part in noise))
    of_items, of_views = network.contrastive_losses(item_seq, target.unsqueeze(1), keep, **FORMS[variant])
    loss = of_items + golden.setting("lambda") * of_views
    end = "_quiet" if quiet else ""
    output = golden.part(f"{variant}/output{end}")
    for name, value in {"loss_seq_item": of_items, "loss_seq_seq": of_views, "loss": loss}.items():
        assert_reproduced(value, output[name], name)
    loss.backward()
    assert_gradients(golden, network, f"{variant}/grad{end}")


@pytest.mark.parametrize(("variant", "quiet"), with_and_without_noise(SOFTMAX))
def test_golden_softmax_over_all_items(golden, variant, quiet):
    network = golden_network(golden, item_id=variant.startswith("transductive"), padding_class=SOFTMAX[variant])
    item_seq = to_left(golden["input/item_seq"], golden["input/item_length"])
    noise = to_left(golden["input/noise_sequence"], golden["input/item_length"]), golden["input/noise_items"]
    give_noise(network, *(torch.zeros_like(part) if quiet else part for part in noise))
    end = "_quiet" if quiet else ""
    loss = network.softmax_loss(item_seq, golden["input/target"].unsqueeze(1))
    assert_reproduced(loss, golden[f"{variant}/output{end}/loss"], "loss")
    loss.backward()
    assert_gradients(golden, network, f"{variant}/grad{end}")


@pytest.mark.parametrize("variant", ["inductive", "transductive"])
def test_golden_scores(golden, variant):
    network = golden_network(golden, item_id=variant == "transductive", padding_class=True).eval()
    table = network.adapted_table()
    query = network.query(to_left(golden["input/item_seq"], golden["input/item_length"]), table)
    scores = query @ network.candidates(table).T
    assert_reproduced(scores, golden[f"{variant}/output/scores_all"], "all scores")
    given = scores.gather(1, golden["input/candidates"])
    assert_reproduced(given, golden[f"{variant}/output/scores"], "scores")


@pytest.mark.parametrize("released", [True, False], ids=["released", "intended"])
def test_golden_item_drop(golden, released):
    length = golden["input/item_length"]
    item_seq = to_left(golden["input/item_seq"], length)
    kept, column = item_drop(item_seq.ne(0), to_left(golden["augment/input/keep"], length), released=released)
    name = "item_drop" if released else "intended"
    for row, expected, count, newest in zip(
        range(len(kept)), golden[f"augment/output/{name}_seq"], golden[f"augment/output/{name}_length"].tolist(),
        column[:, -1].tolist(), strict=True,
    ):  # fmt: skip
        own = item_seq[row][kept[row]]
        assert own.tolist() == expected[:count].tolist()
        assert item_seq[row, newest] == own[-1]


def test_golden_word_drop(golden):
    network = golden_network(golden, item_id=False)
    item_seq, keep = golden["input/item_seq"], golden["augment/input/keep"]
    view = network.text[item_seq + network.n_items * (item_seq.ne(0) & ~keep)]
    assert relative(view, golden["augment/output/word_drop_text"]) == 0


# ------------------------------------------------------------------ the network


def network(**changes) -> UniSRecNetwork:
    torch.manual_seed(0)
    text = torch.randn(12, 7)
    text[0] = text[3] = 0
    settings = {
        "max_length": 6, "size": 8, "experts": 3, "adaptor_dropout": 0.0, "blocks": 2, "heads": 2, "inner_size": 10,
        "dropout": 0.0, "attention_dropout": 0.0,
    }  # fmt: skip
    made = UniSRecNetwork(text, **{**settings, **changes})
    with torch.no_grad():
        for parameter in made.parameters():  # so that nothing is small or zero
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return made


WINDOWS = torch.tensor([[0, 0, 0, 1, 2, 3], [0, 4, 5, 6, 7, 8], [4, 9, 10, 11, 1, 2]])


def test_padding_changes_no_state_and_an_empty_window_has_a_finite_one():
    net = network().eval()
    query = net.query(WINDOWS, net.adapted_table())
    shorter = net.query(WINDOWS[:1, 3:], net.adapted_table())
    assert torch.allclose(query[:1], shorter, atol=1e-6)
    with torch.no_grad():
        net.item_id.weight[0] = 50.0
    assert torch.allclose(net.query(WINDOWS, net.adapted_table()), query, atol=1e-6)
    empty = torch.zeros(2, 6, dtype=torch.int64)
    assert torch.isfinite(net.query(empty, net.adapted_table())).all()


def quiet(net: UniSRecNetwork) -> UniSRecNetwork:
    net.adaptor.draw_noise = lambda *shape: torch.zeros(*shape, len(net.adaptor.weight))
    return net


@pytest.mark.parametrize("released", [True, False], ids=["released", "intended"])
def test_a_sequence_trains_as_the_windows_of_its_targets_do(released):
    """The same states, augmented ones too, without what is random."""
    net = quiet(network())
    row, targets = WINDOWS[2:], torch.tensor([[0, 10, 11, 1, 2, 5]])
    keep = torch.tensor([[True, False, True, True, False, True]])
    prefixes = torch.stack([F.pad(row[0, : end + 1], (5 - end, 0)) for end in range(1, 6)])
    kept = torch.stack([F.pad(keep[0, : end + 1], (5 - end, 0)) for end in range(1, 6)])
    together, apart = net.softmax_loss(row, targets), net.softmax_loss(prefixes, targets[:, 1:].T)
    assert together.item() == pytest.approx(apart.item(), rel=1e-5)
    together, apart = (
        torch.stack(net.contrastive_losses(windows, target, mask, released_drop=released))
        for windows, target, mask in ((row, targets, keep), (prefixes, targets[:, 1:].T, kept))
    )
    assert torch.allclose(together, apart, rtol=1e-5)


def test_an_augmented_view_is_the_history_without_the_dropped_items():
    net = network().eval()
    windows, keep = WINDOWS[2:], torch.tensor([[False, False, True, True, False, True]])
    kept, column = item_drop(windows.ne(0), keep)
    (adapted,) = net.adapt(windows)
    view = net.states(net.inputs(adapted, windows), kept, column[:, -1:])
    shorter = torch.tensor([[4, 10, 11, 2]])
    expected = net.query(shorter, net.adapted_table())
    assert torch.allclose(view.squeeze(1), expected, atol=1e-6)


def test_experts_that_run_once_for_each_item_give_what_experts_of_each_place_do():
    """With dropout each occurrence has masks of its own; at a vanishing rate both ways agree."""
    results = []
    for dropout in (0.0, 1e-9):
        net = quiet(network(adaptor_dropout=dropout))
        loss = net.softmax_loss(WINDOWS, torch.tensor([[9], [1], [5]]))
        loss.backward()
        results.append((loss.detach(), {name: parameter.grad for name, parameter in net.named_parameters()}))
    (one, own), (other, others) = results
    assert torch.allclose(one, other)
    for name, gradient in own.items():
        torch.testing.assert_close(gradient, others[name], rtol=1e-4, atol=1e-5, msg=name)


def test_noise_is_fresh_in_training_and_absent_in_evaluation():
    net = network()
    item = torch.tensor([5, 5])
    (trained,) = net.adapt(item)
    assert not torch.allclose(trained[0], trained[1], atol=1e-4)
    (scored,) = net.eval().adapt(item)
    assert torch.equal(scored[0], scored[1])
    assert torch.allclose(scored[0], net.adapted_table()[5], atol=1e-6)


def test_experts_compute_the_equation():
    adaptor = network().eval().adaptor
    text = torch.randn(4, 7)
    gate = torch.softmax(text @ adaptor.gate, dim=1)
    expected = sum(gate[:, k : k + 1] * ((text - adaptor.bias[k]) @ adaptor.weight[k].T) for k in range(3))
    assert torch.allclose(adaptor.mix(adaptor.experts(text)), expected, atol=1e-5)
    assert network(experts=3).adaptor.gate.shape == (7, 3)
    fresh = UniSRecNetwork(
        text, max_length=3, size=8, experts=2, adaptor_dropout=0.2, blocks=1, heads=1, inner_size=4, dropout=0.0,
        attention_dropout=0.0,
    )  # fmt: skip
    assert fresh.adaptor.experts(text).scale.flatten().tolist() == pytest.approx([math.log(2) + 0.01] * 8)
    assert fresh.item_id.weight[0].any() and not fresh.adaptor.gate.any() and not fresh.adaptor.bias.any()
    assert {layer.eps for layer in fresh.modules() if isinstance(layer, torch.nn.LayerNorm)} == {1e-12}


def test_items_without_text_get_no_exploding_gradient():
    torch.manual_seed(0)
    text = torch.randn(12, 7)
    text[0] = text[3] = 0
    net = UniSRecNetwork(
        text, max_length=6, size=8, experts=2, adaptor_dropout=0.0, blocks=1, heads=2, inner_size=4, dropout=0.0,
        attention_dropout=0.0, item_id=False,
    )  # fmt: skip
    net.softmax_loss(WINDOWS, torch.tensor([[3], [1], [5]])).backward()
    assert net.adaptor.bias.grad.abs().max() < 10
    assert not net.candidates(net.adapted_table())[3].any()
    net.zero_grad()
    sum(net.contrastive_losses(WINDOWS, torch.tensor([[3], [1], [5]]), WINDOWS.ne(2))).backward()
    assert net.adaptor.bias.grad.abs().max() < 10


def test_in_batch_softmax_by_hand():
    state, other = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]), torch.eye(3)[:, :2]
    target = torch.tensor([7, 8, 7])
    logits = state @ other.T / 0.5
    released, ours = (in_batch_softmax(state, other, target, 0.5, exclude_repeated=flag) for flag in (False, True))
    full = torch.stack(
        [
            -logits[0, 0] + torch.logsumexp(torch.stack([logits[0, 0], logits[0, 1], torch.tensor(0.0)]), 0),
            -logits[1, 1] + torch.logsumexp(logits[1], 0),
            -logits[2, 2] + torch.logsumexp(torch.stack([torch.tensor(0.0), logits[2, 1], logits[2, 2]]), 0),
        ]
    )
    assert released.item() == pytest.approx(full.mean().item())
    without = torch.stack(
        [
            -logits[0, 0] + torch.logsumexp(logits[0, :2], 0),
            full[1],
            -logits[2, 2] + torch.logsumexp(logits[2, 1:], 0),
        ]
    )
    assert ours.item() == pytest.approx(without.mean().item())


# ------------------------------------------------------------------ runs

SMALL = {
    "embedding_size": 8, "inner_size": 8, "n_experts": 2, "learning_rate": 0.01, "train_batch_size": 16,
    "stopping_step": 9, "temperature": 0.07, "attn_dropout_prob": 0.3,
}  # fmt: skip


@pytest.fixture
def settings(tmp_path) -> dict[str, object]:
    pair = write_pair(tmp_path / "dataset", random_events())
    return {name: value for name, value in pair.items() if name != "adapter_hidden_size"} | {
        **SMALL,
        "train_neg_sample_args": {"sample_num": 1, "shared": True},
    }


def losses(outcome: dict) -> list[float]:
    return [sum(epoch["loss"]) for epoch in outcome["result"]["history"]]


@pytest.mark.parametrize("changes", [
    {"item_form": "inductive", "train_samples": "targets"}, {"as_released": True, "adaptor_dropout_prob": 0.2},
], ids=str)  # fmt: skip
def test_the_loss_of_its_variants_falls_and_both_domains_are_scored(settings, changes):
    outcome = train({**settings, **changes}, "UniSRec", train_epochs=["BOTH:4"])
    assert losses(outcome)[-1] < losses(outcome)[0]
    assert {name.partition("_")[0] for name in outcome["test_result"]} >= {"source", "target"}
    assert np.isfinite(list(outcome["test_result"].values())).all()


def trained_parts(model: UniSRec, batch) -> set[str]:
    """The parts of the network that a step in the present phase changes."""
    model.zero_grad()
    parts = model.calculate_loss(batch)
    (sum(parts) if isinstance(parts, tuple) else parts).backward()
    return {name.split(".")[1] for name, parameter in model.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize("freeze", [True, False])
def test_after_pretraining_the_transformer_is_frozen(settings, freeze):
    data = load_dataset("UniSRec", config_dict={**settings, "freeze_encoder": freeze})
    model = UniSRec(data.config, data)
    batch = next(iter(data_preparation(data.config, data)[0]))
    everything = {"adaptor", "position", "item_id", "norm", "blocks"}
    model.set_phase("BOTH")
    assert trained_parts(model, batch) == everything
    model.set_phase("PRETRAIN")
    assert trained_parts(model, batch) == everything - {"item_id"}
    with torch.no_grad():
        scores = model.eval().score(batch, None)
        model.network.item_id.weight.add_(1.0)
        assert torch.equal(model.score(batch, None), scores), "nor are the IDs scored"
    model.train()
    model.set_phase("BOTH")
    fine_tuned = {"adaptor", "norm", "item_id"} if freeze else everything
    assert trained_parts(model, batch) == fine_tuned
    again = UniSRec(data.config, data)
    again.load_state_dict(model.state_dict())
    assert trained_parts(again, batch) == fine_tuned


@pytest.mark.parametrize("model", ["UniSRec", "UniSRec-paper"])
def test_pretraining_lowers_both_losses(settings, model):
    outcome = train(settings, model, train_epochs=["PRETRAIN:4", "BOTH:1"])
    first, *_, last, fine_tuned = (epoch["loss"] for epoch in outcome["result"]["history"])
    assert last[0] < first[0] and last[1] < first[1]
    assert len(fine_tuned) == 1
    state = read_run(outcome["run_directory"])["weights"]
    assert state["_extra_state"] == {"phase": "BOTH", "pretrained": True}


@pytest.mark.parametrize("broken", [["PRETRAIN:1"], ["PRETRAIN:2", "BOTH:1"]], ids=str)
def test_a_resumed_run_ends_as_the_unbroken_one(settings, tmp_path, broken):
    whole = ["PRETRAIN:2", "BOTH:2"]
    unbroken = train(settings, "UniSRec", train_epochs=whole, output_dir=str(tmp_path / "unbroken"))
    train(settings, "UniSRec", train_epochs=broken, output_dir=str(tmp_path / "resumed"))
    resumed = train(settings, "UniSRec", train_epochs=whole, output_dir=str(tmp_path / "resumed"), resume=True)
    assert_same_run(unbroken["run_directory"], resumed["run_directory"])


def test_two_processes_train_as_one(settings, tmp_path):
    """One expert: the gate has no choice and its noise no effect."""
    changes = {
        "n_experts": 1, "hidden_dropout_prob": 0.0, "attn_dropout_prob": 0.0,
        "learner": "sgd", "learning_rate": 0.1, "train_batch_size": 13,
    }  # fmt: skip
    alone = train(settings, "UniSRec", **changes, output_dir=str(tmp_path / "alone"))
    in_two(settings, "UniSRec", tmp_path, **changes, output_dir=str(tmp_path / "two"))
    (folder,) = (tmp_path / "two" / "pair").iterdir()
    assert_about_the_same(alone["run_directory"], folder)


def test_what_cannot_be_trained_is_refused(settings, monkeypatch):
    with pytest.raises(UserError, match="embedding_size 8 is not a multiple of n_heads 3"):
        train(settings, "UniSRec", n_heads=3)
    with pytest.raises(UserError, match="UniSRec has no items without their texts"):
        train(settings, "UniSRec", no_item_semantics=True)
    with pytest.raises(UserError, match=r"drops\.itememb does not exist: make it with"):
        train(settings, "UniSRec", word_drop_file="drops.itememb")
    with pytest.raises(UserError, match=r"word_drop_file must be the name of a file.*\.itememb"):
        train(settings, "UniSRec", word_drop_file="../drops")
    monkeypatch.setattr(distributed, "is_distributed", lambda: True)
    values = {"embedding_size": 8, "n_heads": 2, "no_item_semantics": False, "train_samples": "targets"}
    errors = UniSRec.check_parameters({**values, "sequence": "mixed", "train_epochs": ["PRETRAIN:1"]})
    assert len(errors) == 1 and "PRETRAIN compares the rows of a batch" in errors[0]
    assert not UniSRec.check_parameters({**values, "sequence": "mixed", "train_epochs": ["BOTH:1"]})


def test_words_are_dropped_where_a_file_has_their_vectors(settings, tmp_path):
    """An item that the file lacks keeps its vector."""
    pair = tmp_path / "dataset" / "pair"
    for domain in ("source", "target"):
        write_vectors(
            pair / domain / "drops.itememb", "item", {f"{domain[0]}{item}": [item] * 5 for item in range(1, 5)}
        )
    data = load_dataset("UniSRec", config_dict={**settings, "word_drop_file": "drops.itememb"})
    network = UniSRec(data.config, data).network
    text, dropped = network.text.chunk(2)
    ids = data.token_ids("target", "item")
    assert dropped[ids["t3"]].tolist() == [3.0] * 5
    assert torch.equal(dropped[ids["t8"]], text[ids["t8"]]) and text[ids["t8"]].any()
    assert "network.text" not in network.state_dict()
    train(settings, "UniSRec", word_drop_file="drops.itememb", train_epochs=["PRETRAIN:1"])
    write_vectors(pair / "source" / "drops.itememb", "item", {"s1": [1.0, 2.0]})
    with pytest.raises(UserError, match="have 2 numbers, those of the whole texts 5"):
        UniSRec(data.config, data)
