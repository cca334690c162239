"""Small folders in the form of C2DSR's data, oddities included, and exactly what they become."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recbole_lecdsr.cli import main
from recbole_lecdsr.data.constants import DOMAINS, PHASES
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.prepare.c2dsr import convert
from recbole_lecdsr.property_files import read_property_file
from tests.helpers.runs import load, train

# A: B00A (0), B00B (1), B00C (2, in no line); B: B00X (3), B00Y (4)
FILES = {
    "Alist.txt": "B00A\nB00B\tsecond field\nB00C\n",
    "Blist.txt": "B00X\nB00Y\n",
    "userlist.txt": "A1\nA2\nA3\nA4\n",
    # Events twice, a third part of an event, equal times, an empty line, Windows line ends.
    "traindata_new.txt": "0\t7\t0|10|5.0\t3|20|4.0\t3|20|4.0\r\n\n2\t7\t4|5\t1|5\n0\t7\t3|20\t1|30\n",
    "validdata_new.txt": "2\t7\t4|5\t1|5\t1|8\n3\t7\t0|1\t4|2\n",
    "testdata_new.txt": "0\t7\t0|10\t3|20\t3|20\t4|40\n1\t7\t4|3\t0|9\n",
}


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "Food-Kitchen"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_bytes(text.encode())
    return folder


def prepare(place: Path, **options) -> dict[str, object]:
    return convert.prepare(place, "dataset/pair", "pair", "food", "kitchen", **options)


def text(name: str) -> str:
    return Path("dataset/pair", name).read_text(encoding="utf-8")


def refused(place: Path, match: str, **options) -> None:
    with pytest.raises(UserError, match=match):
        prepare(place, **options)
    assert not Path("dataset").exists()


def write_matrices(place: Path, users: int = 4, size: int = 4) -> tuple[np.ndarray, np.ndarray]:
    items = np.arange(1, 6 * size + 1, dtype=np.float32).reshape(6, size)
    items[1] = items[5] = 0  # an item without a text, and padding
    user = -np.arange(1, users * size + 1, dtype=np.float64).reshape(users, size)
    np.save(place / "item_embeddings.npy", items)
    np.save(place / "reasoning_user_embeddings.npy", user)
    return items, user


# ---------------------------------------------------------------------- what is written


def test_lines_become_rows_with_their_windows(place):
    summary = prepare(place)
    head = "user_id:token\titem_id:token\ttimestamp:float\titem_id_list:token_seq\n"
    assert text("food/food.train.inter") == head + "0\tB00A\t10\t\n2\tB00B\t5\tB00Y\n0\tB00B\t30\tB00X\n"
    assert text("kitchen/kitchen.train.inter") == (
        head + "0\tB00X\t20\tB00A\n0\tB00X\t20\tB00A B00X\n2\tB00Y\t5\t\n0\tB00X\t20\t\n"
    )
    assert text("food/food.valid.inter") == head + "2\tB00B\t8\tB00Y B00B\n"
    assert text("kitchen/kitchen.valid.inter") == head + "3\tB00Y\t2\tB00A\n"
    assert text("food/food.test.inter") == head + "1\tB00A\t9\tB00Y\n"
    assert text("kitchen/kitchen.test.inter") == head + "0\tB00Y\t40\tB00A B00X B00X\n"
    assert text("food/food.item") == "item_id:token\nB00A\nB00B\nB00C\n"
    assert summary["food (source)"] == {
        "users": 3, "items": 3, "items with text": 0, "items without events": 1, "events": 5
    }  # fmt: skip
    assert summary["lines"] == {
        "train": "3 (traindata_new.txt)", "valid": "2 (validdata_new.txt)", "test": "2 (testdata_new.txt)"
    }  # fmt: skip
    assert summary["targets"] == {"valid": "1 food, 1 kitchen", "test": "1 food, 1 kitchen"}
    assert "lines out of the order of time" not in summary


def test_the_property_file_has_the_splits_all_items_and_the_candidates_of_c2dsr(place):
    prepare(place)
    assert read_property_file("dataset/pair/pair.yaml") == {
        "source_domain": {"dataset": "food"},
        "target_domain": {"dataset": "kitchen"},
        "benchmark_filename": ["train", "valid", "test"],
        "load_col": {"item": ["item_id"]},
        "MAX_ITEM_LIST_LENGTH": 3,
        "user_text": "history",
        "eval_args": {"order": "TO", "group_by": "user", "mode": "full"},
        "repeatable": True,
    }


def test_statistics_tell_of_the_leaks(place):
    summary = prepare(place)
    values = json.loads(text("statistics.json"))
    assert values["split"] == "ready-made"
    assert values["events of a split"]["valid"] == {"food": 1, "kitchen": 1}
    # The validation target B00B of user 2 stands in its window, and in training at another time.
    assert values["held out"]["valid"] == {
        "targets": 2, "also in training": 0, "also in training at another time": 1, "in their own window": 1,
        "order by chance": 0, "before training ends": 0,
    }  # fmt: skip
    assert summary["warnings"] == values["warnings"] == [
        "1 of 2 (50.0%) validation targets repeat an item of their own window: a model can find them by repeating past "
        "items."
    ]  # fmt: skip
    assert values["both"]["events of a window"]["max"] == 3
    assert "- 1 of 2 (50.0%) validation" in text("statistics.md")


def test_a_validation_event_that_stands_in_training_is_a_leak(place):
    (place / "validdata_new.txt").write_text("0\t7\t3|20\t1|30\n3\t7\t0|1\t4|2\n")
    assert any("are also in training: the same user, item and time. The split leaks." in line
               for line in prepare(place)["warnings"])  # fmt: skip


def test_numbers_are_tokens_where_there_are_no_lists_or_on_request(place):
    prepare(place, tokens="numbers")
    asked = {path: path.read_bytes() for path in Path("dataset").rglob("*.*")}
    assert text("kitchen/kitchen.item") == "item_id:token\n3\n4\n"
    assert "\n0\t4\t40\t0 3 3\n" in text("kitchen/kitchen.test.inter")
    for name in ("Alist.txt", "Blist.txt", "userlist.txt"):
        (place / name).unlink()
    prepare(place, source_items=3)
    assert {path: path.read_bytes() for path in Path("dataset").rglob("*.*")} == asked


def test_vectors_are_those_of_the_numbers(place):
    write_matrices(place, users=3)
    summary = prepare(place)
    assert "user_text" not in read_property_file("dataset/pair/pair.yaml")
    assert text("food/food.itememb") == "item_id:token\titem_emb:float_seq\nB00A\t1 2 3 4\nB00C\t9 10 11 12\n"
    assert text("kitchen/kitchen.itememb").splitlines()[1:] == ["B00X\t13 14 15 16", "B00Y\t17 18 19 20"]
    # In the order of the lines; user 3 has no row.
    assert text("pair.useremb").splitlines()[1:] == ["0\t-1 -2 -3 -4", "2\t-9 -10 -11 -12", "1\t-5 -6 -7 -8"]
    assert summary["users without a vector"] == 1


def test_users_by_name_have_the_row_of_their_place_in_the_list(place):
    write_matrices(place)
    for name in ("train", "valid", "test"):
        path = place / f"{name}data_new.txt"
        lines = [f"A{int(line[0]) + 1}{line[1:]}" for line in path.read_text().split("\n") if line.strip()]
        path.write_text("\n".join(lines))
    prepare(place)
    assert text("pair.useremb").splitlines()[1:3] == ["A1\t-1 -2 -3 -4", "A3\t-9 -10 -11 -12"]
    (place / "userlist.txt").unlink()
    with pytest.raises(UserError, match=r"has no userlist\.txt and 'A1' is no number.*or remove the matrix"):
        prepare(place)


def test_titles_are_found_by_the_names_of_the_lists(place):
    rows = {"asin": ["B00Z", "B00C", "B00A"], "title": ["Zest", "Corn &\tchips", "Apple"], "brand": ["z", "", "b"]}
    pd.DataFrame(rows).to_csv("meta.csv", index=False)
    pd.DataFrame({"asin": ["B00Y"], "title": ["Yoghurt maker"]}).to_parquet("meta.parquet")
    prepare(place, meta=(["meta.csv"], ["meta.parquet"]), item="asin", text=["title"], tokens="numbers")
    assert text("food/food.item") == "item_id:token\ttitle:token\n0\tApple\n1\t\n2\tCorn & chips\n"
    assert text("kitchen/kitchen.item") == "item_id:token\ttitle:token\n3\t\n4\tYoghurt maker\n"


def test_times_out_of_order_stay_and_are_counted_unless_they_are_to_be_sorted(place):
    (place / "testdata_new.txt").write_text("0\t7\t4|40\t3|20\t0|30\n1\t7\t0|9\t4|10\n")
    summary = prepare(place)
    assert "\n0\tB00A\t30\tB00Y B00X\n" in text("food/food.test.inter")
    assert summary["lines out of the order of time"].startswith("1 (kept as they stand; --sort_by_time")
    (place / "testdata_new.txt").write_text("0\t7\t4|40\t3|20\t0|30\n1\t7\t4|10\t0|9.5\n2\t7\t3|1\t0|2\n")
    prepare(place, sort_by_time=True)
    assert text("kitchen/kitchen.test.inter").splitlines()[1:] == ["0\tB00Y\t40\tB00X B00A", "1\tB00Y\t10\tB00A"]


def test_a_target_without_a_window_is_kept_and_told(place):
    (place / "testdata_new.txt").write_text("0\t7\t4|40\n1\t7\t4|3\t0|9\n")
    assert prepare(place)["targets without a window, which are not evaluated"] == 1


# ---------------------------------------------------------------------- the whole path


def made_lines(rng: np.random.Generator, users: int = 30) -> dict[str, str]:
    """Lines of up to 16 events of 20 food and 20 kitchen items; a user has two training lines and a held-out one."""
    lines = {"train": [], "valid": [], "test": []}
    for user in range(users):
        for split in ("train", "train", ("valid", "test")[user % 2]):
            size = int(rng.integers(15, 17)) if split != "train" else int(rng.integers(3, 17))
            times = np.sort(rng.integers(0, 50, size))
            items = rng.integers(0, 40, size)
            items[-1] = items[-1] % 20 + 20 * (user // 2 % 2)
            lines[split].append(f"{user}\t{size}\t" + "\t".join(f"{i}|{t}" for i, t in zip(items, times, strict=True)))
    return {f"{split}data.txt": "\n".join(rows) + "\n" for split, rows in lines.items()}


@pytest.fixture
def generated(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    folder = tmp_path / "made"
    folder.mkdir()
    for name, content in made_lines(rng).items():
        (folder / name).write_text(content)
    for letter in "AB":
        (folder / f"{letter}list.txt").write_text("".join(f"{letter}{n:02}\n" for n in range(20)))
    np.save(folder / "item_embeddings.npy", np.concatenate([rng.normal(size=(40, 5)), np.zeros((1, 5))]))
    np.save(folder / "reasoning_user_embeddings.npy", rng.normal(size=(30, 5)))
    prepare(folder)
    return folder


QUICK = {
    "dataset": "pair", "data_path": "dataset", "output_dir": "runs", "use_gpu": False, "show_progress": False,
    "embedding_size": 4, "adapter_hidden_size": 4, "train_epochs": ["BOTH:1"],
}  # fmt: skip


def test_every_held_out_row_of_the_files_is_one_sample_with_the_window_of_the_file(generated):
    dataset = load(QUICK)
    names = [f"A{n:02}" for n in range(20)] + [f"B{n:02}" for n in range(20)]
    assert [len(items) for items in dataset.domain_items] == [20, 20]
    log = dataset.log
    for split in ("valid", "test"):
        expected = []
        for line in (generated / f"{split}data.txt").read_text().splitlines():
            user, _, *events = line.split("\t")
            *window, target = [int(event.split("|")[0]) for event in events]
            expected.append((user, [names[item] for item in window], names[target], DOMAINS[target >= 20]))
        assert {len(window) for _, window, *_ in expected} == {14, 15}
        found = [
            (
                str(dataset.user_token[log.user[target]]),
                [str(token) for token in dataset.item_token[log.item[log.first[target] : target]]],
                str(dataset.item_token[log.item[target]]),
                DOMAINS[log.domain[target]],
            )
            for target in dataset.targets(split)
        ]
        assert sorted(found) == sorted(expected)
    events = sum(line.count("|") for line in (generated / "traindata.txt").read_text().splitlines())
    assert (log.split == PHASES["train"]).sum() == events
    assert dataset.config["MAX_ITEM_LIST_LENGTH"] == 15


def test_vectors_reach_the_model_under_the_right_ids(generated):
    dataset = load(QUICK)
    items, users = (np.load(generated / name).astype(np.float32) for name in
                    ("item_embeddings.npy", "reasoning_user_embeddings.npy"))  # fmt: skip
    names = [f"A{n:02}" for n in range(20)] + [f"B{n:02}" for n in range(20)]
    ids = {str(token): number for number, token in enumerate(dataset.item_token)}
    np.testing.assert_array_equal(dataset.item_embedding()[[ids[name] for name in names]], items[:40])
    ids = {str(token): number for number, token in enumerate(dataset.user_token)}
    np.testing.assert_array_equal(dataset.user_embedding()[[ids[str(n)] for n in range(30)]], users)


def test_a_prepared_pair_trains_with_the_settings_of_the_paper(generated):
    outcome = train(QUICK, "LeCDSR-paper")
    result = json.loads(Path(outcome["run_directory"], "result.json").read_text())
    assert result["test_samples"] == {"source": 8, "target": 7}
    assert result["candidates"]["mode"] == "full" and not result["candidates"]["history_masked"]


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("0\t7", r"line 3: .* has 2 fields, not a user, a number and at least one event"),
        ("0\t7\t0|1\tx|2", r"line 3: field 4, 'x\|2', is not item\|time"),
        ("0\t7\t0", "line 3: field 3, '0', is not"),
        ("0\t7\t0|soon", r"line 3: field 3, '0\|soon', is not"),
        ("0\t7\t0|1\t\t3|2", "line 3: field 4, '', is not"),
        ("0\t7\t-1|3", r"line 3: field 3, '-1\|3', is not"),
        ("0\t7\t0|99999999999999999999", "line 3: field 3, .*too large"),
    ],
)
def test_a_malformed_line_is_an_error_or_skipped_and_counted(place, line, match):
    (place / "testdata_new.txt").write_text(f"{FILES['testdata_new.txt']}{line}\n")
    refused(place, rf"testdata_new\.txt, {match}.*; mend or delete the line, or .*--skip_bad_lines")
    summary = prepare(place, skip_bad_lines=True)
    assert summary["skipped lines"] == 1 and "testdata_new.txt, line 3" in summary["skipped"][0]
    assert summary["lines"]["test"].startswith("2 ")


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("testdata_new.txt", None, r"has no testdata\*\.txt: give the folder"),
        ("testdata_new.txt", "\n", r"testdata_new\.txt has no line of a sequence"),
        ("testdata_new.txt", "0\t7\t0|1\t5|2\n", r"testdata_new\.txt, line 1: the item 5 is beyond the last one, 4"),
        ("testdata_new.txt", "0\t7\t3|1\t4|2\n", r"no line whose last event is of food \(domain A\)"),
        ("testdata_new.txt", "NA\t7\t3|1\t4|2\n", r"line 1: the user 'NA' is a word that RecBole takes for a missing"),
        ("Alist.txt", "B00A\n\nB00C\n", r"Alist\.txt, line 2: it is empty, but a line is a number"),
        ("Alist.txt", "B00A\nB00B\nB00A\n", r"Alist\.txt, line 3: 'B00A' stands in line 1, too"),
        ("Alist.txt", "B00A\nB00B\nB00X\n", r"Blist\.txt, line 1: 'B00X' stands in Alist\.txt, line 3, too.*--tokens"),
        ("Alist.txt", "B00A\nB00 B\nB00C\n", r"Alist\.txt, line 2: 'B00 B' has a blank.*--tokens numbers"),
        ("Alist.txt", "B00A\nNA\nB00C\n", r"Alist\.txt, line 2: the name 'NA' is a word .*--tokens numbers"),
        ("Alist.txt", "", r"Alist\.txt is empty"),
        ("Alist.txt", None, r"has no Alist\.txt: say how many items .*--source_items N"),
    ],
)
def test_files_that_are_wrong_are_errors_and_nothing_is_written(place, name, content, match):
    (place / name).unlink()
    if content is not None:
        (place / name).write_text(content)
    refused(place, match)


def test_domains_without_a_common_user_are_an_error(place):
    (place / "traindata_new.txt").write_text("0\t7\t0|1\t1|2\n1\t7\t3|1\t4|2\n")
    (place / "validdata_new.txt").write_text("0\t7\t0|1\t1|3\n1\t7\t3|1\t4|3\n")
    (place / "testdata_new.txt").write_text("0\t7\t0|1\t1|4\n1\t7\t3|1\t4|4\n")
    refused(place, "no user has rows in both food and kitchen")


@pytest.mark.parametrize(
    ("name", "matrix", "match"),
    [
        ("item_embeddings.npy", np.ones((5, 4)), r"item_embeddings\.npy has 5 rows, but 3 items .* padding make 6"),
        ("item_embeddings.npy", np.ones(6), r"holds float64 of shape \(6,\)"),
        ("item_embeddings.npy", np.array([["a"] * 4] * 6), "holds <U1 of shape"),
        ("item_embeddings.npy", np.full((6, 4), np.nan), r"row 0 \(from 0; item 'B00A'\) .* 2 other rows: put zeros"),
        ("item_embeddings.npy", np.zeros((6, 4)), "every vector of food is zero"),
        ("reasoning_user_embeddings.npy", np.ones((6, 4)), r"has 6 rows, but userlist\.txt only 4 users"),
        ("reasoning_user_embeddings.npy", np.zeros((4, 4)), "no user of the sequences has a vector"),
    ],
)
def test_matrices_that_do_not_fit_are_errors(place, name, matrix, match):
    write_matrices(place)
    np.save(place / name, matrix)
    with pytest.raises(UserError, match=match):
        prepare(place)
    assert not [path for path in Path("dataset").rglob("*") if path.is_file()]


def test_a_matrix_of_pickled_objects_is_not_loaded(place):
    np.save(place / "item_embeddings.npy", np.array([{}], dtype=object), allow_pickle=True)
    refused(place, r"item_embeddings\.npy cannot be read as an array of numbers")


def test_several_versions_must_be_told_apart(place):
    for split in ("train", "valid", "test"):
        (place / f"{split}data.txt").write_text(FILES[f"{split}data_new.txt"])
    refused(place, r"several versions, traindata\.txt, traindata_new\.txt, .*--variant")
    prepare(place, variant="_new")
    with pytest.raises(UserError, match=r"has no traindata_old\.txt: choose another --variant, such as '', '_new'"):
        prepare(place, variant="_old")


def test_options_that_do_not_fit_are_errors(place):
    refused(place, r"--source_items 2 but .*Alist\.txt has 3 lines", source_items=2)
    (place / "Alist.txt").unlink()
    refused(place, "texts are found by the names", source_items=3, meta=(["meta.csv"], []))
    pd.DataFrame({"item_id": ["zz"], "title": ["Zest"]}).to_csv("meta.csv", index=False)
    refused(place, r"meta\.csv: no row is of a listed item", source_items=3, meta=([], ["meta.csv"]))


def test_the_command_line_prepares_and_tells(place, capsys):
    assert main(["prepare", "c2dsr", str(place), "--name", "pair", "--source", "food", "--target", "kitchen"]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1].startswith("warning: 1 of 2 (50.0%) validation targets repeat an item of their own")
    assert "statistics: dataset/pair/statistics.md" in printed
    assert Path("dataset/pair/kitchen/kitchen.test.inter").exists()
    taken = ["prepare", "c2dsr", str(place), "--name=movielens", "--source=food", "--target=kitchen"]
    assert main(taken) == 1
    assert "the plugin has a property file for data named 'movielens'" in " ".join(capsys.readouterr().err.split())


def test_published_sizes_are_ranked_among_999_candidates():
    inter = {"test": {"food": pd.DataFrame({convert.WINDOW: ["a b", ""]})}}
    assert convert._settings(inter, (1000, 1000), True)["eval_args"]["mode"] == "uni999"
    assert convert._settings(inter, (1000, 999), True)["eval_args"]["mode"] == "full"


@pytest.mark.parametrize("domains", [("food", "kitchen"), ("movie", "book")], ids="-".join)
def test_the_plugin_has_property_files_for_the_published_data(place, domains):
    name = "-".join(domains)
    summary = convert.prepare(place, f"dataset/c2dsr-{name}", f"c2dsr-{name}", *domains)
    path = Path(summary["properties"])
    assert path.name == f"c2dsr-{name}.yaml" and path.parent.parent.name == "properties"
    assert not Path(f"dataset/c2dsr-{name}/{path.name}").exists()
    values = {**QUICK, "dataset": f"c2dsr-{name}"}
    config = load({**values, "eval_args": {"mode": "full"}}).config
    assert [config[f"{role}_domain"]["dataset"] for role in DOMAINS] == list(domains)
    assert (config["MAX_ITEM_LIST_LENGTH"], config["repeatable"]) == (15, True)
    assert read_property_file(path)["eval_args"]["mode"] == "uni999"
