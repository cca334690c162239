"""Profiles that teach in training are made before the targets of what they teach."""

from __future__ import annotations

import torch

from recbole_lecdsr.data.dataset import CrossDomainSequentialDataset
from recbole_lecdsr.model.baselines.llmesr import Teachers
from recbole_lecdsr.quick_start import load_dataset
from tests.helpers.as_of import Met, assert_only_newest, poison, prepared
from tests.helpers.pairs import write_pair, write_profiles


def test_the_teacher_of_llm4cdsr_is_the_newest_profile_made_before_the_target(tmp_path):
    data, model, (train, _, _) = prepared(tmp_path, "LLM4CDSR", embedding_size=8)

    def met() -> Met:
        found = []
        for batch in train:
            for row in range(len(batch)):
                one = batch[torch.tensor([row])]
                user, item = data.user_token[int(one["user_id"][0])], data.item_token[int(one["item_id"][0])]
                found.append((user, item, bool(model.calculate_loss(one)[-1].isnan())))
        return found

    assert assert_only_newest(met, lambda k: poison(model, data, k))


def test_a_sample_without_profile_takes_no_part_in_the_loss_of_users(tmp_path):
    _, model, (train, _, _) = prepared(tmp_path, "LLM4CDSR", embedding_size=8)
    batch = next(iter(train))
    torch.manual_seed(1)
    state = torch.randn(len(batch), 8)
    user, n_earlier = batch["user_id"], batch["n_earlier"]
    kept = model.network.profile_rows(user, n_earlier).ne(0)
    assert 0 < int(kept.sum()) < len(batch)
    loss = model.network.user_loss(state, user, n_earlier, temperature=1.0)
    torch.testing.assert_close(loss, model.network.user_loss(state[kept], user[kept], n_earlier[kept], temperature=1.0))


def teaching_pair(root) -> CrossDomainSequentialDataset:
    """Users x and y teach u; each has profiles that point to the other's direction when they have seen too much."""
    domains = ("source", "target")
    events = [
        (user, f"{domains[time % 2][0]}{user}.{time}", domains[time % 2], float(time))
        for user in ("u", "x", "y", "z")
        for time in range(8)
    ]
    settings = write_pair(root, events)
    # Of eight interactions the last two are held out; the newest training target has five interactions before it.
    one, other = [1.0, 0.0, 0.1], [0.0, 1.0, 0.1]
    profiles = {
        ("u", 2): one, ("u", 4): other, ("u", 6): one,
        ("x", 0): other, ("x", 5): one, ("x", 6): other,
        ("y", 3): other, ("y", 6): one,
        ("z", 6): one,
    }  # fmt: skip
    write_profiles(root / "pair" / "pair.useremb", profiles)
    return load_dataset("LLMESR", config_dict={k: v for k, v in settings.items() if k != "adapter_hidden_size"} | {
        "train_neg_sample_args": {"sample_num": 1}
    })  # fmt: skip


def test_a_teacher_of_llmesr_is_found_by_profiles_made_before_both_targets(tmp_path):
    data = teaching_pair(tmp_path)
    settings = {"similar_users": 1, "show_progress": False, "device": "cpu", "MAX_ITEM_LIST_LENGTH": 6}
    teachers = Teachers({"empty_teachers": False, **settings}, data)
    names = data.user_token.tolist()

    def teacher(user: str, n_earlier: int) -> str | None:
        windows, index = teachers(torch.tensor([names.index(user)]), torch.tensor([n_earlier]))
        if (index < 0).all():
            return None
        (number,) = index[0].tolist()
        return data.item_token[int(windows[number][-1])].partition(".")[0][1:]  # whose window it is

    # Of u there is no profile before the third interaction; then it points to x, then to y. That of six interactions,
    # which no training target of u may meet, points to x again.
    assert [teacher("u", place) for place in range(1, 6)] == [None, "x", "x", "y", "y"]
    assert teacher("u", 6) == "x"
    # z has no profile before its newest training target, so it has no teacher there and never teaches.
    assert teacher("z", 5) is None
    assert names.index("z") not in teachers.similar
