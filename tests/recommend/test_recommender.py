from __future__ import annotations

import csv
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from recbole.data.interaction import Interaction

from recbole_lecdsr.cli.recommend import main
from recbole_lecdsr.data.constants import DOMAINS, TEST
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.quick_start import load_data_and_model
from recbole_lecdsr.recommend import recommender as module
from recbole_lecdsr.recommend.recommender import (
    Recommender,
    as_frame,
    load_run,
    recommend,
    recommend_for_history,
    top_k,
)
from recbole_lecdsr.recommend.vocabulary import Vocabulary
from recbole_lecdsr.runs import run_directory
from recbole_lecdsr.runs.checkpoint import Checkpoint
from tests.helpers.pairs import random_events, write_pair
from tests.helpers.runs import load, train

LENGTH, WITHOUT_PROFILE = 6, "u3"
# Tokens as film titles are: with commas, colons and brackets.
EVENTS = [(user, f"{item}: the [b]{item[1:]}[/b], one", domain, time) for user, item, domain, time in random_events()]
HISTORY = {
    user: [event[1:3] for event in sorted((e for e in EVENTS if e[0] == user), key=lambda e: e[3])]
    for user in {event[0] for event in EVENTS}
}
TIMES = {user: sorted(time for owner, _, _, time in EVENTS if owner == user) for user in HISTORY}


def title(item: str) -> str:
    return f"Title of {item[:2]}" if item.startswith("s") else f"Name of {item[:2]}"


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A finished run on data with titles (a column in the source, JSON lines in the target) and profiles."""
    root = tmp_path_factory.mktemp("shop")
    users = {user: np.random.default_rng(n).normal(size=5) for n, user in enumerate(HISTORY) if user != WITHOUT_PROFILE}
    settings = {**write_pair(root / "dataset", EVENTS, users=users), "train_epochs": ["BOTH:3"], "learning_rate": 0.02}
    pair = root / "dataset" / "pair"
    items = {domain: sorted({item for _, item, d, _ in EVENTS if d == domain}) for domain in ("source", "target")}
    rows = "".join(f"{item}\t{title(item)}\n" for item in items["source"])
    (pair / "source" / "source.item").write_text("item_id:token\ttitle:token_seq\n" + rows)
    lines = [json.dumps({"item_id": item, "name": title(item), "description": "…"}) for item in items["target"]]
    (pair / "items.jsonl").write_text("\n".join(lines))
    lines = [json.dumps({"user_id": user, "profile": f"Profile of {user}."}) for user in users]
    (pair / "profiles.jsonl").write_text("\n".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        outcome = train(settings)
    return {"settings": settings, "folder": root / outcome["run_directory"], "items": items}


@pytest.fixture(scope="module")
def loaded(shop):
    models, dataset = load_run(shop["folder"])
    return models["source"], dataset


def scores_of(model, dataset, user: str | None, history, domain: str, now: bool = False) -> dict[str, float]:
    """Scores of a domain's items, the window built by hand; ``now``: as if all had happened at the end of the data."""
    latest = history[-LENGTH:]
    log = dataset.log
    known = log.time[log.split < TEST]
    relative_time = [1.0 if now else float(np.mean(known <= time)) for time in TIMES.get(user, history)[-len(latest) :]]
    position = [sum(later[1] == event[1] for later in latest[n:]) for n, event in enumerate(latest)]
    ids = {name: dataset.token_ids(name, "item") for name in ("source", "target")}
    padding = [0] * (LENGTH - len(latest))
    batch = {
        "user_id": [dataset.token_ids("source", "user")[user] if user else 0],
        "item_id_list": [padding + [ids[d][item] for item, d in latest]],
        "position_id": [padding + position],
        "item_length": [len(latest)],
        "domain_list": [padding + [DOMAINS.index(d) for _, d in latest]],
        "relative_time_list": [padding + relative_time],
        "domain": [DOMAINS.index(domain)],
    }
    with torch.no_grad():
        scores = model.full_sort_predict(Interaction({name: torch.tensor(value) for name, value in batch.items()}))[0]
    return {item: float(scores[number]) for item, number in ids[domain].items() if number}


