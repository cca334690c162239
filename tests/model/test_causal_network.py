from __future__ import annotations

import numpy as np
import pytest
import torch
from recbole_cdr.utils import train_mode2state

from recbole_lecdsr.data.loaders import data_preparation
from recbole_lecdsr.data.user_vectors import UserVectors
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.model.causal_network import CausalNetwork, shift_left
from recbole_lecdsr.model.modules.pca import principal_components
from recbole_lecdsr.model.sequence_input import SequenceInput
from recbole_lecdsr.quick_start import load_dataset
from tests.helpers.pairs import random_events, write_pair

VARIANTS = [
    {},
    {"attention_layers": 2},
    {"semantic_fusion": False},
    {"semantic_fusion": False, "aligned": False},
    {"item_embedding": None, "init_from_text": False},
    {"user_vectors": None},
    {"time_embedding_size": 5},
]


def one_per_user(profile: torch.Tensor) -> UserVectors:
    return UserVectors.one_per_user(profile.numpy())


def make(**settings) -> CausalNetwork:
    return CausalNetwork(**{"n_items": 12, "max_length": 6, "embedding_size": 8, "hidden_size": 4, **settings})


def network(**changes) -> CausalNetwork:
    torch.manual_seed(0)
    text, profile = torch.randn(12, 7), torch.randn(5, 7)
    text[0] = text[3] = 0
    settings = {"item_embedding": text, "user_vectors": one_per_user(profile), **changes}
    net = make(**settings).eval()
    with torch.no_grad():  # what starts at zero would hide its faults
        for parameter in net.parameters():
            parameter += torch.randn_like(parameter) * 0.1
        net.item_id.weight[0] = 0
    return net


WINDOWS = torch.tensor([[0, 0, 0, 1, 2, 3], [0, 4, 5, 6, 7, 8], [0, 0, 0, 0, 0, 0]])
DOMAINS = torch.tensor([[0, 0, 0, 1, 0, 1], [0, 0, 1, 1, 0, 1], [0, 0, 0, 0, 0, 0]])
TIMES = torch.tensor([[0, 0, 0, 0.1, 0.2, 0.9], [0, 0.3, 0.4, 0.4, 0.6, 1], [0, 0, 0, 0, 0, 0]])
ASKED = torch.tensor([0, 1, 0])
USERS = torch.tensor([1, 2, 3])


def inputs(item_seq, domain_seq, time_seq, domain, user) -> SequenceInput:
    n_earlier = item_seq.ne(0).sum(dim=1)
    return SequenceInput(item_seq, torch.zeros_like(item_seq), domain_seq, time_seq, domain, user, n_earlier)


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_padding_never_leaks(changes):
    """What stands in the padding's rows of the tables makes no difference."""
    net = network(**changes)
    before = net.query(inputs(WINDOWS, DOMAINS, TIMES, ASKED, USERS))
    with torch.no_grad():
        net.item_id.weight[0] = 100.0
        if net.item_text is not None:
            net.item_text[0] = 50.0
    after = net.query(inputs(WINDOWS, DOMAINS, TIMES, ASKED, USERS))
    assert torch.allclose(after[:2], before[:2], atol=1e-5), "an empty window has padding alone to look at"
    assert torch.isfinite(before).all(), "an empty window too"


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_windows_are_asked_alike_in_any_company(changes, monkeypatch):
    net = network(**changes)
    arguments = WINDOWS, DOMAINS, TIMES, ASKED, USERS
    together = net.query(inputs(*arguments))
    monkeypatch.setattr("recbole_lecdsr.model.causal_network._WINDOWS", 1)
    assert torch.allclose(net.query(inputs(*arguments)), together, atol=1e-6)
    alone = torch.cat([net.query(inputs(*(part[[row]] for part in arguments))) for row in range(len(WINDOWS))])
    assert torch.allclose(alone, together, atol=1e-6)


