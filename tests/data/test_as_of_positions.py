"""How many interactions of the user come before a target: the same number in every batch that the target is in."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recbole_lecdsr.data.collator import SequenceCollator
from recbole_lecdsr.data.event_log import build_event_log
from recbole_lecdsr.data.loaders import data_preparation, train_loader
from recbole_lecdsr.data.precomputed_windows import event_log_from_windows
from recbole_lecdsr.data.windows import separate_domains
from tests.data.test_precomputed_windows import given_pair
from tests.helpers.as_of import SPLITS, numbered_events
from tests.helpers.pairs import PER_TARGET, write_pair
from tests.helpers.runs import load, loaders

LENGTH = 4  # of windows, shorter than the histories


def assert_numbered(dataset, items: torch.Tensor, n_earlier: torch.Tensor) -> int:
    """Each item has the number that its token ends with; returns how many there are."""
    for item, number in zip(items.tolist(), n_earlier.tolist(), strict=True):
        assert int(dataset.item_token[item].partition(".")[2]) == number
    return len(items)


@pytest.mark.parametrize("sequence", ["mixed", "single"])
@pytest.mark.parametrize("samples", ["sequences", "targets"])
@pytest.mark.parametrize("split", SPLITS)
def test_every_target_of_every_split_has_its_own_number(tmp_path, split, samples, sequence):
    changes = {"eval_args": SPLITS[split], "sequence": sequence, **(PER_TARGET if samples == "targets" else {})}
    train, *held_out = loaders(
        write_pair(tmp_path, numbered_events()), MAX_ITEM_LIST_LENGTH=LENGTH, score_fusion=False, **changes
    )
    data, learned = train.dataset, 0
    for batch in train:
        assert_numbered(data, batch["item_id"], batch["n_earlier"])
        if samples == "sequences":
            trained = batch["target_list"].ne(0)
            learned += assert_numbered(data, batch["target_list"][trained], batch["n_earlier_list"][trained])
        else:
            assert "n_earlier_list" not in batch
            learned += len(batch["item_id"])
    assert learned == train.num_samples > 0
    for loader in held_out:
        ranked = sum(assert_numbered(data, batch["item_id"], batch["n_earlier"]) for batch, *_ in loader)
        assert ranked == len(loader.targets) > 0


def test_the_next_interaction_comes_after_the_whole_history(tmp_path):
    for sequence in ("mixed", "single"):
        data = load(write_pair(tmp_path, numbered_events()), MAX_ITEM_LIST_LENGTH=LENGTH, sequence=sequence)
        collator = SequenceCollator(data.config, data)
        last = torch.tensor([10, 21, 15])
        batch = collator.collate_next(last, torch.tensor([0, 1, 1]))
        assert batch["n_earlier"].tolist() == [11, 11, 5]


def test_validation_targets_keep_their_numbers_when_a_refit_trains_on_them(tmp_path):
    data = load(write_pair(tmp_path, numbered_events()), MAX_ITEM_LIST_LENGTH=LENGTH)
    enlarged = data.with_validation_for_training()
    loader, seen = train_loader(data.config, enlarged, SequenceCollator(data.config, enlarged)), []
    for batch in loader:
        trained = batch["target_list"].ne(0)
        assert_numbered(data, batch["target_list"][trained], batch["n_earlier_list"][trained])
        seen += batch["n_earlier_list"][trained].tolist()
    assert max(seen) == 9, "of eleven interactions the last one is tested"


def test_the_phases_of_a_domain_change_no_number(tmp_path):
    from recbole_cdr.utils import CrossDomainDataLoaderState

    data = load(write_pair(tmp_path, numbered_events()), MAX_ITEM_LIST_LENGTH=LENGTH, score_fusion=False)
    train, *_ = data_preparation(data.config, data)
    for state in CrossDomainDataLoaderState:
        train.set_mode(state)
        for batch in train:
            trained = batch["target_list"].ne(0)
            assert assert_numbered(data, batch["target_list"][trained], batch["n_earlier_list"][trained])


def test_separating_the_domains_keeps_the_numbers_of_the_mixed_sequence():
    columns = {"user": np.ones(4), "item": np.array([7, 8, 9, 6]), "domain": np.array([1, 0, 1, 0])}
    log = build_event_log(**columns, time=np.arange(4.0), split={"LS": "test_only"})
    separated, order = separate_domains(log)
    assert log.n_earlier.tolist() == [0, 1, 2, 3]
    assert separated.item.tolist() == [8, 6, 7, 9]
    assert separated.n_earlier.tolist() == order.tolist() == [1, 3, 0, 2]


# ------------------------------------------------------------------ precomputed windows


def rows_of_one_user(time: list[float], split: list[int], length: list[int]) -> list[int]:
    """The numbers of the rows of a user, all in one domain, as the log has them at its targets."""
    size, total = len(time), sum(length)
    log = event_log_from_windows(
        user=np.ones(size, dtype=int), item=np.arange(size) + 1, domain=np.zeros(size, dtype=int),
        time=np.array(time), split=np.array(split), length=np.array(length),
        window_item=np.full(total, 99), window_domain=np.zeros(total, dtype=int),
    )  # fmt: skip
    targets = np.flatnonzero(log.split >= 0)
    assert not log.n_earlier[log.split < 0].any()
    return log.n_earlier[targets[np.argsort(log.item[targets])]].tolist()


def test_with_complete_windows_the_number_is_the_length_of_the_window():
    assert rows_of_one_user([1, 2, 3, 4, 5], [0, 0, 0, 1, 2], [0, 1, 2, 3, 4]) == [0, 1, 2, 3, 4]


def test_a_window_that_was_cut_off_counts_no_more_than_it_holds():
    assert rows_of_one_user([1, 2, 3, 4, 5], [0, 0, 0, 1, 2], [0, 1, 2, 2, 2]) == [0, 1, 2, 2, 2]


def test_a_window_of_more_than_the_rows_counts_no_more_rows_than_there_are():
    """The first interaction of a user is often no row: profiles count rows, and would be one ahead."""
    assert rows_of_one_user([2, 3, 4, 5], [0, 0, 1, 2], [1, 2, 3, 4]) == [0, 1, 2, 3]


def test_rows_of_one_time_come_before_none_of_each_other():
    """In which order the windows have them, the log cannot know; a row of a later split is later all the same."""
    assert rows_of_one_user([1, 7, 7, 7, 7], [0, 0, 0, 0, 2], [0, 3, 1, 2, 4]) == [0, 1, 1, 1, 4]


def test_rows_of_another_user_count_for_nobody():
    log = event_log_from_windows(
        user=np.array([1, 2, 2]), item=np.array([5, 6, 7]), domain=np.zeros(3, dtype=int), time=np.array([1.0, 1, 2]),
        split=np.zeros(3, dtype=int), length=np.array([0, 4, 4]), window_item=np.full(8, 99),
        window_domain=np.zeros(8, dtype=int),
    )  # fmt: skip
    assert log.n_earlier[log.split == 0].tolist() == [0, 0, 1]


def test_batches_of_precomputed_windows_have_the_numbers_of_their_rows(tmp_path):
    train, valid, test = loaders(given_pair(tmp_path, MAX_ITEM_LIST_LENGTH=2))
    data, found = train.dataset, {}
    for phase, loader in {"train": train, "valid": valid, "test": test}.items():
        for batch in loader:
            batch = batch[0] if isinstance(batch, tuple) else batch
            if phase == "train":
                trained = batch["target_list"].ne(0)
                assert torch.equal(batch["n_earlier_list"][trained], batch["n_earlier"])
            for user, item, number in zip(batch["user_id"], batch["item_id"], batch["n_earlier"], strict=True):
                found.setdefault((phase, data.user_token[user], data.item_token[item]), set()).add(int(number))
    # u1 has a at 1, x twice at 2, b at 3 (window "a x"), c for validation ("y") and a for the test ("b x a b").
    assert found["train", "u1", "x"] == {1} and found["train", "u1", "b"] == {2}
    assert found["valid", "u1", "c"] == {1} and found["test", "u1", "a"] == {4}
    # u2: a at 1 ("x a") and y at 9 for training, b for validation ("x a a"), z for the test ("z b y z").
    assert found["train", "u2", "a"] == {0} and found["train", "u2", "y"] == {1}
    assert found["valid", "u2", "b"] == {2} and found["test", "u2", "z"] == {3}
