"""LLM4CDSR against numbers of the released code, and what these cannot show."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from recbole_lecdsr.data.event_log import build_event_log
from recbole_lecdsr.data.samples import sample_targets
from recbole_lecdsr.data.user_vectors import UserVectors
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.model.alignment import contrast_by_similarity
from recbole_lecdsr.model.baselines.llm4cdsr_network import (
    LLM4CDSRNetwork,
    TrainingBatch,
    split_threads,
)
from recbole_lecdsr.model.baselines.pair_losses import inner_products, mean_cross_entropy
from recbole_lecdsr.model.baselines.training_histories import DomainHistories, newest_targets, newest_windows
from tests.helpers.golden import Golden, assert_reproduced, load_weights, sasrec_names
from tests.helpers.pairs import random_events, write_pair
from tests.helpers.runs import train

VARIANTS = ("released", "causal")


@pytest.fixture(scope="module")
def golden() -> Golden:
    return Golden("llm4cdsr")


def names(blocks: int) -> dict[str, str]:
    """Name in the file -> name of our parameter."""
    threads = {"": "mixed_encoder", "A": "local_encoders.0", "B": "local_encoders.1"}
    found = {"item_embA.weight": "item_tables.0.weight", "item_embB.weight": "item_tables.1.weight"}
    for suffix, ours in threads.items():
        found[f"pos_emb{suffix}.weight"] = f"{ours}.position.weight"
        found |= sasrec_names(f"backbone{suffix}", f"{ours}.encoder", blocks)
    for theirs, ours in {"adapter": "item_adapter", "user_adapter": "user_adapter"}.items():
        for number, layer in enumerate(("inner", "outer")):
            found |= {f"{theirs}.{number}.{kind}": f"{ours}.{layer}.{kind}" for kind in ("weight", "bias")}
    return found


def network_of(golden: Golden, variant: str) -> LLM4CDSRNetwork:
    weights = golden.part("weight")
    items_a, items_b = (int(golden.setting(name)) for name in ("items_a", "items_b"))
    network = LLM4CDSRNetwork(
        item_text=weights["item_emb_llm.weight"],
        user_vectors=UserVectors.one_per_user(weights["user_emb_llm.weight"].numpy()),
        domain_items=[torch.arange(1, items_a + 1), torch.arange(items_a + 1, items_a + items_b + 1)],
        max_length=int(golden.setting("length")),
        size=int(golden.setting("dim")),
        blocks=int(golden.setting("blocks")),
        heads=int(golden.setting("heads")),
        dropout=0.0,
        causal=variant == "causal",
        trains_item_tables=variant == "causal",
    )
    load_weights(network, weights, names(int(golden.setting("blocks"))))
    return network


def windows(golden: Golden, part: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Mixed windows of ``train`` or ``eval`` and their domains."""
    item_seq = golden[f"input/{part}_seq"]
    return item_seq, (item_seq > golden.setting("items_a")).long()


def training_batch(golden: Golden, negative: torch.Tensor) -> TrainingBatch:
    item_seq, domain_seq = windows(golden, "train")
    target = golden["input/train_pos"]
    return TrainingBatch(
        item_seq=item_seq,
        domain_seq=domain_seq,
        domain=(target[:, -1] > golden.setting("items_a")).long(),
        user=golden["input/train_user_id"],
        n_earlier=item_seq.ne(0).sum(dim=1),
        target=target,
        negative=negative.unsqueeze(-1),
        item_pair=torch.stack([golden["input/train_reg_A"], golden["input/train_reg_B"]], dim=1),
    )


def test_golden_threads_are_those_of_the_released_loader(golden):
    offset = torch.tensor([0, int(golden.setting("items_a"))])
    for part, domain in (
        ("train", training_batch(golden, golden["input/train_pos"]).domain),
        ("eval", golden["input/eval_target_domain"]),
    ):
        threads = split_threads(*windows(golden, part), domain)
        for code, name in enumerate("AB"):
            local = (threads.item[code] - offset[code]).clamp(min=0)
            assert torch.equal(local, golden[f"input/{part}_seq{name}"])
            if part == "train":
                mask, row = golden["input/train_domain_mask"], torch.arange(len(local))[:, None].expand(local.shape)
                here = mask.eq(code)
                assert torch.equal(threads.column.ge(0) & threads.next_domain.eq(code), here)
                columns = threads.column[here]
                target = golden["input/train_pos"][here] - offset[code]
                assert torch.equal(golden[f"input/train_pos{name}"][row[here], columns], target)