def ranked(model, dataset, user, history, domain, k, without=(), now=False) -> list[tuple[str, float]]:
    scores = scores_of(model, dataset, user, history, domain, now)
    order = sorted((item for item in scores if item not in without), key=lambda item: -scores[item])
    return [(item, scores[item]) for item in order[:k]]


def listed(frame: pd.DataFrame, user: str | None, domain: str) -> list[tuple[str, float]]:
    part = frame[frame["domain"] == domain]
    part = part[part["user"].isna() if user is None else part["user"] == user]
    assert part["place"].tolist() == list(range(1, len(part) + 1))
    return list(zip(part["item"], part["score"], strict=True))


def assert_equal_lists(found, expected):
    assert [item for item, _ in found] == [item for item, _ in expected]
    np.testing.assert_allclose([score for _, score in found], [score for _, score in expected], rtol=1e-5, atol=1e-6)


def as_rows(text: str, kind: str = "recommended") -> list[dict[str, str]]:
    return [row for row in csv.DictReader(io.StringIO(text)) if row["kind"] == kind]


# ---------------------------------------------------------------------- what is recommended


@pytest.mark.parametrize("include_history", [False, True])
def test_the_lists_are_the_best_of_all_items_of_the_domain_by_the_latest_events_of_all_splits(loaded, include_history):
    users = sorted(HISTORY)
    frame = recommend(*loaded, users, k=4, include_history=include_history)
    assert list(frame.columns) == ["user", "domain", "place", "item", "title", "score"]
    assert list(dict.fromkeys(frame["user"])) == users
    for user in users:
        without = () if include_history else [item for item, _ in HISTORY[user]]
        for domain in ("source", "target"):
            expected = ranked(*loaded, user, HISTORY[user], domain, 4, without)
            assert_equal_lists(listed(frame, user, domain), expected)
    assert frame["title"].tolist() == [title(item) for item in frame["item"]]


def test_a_list_longer_than_what_is_left_of_the_domain_ends_there(shop, loaded):
    frame = recommend(*loaded, ["u0"], k=1000)
    had = {item for item, _ in HISTORY["u0"]}
    for domain, items in shop["items"].items():
        assert {item for item, _ in listed(frame, "u0", domain)} == set(items) - had


def test_a_history_on_the_command_line_is_scored_as_that_of_a_user_without_profile_at_the_end_of_the_data(loaded):
    history = [(domain, item) for item, domain in HISTORY[WITHOUT_PROFILE]]
    found = recommend_for_history(*loaded, history, k=5)
    assert found["user"].isna().all()
    without = [item for item, _ in HISTORY[WITHOUT_PROFILE]]
    for domain in ("source", "target"):
        expected = ranked(*loaded, WITHOUT_PROFILE, HISTORY[WITHOUT_PROFILE], domain, 5, without, now=True)
        assert_equal_lists(listed(found, None, domain), expected)


def test_a_history_shorter_than_the_window_is_scored_as_it_stands(loaded):
    history = HISTORY["u1"][:2]
    found = recommend_for_history(*loaded, [(domain, item) for item, domain in history], k=3)
    without = [item for item, _ in history]
    for domain in ("source", "target"):
        expected = ranked(*loaded, None, history, domain, 3, without, now=True)
        assert_equal_lists(listed(found, None, domain), expected)


def test_it_works_on_what_load_data_and_model_returns(shop, loaded):
    _, model, dataset, *_ = load_data_and_model(shop["folder"] / run_directory.MODEL)
    pd.testing.assert_frame_equal(recommend(model, dataset, ["u5"]), recommend(*loaded, ["u5"]))


def test_small_batches_give_the_same_and_no_batch_scores_more_users_than_fit(loaded, monkeypatch):
    model, dataset = loaded
    users = Vocabulary(dataset).users_with_events
    names = Vocabulary(dataset)
    whole = [as_frame(names, part) for part in Recommender(model, dataset).for_users(users, 3)]
    assert len(whole) == 1
    scored = []
    stock = module.model_scores
    monkeypatch.setattr(module, "model_scores", lambda *a: scored.append(len(a[2])) or stock(*a))
    monkeypatch.setattr(module, "_CELLS", 4 * dataset.num_total_item)
    parts = [as_frame(names, part) for part in Recommender(model, dataset).for_users(users, 3)]
    assert max(scored) == 4
    assert sum(scored) == 2 * len(users), "once for each domain"
    small = pd.concat(parts, ignore_index=True)
    pd.testing.assert_frame_equal(small, whole[0], rtol=1e-5, atol=1e-6)


