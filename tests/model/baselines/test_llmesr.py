"""LLM-ESR against numbers of the released code, and what these cannot show."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.model.alignment import contrast_by_similarity
from recbole_lecdsr.model.baselines.llmesr import Teachers
from recbole_lecdsr.model.baselines.llmesr_network import LLMESRNetwork, TrainingBatch
from recbole_lecdsr.model.baselines.nearest_users import nearest_users
from tests.helpers.golden import Golden, assert_reproduced, load_weights, sasrec_names
from tests.helpers.pairs import random_events, write_pair
from tests.helpers.runs import load, train

VARIANTS = ("released", "causal")


@pytest.fixture(scope="module")
def golden() -> Golden:
    return Golden("llmesr")


def names(blocks: int) -> dict[str, str]:
    """Name in the file -> name of our parameter."""
    found = {"id_item_emb.weight": "item_id.weight", "pos_emb.weight": "position.weight"}
    for number, layer in enumerate(("inner", "outer")):
        found |= {f"adapter.{number}.{kind}": f"item_adapter.{layer}.{kind}" for kind in ("weight", "bias")}
    for theirs, ours in {"llm2id": "identity_attention", "id2llm": "text_attention"}.items():
        maps = {"linear_q": "query", "linear_k": "key", "linear_v": "value", "linear_output": "output"}
        found |= {f"{theirs}.{one}.weight": f"{ours}.{other}.weight" for one, other in maps.items()}
        found[f"{theirs}.linear_output.bias"] = f"{ours}.output.bias"
    return found | sasrec_names("backbone", "encoder", blocks)


def trimmed(golden: Golden, arrays: dict[str, Tensor]) -> dict[str, Tensor]:
    """Arrays without the rows that the release never reads: a mask token, and positions beyond L."""
    rows = {
        "llm_item_emb.weight": int(golden.setting("items")) + 1,
        "id_item_emb.weight": int(golden.setting("items")) + 1,
        "pos_emb.weight": int(golden.setting("length")) + 1,
    }
    return {name: array[: rows.get(name)] for name, array in arrays.items()}


def network_of(golden: Golden, variant: str) -> LLMESRNetwork:
    weights = trimmed(golden, golden.part("weight"))
    network = LLMESRNetwork(
        item_text=weights["llm_item_emb.weight"],
        max_length=int(golden.setting("length")),
        size=int(golden.setting("dim")),
        blocks=int(golden.setting("blocks")),
        heads=int(golden.setting("heads")),
        dropout=0.0,
        causal=variant == "causal",
    )
    load_weights(network, weights, names(int(golden.setting("blocks"))))
    return network


def training_batch(golden: Golden) -> TrainingBatch:
    similar = golden["input/train_sim_seq"]
    size, number = similar.shape[:2]
    return TrainingBatch(
        item_seq=golden["input/train_seq"],
        target=golden["input/train_pos"],
        negative=golden["input/train_neg"].unsqueeze(-1),
        teacher_seq=similar.flatten(0, 1),
        teacher=torch.arange(size * number).view(size, number),
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_golden_losses_and_gradients_are_reproduced(golden, variant):
    network, batch = network_of(golden, variant), training_batch(golden)
    losses = network.losses(batch)
    total = losses.pair + golden.setting("alpha") * losses.user
    total.backward()
    outputs, gradients = golden.part(f"{variant}/output"), golden.part(f"{variant}/grad")
    assert_reproduced(network.teacher_means(batch.teacher_seq, batch.teacher), outputs["teacher"], "teacher")
    for name, loss in {"loss_pair": losses.pair, "loss_user": losses.user, "loss": total}.items():
        assert_reproduced(loss, outputs[name], name)
    ours = dict(network.named_parameters())
    compared = {theirs: ours[name] for theirs, name in names(int(golden.setting("blocks"))).items()}
    assert len(compared) == len(ours) and set(compared) == set(gradients), "every parameter has its gradient there"
    for name, gradient in trimmed(golden, gradients).items():
        assert_reproduced(compared[name].grad.reshape(gradient.shape), gradient, name)
        assert not gradients[name][len(gradient) :].any(), "rows that we do not have"


@pytest.mark.parametrize("variant", VARIANTS)
def test_golden_options_are_reproduced(golden, variant):
    network = network_of(golden, variant)
    losses = network.losses(training_batch(golden), contrasts_users=True, aligns_items=True)
    total = losses.pair + golden.setting("alpha") * losses.user + golden.setting("beta") * losses.item
    total.backward()
    outputs = golden.part(f"{variant}/output")
    for name, loss in {"user": losses.user, "item": losses.item}.items():
        assert_reproduced(loss, outputs[f"loss_{name}_option"], name)
    assert_reproduced(total, outputs["loss_option"], "loss")
    ours, theirs = dict(network.named_parameters()), names(int(golden.setting("blocks")))
    gradients = trimmed(golden, golden.part(f"{variant}/grad_option"))
    assert len(gradients) == 4
    for name, gradient in gradients.items():
        assert_reproduced(ours[theirs[name]].grad, gradient, name)


@pytest.mark.parametrize("variant", VARIANTS)
def test_golden_scores_are_reproduced(golden, variant):
    network, outputs = network_of(golden, variant).eval(), golden.part(f"{variant}/output")
    with torch.no_grad():
        state, vectors = network.newest_states(golden["input/eval_seq"]), network.item_vectors()
    assert_reproduced(state, outputs["state"], "state")
    scores = (vectors[golden["input/candidates"]] @ state.unsqueeze(-1)).squeeze(-1)
    assert_reproduced(scores, outputs["scores"], "scores")
    assert torch.equal((scores > scores[:, :1]).sum(dim=1), outputs["rank"])


def test_golden_similar_users_are_reproduced(golden):
    text, number = golden["input/user_text"], len(golden["input/user_text"])
    padded = F.pad(text, (0, 0, 1, 0))
    everyone = torch.arange(number + 1)
    nearest = nearest_users(padded, everyone, everyone, number - 1)
    assert torch.equal(nearest[1:] - 1, golden["input/similar"])


# ------------------------------------------------------------------ what the file cannot show


def small(**changes) -> LLMESRNetwork:
    torch.manual_seed(0)
    text = torch.randn(8, 10)
    text[0] = 0
    settings = {"max_length": 6, "size": 4, "blocks": 2, "heads": 2, "dropout": 0.0, **changes}
    return LLMESRNetwork(item_text=text, **settings)


def small_batch() -> TrainingBatch:
    return TrainingBatch(
        item_seq=torch.tensor([[0, 1, 5, 2, 4, 6], [0, 0, 0, 7, 4, 3], [0, 0, 0, 0, 0, 1]]),
        target=torch.tensor([[0, 5, 2, 4, 6, 3], [0, 0, 0, 4, 3, 7], [0, 0, 0, 0, 0, 2]]),
        negative=torch.tensor([[0, 4, 1, 5, 7, 1], [0, 0, 0, 5, 2, 6], [0, 0, 0, 0, 0, 3]]).unsqueeze(-1),
        teacher_seq=torch.tensor([[0, 0, 0, 0, 0, 0], [0, 0, 0, 2, 3, 4], [0, 0, 0, 0, 5, 6]]),
        teacher=torch.tensor([[1, 2], [2, -1], [-1, -1]]),
    )


def states(network: LLMESRNetwork, item_seq: Tensor) -> Tensor:
    return network.states(*network.views(item_seq), item_seq.ne(0))


def test_one_leak_mended_is_not_enough():
    """Each of encoder and attention between views shows the future by itself."""
    for part in ("encoder", "views"):
        network = small()
        for module in (network.encoder,) if part == "encoder" else (network.identity_attention, network.text_attention):
            module.causal = False
        item_seq = small_batch().item_seq
        changed = item_seq.clone()
        changed[0, 5] = 7
        assert not torch.allclose(states(network, item_seq)[0, :5], states(network, changed)[0, :5], atol=1e-6)


@pytest.mark.parametrize("causal", [True, False])
def test_windows_without_interactions_have_finite_states_and_gradients(causal):
    network = small(causal=causal)
    item_seq = small_batch().item_seq.clone()
    item_seq[1] = 0
    state = states(network, item_seq)
    torch.testing.assert_close(state[1], network.encoder.last_layernorm.bias.repeat(2).expand(6, 8))
    state.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())
    torch.testing.assert_close(states(network, item_seq[:1]), state[:1])


def test_rows_without_teachers_take_no_part_and_missing_ones_do_not_count():
    network, batch = small(), small_batch()
    newest, teacher = states(network, batch.item_seq)[:, -1], states(network, batch.teacher_seq)[:, -1]
    means = torch.stack([(teacher[1] + teacher[2]) / 2, teacher[2]])
    torch.testing.assert_close(network.losses(batch).user, (newest[:2] - means).square().mean())
    contrast = network.losses(batch, contrasts_users=True).user
    torch.testing.assert_close(contrast, contrast_by_similarity(newest[:2], means))
    nobody = batch._replace(teacher=torch.full((3, 2), -1))
    assert network.losses(nobody).user == network.losses(nobody, contrasts_users=True).user == 0


def test_no_gradient_passes_through_the_teachers():
    network, batch = small(), small_batch()
    network.losses(batch).user.backward()
    used = batch.item_seq[:2].unique()
    unused = torch.isin(torch.arange(8), used, invert=True)
    assert network.item_id.weight.grad[used[used > 0]].any(dim=1).all()
    assert not network.item_id.weight.grad[unused].any()


def test_newest_states_are_in_the_order_of_the_rows():
    network, batch = small(), small_batch()
    torch.testing.assert_close(network.newest_states(batch.item_seq), states(network, batch.item_seq)[:, -1])


# ------------------------------------------------------------------ similar users


def test_a_user_is_never_her_own_teacher_even_where_profiles_are_equal():
    profile = torch.tensor([[0.0, 0.0], [1, 1], [2, 2], [3, 3], [1, 0], [0, 0]])
    nearest = nearest_users(profile, torch.arange(6), torch.arange(6), 4)
    assert [sorted(row) for row in nearest.tolist()] == [
        [0, 0, 0, 0], [0, 2, 3, 4], [0, 1, 3, 4], [0, 1, 2, 4], [0, 1, 2, 3], [0, 0, 0, 0],
    ]  # fmt: skip
    assert nearest_users(profile, torch.arange(6), torch.tensor([1]), 2).tolist() == [
        [0, 0],
        [0, 0],
        [1, 0],
        [1, 0],
        [1, 0],
        [0, 0],
    ]


def test_chunks_change_nothing(monkeypatch):
    torch.manual_seed(0)
    profile, eligible = torch.randn(40, 6), torch.rand(40) > 0.3
    arguments = profile, torch.arange(40), torch.nonzero(eligible).flatten()
    whole = nearest_users(*arguments, 5)
    monkeypatch.setattr("recbole_lecdsr.model.baselines.nearest_users._CHUNK", 3)
    assert torch.equal(nearest_users(*arguments, 5), whole)
    assert eligible[whole[1:]].all()


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """User `one` has a single interaction, `bare` no profile; `two` and `six` have six interactions and a profile."""
    lengths = {"one": 1, "bare": 6, "two": 6, "six": 6}
    domains = ("source", "target")
    events = [
        (user, f"{domains[time % 2][0]}{time}{user}", domains[time % 2], float(time))
        for user, length in lengths.items()
        for time in range(length)
    ]
    users = {"one": [1.0, 0.0, 0.0], "two": [0.9, 0.1, 0.0], "six": [0.0, 0.0, 1.0]}
    return load(write_pair(tmp_path_factory.mktemp("three"), events, users=users))


def teachers_of(data, **changes) -> tuple[dict[str, list[str]], Tensor]:
    """Teachers of each user by name, nearest first, and their windows."""
    settings = {"similar_users": 3, "show_progress": False, "device": "cpu", "MAX_ITEM_LIST_LENGTH": 6, **changes}
    teachers = Teachers({"empty_teachers": False, **settings}, data)
    names = data.user_token
    return {names[user]: [names[one] for one in teachers.similar[user] if one] for user in range(1, 5)}, teachers.window


def test_teachers_have_a_profile_and_training_targets(three):
    similar, _ = teachers_of(three)
    assert similar == {"one": ["two", "six"], "two": ["six"], "six": ["two"], "bare": []}
    similar, window = teachers_of(three, empty_teachers=True)
    assert similar == {"one": ["two", "six"], "two": ["one", "six"], "six": ["two", "one"], "bare": []}
    assert not window[three.user_token.tolist().index("one")].any()


def test_teachers_windows_hold_training_inputs_only(three):
    _, window = teachers_of(three)
    row = window[three.user_token.tolist().index("two")].tolist()
    # Of six interactions the last two are for validation and test, and the fourth is the newest training target.
    assert [three.item_token[item] for item in row if item] == ["s0two", "t1two", "s2two"]


def test_a_batch_encodes_each_teacher_once(three):
    teachers = Teachers(
        {
            "empty_teachers": False,
            "similar_users": 3,
            "show_progress": False,
            "device": "cpu",
            "MAX_ITEM_LIST_LENGTH": 6,
        },
        three,
    )
    user = torch.tensor([three.user_token.tolist().index(name) for name in ("one", "six", "bare", "one")])
    sequences, teacher = teachers(user, torch.zeros(4, dtype=torch.int64))
    assert len(sequences) == 3  # of the padding user, two and six
    for row, one in zip(teacher, user, strict=True):
        assert [sequences[t].tolist() for t in row if t >= 0] == [
            teachers.window[u].tolist() for u in teachers.similar[one] if u
        ]


# ------------------------------------------------------------------ as a model of the contract


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    root = tmp_path_factory.mktemp("llmesr")
    made = write_pair(root / "dataset", random_events())
    del made["adapter_hidden_size"], made["train_neg_sample_args"]
    return {**made, "learning_rate": 0.01, "stopping_step": 9, "train_epochs": ["BOTH:4"]}


def test_it_runs_as_published_with_its_options_and_without_profiles(settings, tmp_path):
    short = {"train_epochs": ["BOTH:1"], "output_dir": str(tmp_path)}
    options = {"user_loss": "contrastive", "item_align_weight": 0.1}
    no_profiles = {"user_embedding_file": "absent.useremb", "user_loss_weight": 0.0}
    runs = {
        "LLMESR-paper": {"MAX_ITEM_LIST_LENGTH": 6},
        "LLMESR": {**options, "seed": 1},
        "LLMESR ": {**no_profiles, "seed": 2},
    }
    parts = []
    for model, changes in runs.items():
        loss = train(settings, model.strip(), **short, **changes)["result"]["history"][0]["loss"]
        assert np.isfinite(loss).all()
        parts.append(np.size(loss))
    assert parts == [2, 3, 1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sequence": "single"}, "use sequence: mixed"),
        ({"no_item_semantics": True}, "set no_item_semantics to False"),
        ({"train_neg_sample_args": {"shared": True, "exclude_user_items": False}}, "shared to False"),
        ({"train_samples": "targets"}, "use sequences"),
        ({"attention_heads": 3}, "not a multiple of attention_heads 3"),
        ({"embedding_size": 7}, "not a multiple of 2"),
    ],
)
def test_what_it_cannot_do_is_refused(settings, changes, message):
    with pytest.raises(UserError, match=message):
        train(settings, "LLMESR", **changes)
