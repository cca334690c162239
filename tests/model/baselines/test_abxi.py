"""ABXI: numbers of the official implementation, what these cannot show, and runs."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.data.loaders import data_preparation
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.model.baselines.abxi import ABXI
from recbole_lecdsr.model.baselines.abxi_network import ABXINetwork, aligned_stream
from recbole_lecdsr.model.causal_network import shift_left
from tests.helpers.golden import Golden, assert_reproduced, load_weights, relative
from tests.helpers.pairs import interactions_of_length, random_events, write_pair

# ------------------------------------------------------------------ numbers of the official implementation

VARIANTS = {"released": False, "padding_masked": True}


def linear(theirs: str, ours: str) -> dict[str, str]:
    parts = {"fc_1": "value", "fc_2": "gate", "fc_3": "output"}
    return {f"{theirs}.{one}.weight": f"{ours}.{other}.weight" for one, other in parts.items()}


def low_rank(theirs: str, ours: str) -> dict[str, str]:
    return {f"{theirs}.mat_A": f"{ours}.up", f"{theirs}.mat_B": f"{ours}.down"}


def norm(theirs: str, ours: str) -> dict[str, str]:
    return {f"{theirs}.{kind}": f"{ours}.{kind}" for kind in ("weight", "bias")}


NAMES = {
    "ei.weight": "item.weight",
    "ep.weight": "position.weight",
    **{f"mha.mha.in_proj_{kind}": f"attention.in_proj_{kind}" for kind in ("weight", "bias")},
    **norm("mha.mha.out_proj", "attention.out_proj"),
    **norm("mha.norm_mha", "attention_norm"),
    **linear("ffn", "feed_forward"),
    **low_rank("dlora_x", "mixed_lora"),
    **norm("norm_sa_x", "mixed_norm"),
    **linear("proj_i", "invariant"),
}
for _code, _name in enumerate("ab"):
    NAMES |= {
        **low_rank(f"dlora_{_name}", f"heads.{_code}.stream_lora"),
        **norm(f"norm_sa_{_name}", f"heads.{_code}.stream_norm"),
        **linear(f"proj_{_name}", f"heads.{_code}.feed_forward"),
        **low_rank(f"ilora_{_name}", f"heads.{_code}.invariant_lora"),
        **norm(f"norm_i2{_name}", f"heads.{_code}.invariant_norm"),
        **norm(f"norm_{_name}2{_name}", f"heads.{_code}.own_norm"),
    }


@pytest.fixture(scope="module")
def golden() -> Golden:
    return Golden("abxi")


def golden_network(golden: Golden, mask_padding: bool) -> ABXINetwork:
    sizes = {name: int(golden.setting(name)) for name in ("items_a", "items_b", "length", "dim", "ffn_size", "heads")}
    network = ABXINetwork(
        sizes["items_a"] + sizes["items_b"] + 1,
        sizes["length"],
        sizes["dim"],
        inner_size=sizes["ffn_size"],
        heads=sizes["heads"],
        domain_rank=int(golden.setting("rank_domain")),
        invariant_rank=int(golden.setting("rank_invariant")),
        dropout=0.0,
        temperature=golden.setting("temperature"),
        mask_padding=mask_padding,
    )
    load_weights(network, golden.part("weight"), NAMES)
    return network


def golden_batch(golden: Golden) -> dict[str, torch.Tensor]:
    """The training batch as `ABXINetwork.losses` takes it."""
    item, target = golden["input/train_mixed"], golden["input/train_target"]
    n_source = int(golden.setting("items_a"))
    return {
        "item_seq": item,
        "domain_seq": (item > n_source).long(),
        "next_domain": (target > n_source).long(),
        "target": target,
        "negative": golden["input/train_negatives"],
    }


def test_golden_the_streams_of_both_domains_are_one(golden):
    batch = golden_batch(golden)
    theirs = golden["input/train_a"], golden["input/train_b"]
    assert not torch.any(theirs[0].bool() & theirs[1].bool())
    assert torch.equal(aligned_stream(batch["item_seq"], batch["domain_seq"], batch["next_domain"]), sum(theirs))


@pytest.mark.parametrize("variant", VARIANTS)
def test_golden_losses_states_and_gradients(golden, variant):
    network, batch = golden_network(golden, VARIANTS[variant]), golden_batch(golden)
    losses = network.losses(**batch)
    assert_reproduced(losses[0], golden[f"{variant}/output/loss_a"], "loss of A")
    assert_reproduced(losses[1], golden[f"{variant}/output/loss_b"], "loss of B")
    assert_reproduced(sum(losses), golden[f"{variant}/output/loss"], "loss")
    place = torch.nonzero(batch["target"], as_tuple=True)
    hidden = torch.zeros(*batch["target"].shape, int(golden.setting("dim")))
    hidden[place] = network.hidden(batch["item_seq"], batch["domain_seq"], batch["next_domain"], *place)
    assert_reproduced(hidden, golden[f"{variant}/output/hidden"], "hidden")
    sum(losses).backward()
    ours, theirs = dict(network.named_parameters()), golden.part(f"{variant}/grad")
    assert theirs.keys() == NAMES.keys() and set(NAMES.values()) == ours.keys()
    for name, gradient in theirs.items():
        assert_reproduced(ours[NAMES[name]].grad, gradient, name)


@pytest.mark.parametrize("variant", VARIANTS)
def test_golden_scores_in_each_domain(golden, variant):
    network = golden_network(golden, VARIANTS[variant]).eval()
    scores = torch.stack([golden_scores(network, golden, code) for code in (0, 1)])
    assert_reproduced(scores, golden[f"{variant}/output/scores"], "scores")


def golden_scores(network: ABXINetwork, golden: Golden, code: int) -> torch.Tensor:
    item, single = golden["input/eval_mixed"], golden[f"input/eval_{'ab'[code]}"]
    query = network.query(item, single, torch.full((len(item),), code))
    return torch.einsum("bd,bcd->bc", query, network.item(golden["input/candidates"][code]))


# ------------------------------------------------------------------ what the file cannot show

L, D, N_SOURCE, N_TARGET, K = 8, 12, 20, 21, 3


def make(**settings) -> ABXINetwork:
    """A small network with weights large enough for every term to matter."""
    torch.manual_seed(1)
    fixed = {"inner_size": 10, "heads": 2, "domain_rank": 3, "invariant_rank": 4, "dropout": 0.0, "temperature": 0.75}
    network = ABXINetwork(N_SOURCE + N_TARGET + 1, L, D, **{**fixed, **settings})
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return network


def stream_states(network: ABXINetwork, item: torch.Tensor) -> torch.Tensor:
    """Steps 1 and 2 over all L columns of one stream, with torch's own attention: (B, L) -> (B, L, d)."""
    mask = item.ne(0)
    position = mask.flip(1).cumsum(1).flip(1) * mask
    state = (network.item.weight[item] + network.position.weight[position]) * mask.unsqueeze(-1)
    hidden = torch.ones(L, L).triu(1).bool().expand(len(item), L, L)
    if network.mask_padding:
        hidden = (hidden | ~mask.unsqueeze(1)) & ~torch.eye(L).bool()
    heads = network.attention.num_heads
    attended, _ = torch.nn.MultiheadAttention.forward(
        network.attention, state, state, state, attn_mask=hidden.repeat_interleave(heads, dim=0), need_weights=False
    )
    return network.attention_norm(state + attended) * mask.unsqueeze(-1)


