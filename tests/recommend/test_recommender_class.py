"""`recbole_lecdsr.Recommender` of a run: tokens in, data frames out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import recbole_lecdsr
from recbole_lecdsr import Recommender, UserError
from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.recommend.recommender import recommend, recommend_for_history
from recbole_lecdsr.runs.checkpoint import Checkpoint
from tests.helpers.runs import train
from tests.helpers.shop import HISTORY, TIMES, WITHOUT_PROFILE, title

COLUMNS = ["user", "domain", "rank", "item", "title", "score"]


def as_pairs(user: str) -> list[tuple[str, str]]:
    return [(domain, item) for item, domain in HISTORY[user]]


@pytest.fixture(scope="module")
def recommender(shop) -> Recommender:
    return Recommender.load(shop["folder"])


@pytest.fixture(scope="module")
def plain(shop) -> Recommender:
    """Of a run without score fusion: its scores are inner products."""
    return Recommender.load(train(shop["settings"], score_fusion=False, output_dir=str(shop["root"] / "plain")).folder)


def test_it_is_imported_with_the_package():
    assert "Recommender" in recbole_lecdsr.__all__
    assert recbole_lecdsr.Recommender is Recommender


def test_users_are_recommended_what_the_function_recommends(recommender, loaded):
    pd.testing.assert_frame_equal(recommender.recommend(["u7", "u2"], k=3), recommend(*loaded, ["u7", "u2"], k=3))
    assert set(recommender.recommend(k=1)["user"]) == set(HISTORY), "without users, all of them"
    assert recommender.recommend("u7", k=1)["user"].tolist() == ["u7", "u7"], "one user needs no list"
    assert recommender.recommend([], k=1).columns.tolist() == COLUMNS


def test_one_domain_alone_has_the_rows_that_it_has_among_both(recommender):
    both = recommender.recommend(["u7", "u2"], k=3)
    for name in DOMAINS:
        alone = recommender.recommend(["u7", "u2"], k=3, domain=name)
        pd.testing.assert_frame_equal(alone, both[both["domain"] == name].reset_index(drop=True))


@pytest.mark.parametrize("batch_size", [100, 2])
def test_each_of_several_histories_is_recommended_what_it_is_alone(shop, loaded, batch_size):
    recommender = Recommender.load(shop["folder"], {"eval_batch_size": batch_size})
    users = ["u1", "u5", "u9", "u4", "u8"]
    histories = [as_pairs(user)[: 2 + number] for number, user in enumerate(users)]
    found = recommender.recommend(histories=histories, k=3)
    assert list(dict.fromkeys(found["user"])) == [0, 1, 2, 3, 4]
    for number, history in enumerate(histories):
        alone = recommend_for_history(*loaded, history, k=3)
        part = found[found["user"] == number].reset_index(drop=True)
        pd.testing.assert_frame_equal(part.drop(columns="user"), alone.drop(columns="user"), rtol=1e-5, atol=1e-6)


def test_a_history_with_its_times_is_that_of_the_user_without_a_profile(recommender):
    timed = [(*pair, time) for pair, time in zip(as_pairs(WITHOUT_PROFILE), TIMES[WITHOUT_PROFILE], strict=True)]
    expected = recommender.recommend([WITHOUT_PROFILE], k=5).drop(columns="user")
    shuffled = [timed[index] for index in np.random.default_rng(0).permutation(len(timed))]
    for history in (timed, shuffled):
        found = recommender.recommend(histories=[history], k=5).drop(columns="user")
        pd.testing.assert_frame_equal(found, expected, rtol=1e-5, atol=1e-6)
    untimed = recommender.recommend(histories=[as_pairs(WITHOUT_PROFILE)], k=5).drop(columns="user")
    assert not np.allclose(untimed["score"], expected["score"]), "it counts as being at the end of the data"


def test_histories_with_and_without_times_can_be_asked_for_together(recommender):
    timed = [(*pair, time) for pair, time in zip(as_pairs("u3"), TIMES["u3"], strict=True)]
    both = recommender.recommend(histories=[as_pairs("u1"), timed], k=3)
    for number, history in enumerate([as_pairs("u1"), timed]):
        alone = recommender.recommend(histories=[history], k=3)
        part = both[both["user"] == number].reset_index(drop=True)
        pd.testing.assert_frame_equal(part.drop(columns="user"), alone.drop(columns="user"), rtol=1e-5, atol=1e-6)


def test_inner_products_of_the_vectors_are_the_scores(plain):
    users = ["u7", WITHOUT_PROFILE]
    for arguments in ({"users": users}, {"histories": [as_pairs(user) for user in users]}):
        found = plain.recommend(**arguments, k=4)
        queries, items = plain.user_vectors(**arguments), plain.item_vectors()
        expected = [
            float(queries.loc[(row.domain, row.user)] @ items.loc[(row.domain, row.item)]) for row in found.itertuples()
        ]
        np.testing.assert_allclose(found["score"], expected, rtol=1e-4, atol=1e-5)
    assert plain.user_vectors([]).shape == (0, items.shape[1])
    assert plain.user_vectors(users, domain="target").equals(plain.user_vectors(users).loc[["target"]])


def test_vectors_are_indexed_by_domain_and_token(plain, shop):
    vectors = plain.item_vectors()
    assert vectors.index.names == ["domain", "item"] and set(vectors.dtypes) == {np.dtype("float32")}
    for name in DOMAINS:
        assert set(vectors.loc[name].index) == set(shop["items"][name])
    assert vectors.loc[["source"]].equals(plain.item_vectors("source"))
    assert set(plain.user_vectors().loc["source"].index) == set(HISTORY)


def test_similar_items_are_those_of_the_largest_cosine(plain, shop):
    item = shop["items"]["source"][0]
    found = plain.similar_items(item, k=5)
    vectors = plain.item_vectors()
    rows = vectors.to_numpy() / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = pd.Series(rows @ rows[vectors.index.get_loc(("source", item))], index=vectors.index)
    expected = cosine.drop(("source", item)).sort_values(ascending=False)[:5]
    assert list(zip(found["domain"], found["item"], strict=True)) == expected.index.tolist()
    np.testing.assert_allclose(found["score"], expected, rtol=1e-5)
    assert found["rank"].tolist() == [1, 2, 3, 4, 5] and found["title"].tolist() == [
        title(one) for one in found["item"]
    ]
    assert set(plain.similar_items(item, domain="target")["domain"]) == {"target"}
    assert len(plain.similar_items(item, k=1000)) == len(vectors) - 1


def test_score_fusion_leaves_the_vectors_of_the_network(recommender):
    model = recommender.models["source"]
    assert model.has_vectors and not model.has_inner_product_scores
    assert len(recommender.item_vectors("source")) == len(recommender.dataset.domain_items[0])
    assert len(recommender.similar_items(recommender.item_vectors().index[0][1], k=3)) == 3


def test_a_model_without_vectors_says_so_in_one_line(shop):
    settings = {key: value for key, value in shop["settings"].items() if not key.endswith("_size")}
    outcome = train(settings, "SASRec", train_epochs=["BOTH:1"], output_dir=str(shop["root"] / "sasrec"))
    recommender = Recommender.load(outcome.folder)
    for ask in (recommender.item_vectors, recommender.user_vectors, lambda: recommender.similar_items("s0")):
        with pytest.raises(UserError, match="SASRec has no vectors") as caught:
            ask()
        assert "\n" not in str(caught.value)


def test_with_a_model_for_each_domain_similar_items_are_of_the_same_domain(shop):
    outcome = train(
        shop["settings"], selection="per_domain_best", score_fusion=False, output_dir=str(shop["root"] / "domains")
    )
    path = outcome.folder / "model.pth"
    checkpoint = Checkpoint.load(path)
    checkpoint.best["target"].state_dict["ema.network/item_id/weight"] *= -1  # certainly another epoch
    checkpoint.save(path)
    recommender = Recommender.load(outcome.folder)
    item = shop["items"]["source"][0]
    assert set(recommender.similar_items(item, k=100)["domain"]) == {"source"}
    with pytest.raises(UserError, match="leave out the domain"):
        recommender.similar_items(item, domain="target")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"users": ["u1"], "k": 0}, "k must be at least 1"),
        ({"users": ["u99"]}, "user 'u99' is not in"),
        ({"users": ["u1"], "domain": "books"}, "domain 'books' is not one of source and target"),
        ({"users": ["u1"], "histories": [[("source", "s0")]]}, "users or histories, not both"),
        ({"histories": [[]]}, "the history is empty"),
        ({"histories": [[("source", "zz")]]}, "item 'zz' is not in source"),
        ({"histories": [[("sauce", "s0")]]}, "domain 'sauce' is not one of"),
        ({"histories": ["s0"]}, "is no list of interactions"),
        ({"histories": [("source", "s0")]}, "'source' is neither"),
        ({"histories": [["s0"]]}, "'s0' is neither"),
        ({"histories": [[("source", "s0", 1, 2)]]}, "is neither"),
        ({"histories": [[("source", "{item}", "now")]]}, "time 'now' is no finite number"),
        ({"histories": [[("source", "{item}", float("nan"))]]}, "time nan is no finite number"),
        ({"histories": [[("source", "{item}", 1.0), ("source", "{item}")]]}, "others have none"),
        ({"histories": [[("source", "{item}")], [("source", "{item}"), ("source", "zz")]]}, "history 1: source:zz"),
    ],
)
def test_wrong_arguments_are_errors_with_a_remedy(recommender, shop, arguments, message):
    item = shop["items"]["source"][0]
    histories = arguments.get("histories")
    if histories:
        arguments = {
            **arguments,
            "histories": [
                [
                    tuple(item if part == "{item}" else part for part in one) if isinstance(one, tuple) else one
                    for one in history
                ]
                if isinstance(history, list)
                else history
                for history in histories
            ],
        }
    with pytest.raises(UserError) as caught:
        recommender.recommend(**arguments)
    assert message in str(caught.value)


def test_an_unknown_item_has_no_similar_items(recommender):
    with pytest.raises(UserError, match="item 'zz' is in neither source nor target"):
        recommender.similar_items("zz")
    with pytest.raises(UserError, match="k must be at least 1"):
        recommender.similar_items("zz", k=0)
