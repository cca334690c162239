from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from recbole_lecdsr.data.constants import DOMAINS, PHASES
from recbole_lecdsr.prepare.c2dsr import convert
from recbole_lecdsr.property_files import read_property_file
from tests.helpers.c2dsr_files import prepare
from tests.helpers.runs import load, train

QUICK = {
    "dataset": "pair", "data_path": "dataset", "output_dir": "runs", "use_gpu": False, "show_progress": False,
    "embedding_size": 4, "adapter_hidden_size": 4, "train_epochs": ["BOTH:1"],
}  # fmt: skip


def made_lines(rng: np.random.Generator, users: int = 30) -> dict[str, str]:
    """Lines of up to 16 interactions with 20 food and 20 kitchen items; each user has two in training, one held out."""
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
    np.testing.assert_array_equal(dataset.user_vectors().vectors[[ids[str(n)] for n in range(30)]], users)


def test_a_prepared_pair_trains_with_the_settings_of_the_paper(generated):
    outcome = train(QUICK, "LeCDSR-paper")
    result = json.loads(Path(outcome["run_directory"], "result.json").read_text())
    assert result["test_samples"] == {"source": 8, "target": 7}
    assert result["candidates"]["mode"] == "full" and not result["candidates"]["history_masked"]


@pytest.mark.parametrize("domains", [("food", "kitchen"), ("movie", "book")], ids="-".join)
def test_the_plugin_has_property_files_for_the_published_data(raw_folder, domains):
    name = "-".join(domains)
    source, target = domains
    summary = convert.prepare(raw_folder, f"dataset/c2dsr-{name}", f"c2dsr-{name}", source=source, target=target)
    path = summary.properties
    assert path.name == f"c2dsr-{name}.yaml" and path.parent.parent.name == "properties"
    assert not Path(f"dataset/c2dsr-{name}/{path.name}").exists()
    values = {**QUICK, "dataset": f"c2dsr-{name}"}
    config = load({**values, "eval_args": {"mode": "full"}}).config
    assert [config[f"{role}_domain"]["dataset"] for role in DOMAINS] == list(domains)
    assert (config["MAX_ITEM_LIST_LENGTH"], config["repeatable"]) == (15, True)
    assert read_property_file(path)["eval_args"]["mode"] == "uni999"
