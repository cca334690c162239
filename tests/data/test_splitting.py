from __future__ import annotations

import numpy as np
import pytest
from recbole.config import Config
from recbole.data.dataset import Dataset, SequentialDataset

from recbole_lecdsr.data.constants import PHASES
from recbole_lecdsr.data.splitting import leave_one_out, split_by_ratio, split_by_time
from tests.helpers.pairs import Event, write_pair
from tests.helpers.runs import load


@pytest.mark.parametrize("ratios", [[0.8, 0.1, 0.1], [0.5, 0.3, 0.2], [8, 1, 1], [0.6, 0.0, 0.4]])
def test_ratio_counts_are_those_of_recbole(ratios):
    stock, share = Dataset.__new__(Dataset), [ratio / sum(ratios) for ratio in ratios]
    ours = split_by_ratio(np.arange(150), ratios)
    for total, counts in enumerate(ours):
        ends = [0, *stock._calcu_split_ids(total, share), total]
        assert np.diff(ends).tolist() == counts.tolist()


@pytest.mark.parametrize("held_out", [1, 2])
def test_leave_one_out_counts_are_those_of_recbole(held_out):
    stock = Dataset.__new__(Dataset)
    for total in range(1, 6):
        parts = stock._split_index_by_leave_one_out([list(range(total))], held_out)
        assert leave_one_out(np.array([total]), held_out)[0].tolist() == [len(part) for part in parts]


@pytest.mark.parametrize("ratios", [[0.8, 0.1, 0.1], [8, 1, 1], [0.6, 0.0, 0.4], [0.6, 0.4, 0.0]])
def test_at_distinct_times_a_split_by_time_is_that_of_recbole(ratios):
    stock, share = Dataset.__new__(Dataset), [ratio / sum(ratios) for ratio in ratios]
    for total in range(1, 60):
        time = np.random.default_rng(total).permutation(total).astype(float)
        ends = [0, *stock._calcu_split_ids(total, share), total]
        expected = np.repeat(np.arange(3), np.diff(ends))
        assert split_by_time(time, ratios)[np.argsort(time)].tolist() == expected.tolist()


def test_interactions_of_one_moment_are_split_by_time_into_one_part_the_later():
    time = np.random.default_rng(1).integers(0, 12, 200).astype(float)
    label = split_by_time(time, [0.6, 0.2, 0.2])
    assert all(len(set(label[time == moment])) == 1 for moment in range(12))
    counts, moments = np.bincount(label), [time[label == part].min() for part in (1, 2)]
    assert counts[0] <= 120 < counts[0] + np.sum(time == moments[0])
    assert counts[:2].sum() <= 160 < counts[:2].sum() + np.sum(time == moments[1])


LENGTH = 4  # of windows


def one_domain() -> list[Event]:
    """Users of one domain with 1 to 25 interactions, some at equal times; one more user makes a second domain."""
    rng = np.random.default_rng(5)
    events = [
        (f"u{user}", f"t{rng.integers(30)}", "target", float(time // 2))
        for user in range(60)
        for time in rng.permutation(1 + user % 25)
    ]
    return [*events, ("both", "s", "source", 0.0), ("both", "t0", "target", 1.0)]


def recbole_splits(root, name: str, dataset_class: type, split: dict) -> list[Dataset]:
    """RecBole's own training, validation and test part of the target domain's files."""
    negatives = {"train_neg_sample_args": None} if name == "SASRec" else {}
    config = Config(
        model=name, dataset="target",
        config_dict={
            "data_path": str(root / "pair"), "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
            "eval_args": {"split": split, "order": "TO", "group_by": "user", "mode": "full"},
            "MAX_ITEM_LIST_LENGTH": LENGTH, "use_gpu": False, **negatives,
        },
    )  # fmt: skip
    return dataset_class(config).build()


SPLITS = [
    *({"LS": mode} for mode in ("valid_and_test", "valid_only", "test_only")),
    {"RS": [0.8, 0.1, 0.1]},
    {"RS": [6, 2, 2]},
]


@pytest.mark.parametrize("split", SPLITS, ids=str)
def test_the_samples_of_each_split_are_those_of_recbole_s_sequential_data(tmp_path, split):
    """User, target and window of every sample equal those of RecBole's own loading, sorting and splitting.

    Comparable are the splits by user in the order of time, on one domain. RecBole's random order (RO) and its split of
    each user by time (TS) have no counterpart here. Of two domains, sequences are mixed, which RecBole's
    are not.
    """
    settings = write_pair(tmp_path, one_domain())
    data = load(settings, eval_args={"split": split}, MAX_ITEM_LIST_LENGTH=LENGTH)
    log, item, user = data.log, data.item_token, data.user_token
    stock = recbole_splits(tmp_path, "SASRec", SequentialDataset, split)
    for phase, part in zip(PHASES, stock, strict=True):
        tokens = [part.field2id_token[field] for field in ("user_id", "item_id")]
        fields = ("user_id", "item_id", "item_id_list")
        theirs = sorted(
            (str(tokens[0][one]), str(tokens[1][target]), tuple(str(tokens[1][i]) for i in window if i))
            for one, target, window in zip(*(part.inter_feat[field].tolist() for field in fields), strict=True)
        ) if len(part.inter_feat) else []  # fmt: skip
        windows = {t: log.item[max(log.first[t], t - LENGTH) : t] for t in data.targets(phase)}
        ours = sorted(
            (str(user[log.user[t]]), str(item[log.item[t]]), tuple(map(str, item[window])))
            for t, window in windows.items()
            if user[log.user[t]] != "both"
        )
        assert ours == theirs, phase
    assert len(data.targets("train")) > 100


def test_leave_one_out_of_whole_interactions_is_that_of_recbole_s_general_data(tmp_path):
    """For users with four interactions or more. RecBole's general data count interactions, here samples are counted,
    which are one fewer: a user with three interactions has a validation sample there and none here, and the ratios of
    RS apply to other numbers."""
    split = {"LS": "valid_and_test"}
    data = load(write_pair(tmp_path, one_domain()), eval_args={"split": split})
    log = data.log
    long = np.isin(log.user, np.flatnonzero(np.bincount(log.user) >= 4))
    for phase, part in zip(PHASES, recbole_splits(tmp_path, "BPR", Dataset, split), strict=True):
        users, items = (part.field2id_token[field] for field in ("user_id", "item_id"))
        theirs = zip(users[part.inter_feat["user_id"]], items[part.inter_feat["item_id"]], strict=True)
        chosen = long & (log.split == PHASES[phase])
        enough = set(data.user_token[log.user[long]])
        ours = zip(data.user_token[log.user[chosen]], data.item_token[log.item[chosen]], strict=True)
        assert sorted(ours) == sorted(pair for pair in theirs if pair[0] in enough)