@pytest.mark.parametrize("changes", [*VARIANTS, {"attention_layers": 0}], ids=str)
def test_a_query_is_the_last_of_all_states_and_the_same_of_kept_items(changes):
    net = network(**changes)
    batch = inputs(WINDOWS, DOMAINS, TIMES, ASKED, USERS)
    query = net.query(batch)
    embedded = net.fuse(net.items(WINDOWS.flatten())).unflatten(0, WINDOWS.shape)
    whole = net.states(embedded, WINDOWS.ne(0), shift_left(DOMAINS, ASKED), TIMES)
    torch.testing.assert_close(
        query, net.queries(whole[:, -1], ASKED, USERS, torch.zeros_like(USERS)), rtol=1e-5, atol=1e-6
    )
    with net.keep_items():
        torch.testing.assert_close(net.query(batch), query, rtol=1e-5, atol=1e-6)
        with torch.no_grad():
            net.item_id.weight *= 2
        torch.testing.assert_close(net.query(batch), query, rtol=1e-5, atol=1e-6, msg="items are made once")
    assert not torch.allclose(net.query(batch)[:2], query[:2], atol=1e-3)


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_no_state_knows_a_later_event(changes):
    net = network(**changes)

    def states(item_seq, next_domain, relative_time):
        distinct, place = torch.unique(item_seq, return_inverse=True)
        events = net.fuse(net.items(distinct))[place]
        return net.states(events, item_seq.ne(0), next_domain, relative_time)

    next_domain = shift_left(DOMAINS, ASKED)
    before = states(WINDOWS, next_domain, TIMES)
    for place in range(1, 6):
        items, asked, times = WINDOWS.clone(), next_domain.clone(), TIMES.clone()
        items[1, place:] = torch.randperm(11)[: 6 - place] + 1
        asked[1, place:] = 1 - asked[1, place:]
        times[1, place:] = times[1, place:] / 2
        after = states(items, asked, times)
        assert torch.allclose(after[1, :place], before[1, :place], atol=1e-5)
        assert not torch.allclose(after[1, place:], before[1, place:], atol=1e-3)


def test_the_order_of_events_and_the_domain_that_is_asked_for_matter():
    net = network()
    turned = WINDOWS[:, [0, 2, 1, 3, 4, 5]]
    before = net.query(inputs(WINDOWS, DOMAINS, TIMES, ASKED, USERS))
    assert not torch.allclose(net.query(inputs(turned, DOMAINS, TIMES, ASKED, USERS))[1], before[1], atol=1e-3)
    assert not torch.allclose(net.query(inputs(WINDOWS, DOMAINS, TIMES, 1 - ASKED, USERS))[1], before[1], atol=1e-3)


def test_a_time_between_two_points_of_the_calendar_is_between_their_vectors():
    net = network(time_embedding_size=5)
    table = net.event_time.table.weight
    times = net.event_time(torch.tensor([[0.0, 0.5, 0.6, 1.0]]))[0]
    expected = torch.stack([table[0], table[2], 0.6 * table[2] + 0.4 * table[3], table[4]])
    assert torch.allclose(times, expected, atol=1e-6)


def test_the_time_of_an_event_matters_where_there_is_a_calendar():
    for size, matters in ((0, False), (5, True)):
        net = network(time_embedding_size=size)
        before, after = (net.query(inputs(WINDOWS, DOMAINS, times, ASKED, USERS)) for times in (TIMES, TIMES / 2))
        assert torch.equal(before[:2], after[:2]) is not matters


def test_a_fresh_network_is_self_attention_over_the_ids_alone():
    """Fusion, profile and their ablations start from the same scores, so that each has to earn its part."""
    torch.manual_seed(0)
    text, profile = torch.randn(12, 7), torch.randn(5, 7)
    net = make(item_embedding=text, user_vectors=one_per_user(profile)).eval()
    query = net.query(inputs(WINDOWS, DOMAINS, TIMES, ASKED, USERS))
    assert torch.allclose(query, net.query(inputs(WINDOWS, DOMAINS, TIMES, ASKED, torch.tensor([4, 3, 2]))), atol=1e-6)