def adapted(network: ABXINetwork, mixed: torch.Tensor, single: torch.Tensor, code: int, mask=1) -> torch.Tensor:
    """Steps 3 to 5 for one domain; ``mask`` is that of step 3 for its stream."""
    head = network.heads[code]
    mixed = network.mixed_norm(
        mixed + network.feed_forward(mixed) + mixed @ (network.mixed_lora.up @ network.mixed_lora.down).T
    )
    lora = head.stream_lora.up @ head.stream_lora.down
    single = head.stream_norm(single + network.feed_forward(single) + single @ lora.T) * mask
    lora = head.invariant_lora.up @ head.invariant_lora.down
    invariant = head.invariant_norm(mixed + network.invariant(mixed) + mixed @ lora.T)
    return invariant + head.own_norm(single + head.feed_forward(single))


def reference_loss(network: ABXINetwork, item, domain, next_domain, target, negative) -> list[torch.Tensor]:
    """The loss of each domain, user by user, from the three streams."""
    streams = []
    for code in (0, 1):
        stream = torch.zeros_like(item)
        for row, column in torch.nonzero(next_domain == code).tolist():
            earlier = [t for t in range(column + 1) if item[row, t] and domain[row, t] == code]
            stream[row, column] = item[row, earlier[-1]] if earlier else 0
        streams.append(stream)
    mixed = stream_states(network, item)
    losses = []
    for code, stream in enumerate(streams):
        hidden = adapted(network, mixed, stream_states(network, stream), code, stream.ne(0).unsqueeze(-1))
        total = torch.zeros(())
        for row in range(len(item)):
            own = [
                F.cross_entropy(
                    network.item.weight[[int(target[row, t]), *negative[row, t].tolist()]]
                    @ hidden[row, t]
                    / network.temperature,
                    torch.tensor(0),
                )
                for t in range(L)
                if target[row, t] and next_domain[row, t] == code
            ]
            total = total + (sum(own) / len(own) if own else 0)
        losses.append(total / len(item))
    return losses


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    """Rows of 8, 5, 4 and 3 interactions. The third has no target in the source domain; of the first, a window of a
    longer sequence, only the newest four positions are trained on."""
    torch.manual_seed(0)
    domain = torch.randint(2, (4, L + 1))
    domain[2] = 1
    domain[3, -4:] = torch.tensor([1, 0, 0, 1])
    item = torch.where(domain == 0, torch.randint(1, N_SOURCE + 1, (4, L + 1)), torch.randint(21, 42, (4, L + 1)))
    real = torch.arange(L) >= L - torch.tensor([8, 5, 4, 3])[:, None]
    target = item[:, 1:] * real
    target[0, :4] = 0
    negative = torch.cat([torch.randint(1, 21, (4, L, K)), torch.randint(21, 42, (4, L, K))], dim=2)
    return {
        "item_seq": item[:, :-1] * real,
        "domain_seq": domain[:, :-1] * real,
        "next_domain": domain[:, 1:],
        "target": target,
        "negative": negative * target.ne(0).unsqueeze(-1),
    }


