"""Tri-CDR against numbers of the published implementation, and what these cannot show."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from recbole.data.interaction import Interaction

from recbole_lecdsr.data.domain_windows import DomainWindowGatherer
from recbole_lecdsr.data.event_log import build_event_log
from recbole_lecdsr.data.windows import WindowGatherer
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.model.baselines.tricdr_columns import TrainingColumns, training_columns
from recbole_lecdsr.model.baselines.tricdr_network import TriCDRNetwork
from recbole_lecdsr.quick_start import load_data_and_model
from tests.helpers.golden import Golden, assert_reproduced, load_weights, sasrec_names
from tests.helpers.runs import train

VARIANTS = ["released", "corrected"]
SIZE = {"embedding_size": 8, "train_neg_sample_args": {"sample_num": 2, "exclude_user_items": False}}


@pytest.fixture(scope="module")
def golden() -> Golden:
    return Golden("tricdr")


@pytest.fixture
def settings(pair):
    return {name: value for name, value in pair.items() if not name.startswith("adapter")} | SIZE


def names(golden: Golden) -> dict[str, str]:
    """Names of weights in the file -> ours."""
    found = {}
    for theirs, ours, view in (("mix", "mixed", 0), ("source", "source", 1), ("target", "target", 2)):
        prefix = f"sasrec_embedding_{theirs}"
        found[f"{prefix}.item_emb.weight"] = f"{ours}.item.weight"
        found[f"{prefix}.pos_emb.weight"] = f"{ours}.position"
        found |= sasrec_names(prefix, f"{ours}.encoder", int(golden.setting("blocks")))
        for layer, place in ((1, 0), (2, 2)):
            for kind in ("weight", "bias"):
                found[f"map_{theirs}_cl1_layer{layer}.{kind}"] = f"views.{view}.{place}.{kind}"
    layers = {"model.0": "attention.first", "model.2": "attention.rest.1", "model.4": "attention.rest.3"}
    layers |= {"log_feat_map1": "fusion.0", "log_feat_map2": "fusion.2"}
    found |= {f"{one}.{kind}": f"{other}.{kind}" for one, other in layers.items() for kind in ("weight", "bias")}
    return found | {"model.1.weight": "attention.rest.0.weight", "model.3.weight": "attention.rest.2.weight"}


def network_of(golden: Golden, variant: str) -> TriCDRNetwork:
    network = TriCDRNetwork(
        n_items=1 + int(golden.setting("items_a") + golden.setting("items_b")),
        max_length=int(golden.setting("length")),
        size=int(golden.setting("dim")),
        scale=golden.setting("temperature"),
        contrast_temperature=golden.setting("info_nce_temperature"),
        margin=golden.setting("triplet_margin"),
        published_attention=variant == "released",
        published_norms=variant == "released",
        blocks=int(golden.setting("blocks")),
        heads=int(golden.setting("heads")),
        dropout=0.0,
    )
    load_weights(network, golden.part("weight"), names(golden))
    return network


def columns_of(golden: Golden, variant: str) -> tuple[TrainingColumns, torch.Tensor]:
    """The queries that the published implementation made, and their negatives."""
    positive = golden["input/train_positive"]
    row, column = torch.nonzero(positive, as_tuple=True)
    last = [golden[f"{variant}/input/train_{name}_last"][row, column] for name in ("mixed", "source")]
    columns = TrainingColumns(
        *(golden[f"input/train_{name}"] for name in ("mixed", "source", "target")),
        row,
        column,
        positive[row, column],
        *last,
        is_viewed=column == positive.shape[1] - 1,
    )
    return columns, golden["input/train_negative"][row, column].unsqueeze(1)


# ------------------------------------------------------------------ golden


@pytest.mark.parametrize("variant", VARIANTS)
def test_golden_losses_and_gradients(golden, variant):
    network = network_of(golden, variant)
    columns, negative = columns_of(golden, variant)
    output = golden.part(f"{variant}/output")
    logits, _ = network.training_logits(columns, negative)
    for place, name in enumerate(("positive", "negative")):
        assert_reproduced(logits[:, place], output[f"{name}_logits"][columns.row, columns.column], name)
    losses = network.losses(columns, negative)
    pairs = ("mix_source", "mix_target", "source_target")
    for name, value in zip(pairs, losses.contrast, strict=True):
        assert_reproduced(value, output[f"loss_cl_{name}"], name)
    rates = torch.tensor([golden.setting(f"rate_{name}") for name in pairs])
    contrast = (rates * losses.contrast).sum() / rates.sum()
    total = losses.rec + golden.setting("cl_weight") * contrast + golden.setting("triplet_weight") * losses.triplet
    for name, value in {"_rec": losses.rec, "_cl": contrast, "_triplet": losses.triplet, "": total}.items():
        assert_reproduced(value, output[f"loss{name}"], f"loss{name}")
    total.backward()
    ours, theirs, known = dict(network.named_parameters()), golden.part(f"{variant}/grad"), names(golden)
    assert known.keys() - theirs.keys() == {"model.4.bias"}, "a constant that the softmax does not see"
    assert set(known.values()) == ours.keys()
    for name, expected in theirs.items():
        assert_reproduced(ours[known[name]].grad.reshape(expected.shape), expected, name)
    assert not network.target.item.weight.grad[0].any(), "padding is not trained"


@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_golden_scores(golden, variant):
    network = network_of(golden, variant).eval()
    query = network.query(*(golden[f"input/eval_{name}"] for name in ("mixed", "source", "target")))
    domain_items = torch.arange(int(golden.setting("items_a")) + 1, network.target.item.num_embeddings)
    candidates = golden["input/candidates"]
    scores = network.scores(query, candidates, domain_items)
    assert_reproduced(scores, golden[f"{variant}/output/scores"], "scores")
    every = domain_items.expand(len(query), -1)
    torch.testing.assert_close(
        network.scores(query, None, domain_items)[:, domain_items], network.scores(query, every, domain_items)
    )


def test_golden_columns_follow_from_places(golden):
    """Rows whose next interaction is of the other domain. Targets whose predecessor is cut off are not trained on."""
    events, n_a, length = [], golden.setting("items_a"), int(golden.setting("length"))
    for user, row in enumerate(golden["input/history"].tolist(), start=1):
        item = [one for one in row if one]
        targets = [place for place, one in enumerate(item) if one > n_a]
        events += [(user, one, int(one > n_a)) for place, one in enumerate(item) if place not in targets[-2:]]
        events.append((user, 1, 0))
    user, item, domain = np.array(events).T
    log = build_event_log(user, item, domain, np.arange(len(user)), split={"LS": "test_only"})
    last = torch.from_numpy(np.flatnonzero(np.r_[user[1:] != user[:-1], True]))
    windows, mixed = DomainWindowGatherer(log, length)(last), WindowGatherer(log, length)(last).item
    ours = training_columns(
        mixed, windows.mixed_place, windows.item, windows.place, domain=1,
        next_item=torch.ones(len(last)).long(), next_domain=torch.zeros(len(last)).long(), trained=mixed,
    )  # fmt: skip
    theirs, _ = columns_of(golden, "corrected")
    assert torch.equal(ours.mixed, theirs.mixed) and torch.equal(ours.source, theirs.source)
    assert torch.equal(ours.target[:, 1:], theirs.target[:, 1:])
    kept = theirs.mixed_last >= 0
    for name in ("row", "column", "positive", "mixed_last", "source_last", "is_viewed"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name)[kept]), name


# ------------------------------------------------------------------ columns


def one_row(next_domain: int, trained: list[int], **changes) -> TrainingColumns:
    """History 1 11 2 12 13, then item 3 or 14; direction of domain 1."""
    log = build_event_log(
        np.ones(6), np.array([1, 11, 2, 12, 13, 14 if next_domain else 3]), np.array([0, 1, 0, 1, 1, next_domain]),
        np.arange(6.0), split={"LS": "test_only"},
    )  # fmt: skip
    last = torch.tensor([5])
    windows, mixed = DomainWindowGatherer(log, 5)(last), WindowGatherer(log, 5)(last).item
    return training_columns(
        mixed, windows.mixed_place, windows.item, windows.place, **{"domain": 1} | changes,
        next_item=torch.tensor([int(log.item[5])]), next_domain=torch.tensor([next_domain]),
        trained=torch.tensor([trained]),
    )  # fmt: skip


def test_the_newest_column_predicts_the_next_target_or_the_newest():
    columns = one_row(1, [11, 2, 12, 13, 14])
    assert columns.target.tolist() == [[0, 0, 11, 12, 13]]
    assert columns.positive.tolist() == [12, 13, 14]
    assert columns.mixed_last.tolist() == [2, 3, 4] and columns.source_last.tolist() == [4, 4, 4]
    assert columns.is_viewed.tolist() == [False, False, True]
    columns = one_row(0, [11, 2, 12, 13, 3])
    assert columns.target.tolist() == [[0, 0, 0, 11, 12]]
    assert columns.positive.tolist() == [12, 13] and columns.column.tolist() == [3, 4]
    assert columns.mixed_last.tolist() == [2, 3]
    columns = one_row(1, [11, 2, 12, 13, 14], domain=0)
    assert columns.target.tolist() == [[0, 0, 0, 0, 1]]
    assert columns.positive.tolist() == [2] and columns.source_last.tolist() == [2]
    assert columns.source.tolist() == [[0, 0, 11, 12, 13]], "12 and 13 are later than the positive and out of reach"


def test_the_source_is_read_up_to_the_positive():
    log = build_event_log(
        np.ones(5), np.array([11, 12, 1, 13, 14]), np.array([1, 1, 0, 1, 1]), np.arange(5.0), split={"LS": "test_only"}
    )
    last = torch.tensor([4])
    windows, mixed = DomainWindowGatherer(log, 4)(last), WindowGatherer(log, 4)(last).item
    for published, none in ((False, -1), (True, 0)):
        columns = training_columns(
            mixed, windows.mixed_place, windows.item, windows.place, domain=1, next_item=torch.tensor([14]),
            next_domain=torch.tensor([1]), trained=mixed, published=published,
        )  # fmt: skip
        assert columns.positive.tolist() == [12, 13, 14]
        assert columns.source_last.tolist() == [none, 3, 3]


def test_only_targets_of_the_row_are_trained_on():
    columns = one_row(1, [0, 0, 0, 13, 14])
    assert columns.positive.tolist() == [13, 14]
    assert not len(one_row(0, [0, 0, 0, 0, 3]).row)


# ------------------------------------------------------------------ network


@torch.no_grad()
def test_an_empty_source_set_is_zero_or_uniform(golden):
    source = golden["input/train_source"]
    for variant in VARIANTS:
        network = network_of(golden, variant).eval()
        columns, negative = columns_of(golden, variant)
        columns = columns._replace(source_last=torch.full_like(columns.source_last, -1))
        _, (_, read, _) = network.training_logits(columns, negative)
        mean = network.source(source).mean(dim=1)[columns.row]
        expected = torch.zeros_like(read) if variant == "corrected" else mean
        later = columns.column > 0
        torch.testing.assert_close(read[later], expected[later])
        assert all(part.isfinite().all() for part in network.losses(columns, negative))


@torch.no_grad()
def test_column_0_skips_the_attention_as_published(golden):
    for variant in VARIANTS:
        network = network_of(golden, variant).eval()
        columns, negative = columns_of(golden, variant)
        first = columns.column == 0
        assert first.sum() == 1
        columns = columns._replace(mixed_last=columns.mixed_last.clamp(min=5))
        _, read = network.training_logits(columns, negative)
        states = network.mixed(columns.mixed)[columns.row, 0]
        assert torch.equal(read[0][first], states[first]) == (variant == "released")


def test_windows_without_interactions_have_finite_scores_and_gradients(golden):
    network = network_of(golden, "corrected")
    nothing = torch.zeros(2, 10).long()
    query = network.query(nothing, nothing, nothing)
    query.sum().backward()
    assert query.isfinite().all()
    assert all(one.grad is None or one.grad.isfinite().all() for one in network.parameters())


def test_the_contrast_is_that_of_the_equation(golden):
    network = network_of(golden, "corrected")
    torch.manual_seed(0)
    one, other = torch.randn(4, 8, dtype=torch.float64), torch.randn(4, 8, dtype=torch.float64)
    both = F.normalize(torch.cat([one, other]))
    every = (both @ both.T / 0.1).exp()
    least = (every.sum(dim=1) - np.exp(10)).clamp(min=1e-6) + 1e-6
    expected = -(every.diagonal(4).repeat(2) / least).log().mean()
    torch.testing.assert_close(network._contrast(one, other), expected)
    assert network._contrast(one.float() * 0, other.float()).isfinite()


@torch.no_grad()
def test_a_logit_does_not_depend_on_later_interactions_as_published_where_there_are_earlier_ones(golden):
    network = network_of(golden, "released").eval()
    columns, negative = columns_of(golden, "corrected")
    has_source = columns.source_last >= 0
    early = (columns.column < 8) & has_source & (columns.mixed_last >= 0)
    assert early.sum() > 2
    columns = TrainingColumns(*columns[:3], *(part[early] for part in columns[3:]))
    changed = columns._replace(
        target=columns.target.clone(), mixed=columns.mixed.clone(), source=columns.source.clone()
    )
    changed.target[:, 8:] = 40
    changed.mixed[:, columns.mixed_last.max() + 1 :] = 7
    changed.source[:, columns.source_last.max() + 1 :] = 7
    one, _ = network.training_logits(columns, negative[early])
    other, _ = network.training_logits(changed, negative[early])
    torch.testing.assert_close(one, other, rtol=0, atol=0)


# ------------------------------------------------------------------ runs


def test_as_published_the_loss_falls_and_the_items_of_the_domain_are_scored_as_candidates(settings):
    settings = {**settings, "train_epochs": ["BOTH:6"], "stopping_step": 9, "triplet_margin": 0.5}
    outcome = train(settings, "TriCDR-paper")
    history = [epoch["loss"] for epoch in outcome["result"]["history"]]
    assert history[-1][0] < history[0][0] and all(np.isfinite(losses).all() for losses in history)
    _, trained, dataset, _, _, test = load_data_and_model(f"{outcome['run_directory']}/model.pth")
    trained.eval()
    batch, _, _ = next(iter(test))
    items = [torch.from_numpy(ids) for ids in dataset.domain_items]
    assert set(batch["domain"].tolist()) == {0, 1}
    with torch.no_grad():
        every = trained.full_sort_predict(batch)
        assert every.isfinite().all() and every.ne(0).any(dim=1).all()
        for domain, ids in enumerate(items):
            chosen = batch["domain"] == domain
            candidates = ids.expand(len(chosen), -1)
            scores = trained.score(batch, candidates)[chosen]
            torch.testing.assert_close(scores, every[chosen][:, ids])
        batch.update(Interaction({"item_id": torch.zeros_like(batch["item_id"])}))
        torch.testing.assert_close(trained.full_sort_predict(batch), every, rtol=0, atol=0)


def test_every_trained_target_but_the_first_of_a_domain_is_learned_once_by_its_direction(settings):
    """And its negatives are of its own domain."""
    outcome = train(settings, "TriCDR", train_epochs=["BOTH:1"], MAX_ITEM_LIST_LENGTH=4)
    _, model, dataset, loader, _, _ = load_data_and_model(f"{outcome['run_directory']}/model.pth")
    log, learned = dataset.log, []
    for batch in loader:
        for domain in (0, 1):
            columns, negative = model.queries(batch, domain)
            assert negative.shape == (len(columns.row), 2) and np.isin(negative, dataset.domain_items[domain]).all()
            at = columns.row, columns.mixed_last
            assert torch.equal(batch["target_list"][at], columns.positive)
            place = batch["place_list"][at] + 1
            learned += list(zip(batch["user_id"][columns.row].tolist(), place.tolist(), strict=True))
    assert len(learned) == len(set(learned))
    expected = set()
    for target in dataset.targets("train"):
        earlier = log.domain[log.first[target] : target] == log.domain[target]
        if earlier.any():
            expected.add((int(log.user[target]), int(target - log.first[target] + 1)))
    assert set(learned) == expected


def test_what_it_cannot_read_is_refused(settings):
    with pytest.raises(UserError, match=r"TriCDR cannot read sequence: mixed; use mixed_and_single"):
        train(settings, "TriCDR", sequence="mixed")
    with pytest.raises(UserError, match=r"embedding_size 8 is not a multiple of attention_heads 3"):
        train(settings, "TriCDR", attention_heads=3)
    with pytest.raises(UserError, match=r"use train_neg_sample_args\.shared: False"):
        train(settings, "TriCDR", train_neg_sample_args={"shared": True, "exclude_user_items": False})
    with pytest.raises(UserError, match=r"contrast_rates must be three numbers of at least 0, not all of them 0"):
        train(settings, "TriCDR", contrast_rates=[1, 0])