def losses_of(network: LLM4CDSRNetwork, golden: Golden, variant: str) -> tuple[torch.Tensor, ...]:
    """The four losses. As released, the two terms of a negative are of different items, which only a test does."""
    settings = {"item_temperature": golden.setting("tau_reg"), "user_temperature": golden.setting("tau")}
    batch = training_batch(golden, golden[f"{variant}/input/train_neg"])
    losses = network.losses(batch, **settings)
    if variant == "causal":
        return losses
    threads = split_threads(batch.item_seq, batch.domain_seq, batch.domain)
    mixed = network.mixed_states(network.adapted(batch.item_seq), batch.item_seq)
    places, (row, column) = network.places(mixed, threads, batch.target)
    positive, negative = batch.target[row, column], batch.negative[row, column, 0]
    local_column = threads.column[row, column]
    offset = int(golden.setting("items_a"))
    local_negative = torch.where(
        places.domain == 0,
        golden[f"{variant}/input/train_negA"][row, local_column],
        golden[f"{variant}/input/train_negB"][row, local_column] + offset,
    )
    logits = inner_products(places.mixed, network.adapted(torch.stack([positive, negative], dim=1)))
    local = network.local_vectors(places.domain, torch.stack([positive, local_negative], dim=1))
    logits = logits + inner_products(places.local, local)
    return *(mean_cross_entropy(logits[places.domain == code]) for code in range(2)), *losses[2:]


@pytest.mark.parametrize("variant", VARIANTS)
def test_golden_losses_and_gradients_are_reproduced(golden, variant):
    network = network_of(golden, variant)
    losses = losses_of(network, golden, variant)
    outputs, gradients = golden.part(f"{variant}/output"), golden.part(f"{variant}/grad")
    total = losses[0] + losses[1] + golden.setting("alpha") * losses[2] + golden.setting("beta") * losses[3]
    total.backward()
    for name, loss in zip(("loss_a", "loss_b", "loss_item", "loss_user", "loss"), (*losses, total), strict=True):
        assert_reproduced(loss, outputs[name], name)
    ours = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    compared = {theirs: ours[name] for theirs, name in names(int(golden.setting("blocks"))).items() if name in ours}
    assert len(compared) == len(ours) and set(compared) == set(gradients), "every parameter has its gradient there"
    for name, parameter in compared.items():
        assert_reproduced(parameter.grad.reshape(gradients[name].shape), gradients[name], name)


@pytest.mark.parametrize("variant", VARIANTS)
def test_golden_scores_are_reproduced(golden, variant):
    network = network_of(golden, variant).eval()
    item_seq, domain_seq = windows(golden, "eval")
    domain, outputs = golden["input/eval_target_domain"], golden.part(f"{variant}/output")
    candidates, local = golden[f"{variant}/input/candidates"], golden[f"{variant}/input/candidates_local"]
    with torch.no_grad():
        threads = split_threads(item_seq, domain_seq, domain)
        for code, name in enumerate("AB"):
            state = network.local_states(code, threads.item[code])[:, -1]
            assert_reproduced(state, outputs[f"state_{name}"], name)
        query, vectors = network.query(item_seq, domain_seq, domain), network.item_vectors()
    size = int(golden.setting("dim"))
    assert_reproduced(query[:, :size], outputs["state_AB"], "state_AB")
    local = local + domain[:, None] * int(golden.setting("items_a"))
    assert torch.equal(local, candidates) == (variant == "causal")
    of_text = inner_products(query[:, :size], vectors[candidates][..., :size])
    scores = of_text + inner_products(query[:, size:], vectors[local][..., size:])
    assert_reproduced(scores, outputs["scores"], "scores")
    assert torch.equal((scores > scores[:, :1]).sum(dim=1), outputs["rank"])


# ------------------------------------------------------------------ what the file cannot show

A, B_ = torch.tensor([1, 2, 3, 4]), torch.tensor([4, 5, 6, 7])  # item 4 is in both domains


def small(**changes) -> LLM4CDSRNetwork:
    torch.manual_seed(0)
    settings = {"max_length": 6, "size": 4, "blocks": 2, "heads": 2, "dropout": 0.0, **changes}
    text, profile = torch.randn(8, 10), torch.randn(5, 9)
    text[0] = 0
    text[6] = 0  # an item without text
    profile[3] = 0  # a user without profile
    return LLM4CDSRNetwork(
        item_text=text, user_vectors=UserVectors.one_per_user(profile.numpy()), domain_items=[A, B_], **settings
    )


def small_batch() -> TrainingBatch:
    item_seq = torch.tensor([[0, 1, 5, 2, 4, 6], [0, 0, 0, 7, 4, 3], [0, 0, 0, 0, 0, 1]])
    domain_seq = torch.tensor([[0, 0, 1, 0, 1, 1], [0, 0, 0, 1, 1, 0], [0, 0, 0, 0, 0, 0]])
    target = torch.tensor([[0, 5, 2, 4, 6, 3], [0, 0, 0, 4, 3, 7], [0, 0, 0, 0, 0, 2]])
    negative = torch.tensor([[0, 4, 1, 5, 7, 1], [0, 0, 0, 5, 2, 6], [0, 0, 0, 0, 0, 3]])
    pair = torch.tensor([[1, 5], [3, 6], [1, 0]])
    domain, user = torch.tensor([0, 1, 0]), torch.tensor([1, 2, 3])
    n_earlier = item_seq.ne(0).sum(dim=1)
    return TrainingBatch(item_seq, domain_seq, domain, user, n_earlier, target, negative.unsqueeze(-1), pair)


