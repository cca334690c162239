"""C2DSR against numbers of the published implementation, and what these cannot show."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from recbole.data.interaction import Interaction

from recbole_lecdsr.data.event_log import build_event_log
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.model.baselines.c2dsr_network import C2DSRNetwork
from recbole_lecdsr.model.baselines.c2dsr_rows import (
    TrainingRows,
    corrupt,
    split_streams,
    successor_pairs,
    training_rows,
)
from recbole_lecdsr.model.modules.item_graph import ItemGraph
from recbole_lecdsr.model.modules.streams import newest_so_far, positions_from_oldest
from recbole_lecdsr.quick_start import load_data_and_model
from tests.helpers.golden import Golden, assert_reproduced, load_weights, sasrec_names
from tests.helpers.runs import train

VARIANTS = ["released", "corrected"]
SIZE = {"embedding_size": 8, "train_neg_sample_args": {"sample_num": 1, "shared": True}}


@pytest.fixture(scope="module")
def golden() -> Golden:
    return Golden("c2dsr")


@pytest.fixture
def settings(pair):
    return {name: value for name, value in pair.items() if not name.startswith("adapter")} | SIZE


def items_of(golden: Golden) -> tuple[torch.Tensor, torch.Tensor]:
    n_x, n_y = (int(golden.setting(name)) for name in ("items_x", "items_y"))
    return torch.arange(1, n_x + 1), torch.arange(n_x + 1, n_x + n_y + 1)


def domains(golden: Golden, item: torch.Tensor) -> torch.Tensor:
    return (item > golden.setting("items_x")).long()


def pairs_of_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Neighbours in left-padded rows."""
    pairs = [(one, other) for row in rows for one, other in pairwise(row) if one]
    previous, following = np.array(pairs).T
    return previous, following


def graphs(golden: Golden) -> tuple[ItemGraph, ItemGraph]:
    """Of the mixed rows, and of those of each domain together."""
    history, (x_items, y_items) = golden["input/history"].numpy(), items_of(golden)
    n_items = 1 + len(x_items) + len(y_items)
    of_domains = []
    for first, last in ((1, len(x_items)), (len(x_items) + 1, n_items)):
        parts = [row[(row >= first) & (row <= last)] for row in history]
        of_domains += [np.pad(part, (history.shape[1] - len(part), 0)) for part in parts]
    return ItemGraph(*pairs_of_rows(history), n_items), ItemGraph(*pairs_of_rows(np.array(of_domains)), n_items)


def names(golden: Golden) -> dict[str, str]:
    """Names of weights in the file -> ours."""
    found = {"lin_PAD.weight": "extra.weight", "lin_PAD.bias": "extra.bias"}
    for suffix, ours in (("", "mixed"), ("_X", "own.0"), ("_Y", "own.1")):
        found[f"item_emb{suffix}.weight"] = f"{ours}.item.weight"
        found[f"GNN_encoder{suffix}.encoder.0.gc1.bias"] = f"{ours}.graph_bias"
        found[f"encoder{suffix}.pos_emb.weight"] = f"{ours}.position.weight"
        found |= sasrec_names(f"encoder{suffix}", f"{ours}.encoder", int(golden.setting("blocks")))
    for domain, letter in enumerate("XY"):
        for kind in ("weight", "bias"):
            found[f"lin_{letter}.{kind}"] = f"output.{domain}.{kind}"
            found[f"D_{letter}.f_k.{kind}"] = f"discriminator.{domain}.{kind}"
    return found


def network_of(golden: Golden, variant: str) -> C2DSRNetwork:
    mixed, single = graphs(golden)
    items = items_of(golden)
    network = C2DSRNetwork(
        mixed_graph=mixed,
        single_graph=single,
        domain_items=items,
        n_items=1 + len(items[0]) + len(items[1]),
        max_length=int(golden.setting("length")) - 1,
        size=int(golden.setting("dim")),
        blocks=int(golden.setting("blocks")),
        heads=int(golden.setting("heads")),
        dropout=0.0,
        mask_padding=variant == "corrected",
    )
    load_weights(network, golden.part("weight"), names(golden))
    return network


def rows_of(golden: Golden, variant: str) -> tuple[TrainingRows, torch.Tensor]:
    """The rows that the published implementation made, and its corrupted sequences."""
    part = golden.part(f"{variant}/input")
    pair = {
        name: torch.stack([part[f"train_{name.format(letter)}"] for letter in "xy"])
        for name in ("{}_seq", "share_{}_ground", "{}_ground", "corrupt_{}")
    }
    rows = TrainingRows(part["train_seq"], pair["{}_seq"], pair["share_{}_ground"], pair["{}_ground"])
    return rows, pair["corrupt_{}"]


# ------------------------------------------------------------------ golden