def test_the_table_starts_as_the_principal_components_of_the_texts():
    text = torch.randn(12, 7)
    text[0] = text[3] = 0
    components = principal_components(text, 8)
    known = text.any(dim=1)
    assert not components[~known].any() and not components[:, 7].any()
    assert components[known].square().sum(dim=1).mean().item() == pytest.approx(1.0, rel=1e-5)
    centred = text[known] - text[known].mean(dim=0)
    similarity, ours = centred @ centred.T, components[known] @ components[known].T
    assert torch.allclose(ours / ours.norm(), similarity / similarity.norm(), atol=1e-4), "all 7 components fit into 8"
    torch.manual_seed(0)
    table = make(item_embedding=text, user_vectors=None).item_id.weight.detach()
    assert torch.allclose(table[known], 0.5 * components[known]) and table[3].any() and not table[0].any()


def test_texts_that_are_all_alike_leave_the_table_at_random():
    assert not principal_components(torch.ones(5, 3), 2).any()
    assert make(n_items=5, item_embedding=torch.ones(5, 3), user_vectors=None).item_id.weight[1:].any(dim=1).all()


def test_texts_that_are_not_there_cannot_start_a_table():
    with pytest.raises(ValueError, match="init_from_text needs"):
        network(item_embedding=None, init_from_text=True)


def prepared(tmp_path, **changes):
    data = load_dataset("LeCDSR", config_dict={**write_pair(tmp_path, random_events()), **changes})
    train, valid, _ = data_preparation(data.config, data)
    torch.manual_seed(0)
    return data.config.model_class(data.config, data), train, valid


@pytest.mark.parametrize("loss_type", ["softmax", "psl", "own_sample_hinge"])
def test_the_loss_of_a_sequence_is_that_of_its_targets_one_by_one(tmp_path, loss_type):
    settings = {"dropout_prob": 0.0, "profile_dropout": 0.0, "align_weight": 0.0, "loss_type": loss_type}
    model, train, _ = prepared(tmp_path, **settings)
    model.eval()
    net = model.network
    with torch.no_grad():
        net.profile_weight += 0.3
    batch = next(iter(train))
    total, number = 0.0, 0
    asked = shift_left(batch["domain_list"], batch["domain"])
    for row, column in zip(*np.nonzero(batch["target_list"].numpy()), strict=True):
        distinct, place = torch.unique(batch["item_id_list"][row : row + 1], return_inverse=True)
        events = net.fuse(net.items(distinct))[place]
        real, times = batch["item_id_list"][row : row + 1].ne(0), batch["relative_time_list"][row : row + 1]
        state = net.states(events, real, asked[row : row + 1], times)[:, column]
        domain = asked[row, column]
        query = net.queries(state, domain.view(1), batch["user_id"][row : row + 1], batch["n_earlier"][row].view(1))
        positive = batch["target_list"][row, column]
        negative = batch["neg_item_id"][domain]
        negative = negative[(negative != positive) & (negative != 0)]
        table = net.item_id.weight
        score = query @ table[positive], query @ table[negative].T
        total += model.objective.ranking_loss(*score, model.objective.temperature)
        number += 1
    expected = total if loss_type == "own_sample_hinge" else total / number  # a sum, and means
    (loss,) = model.calculate_loss(batch)
    assert loss.item() == pytest.approx(float(expected.detach()), rel=1e-5)


def test_every_part_is_trained(tmp_path):
    model, train, _ = prepared(tmp_path, profile_dropout=0.0)
    with torch.no_grad():  # what they weigh has no gradient while they are zero
        model.network.profile_weight += 0.3
        model.network.fusion.fusion_weight += 0.3
    losses = model.calculate_loss(next(iter(train)))
    assert len(losses) == 2 and losses[1] > 0, "ranking and alignment"
    sum(losses).backward()
    without = [name for name, p in model.network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())
    assert not model.network.item_id.weight.grad[0].any(), "padding is not trained"