@pytest.mark.parametrize("mask_padding", [False, True])
@pytest.mark.parametrize("rows", [[0, 1, 2, 3], [2, 3], [2]], ids=str)
def test_losses_are_those_of_the_equations_with_three_streams_and_every_column(batch, mask_padding, rows):
    network = make(mask_padding=mask_padding)
    batch = {name: values[rows] for name, values in batch.items()}
    ours, theirs = network.losses(**batch), reference_loss(network, *batch.values())
    torch.testing.assert_close(torch.stack(ours), torch.stack(theirs), rtol=1e-5, atol=1e-6)
    sum(ours).backward()
    gradients = {name: parameter.grad.clone() for name, parameter in network.named_parameters()}
    network.zero_grad()
    sum(theirs).backward()
    for name, parameter in network.named_parameters():
        grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        if name in ("item.weight", "position.weight"):
            assert not gradients[name][0].any()
            grad[0] = 0
        torch.testing.assert_close(gradients[name], grad, rtol=1e-4, atol=1e-5, msg=name)


def test_a_row_without_targets_of_a_domain_counts_as_zero_in_its_mean(batch):
    network = make(mask_padding=True)
    alone = network.losses(**{name: values[1:2] for name, values in batch.items()})
    both = network.losses(**{name: values[1:3] for name, values in batch.items()})
    torch.testing.assert_close(both[0], alone[0] / 2)
    assert both[1] != alone[1] / 2


@pytest.mark.parametrize("mask_padding", [False, True])
def test_scores_are_those_of_the_equations_also_of_an_empty_domain(mask_padding):
    network = make(mask_padding=mask_padding).eval()
    item = torch.tensor([[0, 0, 0, 3, 30, 4, 31, 5], [0, 0, 0, 0, 0, 0, 25, 26], [0] * 7 + [30]])
    single = torch.tensor([[0, 0, 0, 0, 0, 3, 4, 5], [0] * 8, [0] * 7 + [30]])
    domain = torch.tensor([0, 0, 1])
    theirs = [
        adapted(network, stream_states(network, item)[row, -1], stream_states(network, single)[row, -1], code)
        for row, code in enumerate(domain.tolist())
    ]
    query = network.query(item, single, domain)
    torch.testing.assert_close(query, torch.stack(theirs), rtol=1e-5, atol=1e-6)


def test_the_norms_have_the_epsilon_of_the_official_implementation(monkeypatch):
    monkeypatch.delenv("ABXI_GOLDEN", raising=False)
    golden = Golden("abxi")
    network = golden_network(golden, mask_padding=False)
    sum(network.losses(**golden_batch(golden))).backward()
    ours, theirs = dict(network.named_parameters()), golden.part("released/grad")
    # 2e-6 with ours; 1e-8 in place of 1e-5 would make it up to 8e-5.
    assert max(relative(ours[NAMES[name]].grad, gradient) for name, gradient in theirs.items()) < 1e-5


