"""A run directory is taken only to repeat or resume the same run, and nothing finished is replaced unasked."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from recbole_cdr.quick_start import run_recbole_cdr

from recbole_lecdsr.cli import main
from recbole_lecdsr.config import LeCDSRConfig
from recbole_lecdsr.data.constants import DOMAINS
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.quick_start import load_data_and_model, objective_function
from recbole_lecdsr.runs import identity
from recbole_lecdsr.runs.checkpoint import Checkpoint
from recbole_lecdsr.runs.result import RunResult
from recbole_lecdsr.runs.run_folders import take_run_directory
from recbole_lecdsr.trainer.trainer import CrossDomainSequentialTrainer
from tests.helpers.pairs import random_events, write_pair, write_profiles, write_vectors
from tests.helpers.runs import assert_same_run, lasting, read_run, train


@pytest.fixture
def pair(tmp_path) -> dict[str, object]:
    return {**write_pair(tmp_path / "dataset", random_events(10)), "train_epochs": ["BOTH:1"]}


@pytest.fixture
def shop(tmp_path) -> Path:
    """A pair whose property file gives all parameters of a quick run, so that they are its defaults; its runs."""
    settings = write_pair(tmp_path / "dataset", random_events(10), name="shop")
    defaults = {key: value for key, value in settings.items() if key not in ("dataset", "data_path", "output_dir")}
    (tmp_path / "dataset" / "shop" / "shop.yaml").write_text(yaml.safe_dump({**defaults, "train_epochs": ["BOTH:2"]}))
    return tmp_path / "runs" / "shop"


@pytest.fixture
def no_training(monkeypatch):
    """A context in which an epoch that is trained is an error."""

    @contextmanager
    def forbidden():
        with monkeypatch.context() as patch:
            patch.setattr(CrossDomainSequentialTrainer, "_train_epoch", lambda *args, **kw: pytest.fail("trained"))
            yield

    return forbidden


def events(folder: Path) -> list[Path]:
    return sorted(folder.rglob("events.out.tfevents.*"))


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def shop_config(**changes) -> LeCDSRConfig:
    return LeCDSRConfig("LeCDSR", config_dict={"dataset": "shop", **changes}, command_line=[])


# ------------------------------------------------------------------ which folder


def test_case_r03_runs_with_different_parameters_have_folders_of_their_own(shop, capsys):
    arguments = (["--eval_args.mode=uni3"], ["--epochs=1"], ["--no_user_profile=True"], [])
    printed = []
    for given in arguments:
        assert main(["--dataset", "shop", *given]) == 0
        printed.append(capsys.readouterr().out)
    folders = sorted(shop.iterdir())
    assert len(folders) == 4
    assert "LeCDSR-2022" in {folder.name for folder in folders}, "the run with the default parameters"
    for folder in folders:
        parameters = json.loads((folder / "result.json").read_text())["parameters"]
        assert parameters == yaml.safe_load((folder / "config.yaml").read_text())
        assert len([path for path in events(folder) if path.parent == folder]) == 1
        assert sum(f"{folder}/" in text.replace("runs/", f"{shop.parent}/") for text in printed) == 1, "it says where"


def test_only_parameters_that_alter_the_result_are_in_the_name(shop):
    assert shop_config().run_directory == Path("runs/shop/LeCDSR-2022")
    same = {"eval_batch_size": 7, "output_dir": "runs", "state": "WARNING", "train_epochs": ["BOTH:2"], "epochs": 2}
    assert shop_config(**same).run_directory == Path("runs/shop/LeCDSR-2022")
    changed = [shop_config(seed=seed, dropout_prob=0.4).run_directory.name for seed in (1, 2)]
    assert [name.rpartition("-")[0] for name in changed] == ["LeCDSR-1", "LeCDSR-2"]
    assert len({name.rpartition("-")[2] for name in changed}) == 1, "seeds of one row share the digest"
    assert shop_config(run_name="mine", dropout_prob=0.4).run_directory == Path("runs/shop/mine")


def test_a_default_run_does_not_take_the_folder_of_former_defaults(shop):
    former = train({"dataset": "shop"})
    before = files(Path(former["run_directory"]))
    file = Path("dataset/shop/shop.yaml")
    file.write_text(file.read_text().replace("BOTH:2", "BOTH:1"))
    new = train({"dataset": "shop"})
    assert Path(former["run_directory"]).name == "LeCDSR-2022"
    assert Path(new["run_directory"]).name.startswith("LeCDSR-2022-")
    assert files(Path(former["run_directory"])) == before
    assert train({"dataset": "shop"})["run_directory"] == new["run_directory"]


def test_a_run_name_of_a_run_with_different_parameters_is_refused(pair):
    train(pair, run_name="mine")
    with pytest.raises(UserError, match=r"mine holds a run with different parameters \(dropout_prob .*--overwrite"):
        train(pair, run_name="mine", dropout_prob=0.4)
    outcome = train(pair, run_name="mine", dropout_prob=0.4, overwrite=True)
    assert Path(outcome["run_directory"]).name == "mine"
    assert outcome["result"]["parameters"]["dropout_prob"] == 0.4


# ------------------------------------------------------------------ a finished run again


def test_a_finished_run_is_not_trained_again_and_gives_its_result(pair, no_training, caplog):
    first = train(pair)
    folder = Path(first["run_directory"])
    before = files(folder)
    with no_training(), caplog.at_level("INFO"):
        again = train(pair)
        objective = objective_function({**pair, "model": "LeCDSR"})
    assert again == first and dict(again) == objective == dict(first)
    assert files(folder) == before
    assert "--overwrite=True trains it again" in caplog.text


def test_overwriting_trains_again_and_leaves_nothing_of_the_former_run(pair):
    first = train(pair)
    folder = Path(first["run_directory"])
    former = events(folder)
    second = train(pair, overwrite=True)
    assert second["run_directory"] == first["run_directory"]
    assert lasting(second["result"]) == lasting(first["result"])
    assert not set(former) & set(events(folder))
    assert "overwrite" not in yaml.safe_load((folder / "config.yaml").read_text()), "repeating it must not replace it"


def test_the_quick_start_of_recbole_cdr_replaces_nothing_finished(pair, no_training):
    first = run_recbole_cdr("LeCDSR", config_dict=pair)
    (result,) = Path(pair["output_dir"]).rglob("result.json")
    before = files(result.parent)
    with no_training():
        assert run_recbole_cdr("LeCDSR", config_dict=pair) == first
    assert files(result.parent) == before
    run_recbole_cdr("LeCDSR", config_dict={**pair, "dropout_prob": 0.4})
    assert files(result.parent) == before


def test_a_run_that_was_not_saved_is_another_run_than_a_saved_one(pair):
    train(pair, saved=False)
    with pytest.raises(UserError, match="other tested epoch"):
        train(pair)


def test_a_finished_run_without_test_samples_is_not_trained_again(pair, no_training):
    settings = {**pair, "eval_args": {"split": {"LS": "valid_only"}}}
    first = train(settings)
    assert first["result"] is None
    with no_training():
        assert dict(train(settings)) == dict(first)


# ------------------------------------------------------------------ other data


def other_interactions(root: Path) -> None:
    file = root / "source" / "source.inter"
    file.write_text("\n".join(file.read_text().splitlines()[:-1]) + "\n")


def other_item_vectors(root: Path) -> None:
    tokens = [line.split("\t")[0] for line in (root / "target" / "target.itememb").read_text().splitlines()[1:]]
    write_vectors(
        root / "target" / "target.itememb", "item", {token: [1.0, n, 0, 0, 2] for n, token in enumerate(tokens)}
    )


def other_profiles(root: Path) -> None:
    tokens = [line.split("\t")[0] for line in (root / "pair.useremb").read_text().splitlines()[1:]]
    write_vectors(root / "pair.useremb", "user", {token: [1.0, n, 0, 0, 2] for n, token in enumerate(tokens)})


def test_the_numbers_of_events_of_profiles_are_part_of_the_identity(pair):
    path = Path(str(pair["data_path"])) / "pair" / "pair.useremb"
    users = [line.split("\t")[0] for line in path.read_text().splitlines()[1:]]
    write_profiles(path, {(user, k): [1.0, k] for user in users for k in (2, 5)})
    first = train(pair)
    assert first["result"]["coverage"]["users"]["with_embedding"] == len(users)
    write_profiles(path, {(user, k): [1.0, min(k, 5)] for user in users for k in (2, 6)})
    with pytest.raises(UserError, match="other user vectors"):
        train(pair)


@pytest.mark.parametrize(
    ("change", "named"),
    [(other_interactions, "interactions"), (other_item_vectors, "item vectors of target"),
     (other_profiles, "user vectors"), (None, "result_format")],
    ids=["interactions", "items", "profiles", "format"],
)  # fmt: skip
def test_a_run_on_other_data_is_refused_naming_what_differs(pair, monkeypatch, change, named):
    folder = Path(train(pair)["run_directory"])
    before = files(folder)
    if change:
        change(Path(str(pair["data_path"])) / "pair")
    else:
        monkeypatch.setattr(identity, "RESULT_FORMAT", identity.RESULT_FORMAT + 1)
    for more in ({}, {"train_epochs": ["BOTH:2"], "resume": True}):
        with pytest.raises(UserError, match=named):
            train(pair, **more)
        assert files(folder) == before
    assert train(pair, overwrite=True)["result"]["identity"] != json.loads(before[folder / "result.json"])["identity"]


def test_changed_item_vectors_are_refused_and_changed_user_vectors_warned_of_with_trained_weights(pair, caplog):
    folder = train(pair)["run_directory"]
    root = Path(str(pair["data_path"])) / "pair"
    other_profiles(root)
    load_data_and_model(folder)
    assert "the user vectors in" in caplog.text
    other_item_vectors(root)
    with pytest.raises(UserError, match="trained with other item vectors of target"):
        load_data_and_model(folder)


def test_the_identity_is_recorded_and_does_not_depend_on_where_and_on_what_a_run_is_trained(pair, tmp_path):
    one = train(pair)
    other = train(pair, output_dir=str(tmp_path / "elsewhere"), eval_batch_size=3)
    assert one["result"]["identity"] == other["result"]["identity"]
    assert Checkpoint.load(Path(one["run_directory"]) / "model.pth").identity == one["result"]["identity"]
    assert set(one["result"]["identity"]) == {
        "digest", "result_format", "parameters", "seed", "tested", "interactions", "users", "items", "candidates",
        "source_item_vectors", "target_item_vectors", "user_vectors",
    }  # fmt: skip
    without = train(pair, no_user_profile=True)["result"]["identity"]
    assert "user_vectors" not in without and without["interactions"] == one["result"]["identity"]["interactions"]


def test_another_content_of_a_file_of_augmented_texts_makes_another_run(pair):
    settings = {name: value for name, value in pair.items() if name not in ("adapter_hidden_size", "embedding_size")}
    settings |= {"word_drop_file": "drops.itememb", "train_epochs": ["PRETRAIN:1"]}
    root = Path(str(pair["data_path"])) / "pair"
    for domain in DOMAINS:
        write_vectors(root / domain / "drops.itememb", "item", {f"{domain[0]}1": [1.0] * 5, f"{domain[0]}2": [2.0] * 5})
    first = train(settings, "UniSRec")
    parts = first["result"]["identity"]
    assert {"source_augmented_vectors", "target_augmented_vectors"} <= parts.keys()
    assert train(settings, "UniSRec")["result"]["identity"] == parts, "read from their caches now"
    write_vectors(root / "source" / "drops.itememb", "item", {"s1": [1.0] * 5, "s2": [2.5] * 5})
    for more in ({}, {"train_epochs": ["PRETRAIN:2"], "resume": True}):
        with pytest.raises(UserError, match="with other augmented item vectors of source: restore them"):
            train(settings, "UniSRec", **more)
    load_data_and_model(first["run_directory"])  # scoring does not read them
    second = train(settings, "UniSRec", overwrite=True)["result"]["identity"]
    assert {name for name in parts if parts[name] != second[name]} == {"digest", "source_augmented_vectors"}
    assert "source_augmented_vectors" not in train(settings, "UniSRec", word_drop_file=None)["result"]["identity"]


def test_a_result_of_before_identities_is_accepted_with_a_warning(pair, caplog):
    outcome = train(pair)
    path = Path(outcome["run_directory"]) / "result.json"
    replace(RunResult.read(path), identity=None).write(path)
    assert train(pair)["test_result"] == outcome["test_result"]
    assert "does not say on which data it was trained" in caplog.text


# ------------------------------------------------------------------ resuming


def test_a_longer_run_takes_the_folder_of_the_shorter_one_and_its_record(pair, tmp_path):
    short = Path(train(pair)["run_directory"])
    former = events(short)
    longer = train(pair, train_epochs=["BOTH:3"], resume=True)
    assert Path(longer["run_directory"]) == short
    assert set(former) < set(events(short)), "events of a resumed run stay"
    for name, read in (("config.yaml", yaml.safe_load), ("result.json", json.loads)):
        values = read((short / name).read_text())
        assert values.get("parameters", values)["train_epochs"] == ["BOTH:3"]
    assert train(pair, train_epochs=["BOTH:3"]) == longer, "found by its parameters, whatever the name"
    again = train(pair)
    assert Path(again["run_directory"]) != short
    assert again["result"]["epochs"] == 1
    whole = train(pair, train_epochs=["BOTH:3"], output_dir=str(tmp_path / "whole"))
    assert_same_run(whole["run_directory"], short)


def test_of_several_shorter_runs_the_longest_is_resumed(pair):
    train(pair)
    two = train(pair, train_epochs=["BOTH:2"])
    config = LeCDSRConfig("LeCDSR", config_dict={**pair, "train_epochs": ["BOTH:3"], "resume": True}, command_line=[])
    assert take_run_directory(config) == Path(two["run_directory"]) == take_run_directory(config)


def test_a_run_that_is_interrupted_while_it_is_lengthened_is_unfinished(pair, monkeypatch):
    short = Path(train(pair)["run_directory"])
    with monkeypatch.context() as patch:
        patch.setattr(CrossDomainSequentialTrainer, "test", lambda *args, **kwargs: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(pair, train_epochs=["BOTH:3"], resume=True)
    longer = train(pair, train_epochs=["BOTH:3"], resume=True)
    assert Path(longer["run_directory"]) == short
    assert longer["result"]["epochs"] == 3


def test_another_environment_is_shown_when_a_run_is_resumed(pair, monkeypatch, caplog):
    train(pair)
    monkeypatch.setattr(
        "recbole_lecdsr.trainer.trainer.environment", lambda device: {"torch": "9.9", "device": "abacus"}
    )
    train(pair, train_epochs=["BOTH:2"], resume=True)
    for name, value in (("torch", "9.9"), ("device", "abacus")):
        assert [line for line in caplog.messages if f": {name} was " in line and line.endswith(f"is {value}")]


def test_a_run_that_starts_again_leaves_no_events_of_the_broken_one(pair, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(CrossDomainSequentialTrainer, "test", lambda *args, **kwargs: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(pair)
    former = events(Path(str(pair["output_dir"])))
    assert former
    outcome = train(pair)
    assert not set(former) & set(events(Path(outcome["run_directory"])))
    assert read_run(outcome["run_directory"])["result"] == lasting(outcome["result"])