def test_the_contrastive_loss_divides_logits_and_multiplies_similarities_by_the_temperature():
    torch.manual_seed(1)
    one, other, tau = torch.randn(5, 3), torch.randn(5, 3), 0.4
    expected = 0.0
    for i in range(5):
        for j in range(5):
            r = [
                math.exp(tau * float(one[a] @ one[k] + other[a] @ other[k]) / 2) for a, k in ((i, k) for k in range(5))
            ]
            row = sum(math.exp(float(one[i] @ other[k]) / tau) for k in range(5))
            column = sum(math.exp(float(one[k] @ other[j]) / tau) for k in range(5))
            logit = float(one[i] @ other[j]) / tau
            expected -= r[j] / sum(r) * (2 * logit - math.log(row) - math.log(column)) / 10
    assert float(contrast_by_similarity(one, other, tau)) == pytest.approx(expected, rel=1e-5)
    assert float(contrast_by_similarity(one[:0], other[:0])) == 0


def test_each_temperature_belongs_to_its_loss():
    network, batch = small(), small_batch()
    base = network.losses(batch)
    changed = network.losses(batch, item_temperature=0.5), network.losses(batch, user_temperature=0.5)
    same = [[torch.equal(one, other) for one, other in zip(base, losses, strict=True)] for losses in changed]
    # One pair of items is left, whose loss is 0 at any temperature.
    assert same == [[True, True, True, True], [True, True, True, False]]
    pairs = batch._replace(item_pair=torch.tensor([[1, 5], [3, 7], [2, 4]]))
    base, other = network.losses(pairs), network.losses(pairs, item_temperature=0.5)
    assert [torch.equal(*parts) for parts in zip(base, other, strict=True)] == [True, True, False, True]


def test_what_has_no_text_or_no_profile_takes_no_part_in_the_alignment():
    network, batch = small(), small_batch()
    pair = network.adapted(batch.item_pair)
    only_first = contrast_by_similarity(pair[:1, 0], pair[:1, 1])  # of the others an item is missing or has no text
    assert torch.equal(network.item_loss(pair, batch.item_pair, 1.0), only_first)
    state = torch.randn(3, 4)
    profile = network.user_adapter(network.user_text[batch.user[:2]])
    expected = contrast_by_similarity(profile, state[:2])
    assert torch.allclose(network.user_loss(state, batch.user, batch.n_earlier, temperature=1.0), expected)


def test_a_domain_without_targets_has_loss_zero_and_finite_gradients():
    network, batch = small(), small_batch()
    batch = batch._replace(**{name: getattr(batch, name)[2:] for name in batch._fields})
    losses = network.losses(batch)
    assert losses[1] == losses[2] == losses[3] == 0 < losses[0]
    sum(losses).backward()
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in network.parameters())


def test_a_pair_is_scored_by_both_threads_with_the_items_of_its_domain():
    """By hand, target by target, from the states; item 4 has a vector in either domain."""
    network, batch = small(), small_batch()
    mixed = network.mixed_states(network.adapted(batch.item_seq), batch.item_seq)
    threads = split_threads(batch.item_seq, batch.domain_seq, batch.domain)
    # row 0: A 1, 2 are followed by A items; B 5, 4 by B items, 6 (newest) by none.
    assert threads.item[0, 0].tolist() == [0, 0, 0, 0, 1, 2]
    assert threads.item[1, 0].tolist() == [0, 0, 0, 0, 5, 4]
    text = network.item_adapter(network.item_text)

    def logit(row: int, place: int, code: int, column: int, item: int) -> torch.Tensor:
        local = network.local_states(code, threads.item[code])[row, column]
        own = (A, B_)[code].tolist().index(item) + 1
        return mixed[row, place] @ text[item] + local @ network.item_tables[code].weight[own]

    # (row, place, domain, column of the local thread, target, negative)
    of_a = [(0, 2, 0, 4, 2, 1), (0, 5, 0, 5, 3, 1), (2, 5, 0, 5, 2, 3)]
    of_b = [(0, 3, 1, 4, 4, 5), (0, 4, 1, 5, 6, 7), (1, 3, 1, 4, 4, 5), (1, 5, 1, 5, 7, 6)]
    for loss, pairs in zip(network.losses(batch)[:2], (of_a, of_b), strict=True):
        each = [F.softplus(-logit(*p[:5])) + F.softplus(logit(*p[:4], p[5])) for p in pairs]
        torch.testing.assert_close(loss, torch.stack(each).mean())


