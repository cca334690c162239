from __future__ import annotations

import json
from pathlib import Path

import pytest

from recbole_lecdsr.cli import main
from recbole_lecdsr.cli.domain_files import parse_domain
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.amazon import convert
from recbole_lecdsr.prepare.amazon.presets import PRESETS
from recbole_lecdsr.prepare.raw_domain import RawDomain
from recbole_lecdsr.prepare.summary import JointCounts, PairCounts, PreparationSummary
from recbole_lecdsr.property_files import read_property_file
from tests.helpers import amazon_files as files
from tests.helpers.amazon_files import FOOD, KITCHEN, write


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    """A current folder with reviews and metadata of 2018."""
    monkeypatch.chdir(tmp_path)
    write("Food_5.json.gz", [files.review_2018(event) for event in FOOD])
    write("Kitchen.csv", files.ratings_2018(KITCHEN))
    write("meta_Food.json.gz", files.META_2018)
    return tmp_path


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    """Status, output and errors of the command."""
    status = main(["prepare", "amazon", *arguments])
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def record(pair: str) -> dict:
    return json.loads(Path("dataset", pair, "prepared.json").read_text(encoding="utf-8"))


def test_files_become_a_pair_in_the_folder_of_data_sets(capsys):
    status, printed, _ = run(
        capsys, "--edition", "2018", "--source", "food=Food_5.json.gz", "--target", "kitchen=Kitchen.csv", "--meta",
        "meta_Food.json.gz", "--name", "shop", "--both_domains", "yes", "--from", "2014-01-01", "--to", "2014-12-31",
    )  # fmt: skip
    assert status == 0
    assert "  events from 2014-01-01 up to 2014-12-31: 3 users, 3 and 3 items, 5 and 4 events\n" in printed
    found = {str(path.relative_to("dataset/shop")) for path in Path("dataset/shop").rglob("*") if path.is_file()}
    assert found >= {
        "shop.yaml", "prepared.json", "food/food.inter", "food/food.item", "kitchen/kitchen.inter",
        "kitchen/kitchen.item",
    }  # fmt: skip


def test_names_are_taken_from_the_files_where_none_are_given(capsys):
    assert run(capsys, "--edition", "2018", "--source", "Food_5.json.gz", "--target", "Kitchen.csv")[0] == 0
    assert Path("dataset/amazon-food-kitchen/food/food.inter").exists()


def test_a_preset_brings_its_edition_and_options_change_it(capsys):
    arguments = ["--source", "Food_5.json.gz", "--target", "Kitchen.csv", "--preset", "lecdsr-toys-games"]
    status, _, printed = run(capsys, *arguments)
    assert status == 1 and "nothing is left after the step 'users with 3 events or more in each domain'" in printed
    assert run(capsys, *arguments, "--min_per_domain", "1", "--min_total", "2")[0] == 0
    assert record("amazon-food-kitchen")["filters"] == {
        "start": "2014-01-01", "shared_items": "keep", "duplicates": "all", "min_per_domain": 1, "min_total": 2,
        "passes": "once",
    }  # fmt: skip
    assert record("amazon-food-kitchen")["edition"] == PRESETS["lecdsr-toys-games"].edition == "2018"


def test_bad_lines_are_an_error_or_are_reported(capsys):
    write("Kitchen.csv", [*files.ratings_2018(KITCHEN), "cut sh"])
    arguments = ["--edition", "2018", "--source", "Food_5.json.gz", "--target", "Kitchen.csv"]
    status, _, printed = run(capsys, *arguments)
    assert status == 1 and printed.startswith("error: Kitchen.csv, line 5: 1 columns, not 4; ")
    assert not Path("dataset").exists()
    status, printed, _ = run(capsys, *arguments, "--skip_bad_lines")
    assert status == 0
    assert "bad lines:\n  Kitchen.csv: 1 left out; the first, line 5: 1 columns, not 4\n" in printed


def test_without_an_edition_or_a_file_there_is_a_remedy(capsys):
    status, _, printed = run(capsys, "--source", "Food_5.json.gz", "--target", "Kitchen.csv")
    assert status == 1 and "--edition is missing: 2014, 2018, 2023" in printed
    status, _, printed = run(capsys, "--edition", "2018", "--source", "food=", "--target", "Kitchen.csv")
    assert status == 1 and "--source food= names no file: write --source food=FILE" in printed