def test_equal_scores_keep_the_order_of_the_items():
    scores = torch.tensor([[1.0, 2.0, 2.0, 2.0, 0.0], [5.0, 5.0, 5.0, 5.0, 5.0], [1.0, 2.0, 3.0, 4.0, 5.0]])
    column, value = top_k(scores, 2)
    assert column.tolist() == [[1, 2], [0, 1], [4, 3]]
    assert value.tolist() == [[2, 2], [5, 5], [5, 4]]


@pytest.mark.parametrize("model", ["SASRec", "BPR", "Pop"])
def test_models_of_recbole_recommend_too_and_a_single_domain_hides_the_events_of_the_other(shop, model):
    settings = {key: value for key, value in shop["settings"].items() if not key.endswith("_size")}
    outcome = train(settings, model, sequence="single", train_epochs=["BOTH:1"], output_dir="runs")
    models, dataset = load_run(outcome["run_directory"])
    frame = recommend(models["source"], dataset, ["u0", "u1"], k=3)
    assert frame.groupby(["user", "domain"]).size().tolist() == [3] * 4
    both = [("source", shop["items"]["source"][0]), *(("target", item) for item in shop["items"]["target"][:2])]
    found = recommend_for_history(models["source"], dataset, both, k=3)
    alone = recommend_for_history(models["source"], dataset, both[:1], k=3)
    assert listed(found, None, "source") == listed(alone, None, "source")


def test_the_best_epoch_of_each_domain_recommends_the_items_of_that_domain(shop):
    outcome = train(shop["settings"], selection="per_domain_best", output_dir="runs")
    path = Path(outcome["run_directory"]) / run_directory.MODEL
    checkpoint = Checkpoint.load(path)
    best = checkpoint.best
    best["target"].state_dict["ema.item_id/weight"] *= -1  # another epoch, surely
    checkpoint.save(path)
    models, dataset = load_run(outcome["run_directory"])
    names = Vocabulary(dataset)
    (found,) = Recommender(models, dataset).for_users(names.user_ids(["u2"]), 4)
    for domain in ("source", "target"):
        model = models["source"]
        model.load_state_dict(best[domain].state_dict)
        expected = ranked(model, dataset, "u2", HISTORY["u2"], domain, 4, [item for item, _ in HISTORY["u2"]])
        assert_equal_lists(listed(as_frame(names, found), "u2", domain), expected)


def test_linked_users_and_items_go_by_the_tokens_of_each_domain(tmp_path):
    events = random_events()
    own = [(f"r{user[1:]}" if d == "source" else user, item, d, time) for user, item, d, time in events]
    settings = write_pair(tmp_path / "dataset", own)
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
    assert set(found["user"]) == {"r3", "u4"}, "users go by the token that was asked for"
    items = {domain: {event[1] for event in own if event[2] == domain} for domain in ("source", "target")}
    for domain in items:
        assert {item for item, _ in listed(found, "r3", domain)} == items[domain]
    titles = found.set_index("item")["title"]
    assert set(titles["s0"]) == {"The first book"}
    left = recommend_for_history(model, dataset, [("source", "s0")], k=100)
    assert not {"s0", "t0"} & set(left["item"]), "they are one item"


# ---------------------------------------------------------------------- the command


