"""`run_lecdsr.py export`, and the recommender of an export."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from recbole_lecdsr import Recommender, UserError
from recbole_lecdsr.cli.export import main
from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.recommend import export as module
from recbole_lecdsr.recommend import index
from recbole_lecdsr.recommend.export import histories_before
from recbole_lecdsr.recommend.histories import TimeScale
from tests.helpers.runs import process, train
from tests.helpers.shop import HISTORY, TIMES, title

pytest.importorskip("faiss", reason="exports need faiss: pip install faiss-cpu")

USERS = sorted(HISTORY)[:12]


def timed(user: str) -> list[tuple[str, str, float]]:
    return [(domain, item, time) for (item, domain), time in zip(HISTORY[user], TIMES[user], strict=True)]


@pytest.fixture(scope="module")
def plain(shop) -> Path:
    """A run whose scores are inner products."""
    return train(shop["settings"], score_fusion=False, output_dir=str(shop["root"] / "plain")).folder


@pytest.fixture(scope="module")
def exported(plain, tmp_path_factory) -> Path:
    """Its export."""
    folder = tmp_path_factory.mktemp("export") / "new" / "export"
    assert main(["--run", str(plain), "--output", str(folder)]) == 0
    return folder


def assert_same_recommendations(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """The same lists, but for the order of items whose scores are equal but for rounding."""
    np.testing.assert_allclose(found["score"], expected["score"], rtol=1e-4, atol=1e-5)
    columns = ["user", "domain", "rank", "title"]
    far = expected.groupby(["user", "domain"])["score"].diff().abs().fillna(1) > 1e-4
    assert found[columns[:3]].equals(expected[columns[:3]])
    assert found["item"][far].tolist() == expected["item"][far].tolist()


@pytest.mark.parametrize("approximate", [False, True])
@pytest.mark.parametrize("include_history", [False, True])
def test_an_export_recommends_what_its_run_recommends(plain, exported, approximate, include_history):
    run, export = Recommender.load(plain), Recommender.from_export(exported, approximate=approximate)
    histories = [timed(user)[: 3 + number] for number, user in enumerate(USERS)]
    arguments = {"histories": histories, "k": 4, "include_history": include_history}
    assert_same_recommendations(export.recommend(**arguments), run.recommend(**arguments))
    untimed = [[one[:2] for one in history] for history in histories]
    assert_same_recommendations(export.recommend(histories=untimed), run.recommend(histories=untimed))


def test_more_items_than_there_are_end_with_the_last_one(plain, exported, shop):
    history = timed("u1")
    found = Recommender.from_export(exported).recommend(histories=[history], k=1000)
    assert_same_recommendations(found, Recommender.load(plain).recommend(histories=[history], k=1000))
    had = {item for _, item, _ in history}
    for name, items in shop["items"].items():
        assert set(found[found["domain"] == name]["item"]) == set(items) - had


def test_vectors_titles_and_similar_items_are_those_of_the_run(plain, exported, shop):
    run, export = Recommender.load(plain), Recommender.from_export(exported)
    pd.testing.assert_frame_equal(export.item_vectors(), run.item_vectors())
    item = shop["items"]["target"][0]
    pd.testing.assert_frame_equal(export.similar_items(item, k=6), run.similar_items(item, k=6))
    histories = [timed(user) for user in USERS]
    vectors = export.user_vectors(histories=histories)
    pd.testing.assert_frame_equal(vectors, run.user_vectors(histories=histories), rtol=1e-4, atol=1e-5)


def test_the_files_are_plain_and_say_what_they_are(exported, shop):
    description = json.loads((exported / "export.json").read_text())
    assert {path.name for path in exported.iterdir()} == {"export.json", *description["files"]}
    assert description["model"] == "LeCDSR" and description["score_fusion"] is False
    vectors = np.load(exported / "item_vectors.npy")
    rows = [json.loads(line) for line in (exported / "items.jsonl").read_text().splitlines()]
    assert vectors.dtype == np.float32 and len(vectors) == len(rows)
    assert [(row["domain"], row["title"]) for row in rows] == [(row["domain"], title(row["item"])) for row in rows], (
        "titles are known in this shop"
    )
    for name in DOMAINS:
        assert {row["item"] for row in rows if row["domain"] == name} == set(shop["items"][name])
        assert 0.5 < description["recall"][name] <= 1 and description["queries"][name] > 0
    assert torch.load(exported / "network.pth", weights_only=True)["item_text"].shape[1] == 5
    assert str(shop["root"]) not in (exported / "export.json").read_text(), "no place of the training"


def test_an_export_needs_no_file_of_the_data(exported, tmp_path):
    shutil.copytree(exported, tmp_path / "served")
    code = (
        "import json, sys; from recbole_lecdsr import Recommender\n"
        "histories = json.loads(sys.argv[1])\n"
        "print(Recommender.from_export('served').recommend(histories=histories, k=2).to_json())"
    )
    output = process("-c", code, json.dumps([timed("u1")]), cwd=tmp_path)
    assert output.returncode == 0, output.stderr
    found = json.loads(output.stdout)
    expected = Recommender.from_export(exported).recommend(histories=[timed("u1")], k=2)
    assert list(found["item"].values()) == expected["item"].tolist()


def test_with_score_fusion_the_network_alone_is_exported_and_said_to_be(shop, capsys):
    assert main(["--run", str(shop["folder"])]) == 0
    assert "An export has the network alone" in capsys.readouterr().out
    folder = shop["folder"] / "export"
    assert json.loads((folder / "export.json").read_text())["score_fusion"] is True
    run, export = Recommender.load(shop["folder"]), Recommender.from_export(folder)
    pd.testing.assert_frame_equal(export.item_vectors(), run.item_vectors())
    histories = [timed("u1"), timed("u2")]
    pd.testing.assert_frame_equal(
        export.user_vectors(histories=histories), run.user_vectors(histories=histories), rtol=1e-4, atol=1e-5
    )


MODELS = [
    ("TextSASRec", {}), ("LeCDSR", {"no_item_semantics": True}), ("LeCDSR-paper", {}), ("ABXI", {}),
    ("LeCDSR-paper", {"no_user_profile": True}), ("UniSRec", {"n_experts": 2}), ("AlphaFuse", {"id_size": 2}),
    ("AlphaFuse", {"id_size": 2, "whitening": "popularity"}), ("LLMESR", {}), ("LLM4CDSR", {}),
]  # fmt: skip


@pytest.mark.parametrize(("model", "changes"), MODELS, ids=str)
def test_every_model_of_inner_products_is_exported(shop, tmp_path, model, changes):
    settings = {name: value for name, value in shop["settings"].items() if name != "adapter_hidden_size"}
    fixed = {"train_epochs": ["BOTH:1"], "embedding_size": 8, "score_fusion": False, **changes}
    run = Recommender.load(train(settings, model, output_dir=str(tmp_path / "runs"), **fixed).folder)
    module.export_run(run, tmp_path / "export")
    found = Recommender.from_export(tmp_path / "export").recommend(histories=[timed(user) for user in USERS], k=3)
    assert_same_recommendations(found, run.recommend(histories=[timed(user) for user in USERS], k=3))


def test_with_an_epoch_for_each_domain_each_has_its_network(shop, tmp_path):
    settings = {**shop["settings"], "score_fusion": False, "selection": "per_domain_best"}
    run = Recommender.load(train(settings, output_dir=str(tmp_path / "runs")).folder)
    with torch.no_grad():
        for weight in run.models["target"].ema.buffers():
            weight *= 1 if weight.dtype == torch.int64 else -1
    module.export_run(run, tmp_path / "export")
    arguments = {"histories": [timed(user) for user in USERS], "k": 3}
    export = Recommender.from_export(tmp_path / "export")
    assert export.models["source"] is not export.models["target"]
    assert_same_recommendations(export.recommend(**arguments), run.recommend(**arguments))


def test_a_model_without_inner_products_is_refused_in_one_line(shop, tmp_path):
    settings = {key: value for key, value in shop["settings"].items() if not key.endswith("_size")}
    run = train(settings, "SASRec", train_epochs=["BOTH:1"], output_dir=str(tmp_path / "runs")).folder
    with pytest.raises(UserError, match="SASRec has no vectors") as caught:
        main(["--run", str(run), "--output", str(tmp_path / "export")])
    assert "\n" not in str(caught.value) and not (tmp_path / "export").exists()


def test_a_network_whose_queries_need_the_data_is_refused(plain, tmp_path, monkeypatch):
    run = Recommender.load(plain)
    query = run.models["source"].query
    monkeypatch.setattr(run.models["source"], "query", lambda batch: query(batch) * 1.01)
    with pytest.raises(UserError, match="LeCDSR cannot be exported: its queries also follow from"):
        module.export_run(run, tmp_path / "export")
    assert not (tmp_path / "export").exists()


def test_an_export_has_no_users(exported):
    export = Recommender.from_export(exported)
    for ask in (export.recommend, export.user_vectors, lambda: export.recommend(["u1"])):
        with pytest.raises(UserError, match="an export holds no users: give histories"):
            ask()


@pytest.mark.parametrize(
    "name", ["export.json", "items.jsonl", "item_vectors.npy", "network.pth", "exact_source.faiss"]
)
@pytest.mark.parametrize("damage", ["missing", "cut", "flipped"])
def test_a_damaged_export_is_refused_with_the_file(exported, tmp_path, name, damage):
    folder = tmp_path / "export"
    shutil.copytree(exported, folder)
    content = bytearray((folder / name).read_bytes())
    if damage == "missing":
        (folder / name).unlink()
    elif damage == "cut":
        (folder / name).write_bytes(content[:-5])
    else:
        content[len(content) // 2] ^= 1
        (folder / name).write_bytes(content)
    with pytest.raises(UserError, match=name.replace(".", r"\.")) as caught:
        Recommender.from_export(folder)
    assert "export" in str(caught.value) and "\n" not in str(caught.value)


def test_an_interrupted_export_is_none(plain, exported, tmp_path, monkeypatch):
    folder = tmp_path / "export"
    shutil.copytree(exported, folder)
    stock, written = module.write_whole, []

    def fails_later(path, mode="w"):
        written.append(path)
        if len(written) == 4:
            raise OSError(28, "No space left on device", str(path))
        return stock(path, mode)

    monkeypatch.setattr(module, "write_whole", fails_later)
    with pytest.raises(UserError, match="cannot be written"):
        module.export_run(Recommender.load(plain), folder)
    with pytest.raises(UserError, match=r"export\.json does not exist: make an export"):
        Recommender.from_export(folder)


def test_the_width_of_the_search_is_the_smallest_that_finds_enough(monkeypatch):
    rng = np.random.default_rng(0)
    vectors, queries = (rng.normal(size=(size, 16)).astype(np.float32) for size in (3000, 200))
    exact, approximate = index.build_exact(vectors), index.build_approximate(vectors)
    expected = np.argsort(-queries @ vectors.T, axis=1)[:, :10]
    np.testing.assert_array_equal(index.search(exact, queries, 10)[0], expected)
    recalls = []
    for width in index.SEARCH_WIDTHS:
        approximate.hnsw.efSearch = width
        recalls.append(index.recall(index.search(approximate, queries, 10)[0], expected))
    assert recalls == sorted(recalls) and recalls[0] < recalls[-1], "else the test shows nothing"
    for wanted, number in ((recalls[1], 1), (0.0, 0), (1.1, -1)):
        monkeypatch.setattr(index, "WANTED_RECALL", wanted)
        assert index.choose_search_width(approximate, exact, queries) == recalls[number]
        assert approximate.hnsw.efSearch == index.SEARCH_WIDTHS[number]
    assert index.choose_search_width(approximate, exact, queries[:0]) is None


def test_histories_before_targets_are_those_of_the_log(shop):
    run = Recommender.load(shop["folder"])
    log, targets = run.dataset.log, run.dataset.targets("test")
    found = histories_before(log, targets)
    end = np.cumsum(found.length)
    for target, stop, length in zip(targets, end, found.length, strict=True):
        np.testing.assert_array_equal(found.item[stop - length : stop], log.item[log.first[target] : target])
        np.testing.assert_array_equal(found.time[stop - length : stop], log.time[log.first[target] : target])


def test_a_scale_with_many_times_is_thinned_to_steps_that_are_close(monkeypatch):
    monkeypatch.setattr(module, "_MAX_TIMES", 101)
    time = np.sort(np.random.default_rng(0).exponential(size=5000))
    scale = TimeScale(time, np.arange(1, 5001, dtype=np.float32) / 5000)
    thin = module._thin(scale)
    assert len(thin.time) <= 101
    asked = np.random.default_rng(1).exponential(size=1000)
    assert np.abs(thin.relative(asked) - scale.relative(asked)).max() <= 0.0101


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--rn=3"], "unknown parameter 'rn'"), (["stray"], "'stray' is not an option of the form --NAME=VALUE")],
)
def test_wrong_arguments_are_errors_with_a_remedy(plain, arguments, message):
    with pytest.raises(UserError, match=message):
        main(["--run", str(plain), *arguments])