def test_all_raw_files_that_cannot_be_read_are_named_before_the_job(capsys):
    Path("meta.json.gz").write_text("<html>Sign in</html>")
    arguments = ["--edition", "2018", "--source", "a=Toys.csv", "--target", "b=Games.csv", "--meta", "meta.json.gz"]
    status, _, printed = run(capsys, *arguments)
    assert status == 1
    assert printed.splitlines() == [
        "error: Toys.csv, Games.csv do not exist: `prepare list` says where known files are from",
        "error: meta.json.gz is a web page, not data: download the file itself",
    ]


def test_a_published_file_that_is_too_small_is_warned_of_before_the_job(capsys, caplog):
    write("Video_Games.csv", files.ratings_2018(KITCHEN))
    arguments = ["--edition", "2018", "--source", "food=Food_5.json.gz", "--target", "kitchen=Video_Games.csv"]
    assert run(capsys, *arguments)[0] == 0
    assert any("the published file has 2,565,349 lines, at least 89.8 MB: is it whole?" in m for m in caplog.messages)


@pytest.mark.parametrize(
    "arguments", [["--from", "2014"], ["--both_domains", "maybe"], ["--item_core", "many"], ["--preset", "none"]]
)
def test_values_of_another_kind_are_refused(capsys, arguments):
    with pytest.raises(SystemExit):
        run(capsys, "--edition", "2018", "--source", "Food_5.json.gz", "--target", "Kitchen.csv", *arguments)
    assert arguments[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("values", "name", "paths"),
    [
        (["games=Video_Games.csv", "more.csv"], "games", ["Video_Games.csv", "more.csv"]),
        (["a/reviews_Video_Games_5.json.gz"], "video_games", ["a/reviews_Video_Games_5.json.gz"]),
        (["ratings_Books.csv"], "books", ["ratings_Books.csv"]),
        (["a=b.csv"], "a=b", ["a=b.csv"]),
    ],
)
def test_a_domain_has_a_name_and_files(values, name, paths):
    if name == "a=b":
        Path("a=b.csv").touch()
    assert parse_domain(values, "target") == RawDomain(name, tuple(map(Path, paths)))


def test_a_domain_without_a_file_is_refused():
    with pytest.raises(UserError, match="--target a= names no file"):
        parse_domain(["a="], "target")


def test_the_help_names_presets_and_files(capsys):
    with pytest.raises(SystemExit):
        main(["prepare", "amazon", "--help"])
    printed = capsys.readouterr().out
    for word in (*PRESETS, "15,574 users", "reviews_Books.json.gz", "--skip_bad_lines", "--data_path=ITS_PARENT"):
        assert word in " ".join(printed.split())


CHECKOUT = Path(__file__).parents[2]
PROPERTY_FILES = sorted((CHECKOUT / "properties" / "dataset").glob("*.yaml"))


def commands(path: Path) -> list[list[str]]:
    """Arguments of each `prepare amazon` that a page or the comments of a property file show."""
    text = path.read_text(encoding="utf-8").replace("\n# ", "\n").replace("\\\n", " ")
    lines = (line.split() for line in text.splitlines())
    return [line[4:] for line in lines if line[:4] == ["python", "run_lecdsr.py", "prepare", "amazon"]]


@pytest.mark.parametrize("path", [CHECKOUT / "docs" / "data.md", *PROPERTY_FILES], ids=lambda path: path.name)
def test_commands_that_readers_are_shown_fit_the_property_files(path, monkeypatch):
    called = []
    summary = PreparationSummary(PairCounts({}, JointCounts(0, 0, 0, 0)), properties=path, statistics=path)
    monkeypatch.setattr(convert, "prepare", lambda *arguments, **options: called.append(arguments) or summary)
    for arguments in commands(path):
        assert main(["prepare", "amazon", *arguments]) == 0
    assert len(called) == (5 if path.suffix == ".md" else "prepare amazon" in path.read_text(encoding="utf-8"))
    for source, target, folder, name in called:
        assert folder == Path("dataset") / name
        file = CHECKOUT / "properties" / "dataset" / f"{name}.yaml"
        if file.exists():
            values = read_property_file(file)
            assert source.name == values["source_domain"]["dataset"]
            assert target.name == values["target_domain"]["dataset"]