def test_all_formats_hold_the_same(shop, loaded, tmp_path, capsys):
    common = ["--run", str(shop["folder"]), "--user", "u7", "--user", "u2", "-k", "3"]
    expected = recommend(*loaded, ["u7", "u2"], k=3)
    for name in ("out.json", "out.csv", "new/out.parquet", "out.txt"):
        assert main([*common, "--output", str(tmp_path / name)]) == 0
    columns = ["user", "domain", "place", "item", "title", "score"]
    parquet = pd.read_parquet(tmp_path / "new" / "out.parquet")
    recommended = parquet[parquet["kind"] == "recommended"][columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(recommended, expected, check_dtype=False)
    rows = as_rows((tmp_path / "out.csv").read_text())
    assert [[row[c] for c in columns[:-1]] for row in rows] == expected[columns[:-1]].astype(str).to_numpy().tolist()
    np.testing.assert_array_equal(np.array([row["score"] for row in rows], dtype=np.float32), expected["score"])
    records = json.loads((tmp_path / "out.json").read_text())
    assert [record["user"] for record in records] == ["u7", "u2"]
    for record in records:
        history = [{"domain": d, "item": item, "title": title(item)} for item, d in HISTORY[record["user"]]]
        assert record["history"] == history[-LENGTH:]
        assert record["events"] == len(history)
        assert record["profile"] == f"Profile of {record['user']}."
        own = parquet[parquet["user"] == record["user"]]
        assert own[own["kind"] == "history"]["item"].tolist() == [event["item"] for event in history[-LENGTH:]]
        assert own[own["kind"] == "history"]["place"].tolist() == [1, 2, 3, 4, 5, 6]
        assert own[own["kind"] == "profile"]["title"].tolist() == [record["profile"]]
        for domain in ("source", "target"):
            found = [(one["item"], one["score"]) for one in record["recommended"][domain]]
            assert found == listed(expected, record["user"], domain)
    text = (tmp_path / "out.txt").read_text()
    for item in expected["item"]:
        assert item in text, "brackets are no markup"
    assert capsys.readouterr().out == "", "what goes to a file is not printed"


def test_users_come_from_a_file_and_all_means_all(shop, tmp_path, capsys):
    (tmp_path / "users.txt").write_text("u4\n\nu6\nu4\n")
    main(["--run", str(shop["folder"]), "--users", "users.txt", "--format", "csv", "-k", "1"])
    rows = as_rows(capsys.readouterr().out)
    assert [row["user"] for row in rows] == ["u4", "u4", "u6", "u6"]
    main(["--run", str(shop["folder"]), "--all", "--format", "json", "-k", "1", "--eval_batch_size=7"])
    assert {record["user"] for record in json.loads(capsys.readouterr().out)} == set(HISTORY)


def test_a_history_may_have_commas_in_its_tokens_and_come_from_a_file(shop, loaded, tmp_path, capsys):
    history = [(domain, item) for item, domain in HISTORY["u8"]]
    expected = recommend_for_history(*loaded, history, k=2)
    texts = [f"{domain}:{item}" for domain, item in history]
    (tmp_path / "history.txt").write_text("\n".join(texts) + "\n")
    for given in (["--history", ",".join(texts)], ["--history", ", ".join(texts)], ["--history_file", "history.txt"]):
        main(["--run", str(shop["folder"]), *given, "-k", "2", "--format", "csv"])
        out = capsys.readouterr().out
        assert [row["item"] for row in as_rows(out)] == expected["item"].tolist()
        assert [row["item"] for row in as_rows(out, "history")] == [item for _, item in history[-LENGTH:]]
        assert {row["user"] for row in as_rows(out)} == {""}


def test_the_table_shows_history_profile_and_recommendations(shop, loaded, capsys):
    main(["--run", str(shop["folder"]), "--user", "u9", "-k", "2"])
    text = capsys.readouterr().out
    assert "user u9" in text
    assert "Profile of u9." in text
    assert "the latest 6 of 10 events" in text
    for row in recommend(*loaded, ["u9"], k=2).itertuples():
        assert row.title in text
        assert f"{row.score:.4f}" in text


def test_a_failure_on_the_way_leaves_the_former_output(shop, monkeypatch, tmp_path):
    (tmp_path / "out.csv").write_text("former")
    stock, calls = module.model_scores, []

    def fails_later(*arguments):
        calls.append(1)
        if len(calls) > 4:
            raise RuntimeError("out of memory")
        return stock(*arguments)

    monkeypatch.setattr(module, "model_scores", fails_later)
    with pytest.raises(RuntimeError, match="out of memory"):
        main(["--run", str(shop["folder"]), "--all", "--output", "out.csv", "--eval_batch_size=5"])
    assert (tmp_path / "out.csv").read_text() == "former"
    assert [path.name for path in tmp_path.glob("*out*")] == ["out.csv"]


# ---------------------------------------------------------------------- mistakes


def error(shop, *arguments: str) -> str:
    with pytest.raises(UserError) as caught:
        main(["--run", str(shop["folder"]), *arguments])
    return str(caught.value)


def test_unknown_users_are_all_named_with_the_nearest_ones(shop):
    told = error(shop, "--user", "u0", "--user", "U11", "--user", "zzz").splitlines()
    assert len(told) == 2
    assert "'U11'" in told[0]
    assert "'u11'" in told[0]
    assert "'zzz'" in told[1]
    assert "look like" in told[1]


def test_a_user_without_events_after_filtering_is_told_apart_from_an_unknown_one(loaded):
    _, dataset = loaded
    names = Vocabulary(dataset)
    names.__dict__["users_with_events"] = np.array([1])
    user = next(token for token, number in dataset.token_ids("source", "user").items() if number == 2)
    with pytest.raises(UserError, match="no event left"):
        names.user_ids([user])


def test_unknown_items_are_named_with_the_nearest_ones_of_their_domain(shop):
    told = error(shop, "--history", "source:s0: the [b]0[/b], on,target:s1: the [b]1[/b], one").splitlines()
    assert "'s0: the [b]0[/b], one'" in told[0]
    assert "it is of source" in told[1]
    assert "did you mean 's7: the [b]7[/b], one'" in error(shop, "--history", "source:S7:"), "the beginning is enough"
    assert "DOMAIN:ITEM" in error(shop, "--history", "s0")
    assert "is not one of source and target" in error(shop, "--history", "sauce:s0")
    assert "empty" in error(shop, "--history", "")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "say for whom"),
        (["--all", "--user", "u1"], "one of them"),
        (["--user", "u1", "-k", "0"], "at least 1"),
        (["--user", "u1", "--format", "parquet"], "--output FILE"),
        (["--user", "u1", "--usr=u2"], "unknown parameter 'usr'"),
        (["--user", "u1", "stray"], "'stray' is not known"),
        (["--users", "absent.txt"], "absent.txt does not exist"),
        (["--user", "u1", "--data_path=absent"], "data_path"),
    ],
)
def test_wrong_arguments_are_told_with_a_remedy(shop, arguments, told):
    assert told in error(shop, *arguments)


