from __future__ import annotations

import csv
import io
import json

import numpy as np
import pandas as pd
import pytest

from recbole_lecdsr.cli.recommend import FORMATS, SUFFIXES, main
from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.recommend.recommender import Recommender, load_run, recommend, recommend_for_history
from recbole_lecdsr.recommend.vocabulary import Vocabulary
from recbole_lecdsr.recommend.writers import WRITERS, write_csv
from tests.helpers.shop import HISTORY, LENGTH, listed, title, train_shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return train_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def loaded(shop):
    models, dataset = load_run(shop["folder"])
    return models["source"], dataset


def as_rows(text: str, kind: str = "recommended") -> list[dict[str, str]]:
    return [row for row in csv.DictReader(io.StringIO(text)) if row["kind"] == kind]


def test_all_formats_have_the_same_content(shop, loaded, tmp_path, capsys):
    common = ["--run", str(shop["folder"]), "--user", "u7", "--user", "u2", "-k", "3"]
    expected = recommend(*loaded, ["u7", "u2"], k=3)
    for name in ("out.json", "out.csv", "new/out.parquet", "out.txt"):
        assert main([*common, "--output", str(tmp_path / name)]) == 0
    columns = ["user", "domain", "rank", "item", "title", "score"]
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
        rows = parquet[parquet["user"] == record["user"]]
        assert rows[rows["kind"] == "history"]["item"].tolist() == [event["item"] for event in history[-LENGTH:]]
        assert rows[rows["kind"] == "history"]["rank"].tolist() == [1, 2, 3, 4, 5, 6]
        assert rows[rows["kind"] == "profile"]["title"].tolist() == [record["profile"]]
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
    assert "the latest 6 of 10 interactions" in text
    for row in recommend(*loaded, ["u9"], k=2).itertuples():
        assert row.title in text
        assert f"{row.score:.4f}" in text


def test_a_failure_while_writing_leaves_the_former_output(shop, monkeypatch, tmp_path):
    (tmp_path / "out.csv").write_text("former")
    stock, calls = Recommender.top_items, []

    def fails_later(*arguments):
        calls.append(1)
        if len(calls) > 4:
            raise RuntimeError("out of memory")
        return stock(*arguments)

    monkeypatch.setattr(Recommender, "top_items", fails_later)
    with pytest.raises(RuntimeError, match="out of memory"):
        main(["--run", str(shop["folder"]), "--all", "--output", "out.csv", "--eval_batch_size=5"])
    assert (tmp_path / "out.csv").read_text() == "former"
    assert [path.name for path in tmp_path.glob("*out*")] == ["out.csv"]


def error(shop, *arguments: str) -> str:
    with pytest.raises(UserError) as caught:
        main(["--run", str(shop["folder"]), *arguments])
    return str(caught.value)


def test_unknown_users_are_all_named_with_the_nearest_ones(shop):
    lines = error(shop, "--user", "u0", "--user", "U11", "--user", "zzz").splitlines()
    assert len(lines) == 2
    assert "'U11'" in lines[0]
    assert "'u11'" in lines[0]
    assert "'zzz'" in lines[1]
    assert "look like" in lines[1]


def test_unknown_items_are_named_with_the_nearest_ones_of_their_domain(shop):
    lines = error(shop, "--history", "source:s0: the [b]0[/b], on,target:s1: the [b]1[/b], one").splitlines()
    assert "'s0: the [b]0[/b], one'" in lines[0]
    assert "it is an item of source" in lines[1]
    assert "did you mean 's7: the [b]7[/b], one'" in error(shop, "--history", "source:S7:"), "the beginning is enough"
    assert "DOMAIN:ITEM" in error(shop, "--history", "s0")
    assert "is not one of source and target" in error(shop, "--history", "sauce:s0")
    assert "empty" in error(shop, "--history", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "say for whom"),
        (["--all", "--user", "u1"], "give one of"),
        (["--user", "u1", "-k", "0"], "at least 1"),
        (["--user", "u1", "--format", "parquet"], "--output FILE"),
        (["--user", "u1", "--usr=u2"], "unknown parameter 'usr'"),
        (
            ["--user", "u1", "stray"],
            "'stray' is not an option of the form --NAME=VALUE, see run_lecdsr.py recommend --help",
        ),
        (["--user", "u1", "--seed", "3"], "--seed 3 must be written with an equals sign: --seed=3"),
        (["--users", "absent.txt"], "absent.txt does not exist"),
        (["--user", "u1", "--data_path=absent"], "data_path"),
    ],
)
def test_wrong_arguments_are_errors_with_a_remedy(shop, arguments, message):
    assert message in error(shop, *arguments)