def test_without_padding_in_the_attention_the_width_is_free():
    item, single, domain = torch.tensor([[0, 3, 30]]), torch.tensor([[0, 0, 30]]), torch.tensor([1])
    for mask_padding in (False, True):
        network = make(mask_padding=mask_padding).eval()
        wider = network.query(F.pad(item, (5, 0)), F.pad(single, (5, 0)), domain)
        assert torch.allclose(wider, network.query(item, single, domain), atol=1e-5) is mask_padding


def test_weights_start_as_published():
    torch.manual_seed(0)
    network = ABXINetwork(
        4000, L, 64, inner_size=170, heads=2, domain_rank=8, invariant_rank=16, dropout=0.5, temperature=0.75
    )
    for table in (network.item.weight, network.position.weight):
        assert table.abs().max() <= 0.04 and table[0].any()
    assert network.item.weight.std().item() == pytest.approx(0.02 * 0.88, rel=0.02)  # of a normal cut at two deviations
    bound = math.sqrt(6 / (4 * 64))
    assert 0.95 * bound < network.attention.in_proj_weight.abs().max() <= bound
    for module in network.modules():
        if isinstance(module, torch.nn.Linear):
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.1)
    for name, parameter in network.named_parameters():
        if name.endswith("lora.up"):
            assert parameter.std().item() == pytest.approx(0.02, rel=0.1)
        if name.endswith(("lora.down", "bias")):
            assert not parameter.any()


def test_dropout_is_drawn_in_training_alone(batch):
    network = make(dropout=0.5)
    one, other = (sum(network.losses(**batch)) for _ in range(2))
    assert one != other
    network.eval()
    assert sum(network.losses(**batch)) == sum(network.losses(**batch))


# ------------------------------------------------------------------ runs

SMALL = {"inner_size": 16, "domain_rank": 2, "invariant_rank": 2, "dropout_prob": 0.1}


def settings_of(pair) -> dict[str, object]:
    kept = {name: value for name, value in pair.items() if name != "adapter_hidden_size"}
    return {**kept, **SMALL, "learning_rate": 0.01, "weight_decay": 0.01}


def loaders_of(settings):
    config = LeCDSRConfig("ABXI", config_dict=settings, command_line=[])
    dataset = CrossDomainSequentialDataset(config)
    return config, dataset, data_preparation(config, dataset)


def test_batches_have_negatives_of_both_domains_that_the_user_has_not_had(pair):
    _, dataset, (train_data, _, _) = loaders_of(settings_of(pair))
    source, target = (set(items.tolist()) for items in dataset.domain_items)
    log = dataset.log
    for batch in train_data:
        width = batch["neg_item_id"].shape[-1] // 2
        assert width == 5
        for row, column in torch.nonzero(batch["target_list"]).tolist():
            drawn = batch["neg_item_id"][row, column].tolist()
            assert set(drawn[:width]) <= source and set(drawn[width:]) <= target
            assert not set(drawn) & set(log.item[(log.user == int(batch["user_id"][row])) & (log.split == 0)].tolist())


def test_a_sequence_longer_than_a_window_has_its_context_in_the_streams(tmp_path):
    settings = settings_of(write_pair(tmp_path / "dataset", interactions_of_length([14])))
    _, _, (train_data, _, _) = loaders_of({**settings, "train_neg_sample_args": {"exclude_user_items": False}})
    (batch,) = train_data
    target, item = batch["target_list"], batch["item_id_list"]
    assert len(target) > 1 and target.ne(0).sum() == 11
    next_domain = shift_left(batch["domain_list"], batch["domain"])
    aligned = aligned_stream(item, batch["domain_list"], next_domain)
    partial = torch.nonzero(target[:, 0] == 0).flatten()
    assert len(partial)
    for row in partial.tolist():
        # Domains alternate, so the newest interaction of the next one's domain is the second newest.
        assert torch.equal(aligned[row, 1:], item[row, :-1]) and aligned[row, 0] == 0


