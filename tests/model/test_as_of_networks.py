"""Each target meets the newest profile that was made before it, and no other, wherever a model is asked.

`tests.helpers.as_of` says how that is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from recbole.data.interaction import Interaction

from recbole_lecdsr.data.collator import SequenceCollator
from recbole_lecdsr.data.loaders import data_preparation, train_loader
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.model.base import CrossDomainSequentialRecommender
from recbole_lecdsr.model.lecdsr import LeCDSR
from recbole_lecdsr.model.score_fusion.calibration import CalibrationSamples
from recbole_lecdsr.quick_start import load_dataset
from recbole_lecdsr.recommend.recommender import recommend, recommend_for_history
from tests.helpers.as_of import (
    EVENTS,
    NETWORKS,
    SETTINGS,
    SPLITS,
    USERS,
    WITHOUT,
    Met,
    assert_only_newest,
    newest,
    numbered_events,
    place_of,
    poison,
    prepared,
    write_data,
)


def training_queries(model: LeCDSR, batch: Interaction) -> torch.Tensor:
    """The queries of a training batch: of each target, (N, d)."""
    method = "queries" if "target_list" in batch else "encode"
    original, found = getattr(model.network, method), []

    def spy(*args, **kwargs):
        found.append(original(*args, **kwargs))
        return found[-1]

    setattr(model.network, method, spy)
    try:
        model.calculate_loss(batch)
    finally:
        delattr(model.network, method)
    (made,) = found
    return made if method == "queries" else made.query


def met_in_training(model: LeCDSR, loader) -> Met:
    tokens, users = loader.dataset.item_token, loader.dataset.user_token
    met = []
    for batch in loader:
        is_poisoned = training_queries(model, batch).isnan().any(dim=1)
        item, user = batch["item_id"], batch["user_id"]
        if "target_list" in batch:
            row, column = torch.nonzero(batch["target_list"], as_tuple=True)
            item, user = batch["target_list"][row, column], user[row]
        assert len(item) == len(is_poisoned)
        met += list(zip(users[user], tokens[item], is_poisoned.tolist(), strict=True))
    return met


def met_in_evaluation(model: CrossDomainSequentialRecommender, loader) -> Met:
    """By every way of scoring, which must agree."""
    tokens, users = loader.dataset.item_token, loader.dataset.user_token
    model.eval()
    met = []
    with torch.no_grad(), model.scoring():
        for batch, candidates, _ in loader:
            items = batch["item_id"].unsqueeze(1) if candidates is None else candidates
            ways = [
                model.predict(Interaction({**batch.interaction, "item_id": items})),
                model.score_items(batch, loader.domain_items[0]),
                model.full_sort_predict(batch)[:, 1:],
            ]
            is_poisoned = [scores.isnan().any(dim=1).tolist() for scores in ways]
            assert is_poisoned[0] == is_poisoned[1] == is_poisoned[2]
            met += list(zip(users[batch["user_id"]], tokens[batch["item_id"]], is_poisoned[0], strict=True))
    model.train()
    return met


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("network", NETWORKS)
def test_every_target_of_every_split_meets_its_newest_profile_alone(tmp_path, network, split):
    data, model, (train, valid, test) = prepared(tmp_path, eval_args=SPLITS[split], **NETWORKS[network])

    def poisoning(k: int) -> None:
        poison(model, data, k)

    assert_only_newest(lambda: met_in_training(model, train), poisoning, train.num_samples)
    for loader in (valid, test):
        met = assert_only_newest(lambda loader=loader: met_in_evaluation(model, loader), poisoning, len(loader.targets))
        assert max(place_of(item) for _, item, _ in met) > SETTINGS["MAX_ITEM_LIST_LENGTH"]


@pytest.mark.parametrize("mode", ["uni3", "full"])
def test_sampled_and_full_ranking_meet_the_same_profiles(tmp_path, mode):
    data, model, (_, _, test) = prepared(tmp_path, eval_args={**SPLITS["leave one out"], "mode": mode})
    met = assert_only_newest(lambda: met_in_evaluation(model, test), lambda k: poison(model, data, k))
    assert {place_of(item) for _, item, _ in met} == {10}, "all but one user have a profile of ten interactions"
    assert {user for user, *_ in met} == set(USERS) - {WITHOUT}


@pytest.mark.parametrize("network", ["causal", "published"])
def test_a_refit_trains_validation_targets_with_the_profiles_that_they_had(tmp_path, network):
    data, model, _ = prepared(tmp_path, eval_args=SPLITS["ratio"], **NETWORKS[network])
    enlarged = data.with_validation_for_training()
    loader = train_loader(data.config, enlarged, SequenceCollator(data.config, enlarged))
    met = assert_only_newest(lambda: met_in_training(model, loader), lambda k: poison(model, data, k))
    assert max(place_of(item) for _, item, _ in met) == 8, "of eleven interactions the last two are tested"


@pytest.mark.parametrize("network", ["causal", "published"])
@pytest.mark.parametrize("split", SPLITS)
def test_score_fusion_weighs_scores_that_met_profiles_made_before_the_calibration_targets(tmp_path, split, network):
    changes = {"eval_args": SPLITS[split], "score_fusion": True, **NETWORKS[network]}
    data, model, (train, valid, test) = prepared(tmp_path, **changes)
    samples = CalibrationSamples(data.config, data)
    assert len(samples.targets) and not np.isin(samples.targets, train.targets).any()

    def calibrated() -> Met:
        met = []
        for batch, items, _ in samples:
            is_poisoned = model._predict_alone(batch, items).isnan().any(dim=1).tolist()
            met += list(
                zip(data.user_token[batch["user_id"]], data.item_token[batch["item_id"]], is_poisoned, strict=True)
            )
        return met

    def poisoning(k: int) -> None:
        poison(model, data, k)

    model.eval()
    with torch.no_grad():
        assert assert_only_newest(calibrated, poisoning, len(samples.targets))
    model.train()
    assert_only_newest(lambda: met_in_training(model, train), poisoning)
    for loader in (valid, test):
        assert_only_newest(lambda loader=loader: met_in_evaluation(model, loader), poisoning)


def test_the_features_of_score_fusion_know_no_profile(tmp_path):
    data, model, (_, _, test) = prepared(tmp_path, score_fusion=True)
    batch = next(iter(test))[0]
    items = batch["item_id"].unsqueeze(1)
    before = model.score_fusion.features(model.sequence_input(batch), items)
    for k in range(EVENTS + 2):
        poison(model, data, k)
    assert torch.equal(model.score_fusion.features(model.sequence_input(batch), items), before)


def refused(call: Callable[[], object]) -> bool:
    """Whether a recommendation failed for scores that are not numbers."""
    try:
        call()
    except UserError as error:
        assert "not numbers" in str(error)
        return True
    return False


@pytest.mark.parametrize("network", NETWORKS)
def test_recommendations_meet_the_newest_profile_of_the_whole_history(tmp_path, network):
    data, model, _ = prepared(tmp_path, **NETWORKS[network])
    model.eval()
    for k in range(EVENTS + 2):
        poison(model, data, k)
        for user in USERS:
            met = refused(lambda user=user: recommend(model, data, [user], k=2))
            assert met == (newest(user, EVENTS) == k), (user, k)


def test_a_history_given_by_hand_meets_no_profile(tmp_path):
    data, model, _ = prepared(tmp_path)
    history = [("source", "s0.0"), ("target", "t0.1")] * 4
    model.eval()
    frames = []
    for k in (None, *range(EVENTS + 2)):
        if k is not None:
            poison(model, data, k)
        frames.append(recommend_for_history(model, data, history, k=3)["score"].tolist())
    assert all(frame == frames[0] for frame in frames)


@pytest.mark.parametrize("network", ["causal", "published"])
def test_the_rows_of_several_processes_meet_their_own_profiles(tmp_path, monkeypatch, network):
    """Each process has every third row of a batch."""
    data, model, (train, _, _) = prepared(tmp_path, train_batch_size=9, **NETWORKS[network])
    # The loader alone: the loss would wait for the others.
    monkeypatch.setattr("recbole_lecdsr.data.train_loader.distributed.rank", lambda: 1)
    monkeypatch.setattr("recbole_lecdsr.data.train_loader.distributed.world_size", lambda: 3)
    batches = list(train)
    monkeypatch.undo()
    assert any(len(batch["item_id"]) == 3 for batch in batches)

    class Rows:
        dataset = data

        def __iter__(self) -> Iterator[Interaction]:
            return iter(batches)

    assert_only_newest(lambda: met_in_training(model, Rows()), lambda k: poison(model, data, k))


# ------------------------------------------------------------------ precomputed windows


def write_windows(root) -> dict[str, object]:
    """The same interactions as rows with complete windows in ready-made splits: the last is tested, the one before
    validated."""
    settings = write_data(root)
    events = sorted(numbered_events(), key=lambda event: event[3])
    names = dict.fromkeys(range(EVENTS - 2), "train") | {EVENTS - 2: "valid", EVENTS - 1: "test"}
    header = "user_id:token\titem_id:token\ttimestamp:float\titem_id_list:token_seq\n"
    for domain in ("source", "target"):
        folder = root / "pair" / domain
        (folder / f"{domain}.inter").unlink()
        lines = {name: [header] for name in ("train", "valid", "test")}
        for user, item, own, time in events:
            window = " ".join(earlier for other, earlier, _, before in events if other == user and before < time)
            if own == domain:
                lines[names[place_of(item)]].append(f"{user}\t{item}\t{time}\t{window}\n")
        for name, rows in lines.items():
            (folder / f"{domain}.{name}.inter").write_text("".join(rows))
        items = "".join(f"{item}\n" for _, item, own, _ in events if own == domain)
        (folder / f"{domain}.item").write_text(f"item_id:token\n{items}")
    return {**settings, "benchmark_filename": ["train", "valid", "test"], "load_col": {"item": ["item_id"]}}


@pytest.mark.parametrize("network", ["causal", "published"])
def test_targets_of_precomputed_windows_meet_the_newest_profile_that_their_rows_allow(tmp_path, network):
    settings = write_windows(tmp_path)
    data = load_dataset("LeCDSR", config_dict={**settings, **NETWORKS[network]})
    model = data.config.model_class(data.config, data)
    train, valid, test = data_preparation(data.config, data)

    def poisoning(k: int) -> None:
        poison(model, data, k)

    met = assert_only_newest(lambda: met_in_training(model, train), poisoning)
    assert max(place_of(item) for _, item, _ in met) == 8
    for loader, place in ((valid, 9), (test, 10)):
        met = assert_only_newest(lambda loader=loader: met_in_evaluation(model, loader), poisoning)
        assert {place_of(item) for _, item, _ in met} == {place}
    model.eval()
    for k in range(EVENTS + 2):
        poisoning(k)
        assert refused(lambda: recommend(model, data, ["u1"], k=2)) == (newest("u1", EVENTS) == k)


# ------------------------------------------------------------------ what no profile is


@pytest.mark.parametrize("network", ["causal", "published"])
def test_a_target_without_profile_is_asked_for_as_one_whose_profile_is_nothing(tmp_path, network):
    """Causal: the state alone, as where a profile is dropped in training. Published: the adapter of zeros."""
    data, model, _ = prepared(tmp_path, **NETWORKS[network])
    net = model.network.eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += torch.randn_like(parameter) * 0.1
        user = torch.tensor([data.user_token.tolist().index(WITHOUT), data.user_token.tolist().index("u1")])
        if network == "causal":
            state, domain = torch.randn(2, net.item_id.embedding_dim), torch.tensor([1, 0])
            assert torch.equal(net.queries(state, domain, user, torch.tensor([10, 0])), state)
            assert not torch.isclose(net.queries(state, domain, user, torch.tensor([10, 1])), state)[1].any()
        else:
            nothing = net.user_adapter(torch.zeros(5))
            torch.testing.assert_close(net.user(user, torch.tensor([10, 0])), nothing.expand(2, -1))
            assert not torch.isclose(net.user(user, torch.tensor([10, 1]))[1], nothing).any()