@pytest.mark.parametrize("variant", VARIANTS)
def test_golden_losses_and_gradients(golden, variant):
    network, weight = network_of(golden, variant), golden.setting("lambda")
    rows, corrupted = rows_of(golden, variant)
    losses = network.losses(rows, corrupted, int(golden.setting("used_positions")))
    parts = dict(zip(("x_share", "y_share", "x", "y", "mi_x", "mi_y"), torch.cat([*losses]), strict=True))
    for name, value in parts.items():
        assert_reproduced(value, golden[f"{variant}/output/loss_{name}"], name)
    total = weight * (losses.mixed + losses.own).sum() + (1 - weight) * losses.infomax.sum()
    assert_reproduced(total, golden[f"{variant}/output/loss"], "loss")
    total.backward()
    ours, theirs = dict(network.named_parameters()), golden.part(f"{variant}/grad")
    known = names(golden)
    assert theirs.keys() == known.keys() and set(known.values()) == ours.keys()
    for name, expected in theirs.items():
        gradient = ours[known[name]].grad
        assert_reproduced(gradient.reshape(expected.shape), expected, name)
        if name.endswith(("emb.weight", "emb_X.weight", "emb_Y.weight")):
            assert not gradient[0].any(), "padding is not trained"


@pytest.mark.parametrize("keep_vectors", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_golden_scores(golden, variant, keep_vectors):
    network = network_of(golden, variant).eval()
    mixed = golden["input/eval_seq"]
    streams = split_streams(mixed, domains(golden, mixed))
    for letter, stream in zip("xy", streams, strict=True):
        assert torch.equal(stream, golden[f"input/eval_{letter}_seq"])
        last = newest_so_far(stream.ne(0))[:, -1] % stream.shape[1] - stream.shape[1]
        assert torch.equal(last, golden[f"input/eval_{letter}_last"])
    context = network.keeping_vectors() if keep_vectors else torch.no_grad()
    with context:
        for domain, candidates in enumerate(golden["input/candidates"]):
            scores = network.scores(mixed, streams[domain], domain, candidates)
            assert_reproduced(scores, golden[f"{variant}/output/scores"][domain], f"scores {domain}")
            every = network.scores(mixed, streams[domain], domain, None)
            torch.testing.assert_close(every.gather(1, network.column[domain, candidates]), scores)


def test_golden_rows_and_positions(golden):
    history = F.pad(golden["input/history"], (1, 0))
    item, following = history[:, :-1], history[:, 1:]
    domain = domains(golden, history)
    rows = training_rows(item, domain[:, :-1], history[:, -1], domain[:, -1], following)
    expected, corrupted = rows_of(golden, "corrected")
    for ours, theirs in zip(rows, expected, strict=True):
        assert torch.equal(ours, theirs)
    assert rows.is_two_sided.all()
    part = golden.part("corrected/input")
    streams = (("position", rows.mixed), ("x_position", rows.own[0]), ("y_position", rows.own[1]))
    for name, stream in streams:
        assert torch.equal(positions_from_oldest(stream.ne(0)), part[f"train_{name}"])
    for kept, fake in enumerate(corrupted):  # the order of the two, which the losses rely on
        assert torch.equal(fake[domain[:, :-1] == kept], item[domain[:, :-1] == kept])


def test_golden_graphs(golden):
    for graph, name in zip(graphs(golden), ("mixed", "single"), strict=True):
        expected = golden[f"input/adjacency_{name}"]
        assert_reproduced(graph(torch.arange(len(expected)), torch.eye(len(expected))), expected, name)


# ------------------------------------------------------------------ rows


def test_targets_that_are_not_trained_on_leave_their_places_in_the_streams():
    item, domain = torch.tensor([[0, 1, 5, 2, 6]]), torch.tensor([[0, 0, 1, 0, 1]])
    trained = torch.tensor([[0, 0, 0, 6, 3]])
    rows = training_rows(item, domain, torch.tensor([3]), torch.tensor([0]), trained)
    assert rows.own.tolist() == [[[0, 1, 0, 2, 0]], [[0, 0, 5, 0, 0]]]
    assert rows.own_target.tolist() == [[[0, 0, 0, 3, 0]], [[0, 0, 6, 0, 0]]]
    assert rows.mixed_target.tolist() == [[[0, 0, 0, 0, 3]], [[0, 0, 0, 6, 0]]]


def test_rows_without_places_of_both_domains_are_known():
    item, domain = torch.tensor([[1, 2], [1, 5], [5, 6]]), torch.tensor([[0, 0], [0, 1], [1, 1]])
    rows = training_rows(item, domain, torch.tensor([3, 2, 7]), torch.tensor([0, 0, 1]), torch.ones(3, 2).long())
    assert rows.is_two_sided.tolist() == [False, False, False]
    assert rows.own.tolist() == [[[1, 2], [1, 0], [0, 0]], [[0, 0], [0, 0], [5, 6]]]
    rows = training_rows(
        torch.tensor([[1, 5, 2]]), torch.tensor([[0, 1, 0]]), torch.tensor([6]), torch.tensor([1]), torch.ones(1, 3)
    )
    assert rows.is_two_sided.tolist() == [True]


def test_corrupted_sequences_replace_one_domain_and_differ_from_draw_to_draw():
    items = torch.arange(1, 11), torch.arange(11, 31)
    torch.manual_seed(0)
    mixed = torch.randint(1, 31, (50, 8))
    mixed[:, :2] = 0
    domain = (mixed > 10).long()
    one, other = corrupt(mixed, domain, items), corrupt(mixed, domain, items)
    assert not torch.equal(one, other)
    for kept, fake in enumerate(one):
        same = (domain == kept) & mixed.ne(0)
        assert torch.equal(fake[same], mixed[same])
        replaced = fake[~same & mixed.ne(0)]
        assert set(replaced.tolist()) == set(items[1 - kept].tolist())
        assert not fake[:, :2].any()


def test_the_graph_counts_training_interactions_after_their_predecessors():
    user, item = np.array([1, 1, 1, 1, 1, 2, 2]), np.array([1, 11, 2, 11, 3, 3, 1])
    domain = np.array([0, 1, 0, 1, 0, 0, 0])
    log = build_event_log(user, item, domain, np.arange(7.0), ready_split=np.array([0, 0, 0, 0, 2, 0, 0]))
    mixed = list(zip(*(part.tolist() for part in successor_pairs(log, within_domain=False)), strict=True))
    assert mixed == [(1, 11), (11, 2), (2, 11), (3, 1)], "no held-out interaction, and none of another user"
    single = list(zip(*(part.tolist() for part in successor_pairs(log, within_domain=True)), strict=True))
    assert sorted(single) == [(1, 2), (3, 1), (11, 11)]


# ------------------------------------------------------------------ parts


def test_dropout_of_the_graph_leaves_the_mean_and_drops_whole_entries():
    graph = ItemGraph(np.array([1, 1]), np.array([2, 3]), n_items=4)
    torch.manual_seed(0)
    table = torch.ones(4, 20_000)
    row = graph(torch.tensor([1]), table, torch.nn.Dropout(0.5))[0]
    assert set(row.tolist()) == {0.0, 1.0, 2.0}
    assert row.mean().item() == pytest.approx(1.0, abs=0.05)


def test_rows_of_one_domain_take_no_part_in_infomax(golden):
    network = network_of(golden, "released")
    rows, corrupted = rows_of(golden, "released")
    whole = network.losses(rows, corrupted, 10)
    wider = [torch.cat([part, part[..., :1, :]], dim=-2) for part in (*rows, corrupted)]
    wider[1][1, -1] = 0  # no place of Y
    wider[3][1, -1] = 0
    more = network.losses(TrainingRows(*wider[:4]), wider[4], 10)
    torch.testing.assert_close(more.infomax, whole.infomax)
    assert not torch.allclose(more.own, whole.own)
    nothing = network.losses(rows.select(torch.zeros(len(rows.mixed), dtype=torch.bool)), corrupted[:, :0], 10)
    assert torch.cat([*nothing]).tolist() == [0] * 6
    torch.cat([*nothing]).sum().backward()


# ------------------------------------------------------------------ runs


def test_windows_of_one_domain_are_left_out_as_published(settings):
    """The next-item loss of a batch is that of its rows with targets of both domains."""
    made = train(settings, "C2DSR-paper", MAX_ITEM_LIST_LENGTH=4, train_epochs=["BOTH:1"])
    _, model, _, loader, _, _ = load_data_and_model(f"{made['run_directory']}/model.pth")
    model.eval()  # no dropout
    batch = next(iter(loader))
    inputs = model.sequence_input(batch)
    read = inputs.item_seq, inputs.domain_seq, batch["item_id"], inputs.domain, batch["target_list"]
    kept = training_rows(*read).is_two_sided
    assert 0 < kept.sum() < len(kept)
    assert model.drop_one_sided
    loss, _ = model.calculate_loss(batch)
    model.drop_one_sided = False
    two_sided = {name: values[kept] for name, values in batch.interaction.items() if len(values) == len(kept)}
    torch.testing.assert_close(model.calculate_loss(Interaction(two_sided))[0], loss)
    assert not torch.allclose(model.calculate_loss(batch)[0], loss)


def test_calibration_targets_are_not_in_the_graph(settings):
    outcome = train(settings, "C2DSR", score_fusion=True, train_epochs=["BOTH:1"])
    _, model, dataset, *_ = load_data_and_model(f"{outcome['run_directory']}/model.pth")
    plain = ItemGraph(*successor_pairs(dataset.log, within_domain=False), dataset.num_total_item)
    withheld = ItemGraph(
        *successor_pairs(model.training_data(dataset).log, within_domain=False), dataset.num_total_item
    )
    assert torch.equal(model.network.mixed.graph.share, withheld.share)
    assert not torch.equal(plain.share, withheld.share)


def test_what_it_cannot_read_is_refused(settings):
    with pytest.raises(UserError, match=r"C2DSR reads both domains and cannot read sequence: single; use mixed"):
        train(settings, "C2DSR", sequence="single")
    with pytest.raises(UserError, match=r"embedding_size 8 is not a multiple of attention_heads 3"):
        train(settings, "C2DSR", attention_heads=3)
