from __future__ import annotations

import numpy as np
import pytest
import torch

from recbole_lecdsr.data.constants import TEST, TRAIN, VALID
from recbole_lecdsr.data.event_log import EventLog, count_validation_times
from recbole_lecdsr.data.samples import sample_targets
from recbole_lecdsr.data.windows import WindowGatherer
from tests.helpers.event_logs import make_log


def test_interactions_are_ordered_by_time_then_source_before_target_then_row():
    log = make_log((1, 10, 1, 5.0), (1, 11, 0, 5.0), (1, 12, 0, 5.0), (1, 13, 1, 1.0), (2, 14, 0, 0.0))
    assert log.item.tolist() == [13, 11, 12, 10, 14]
    assert log.first.tolist() == [0, 0, 0, 0, 4]
    assert log.source_before.tolist() == [0, 0, 1, 2, 0]


def test_an_interaction_is_in_the_domain_of_the_one_before_it_or_in_the_other():
    log = make_log((1, 10, 1, 1.0), (1, 11, 1, 2.0), (1, 12, 0, 3.0), (1, 13, 0, 3.0), (1, 14, 1, 3.0), (2, 15, 1, 0.0))
    assert log.item.tolist() == [10, 11, 12, 13, 14, 15]
    assert log.same_domain.tolist() == [False, True, False, True, False, False], "the first of a user has none before"
    assert make_log((1, 10, 1, 1.0), (2, 11, 1, 2.0)).same_domain.tolist() == [False, False]


def test_case_r29_the_relative_time_is_the_share_of_training_interactions_up_to_an_interaction():
    rows = [(1, 10, 0, 40.0), (1, 11, 1, 10.0), (1, 12, 0, 20.0), (1, 14, 1, 90.0), (1, 15, 1, 70.0)]
    log = make_log(*rows)
    assert log.split.tolist() == [TRAIN, TRAIN, TRAIN, VALID, TEST]
    third = np.float32(1 / 3)
    assert log.relative_time.tolist() == [third, 2 * third, 1, 1, 1], "1 for all that is later than training"
    assert count_validation_times(log).relative_time.tolist() == [0.25, 0.5, 0.75, 1, 1]
    window = WindowGatherer(log, max_length=3)(torch.tensor([2]))
    assert window.relative_time.tolist() == [[0, third, 2 * third]], (
        "of the interactions before the target, not of the target itself"
    )


def test_times_count_in_whatever_unit_they_are_given():
    rows = [(1, i, i % 2, float(i * i)) for i in range(7)]
    later = [(user, item, domain, 1e12 + 86400 * time) for user, item, domain, time in rows]
    assert make_log(*rows).relative_time.tolist() == make_log(*later).relative_time.tolist()


def test_leave_one_out_takes_the_last_interaction_for_test_and_the_one_before_for_validation():
    log = make_log(*[(1, i + 1, i % 2, float(i)) for i in range(5)])
    assert log.split.tolist() == [TRAIN, TRAIN, TRAIN, VALID, TEST]
    assert sample_targets(log, TRAIN).tolist() == [1, 2], "the first event has no history and is no sample"
    assert sample_targets(log, TRAIN, min_history=2).tolist() == [2]


@pytest.mark.parametrize(("mode", "labels"), [("valid_only", [0, 0, 0, 1]), ("test_only", [0, 0, 0, 2])])
def test_leave_one_out_can_hold_out_one_part_only(mode, labels):
    log = make_log(*[(1, i + 1, 0, float(i)) for i in range(4)], split={"LS": mode})
    assert log.split.tolist() == labels


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="LS: valid_and_test"):
        make_log((1, 1, 0, 0.0), (1, 2, 0, 1.0), split={"LS": "all"})


def test_a_log_whose_users_do_not_stand_together_is_refused():
    others = dict.fromkeys(
        ("item", "domain", "split", "first", "source_before", "n_earlier", "time", "relative_time"),
        np.zeros(3, dtype=np.int8),
    )
    with pytest.raises(ValueError, match="must be contiguous"):
        EventLog(user=np.array([1, 2, 1]), **others)
