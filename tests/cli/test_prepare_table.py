from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest

from recbole_lecdsr.cli import main
from tests.helpers.encoders import write_tiny_encoder
from tests.helpers.runs import load
from tests.helpers.shop_tables import TITLES, make_interactions, write_shop

SMALL = ["--use_gpu=False", "--show_progress=False", "--embedding_size=4", "--adapter_hidden_size=4", "--epochs=1"]
SHOP = ["--source", "food=food.csv", "--target", "kitchen=kitchen.csv"]


@pytest.fixture(autouse=True)
def shop(tmp_path, monkeypatch) -> Path:
    """A current folder with a stranger's tables."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    write_shop()
    return tmp_path


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    status = main([*arguments])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def refuse(capsys, *arguments: str) -> str:
    """The error of `prepare table`, which writes nothing."""
    status, printed, error = run(capsys, "prepare", "table", *arguments)
    assert (status, printed) == (1, "") and not Path("dataset").exists()
    return error


def test_case_h1_a_strangers_tables_become_data_that_load_with_titles_and_ratings(capsys):
    status, printed, _ = run(
        capsys, "prepare", "table", *SHOP, "--rating", "stars", "--items", "food=food_items.csv",
        "kitchen=kitchen_items.csv", "--items_id", "sku",
    )  # fmt: skip
    assert status == 0
    frames = make_interactions()
    days = [time[:10] for frame in frames.values() for time in frame["date"]]  # none is near midnight
    for line in (
        "  food.csv: users 'userId', items 'productId', times 'date', ratings 'stars'",
        "  food_items.csv: items 'sku', texts 'title', 'brand'",
        f"times: ISO 8601 dates, {min(days)} to {max(days)}",
        "properties: dataset/food-kitchen/food-kitchen.yaml",
    ):
        assert line in printed.splitlines()
    assert printed.splitlines()[-2:] == [
        "next: python run_lecdsr.py embed --dataset food-kitchen --user_text=history",
        "next: python run_lecdsr.py --dataset food-kitchen",
    ]
    dataset = load({"dataset": "food-kitchen", "data_path": "dataset", "use_gpu": False, "show_progress": False})
    assert len(dataset.log.item) == sum(map(len, frames.values())) == 2400
    assert set(dataset.user_token[1:]) == {f"Käufer {user:03}" for user in range(300)}
    assert (np.diff(dataset.log.time)[np.diff(dataset.log.user) == 0] >= 0).all()
    status, printed, _ = run(
        capsys, "profile", "--dataset", "food-kitchen", "--llm.model=some", "--dry_run", "--llm.event_text=[title]"
    )
    assert status == 0 and " | rating " in printed
    assert any(f"[kitchen] {title} | rating " in printed for title in TITLES["kitchen"])


def test_case_h1_the_next_commands_embed_the_data_and_train_on_them(capsys):
    encoder = str(write_tiny_encoder(Path("encoder")))
    items = ["--items", "food=food_items.csv", "kitchen=kitchen_items.csv"]
    status, printed, _ = run(capsys, "prepare", "table", *SHOP, *items, "--items_id", "sku")
    following = [line.removeprefix("next: ") for line in printed.splitlines() if line.startswith("next: ")]
    embed, train = (shlex.split(line)[2:] for line in following)
    assert run(capsys, *embed, f"--encoder={encoder}", "--show_progress=False")[0] == 0
    status, printed, _ = run(capsys, *train, *SMALL)
    assert status == 0 and "LeCDSR + fusion on food-kitchen, test" in printed


def test_case_h1_the_next_command_trains_on_data_without_texts(capsys):
    _, printed, _ = run(capsys, "prepare", "table", *SHOP)
    train = shlex.split(printed.splitlines()[-1].removeprefix("next: "))[2:]
    assert run(capsys, *train, *SMALL)[0] == 0


def test_case_h1_separators_may_be_written_as_words(capsys):
    for domain in TITLES:
        text = Path(f"{domain}.csv").read_text(encoding="utf-8-sig").replace(",", "\t")
        Path(f"{domain}.txt").write_text(text, encoding="utf-8")
    files = ["--source", "food=food.txt", "--target", "kitchen=kitchen.txt"]
    assert "food.txt has none of the suffixes" in refuse(capsys, *files)
    for name, separator in (("a", "tab"), ("b", "\\t"), ("c", "\t")):
        assert run(capsys, "prepare", "table", *files, "--sep", separator, "--name", name)[0] == 0
    assert Path("dataset/a/food/food.inter").read_bytes() == Path("dataset/c/food/food.inter").read_bytes()


@pytest.fixture
def events(shop) -> str:
    """A table of both domains."""
    lines = [f"{user},{domain[0]}{user[1]},{domain},{user[1]}" for user in ("u1", "u2") for domain in ("food", "home")]
    Path("events.csv").write_text("\n".join(["user_id,item_id,domain,timestamp", *lines]) + "\n")
    return "events.csv"


@pytest.mark.parametrize(
    "arguments", [["events.csv", "--source", "home"], ["--source", "home", "events.csv"], ["events.csv"]]
)
def test_a_table_of_both_domains_is_prepared_as_before(capsys, events, arguments):
    status, printed, _ = run(capsys, "prepare", "table", *arguments, "--name", "shop")
    assert status == 0
    assert printed.splitlines()[0] == ("home (source):" if "home" in arguments else "food (source):")
    assert "  events.csv: users 'user_id', items 'item_id', times 'timestamp', domains 'domain'" in printed.splitlines()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "a table is missing: give a table for each domain, --source NAME=FILE --target NAME=FILE, or"),
        (["--source", "food=food.csv"], "--target is missing: give a table for each domain"),
        (["--target", "food=food.csv"], "--source is missing: give a table for each domain"),
        (["events.csv", "--target", "home=home.csv"], "events.csv is a table of both domains, but --target names"),
        (["events.csv", "--source", "food", "home"], "--source food home: with tables of both domains it is one value"),
        (["--source", "food=", "--target", "b=b.csv"], "--source food= names no file: write --source food=FILE"),
        ([*SHOP, "--items", "food="], "--items food= names no file: write --items food=FILE"),
        (["food.csv"], "food.csv has the columns 'userId', 'productId', 'stars', 'date': name that of domains"),
        (["food.csv"], "or give a table for each domain, --source NAME=FILE --target NAME=FILE"),
    ],
)  # fmt: skip
def test_case_h1_tables_that_are_missing_or_contradict_one_another_are_errors(capsys, events, arguments, told):
    assert told in refuse(capsys, *arguments)


def test_the_help_shows_both_forms_and_the_names_of_options(capsys):
    with pytest.raises(SystemExit):
        main(["prepare", "table", "--help"])
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    shown = ["prepare table \\ --source food=food.csv --target kitchen=kitchen.csv", "prepare table events.csv"]
    for text in (*shown, "--time_format", "--items_id", "--rating", "--sep", "'%d/%m/%Y %H:%M'"):
        assert text in " ".join(printed.split())
