from __future__ import annotations

import numpy as np
import pytest

from recbole_lecdsr.data.constants import TRAIN
from recbole_lecdsr.data.event_log import build_event_log
from recbole_lecdsr.data.samples import sample_targets, sequence_ends


@pytest.mark.parametrize(("max_length", "stride"), [(5, 5), (5, 2), (50, 25), (7, 1), (4, 3)])
def test_windows_of_sequences_train_on_every_target_once(max_length, stride):
    rng = np.random.default_rng(0)
    user = np.sort(rng.integers(1, 9, 200))
    log = build_event_log(
        user, rng.integers(1, 50, 200), rng.integers(0, 2, 200), np.arange(200.0), split={"LS": "valid_and_test"}
    )
    target = sample_targets(log, TRAIN)
    end, count = sequence_ends(log, target, max_length, stride)
    covered = np.concatenate([np.arange(e - c + 1, e + 1) for e, c in zip(end, count, strict=True)])
    assert sorted(covered) == target.tolist()
    assert np.all(count <= np.minimum(max_length, end - log.first[end])), "positions that the window has"


def test_the_newest_positions_of_a_window_are_trained_on_with_enough_interactions_before_them():
    log = build_event_log(np.ones(10), np.arange(10), np.zeros(10), np.arange(10.0), split={"LS": "test_only"})
    end, count = sequence_ends(log, sample_targets(log, TRAIN), 4, 2)
    assert end.tolist() == [8, 6, 4] and count.tolist() == [2, 2, 4]
