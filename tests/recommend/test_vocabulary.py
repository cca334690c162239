from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recbole_lecdsr.errors import UserError
from recbole_lecdsr.recommend.recommender import recommend, recommend_for_history
from recbole_lecdsr.recommend.vocabulary import Vocabulary
from tests.helpers.facets import facets_of, write_facet_pair, write_lines
from tests.helpers.pairs import random_events, write_pair
from tests.helpers.runs import load
from tests.helpers.shop import listed


def test_linked_users_and_items_have_the_tokens_of_each_domain(tmp_path):
    events = random_events()
    of_domains = [(f"r{user[1:]}" if d == "source" else user, item, d, time) for user, item, d, time in events]
    settings = write_pair(tmp_path / "dataset", of_domains)
    folder = tmp_path / "dataset" / "pair"
    inter = (folder / "source" / "source.inter").read_text()
    (folder / "source" / "source.inter").write_text(inter.replace("user_id:", "reader:").replace("item_id:", "book:"))
    (folder / "source" / "source.item").write_text("book:token\ttitle:token_seq\ns0\tThe first book\n")
    Path("user.link").write_text("reader:token\tuser_id:token\n" + "".join(f"r{n}\tu{n}\n" for n in range(30)))
    Path("item.link").write_text("book:token\titem_id:token\ns0\tt0\n")
    read = {"inter": ["reader", "book", "timestamp"]}
    columns = {"USER_ID_FIELD": "reader", "ITEM_ID_FIELD": "book", "load_col": read}
    links = {"user_link_file_path": "user.link", "item_link_file_path": "item.link"}
    dataset = load({**settings, **links, "source_domain": {"dataset": "source", **columns}})
    model = dataset.config.model_class(dataset.config, dataset).eval()
    found = recommend(model, dataset, ["r3", "u4"], k=100, include_history=True)
    assert set(found["user"]) == {"r3", "u4"}, "users have the token that was given"
    items = {domain: {event[1] for event in of_domains if event[2] == domain} for domain in ("source", "target")}
    for domain in items:
        assert {item for item, _ in listed(found, "r3", domain)} == items[domain]
    titles = found.set_index("item")["title"]
    assert set(titles["s0"]) == {"The first book"}
    left = recommend_for_history(model, dataset, [("source", "s0")], k=100)
    assert not {"s0", "t0"} & set(left["item"]), "they are one item"


def test_of_several_profiles_of_a_user_the_newest_is_shown_and_its_facets_as_one_text(tmp_path):
    settings = write_facet_pair(tmp_path / "dataset")
    folder = tmp_path / "dataset" / "pair"
    write_lines(folder / "early.jsonl", [facets_of(user, 5) for user in ("u0", "u1")])
    write_lines(folder / "full.jsonl", [facets_of("u0", 8, next_food=None, next_kitchen=None), facets_of("gone", 8)])
    dataset = load(settings, profile_file=["early.jsonl", "full.jsonl", "absent.jsonl"])
    profiles = {str(dataset.user_token[user]): text for user, text in Vocabulary(dataset).profiles.items()}
    assert profiles == {
        "u0": "teas of u0 8. pots of u0 8. calm of u0 8",
        "u1": "teas of u1 5. pots of u1 5. calm of u1 5. green tea; u1 5. teapot; cup",
    }
    assert Vocabulary(load(settings)).profiles == {}


def test_a_user_without_interactions_after_filtering_has_an_error_of_its_own(loaded):
    _, dataset = loaded
    vocabulary = Vocabulary(dataset)
    vocabulary.__dict__["users_with_interactions"] = np.array([1])
    user = next(token for token, number in dataset.token_ids("source", "user").items() if number == 2)
    with pytest.raises(UserError, match="no interaction left"):
        vocabulary.user_ids([user])