@pytest.mark.parametrize("name", ["out.xlsx", "out.tsv", "out.csv.gz"])
def test_case_t5_an_output_of_an_unknown_format_is_refused_with_those_that_are_known(shop, tmp_path, name):
    message = error(shop, "--user", "u1", "--output", name)
    assert f"{name} has no known format" in message and ".json, .csv, .parquet" in message
    assert not (tmp_path / name).exists()
    assert main(["--run", str(shop["folder"]), "--user", "u1", "--output", name, "--format", "csv"]) == 0


STRANGE = "\x1b[31m:smile: /x[/]y =1 \x9b2J\u202etxt"


@pytest.fixture
def strange(loaded, monkeypatch):
    """A vocabulary whose titles and profiles hold markup and control characters."""
    vocabulary = Vocabulary(loaded[1])
    vocabulary.titles = [np.where(titles == "", "", STRANGE).astype(object) for titles in vocabulary.titles]
    vocabulary.profiles = dict.fromkeys(vocabulary.profiles, STRANGE)
    monkeypatch.setattr("recbole_lecdsr.recommend.batches.Vocabulary", lambda dataset: vocabulary)
    return vocabulary


@pytest.mark.parametrize("name", FORMATS[:3])
def test_case_t6_titles_can_neither_control_a_terminal_nor_become_markup(shop, strange, monkeypatch, capsys, name):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    assert main(["--run", str(shop["folder"]), "--user", "u7", "-k", "1", "--format", name]) == 0
    printed = capsys.readouterr().out
    escaped = r"\u001b[31m:smile: /x[/]y =1 \u009b2J\u202etxt"
    assert escaped in printed
    assert not set("\x1b\x9b\u202e") & set(printed)
    if name == "json":
        assert json.loads(printed)[0]["profile"] == STRANGE


def test_case_t6_files_keep_titles_as_they_are(shop, strange, tmp_path):
    main(["--run", str(shop["folder"]), "--user", "u7", "-k", "1", "--output", "out.json"])
    assert json.loads((tmp_path / "out.json").read_text())[0]["profile"] == STRANGE


@pytest.mark.parametrize(
    ("title", "cell"),
    [("=1+1", "'=1+1"), ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"), ("@SUM(1)", "'@SUM(1)"), ("-2+3", "'-2+3"),
     ("\t=1", "'\t=1"), ("-12.5e3", "-12.5e3"), ("+7", "+7"), ("a=1", "a=1")],
)  # fmt: skip
def test_case_t6_no_cell_of_a_csv_file_is_a_formula(loaded, title, cell):
    vocabulary, recommender = Vocabulary(loaded[1]), Recommender(dict.fromkeys(DOMAINS, loaded[0]), loaded[1])
    vocabulary.titles = [np.full(len(titles), title, dtype=object) for titles in vocabulary.titles]
    file = io.StringIO()
    write_csv(file, vocabulary, recommender.for_users(vocabulary.user_ids(["u7"]), 1))
    rows = as_rows(file.getvalue())
    assert [row["title"] for row in rows] == [cell, cell] and all(float(row["score"]) for row in rows)


def test_every_format_of_the_command_has_a_writer():
    assert set(FORMATS) == set(WRITERS) == set(SUFFIXES.values())