def test_the_loss_of_a_batch_is_that_of_the_equations_on_the_users_sequences(pair):
    config, dataset, (train_data, _, _) = loaders_of(
        {**settings_of(pair), "MAX_ITEM_LIST_LENGTH": L, "dropout_prob": 0}
    )
    model = ABXI(config, dataset)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    batch = next(iter(train_data))
    item, target = batch["item_id_list"], batch["target_list"]
    assert torch.equal(item.ne(0), target.ne(0)), "a row has a whole sequence"
    of_target = torch.from_numpy(dataset.domain_items[1])
    domain, next_domain = torch.isin(item, of_target).long(), torch.isin(target, of_target).long()
    theirs = reference_loss(model.network, item, domain, next_domain, target, batch["neg_item_id"])
    torch.testing.assert_close(torch.stack(model.calculate_loss(batch)), torch.stack(theirs), rtol=1e-4, atol=1e-5)


def test_a_sample_is_scored_by_its_windows_in_the_event_log(pair):
    config, dataset, (_, _, test_data) = loaders_of(settings_of(pair))
    model = ABXI(config, dataset).eval()
    targets, log = dataset.targets("test"), dataset.log
    query = model.query(test_data.collator(torch.from_numpy(targets)))
    for row, index in enumerate(targets.tolist()):
        history = range(int(log.first[index]), index)
        code, size = int(log.domain[index]), config["MAX_ITEM_LIST_LENGTH"]
        windows = [log.item[list(history)], log.item[[event for event in history if log.domain[event] == code]]]
        assert len(windows[0]) > size
        mixed, single = (
            F.pad(torch.from_numpy(part.astype(np.int64))[-size:], (max(size - len(part), 0), 0)) for part in windows
        )
        own = model.network.query(mixed[None], single[None], torch.tensor([code]))
        torch.testing.assert_close(query[row : row + 1], own)


def test_every_parameter_has_a_gradient_also_if_a_batch_has_targets_of_one_domain(batch):
    network = make()
    losses = network.losses(**{name: values[2:3] for name, values in batch.items()})
    assert losses[0] == 0
    sum(losses).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


# ------------------------------------------------------------------ the schedule


@pytest.fixture(scope="module")
def scheduled(tmp_path_factory):
    settings = settings_of(write_pair(tmp_path_factory.mktemp("dataset"), random_events()))
    config, dataset, _ = loaders_of({**settings, "warmup_epochs": 10, "lr_patience": 30})
    return ABXI(config, dataset)


def factors(model: ABXI, without_improvement: list[int], start: int = 100) -> list[float]:
    return [model.learning_rate_factor(start + index, number) for index, number in enumerate(without_improvement)]


def test_the_learning_rate_warms_up_by_a_tenth_each_epoch(scheduled):
    model = copy.deepcopy(scheduled)
    rates = [model.learning_rate_factor(epoch, 0) for epoch in range(12)]
    assert rates[0] == pytest.approx(1e-5)
    assert rates[1] == pytest.approx(1e-5 + (1 - 1e-5) / 10)
    assert rates[10:] == [1, 1]


def test_the_learning_rate_is_cut_once_in_each_dry_spell(scheduled):
    model = copy.deepcopy(scheduled)
    assert factors(model, list(range(31))) == [1] * 31
    assert factors(model, list(range(31, 62))) == pytest.approx([0.3162] * 31)
    assert factors(model, [0, 30, 31, 32]) == pytest.approx([0.3162, 0.3162, 0.3162**2, 0.3162**2])
    # Validations may be several epochs apart.
    assert factors(model, [31, 31, 31]) == pytest.approx([0.3162**2] * 3)


def test_the_schedule_is_part_of_the_state(scheduled):
    model, other = copy.deepcopy(scheduled), copy.deepcopy(scheduled)
    factors(model, list(range(33)))
    other.load_state_dict(model.state_dict())
    assert factors(other, [33, 0, 31]) == factors(model, [33, 0, 31])
    assert factors(other, [0], start=0) == pytest.approx([1e-5]), "a phase starts with the full rate"


# ------------------------------------------------------------------ settings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_neg_sample_args": {"shared": True, "exclude_user_items": False}}, "shared to False"),
        ({"embedding_size": 9}, "embedding_size 9 is not a multiple of attention_heads 2"),
        ({"train_samples": "targets"}, "ABXI cannot learn from train_samples: targets; use sequences"),
        ({"sequence": "mixed"}, "ABXI cannot read sequence: mixed; use mixed_and_single"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_settings_that_it_cannot_use_are_refused(pair, changes, message):
    with pytest.raises(UserError, match=message):
        LeCDSRConfig("ABXI", config_dict={**settings_of(pair), **changes}, command_line=[])