def test_the_average_of_the_weights_scores_and_starts_as_the_weights(tmp_path):
    model, _, valid = prepared(tmp_path, ema_decay=0.5)
    model.eval()
    batch = next(iter(valid))[0]
    with torch.no_grad():
        first = model.full_sort_predict(batch)
        assert torch.equal(
            first, model.network(model.sequence_input(batch))
        )  # of the score_fusion nothing is learned yet
        old = model.network.item_id.weight.clone()
        model.network.item_id.weight += 1.0
        assert torch.equal(model.full_sort_predict(batch), first), "until a step is taken in"
        model.after_step()
        assert torch.allclose(model.full_sort_predict(batch), model.network(model.sequence_input(batch)), atol=1e-5)
        model.network.item_id.weight += 3.0
        model.after_step()
        # 1 · w_2 and 0.5 · w_1, over 1.5
        model.network.item_id.weight.copy_(old + 1.0 + 3.0 * 2 / 3)
        assert torch.allclose(model.full_sort_predict(batch), model.network(model.sequence_input(batch)), atol=1e-4)


@pytest.mark.parametrize("sequence", ["mixed", "single"])
@pytest.mark.parametrize("mode", ["BOTH", "SOURCE", "TARGET", "OVERLAP"])
def test_the_sequences_of_an_epoch_hold_every_target_once(tmp_path, mode, sequence):
    changes = {"sequence": sequence, "score_fusion": False}
    data = load_dataset("LeCDSR", config_dict={**write_pair(tmp_path, random_events()), **changes})
    train, _, _ = data_preparation(data.config, data)
    train.set_mode(train_mode2state[mode])
    log, learned = data.log, []
    for batch in train:
        asked = shift_left(batch["domain_list"], batch["domain"])
        for row, column in zip(*np.nonzero(batch["target_list"].numpy()), strict=True):
            seen = batch["item_id_list"][row, : column + 1]
            seen = seen[seen > 0].tolist()
            user, item, domain = (
                int(x) for x in (batch["user_id"][row], batch["target_list"][row, column], asked[row, column])
            )
            learned.append((user, item, domain, seen[-1]))
            if column < 5:
                following_item = batch["item_id_list"][row, column + 1]
                assert item == following_item
    expected = []
    for target in data.targets("train"):
        before = np.arange(log.first[target], target)
        if sequence == "single":
            before = before[log.domain[before] == log.domain[target]]
        wanted = {"SOURCE": log.domain[target] == 0, "TARGET": log.domain[target] == 1}.get(mode, True)
        if wanted and len(before) and (mode != "OVERLAP" or log.user[target] < data.num_overlap_user):
            values = log.user[target], log.item[target], log.domain[target], log.item[before[-1]]
            expected.append(tuple(map(int, values)))
    assert sorted(learned) == sorted(expected)
    assert train.num_samples == len(expected) > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": "published"}, "network: published with train_samples: sequences"),
        ({"train_samples": "targets"}, "network: causal with train_samples: targets"),
        ({"train_neg_sample_args": {"shared": False}}, "train_samples: sequences needs"),
        ({"embedding_size": 7}, "embedding_size 7 is not a multiple of attention_heads 2"),
        ({"network": "casual"}, "network must be published or causal, not 'casual'"),
        ({"train_samples": "all"}, "train_samples must be targets or sequences, not 'all'"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        prepared(tmp_path, **changes)


def test_the_baseline_is_lecdsr_without_its_ideas(tmp_path):
    pair = write_pair(tmp_path, random_events())
    data = load_dataset("TextSASRec", config_dict=pair)
    net = data.config.model_class(data.config, data).network
    assert net.item_adapter is None and net.fusion is None and net.user_text is None
    for name in ("no_user_profile", "no_semantic_fusion"):
        with pytest.raises(UserError, match=f"TextSASRec needs {name}: True"):
            load_dataset("TextSASRec", config_dict={**pair, name: False})


def test_item_vectors_stay_those_that_score_after_the_call(tmp_path):
    model, _, valid = prepared(tmp_path, ema_decay=0.5, score_fusion=False)
    model.eval()
    batch = next(iter(valid))[0]
    with torch.no_grad():
        model.after_step()
        model.network.item_id.weight += torch.randn_like(model.network.item_id.weight)
        product = model.query(batch) @ model.item_vectors().T
        assert torch.allclose(product, model.full_sort_predict(batch), atol=1e-5)
        items = torch.arange(2, 9)
        assert torch.allclose(model.score_items(batch, items), product[:, items], atol=1e-5)