def test_a_run_that_is_missing_unfinished_or_of_other_data_is_told_with_a_remedy(shop, tmp_path):
    with pytest.raises(UserError, match=r"LeCDSR-203 does not exist: there is .*LeCDSR-2022"):
        load_run(shop["folder"].parent / "LeCDSR-203")
    with pytest.raises(UserError, match="train first"):
        load_run(tmp_path / "nowhere" / "at" / "all")
    copy = tmp_path / "copy"
    shutil.copytree(shop["folder"], copy)
    (copy / run_directory.RESULT).unlink()
    load_run(copy)  # trained to its end, although there is no result of a test
    checkpoint = Checkpoint.load(copy / run_directory.MODEL)
    replace(checkpoint, training_ended=False).save(copy / run_directory.MODEL)
    with pytest.raises(UserError, match="not finished"):
        load_run(copy)
    (copy / run_directory.MODEL).write_bytes(b"rubbish")
    with pytest.raises(UserError, match="cannot be read"):
        load_run(copy)
    other = write_pair(tmp_path / "other", random_events(5, 20))
    with pytest.raises(UserError, match="do not fit the data"):
        load_run(shop["folder"], {"data_path": other["data_path"]})


def test_scores_that_are_no_numbers_are_not_ranked(loaded, monkeypatch):
    model, dataset = loaded
    nan = torch.full((1, dataset.num_total_item), torch.nan)
    monkeypatch.setattr(module, "model_scores", lambda *_: nan)
    with pytest.raises(UserError, match="not numbers"):
        recommend(model, dataset, ["u1"])
