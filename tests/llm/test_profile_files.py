from __future__ import annotations

from pathlib import Path

import pytest

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.llm.profile_files import Profiles, merge_profiles, read_profile_file
from tests.helpers.facets import FACETS, facets_of, write_lines


def read(*files: list[dict[str, object]]) -> Profiles:
    paths = [write_lines(Path(f"{number}.jsonl"), lines) for number, lines in enumerate(files)]
    return merge_profiles([read_profile_file(path, "user_id") for path in paths])


def test_facets_are_texts_and_lists_become_one_text():
    profiles = read([facets_of("u1", 3), facets_of("u1", 5, both=" ", next_food=["a ", " ", "b"], kitchen=[])])
    assert profiles.has_events and profiles.default_fields() == FACETS
    first, second = profiles.texts(FACETS)
    assert first == {
        "food": "teas of u1 3", "kitchen": "pots of u1 3", "both": "calm of u1 3", "next_food": "green tea; u1 3",
        "next_kitchen": "teapot; cup",
    }  # fmt: skip
    assert second == {"food": "teas of u1 5", "next_food": "a; b", "next_kitchen": "teapot; cup"}
    assert [line.events for line in profiles.lines] == [3, 5]


def test_a_profile_is_the_only_text_where_there_is_one():
    profiles = read([{"user_id": 7, "note": "of May", "profile": "likes tea"}, {"user_id": "8", "note": "x"}])
    assert profiles.default_fields() == ["profile"] and not profiles.has_events
    assert [line.user for line in profiles.lines] == ["7", "8"]


def test_a_field_that_is_empty_throughout_is_no_facet():
    profiles = read([facets_of("u1", 3, note="", next_food=[]), facets_of("u2", 3, note=" ", next_food=[])])
    assert profiles.default_fields() == ["food", "kitchen", "both", "next_kitchen"]


def test_numbers_objects_and_what_is_no_text_are_no_facets():
    profiles = read([{"user_id": "u", "events": 3.0, "source": "m", "age": 7, "food": "tea", "more": {"a": "b"}}])
    assert profiles.default_fields() == ["food"] and profiles.lines[0].events == 3 and profiles.lines[0].has_source


def test_of_lines_about_the_same_interactions_that_of_the_later_file_counts():
    profiles = read(
        [facets_of("u1", 3), facets_of("u2", 3)],
        [facets_of("u1", 3, food="other"), facets_of("u1", 9)],
        [facets_of("u1", 3, food="last")],
    )
    assert profiles.n_replaced == 2
    found = {(line.user, line.events): line.values["food"] for line in profiles.lines}
    assert found == {("u1", 3): "last", ("u2", 3): "teas of u2 3", ("u1", 9): "teas of u1 9"}


def test_the_newest_texts_are_those_of_most_interactions():
    profiles = read([facets_of("u1", 9), facets_of("u1", 3), facets_of("u2", 4, food=None)])
    assert profiles.newest_texts() == {
        "u1": "teas of u1 9. pots of u1 9. calm of u1 9. green tea; u1 9. teapot; cup",
        "u2": "pots of u2 4. calm of u2 4. green tea; u2 4. teapot; cup",
    }
    assert read([{"user_id": "u", "profile": "likes tea"}]).newest_texts() == {"u": "likes tea"}


@pytest.mark.parametrize("events", [0, -1, 2.5, True, "7", [7], 1e300, 2**31, 10**400])
def test_events_that_are_no_count_are_named_with_line_and_value(events):
    with pytest.raises(UserError, match=r"0\.jsonl, line 2: events must be a whole number of at least 1, not "):
        read([facets_of("u1", 3), facets_of("u2", events)])


@pytest.mark.parametrize("number", ["NaN", "Infinity"])
def test_events_that_are_not_finite_are_refused(number):
    Path("x.jsonl").write_text(f'{{"user_id": "u", "events": {number}}}\n')
    with pytest.raises(UserError, match=rf"x\.jsonl, line 1: events must be a whole number.*not {number}"):
        read_profile_file(Path("x.jsonl"), "user_id")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            [[facets_of("u1", 3), facets_of("u2", 3), facets_of("u1", 3)]],
            r"0\.jsonl, line 3: user 'u1' with events 3 is in line 1 already: keep one",
        ),
        (
            [[facets_of("u1", 3)], [facets_of("u2", None), facets_of("u2", None)]],
            r"1\.jsonl, line 2: user 'u2' is in line 1 already: keep one",
        ),
        (
            [[facets_of("u1", 3), facets_of("u2", None)]],
            r"0\.jsonl, line 2: no events, but 0\.jsonl, line 1 has events 3: give events in all lines or in none",
        ),
        (
            [[facets_of("u1", None)], [facets_of("u1", 4)]],
            r"1\.jsonl, line 1: events 4, but 0\.jsonl, line 1 has no events: give events in all lines or in none",
        ),
    ],
    ids=["twice", "twice without events", "some without events", "a file without events"],
)
def test_lines_that_contradict_each_other_are_named(files, message):
    with pytest.raises(UserError, match=message):
        read(*files)


@pytest.mark.parametrize(("value", "shown"), [(7, "7"), ({"a": 1}, r'\{"a": 1\}'), (["a", 3], r'\["a", 3\]')])
def test_a_facet_that_is_no_text_in_one_line_is_named(value, shown):
    profiles = read([facets_of("u1", 3), facets_of("u2", 3, food=value)])
    with pytest.raises(UserError, match=rf"0\.jsonl, line 2: food must be a text or a list of texts, not {shown}: "):
        profiles.texts(profiles.default_fields())
    assert len(profiles.texts(["both"])) == 2, "other fields are not read"