def test_a_query_has_the_state_of_the_targets_domain_and_sees_all_its_interactions():
    network, batch = small().eval(), small_batch()
    rows = slice(0, 1)
    for code, items in ((0, [1, 2]), (1, [5, 4, 6])):
        query = network.query(batch.item_seq[rows], batch.domain_seq[rows], torch.tensor([code]))[0].view(3, -1)
        local = F.pad(torch.tensor([items]), (6 - len(items), 0))
        torch.testing.assert_close(query[1 + code], network.local_states(code, local)[0, -1])
        assert not query[2 - code].any()
    vectors = network.item_vectors().view(8, 3, 4)
    assert vectors[4].any(dim=1).all() and not vectors[1, 2].any() and not vectors[7, 1].any()


def test_tables_start_as_principal_components_of_each_domain_and_freeze_on_demand():
    network = small(trains_item_tables=False)
    for table, items in zip(network.item_tables, (A, B_), strict=True):
        text = network.item_text[items]
        known = text.any(dim=1)
        centred = text[known] - text[known].mean(dim=0)
        table = table.weight[1:]
        # As far as 4 components of 3 or 4 vectors go: the same inner products.
        torch.testing.assert_close(table[known] @ table[known].T, centred @ centred.T, rtol=1e-4, atol=1e-4)
        assert not table[~known].any()
    assert {name for name, p in network.named_parameters() if not p.requires_grad} == {
        "item_tables.0.weight",
        "item_tables.1.weight",
    }


# ------------------------------------------------------------------ histories


def histories_log():
    """User 1 has 10 (A), 20 (B), 11 (A), 12 (A) for training, user 2 has 13, and user 4 has 14 (A) and 21 (B)."""
    user = np.array([1] * 6 + [2] + [4] * 3)
    item = np.array([10, 20, 11, 12, 13, 14, 13, 14, 21, 15])
    domain = np.array([0, 1, 0, 0, 0, 0, 0, 0, 1, 0])
    return build_event_log(user, item, domain, np.arange(10.0), split={"LS": "valid_and_test"})


def test_histories_end_before_the_newest_training_target():
    log = histories_log()
    newest = newest_targets(log, sample_targets(log, 0), 5)
    assert newest.tolist() == [-1, 3, -1, -1, 8]
    assert newest_windows(log, newest, 2).tolist() == [[0, 0], [20, 11], [0, 0], [0, 0], [0, 14]]


def test_pairs_of_items_are_drawn_from_the_training_history_of_each_domain():
    log = histories_log()
    newest = newest_targets(log, sample_targets(log, 0), 5)
    histories = DomainHistories(log, newest)
    torch.manual_seed(0)
    drawn = torch.cat([histories.draw(torch.tensor([1, 2, 4, 0])) for _ in range(200)]).view(200, 4, 2)
    assert not drawn[:, [1, 3]].any()
    assert drawn[:, 2].unique(dim=0).tolist() == [[14, 0]]
    source, count = drawn[:, 0, 0].unique(return_counts=True)
    assert source.tolist() == [10, 11] and count.min() > 70
    assert drawn[:, 0, 1].unique().tolist() == [20]


# ------------------------------------------------------------------ as a model of the contract


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    root = tmp_path_factory.mktemp("llm4cdsr")
    made = write_pair(root / "dataset", random_events())
    del made["adapter_hidden_size"], made["train_neg_sample_args"]
    return {**made, "learning_rate": 0.01, "stopping_step": 9, "train_epochs": ["BOTH:4"]}


def test_it_runs_as_published_and_without_profiles(settings, tmp_path):
    published = {"MAX_ITEM_LIST_LENGTH": 6, "train_epochs": ["BOTH:1"], "output_dir": str(tmp_path)}
    assert np.isfinite(train(settings, "LLM4CDSR-paper", **published)["result"]["history"][0]["loss"]).all()
    plain = {**settings, "user_embedding_file": "absent.useremb", "user_align_weight": 0.0, **published}
    assert np.isfinite(train(plain, "LLM4CDSR")["result"]["history"][0]["loss"]).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sequence": "single"}, "use sequence: mixed"),
        ({"no_item_semantics": True}, "set no_item_semantics to False"),
        ({"train_neg_sample_args": {"shared": True, "exclude_user_items": False}}, "shared to False"),
        ({"train_samples": "targets"}, "use sequences"),
        ({"attention_heads": 3}, "not a multiple of attention_heads 3"),
    ],
)
def test_what_it_cannot_do_is_refused(settings, changes, message):
    with pytest.raises(UserError, match=message):
        train(settings, "LLM4CDSR", **changes)
