from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.amazon.filters import ONCE, Filters, select_rows
from tests.helpers.filter_rows import arrays


def kept(rows: str, **settings) -> list[str]:
    columns = arrays(rows)
    selected, _ = select_rows(Filters(**settings), **columns)
    user, item, domain, time = (column[selected].tolist() for column in columns.values())
    return [f"u{u} {'ab'[d]}{i} {t}" for u, i, d, t in zip(user, item, domain, time, strict=True)]


def test_without_settings_everything_is_kept():
    assert kept("u0 a0 1,u1 b5 2") == ["u0 a0 1", "u1 b5 2"]


def test_items_of_both_domains_are_removed_from_both():
    assert kept("u0 a0 1,u0 a1 2,u0 b0 3,u0 b2 4", shared_items="remove") == ["u0 a1 2", "u0 b2 4"]


def test_users_of_one_domain_are_left_out():
    assert kept("u0 a0 1,u1 a0 1,u1 b1 2,u2 b1 3", both_domains=True) == ["u1 a0 1", "u1 b1 2"]


@pytest.mark.parametrize(
    ("which", "rows"),
    [
        ("all", ["u0 a0 3", "u0 a0 1", "u0 a0 3", "u0 a1 1", "u0 b0 2"]),
        ("first", ["u0 a0 1", "u0 a1 1", "u0 b0 2"]),
        ("last", ["u0 a0 3", "u0 a1 1", "u0 b0 2"]),
    ],
)
def test_of_duplicate_events_all_or_the_first_or_the_last_is_kept_in_each_domain(which, rows):
    assert kept("u0 a0 3,u0 a0 1,u0 a0 3,u0 a1 1,u0 b0 2", duplicates=which) == rows


def test_of_duplicates_at_one_time_the_order_of_the_file_decides():
    columns = arrays("u0 a0 1,u0 a0 1,u0 b1 1")
    assert select_rows(Filters(duplicates="first"), **columns)[0].tolist() == [0, 2]
    assert select_rows(Filters(duplicates="last"), **columns)[0].tolist() == [1, 2]


def test_an_item_needs_its_events_in_each_domain_of_its_own():
    assert kept("u0 a0 1,u1 a0 1,u0 b0 2,u1 b1 2,u2 b1 2", item_core=2) == [
        "u0 a0 1", "u1 a0 1", "u1 b1 2", "u2 b1 2",
    ]  # fmt: skip


def test_a_user_core_leaves_out_a_users_part_of_a_domain_only():
    assert kept("u0 a0 1,u0 a1 2,u0 b0 3,u1 b0 4,u1 b1 5", user_core=2) == ["u0 a0 1", "u0 a1 2", "u1 b0 4", "u1 b1 5"]


def test_the_last_events_are_those_of_the_mixed_sequence_where_the_source_comes_first():
    rows = "u0 a0 5,u0 a1 9,u0 b2 5,u0 b3 1,u1 b3 0"
    assert kept(rows, last_events=2) == ["u0 a1 9", "u0 b2 5", "u1 b3 0"]
    assert kept(rows, last_events=3) == ["u0 a0 5", "u0 a1 9", "u0 b2 5", "u1 b3 0"]


def test_users_need_events_in_each_domain_and_in_all():
    rows = "u0 a0 1,u0 a1 2,u0 b0 3,u1 a0 1,u1 b0 2,u1 b1 3,u1 b2 3,u2 a0 1,u2 b0 2"
    assert {row[:2] for row in kept(rows, min_per_domain=1, min_total=3)} == {"u0", "u1"}
    assert {row[:2] for row in kept(rows, min_per_domain=1, min_total=4)} == {"u1"}
    with pytest.raises(UserError, match="nothing is left after the step 'users with 2 events or more in each domain'"):
        kept(rows, min_per_domain=2)


def test_one_pass_leaves_rare_items_where_repetition_does_not():
    # b1 has two interactions until u1 is left out, who has one domain only once a2 is gone.
    rows = "u0 a0 1,u2 a0 2,u1 a2 3,u0 b0 4,u2 b0 5,u0 b1 6,u1 b1 7"
    settings = {"item_core": 2, "min_per_domain": 1}
    assert kept(rows, passes=ONCE, **settings) == ["u0 a0 1", "u2 a0 2", "u0 b0 4", "u2 b0 5", "u0 b1 6"]
    assert kept(rows, **settings) == ["u0 a0 1", "u2 a0 2", "u0 b0 4", "u2 b0 5"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shared_items": "drop"}, "shared_items is 'drop', but must be one of keep, remove"),
        ({"item_core": -1}, "item_core is -1"),
        ({"start": date(2015, 1, 1), "end": date(2014, 1, 1)}, "the first day is after the last"),
        (
            {"last_events": 9, "min_per_domain": 5},
            "keep their last 9 interactions but need 0 in all and 5 in each domain",
        ),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        Filters(**settings)


def test_each_step_that_leaves_something_out_is_recorded():
    columns = arrays("u0 a0 1,u2 a0 2,u1 a2 3,u0 b0 4,u2 b0 5,u0 b1 6,u1 b1 7")
    _, steps = select_rows(Filters(start=date(2014, 1, 2), item_core=2, min_per_domain=1), **columns)
    assert [(step.name, step.users, step.items, step.events) for step in steps] == [
        ("events from 2014-01-02", 3, (2, 2), (3, 4)),
        ("items with 2 events or more", 3, (1, 2), (2, 4)),
        ("users with 1 events or more in each domain", 2, (1, 2), (2, 3)),
        ("items with 2 events or more, pass 2", 2, (1, 1), (2, 2)),
    ]


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 1), st.integers(0, 3)), max_size=60),
    item_core=st.integers(0, 3), min_per_domain=st.integers(0, 2), min_total=st.integers(0, 5),
    last=st.sampled_from([0, 6]),
)  # fmt: skip
def test_repetition_ends_with_interactions_that_satisfy_every_setting(rows, item_core, min_per_domain, min_total, last):
    rows = sorted(rows, key=lambda row: row[2])
    user, item, domain, time = (np.array([row[place] for row in rows], int) for place in range(4))
    filters = Filters(
        item_core=item_core, min_per_domain=min_per_domain, min_total=min_total, last_events=last,
        duplicates="last",
    )  # fmt: skip
    try:
        keep, steps = select_rows(filters, user=user, item=item, domain=domain, time=time)
    except UserError:
        return
    assert steps[-1].events == (int((domain[keep] == 0).sum()), int((domain[keep] == 1).sum()))
    left = [rows[row] for row in keep]
    for u, i, d, _ in left:
        assert sum(row[1] == i and row[2] == d for row in left) >= item_core
        assert all(sum(row[0] == u and row[2] == of for row in left) >= min_per_domain for of in (0, 1))
        assert min_total <= sum(row[0] == u for row in left) <= (last or len(left))
        assert sum((row[0], row[1], row[2]) == (u, i, d) for row in left) == 1
