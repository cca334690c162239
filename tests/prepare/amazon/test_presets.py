from __future__ import annotations

from recbole_lecdsr.prepare.amazon.filters import select_rows
from recbole_lecdsr.prepare.amazon.presets import PRESETS
from recbole_lecdsr.prepare.summary import JointCounts
from tests.helpers import amazon_files as files
from tests.helpers.amazon_files import (
    ANN,
    BOB,
    CAT,
    DAN,
    prepare,
    read,
    write,
)
from tests.helpers.filter_rows import arrays


def test_the_filters_of_lecdsr_keep_active_users_of_recent_years():
    """Three in each domain and ten in all from 2014 on: the boundary cases, by hand."""
    new, old = 1388534400, 1388534399

    def reviews(user: str, toys: int, games: int, toy_time: int = new):
        return (
            [(user, f"B00000TOY{number}", 5.0, toy_time) for number in range(toys)],
            [(user, f"B0000GAME{number}", 5.0, new) for number in range(games)],
        )

    cases = {ANN: (3, 7), BOB: (2, 9), CAT: (3, 6), DAN: (7, 3)}
    pairs = [reviews(user, *counts) for user, counts in cases.items()] + [reviews("A5EVE0000000EE", 7, 7, old)]
    write("food.csv", files.ratings_2018([event for toys, _ in pairs for event in toys]))
    write("kitchen.csv", files.ratings_2018([event for _, games in pairs for event in games]))
    preset = PRESETS["lecdsr-toys-games"]
    summary = prepare("food.csv", "kitchen.csv", preset.edition, filters=preset.filters)
    assert {row.split("\t")[0] for row in read("food").splitlines()[1:]} == {ANN, DAN}
    assert summary.counts.both == JointCounts(users=2, common_users=2, common_items=0, interactions=20)


def test_abxi_goes_once_through_its_steps_in_their_order():
    """By hand, on items with ten interactions: the last 50 of a user are taken before users are counted."""
    filters = PRESETS["abxi"].filters
    many = [f"u0 a0 {time}" for time in range(10)] + [f"u0 b1 {time}" for time in range(100, 148)]
    others = [f"u1 a0 {time}" for time in range(5)] + [f"u1 b1 {time}" for time in range(10, 15)]
    columns = arrays(",".join(many + others))
    rows, steps = select_rows(filters, **columns)
    # The last 50 of u0 are two of a0 and 48 of b1, so u0 is left out, and a0 stays with five interactions.
    assert set(columns["user"][rows]) == {1} and len(rows) == 10
    assert [step.name for step in steps] == [
        "all events", "the last 50 events of a user", "users with 5 events or more in each domain",
    ]  # fmt: skip
