from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from recbole_lecdsr.cli import main
from recbole_lecdsr.prepare import movielens
from recbole_lecdsr.prepare.amazon import convert as amazon
from recbole_lecdsr.prepare.c2dsr import convert as c2dsr
from recbole_lecdsr.prepare.catalogue import CATALOGUE
from recbole_lecdsr.prepare.summary import JointCounts, PairCounts, PreparationSummary
from tests.helpers.pages import read
from tests.helpers.pairs import write_vectors


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


def show(capsys, *arguments: str) -> str:
    """What `prepare list` prints, none of it wider than a terminal."""
    assert main(["prepare", "list", *arguments]) == 0
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    return printed


def row(printed: str, name: str) -> list[str]:
    """The cells of the table in the row of a data set."""
    (line,) = re.findall(rf"^│ {name} .*│$", printed, re.M)
    return [cell.strip() for cell in line.strip("│").split("│")]


def entry(printed: str, label: str) -> str:
    """The text of an entry of a card, on one line."""
    found = re.search(rf"^  {label} +(.*(?:\n {{12}}.*)*)", printed, re.M)
    return "" if found is None else " ".join(found[1].split())


def commands(printed: str) -> list[list[str]]:
    """The arguments of every command that prepares."""
    lines = printed.replace("\\\n", " ").splitlines()
    return [shlex.split(line)[4:] for line in lines if "run_lecdsr.py prepare " in line and line.startswith("  ")]


def test_every_data_set_is_listed_with_source_licence_files_and_command(capsys):
    printed = show(capsys)
    for name, data in CATALOGUE.items():
        assert f"\n{name}\n" in f"\n{printed}" and data.url in printed
        assert row(printed, name) == [name, "built in" if data.folder is None else f"0 of {_needed(data)}", "no", "no"]
    card = show(capsys, "amazon-toys-games")
    assert entry(card, "source") == "https://nijianmo.github.io/amazon/index.html"
    assert entry(card, "licence").startswith("none stated")
    assert entry(card, "raw files") == "raw/amazon-2018/"
    assert (
        entry(card, "missing") == "Toys_and_Games.csv or Toys_and_Games.json.gz; Video_Games.csv or Video_Games.json.gz"
    )
    assert entry(card, "optional") == "meta_Toys_and_Games.json.gz; meta_Video_Games.json.gz"
    assert entry(card, "state") == "not prepared"
    assert "15,574 users, 86,491 and 22,832 items" in " ".join(card.split())


def test_the_page_shows_what_is_printed(capsys):
    shown = read("data.md").partition("prepare list amazon-toys-games\n```\n\n```\n")[2].partition("```")[0]
    assert show(capsys, "amazon-toys-games") == shown + "\n"


def _needed(data) -> int:
    return sum(not file.optional for file in data.files)


def test_raw_files_that_are_there_are_named_with_their_size_and_used_in_the_command(capsys):
    folder = Path("my", "amazon-2018")
    folder.mkdir(parents=True)
    (folder / "Toys_and_Games.json.gz").write_bytes(bytes(2500))
    (folder / "Video_Games.csv").write_bytes(bytes(1_500_000))
    card = show(capsys, "--raw", "my", "amazon-toys-games")
    assert entry(card, "found") == (
        "Toys_and_Games.json.gz (2.5 kB), Video_Games.csv (1.5 MB, too small for 2,565,349 lines)"
    )
    assert entry(card, "missing") == ""
    assert commands(card) == [[
        "amazon", "--preset", "lecdsr-toys-games", "--name", "amazon-toys-games",
        "--source", "toys=my/amazon-2018/Toys_and_Games.json.gz",
        "--target", "games=my/amazon-2018/Video_Games.csv",
        "--meta", "my/amazon-2018/meta_Toys_and_Games.json.gz", "my/amazon-2018/meta_Video_Games.json.gz",
    ]]  # fmt: skip
    assert row(show(capsys, "--raw", "my"), "amazon-toys-games")[1] == "all"


def test_the_commands_that_are_shown_are_understood_and_prepare_what_they_are_shown_for(capsys, monkeypatch):
    called = []
    summary = PreparationSummary(PairCounts({}, JointCounts(0, 0, 0, 0)), properties=Path("p"), statistics=Path("s"))
    monkeypatch.setattr(amazon, "prepare", lambda *arguments, **options: called.append(arguments[3]) or summary)
    monkeypatch.setattr(c2dsr, "prepare", lambda *arguments, **options: called.append(arguments[2]) or summary)
    shown = commands(show(capsys))
    assert [arguments[0] for arguments in shown] == ["movielens"] * 2 + ["amazon"] * 4 + ["c2dsr"] * 2
    for arguments in shown[2:]:
        assert main(["prepare", *arguments]) == 0
    assert called == list(CATALOGUE)[2:]
    assert [arguments[-1] for arguments in shown[:2]] == ["ml-100k", "ml-1m"]


def test_prepared_and_embedded_data_are_recognised(capsys):
    assert main(["prepare", "movielens"]) == 0
    capsys.readouterr()
    assert row(show(capsys), "movielens")[2:] == ["yes", "no"]
    assert entry(show(capsys, "movielens"), "state") == "prepared; the first run embeds it"
    for domain in ("action", "drama"):
        write_vectors(Path("dataset", "movielens", domain, f"{domain}.itememb"), "item", {"a": [1]})
    write_vectors(Path("dataset", "movielens", "movielens.useremb"), "user", {"u": [1]})
    assert row(show(capsys), "movielens")[2:] == ["yes", "yes"]
    assert entry(show(capsys, "movielens"), "state") == "prepared and embedded"


def test_without_the_frameworks_their_data_are_missing(capsys, monkeypatch):
    monkeypatch.setattr(movielens, "find_spec", lambda name: None)
    assert row(show(capsys), "movielens")[1] == "0 of 2"
    assert entry(show(capsys, "movielens"), "missing") == "ml-100k/ml-100k.inter; ml-100k/ml-100k.item"


def test_data_of_ones_own_are_in_the_table_and_embedding_is_proposed(capsys):
    lines = [f"{user},{domain[0]}{user},{domain},{user[1]},tea" for user in ("u1", "u2") for domain in ("food", "home")]
    Path("events.csv").write_text("\n".join(["user_id,item_id,domain,timestamp,title", *lines]) + "\n")
    assert main(["prepare", "table", "events.csv", "--name", "shop", "--text", "title"]) == 0
    capsys.readouterr()
    assert row(show(capsys), "shop") == ["shop", "your own", "yes", "no"]


def test_a_name_that_is_not_known_is_refused_with_the_nearest(capsys):
    assert main(["prepare", "list", "amazon-food-kitchens"]) == 1
    assert "'amazon-food-kitchens' is not a known data set: did you mean amazon-food-kitchen" in capsys.readouterr().err
