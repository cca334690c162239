from __future__ import annotations

import os
import pickle
import re
import shutil
from dataclasses import fields
from pathlib import Path

import pytest
import torch

from recbole_lecdsr import __version__
from recbole_lecdsr.errors import UserError
from recbole_lecdsr.quick_start import load_data_and_model
from recbole_lecdsr.recommend.recommender import load_run
from recbole_lecdsr.runs.checkpoint import Checkpoint
from recbole_lecdsr.runs.training import BestEpoch, EpochRecord
from tests.helpers.runs import assert_same_weights, full_disk, train

VALID = {"source": {"mrr": 0.25}, "target": {"mrr": 0.5}}


def checkpoint(**changes) -> Checkpoint:
    """Of a run with ``per_domain_best`` after its second epoch, which was best in the target domain."""
    mean, target = ({"weight": torch.arange(4.0) + epoch} for epoch in (0, 1))
    values = {
        "parameters": {"seed": 1, "train_epochs": ["BOTH:9"]},
        "data_digest": "abc",
        "vocabulary_digests": {"users": "u", "items": "i"},
        "best": {"mean": BestEpoch(0, 0.375, VALID, mean), "target": BestEpoch(1, 0.75, VALID, target)},
        "last_state_dict": target,
        "optimizer": {"state": {}, "param_groups": [{"lr": 0.1, "params": [0]}]},
        "phase": 0,
        "epoch": 1,
        "cur_step": 1,
        "best_valid_score": 0.375,
        "best_valid_result": {"source_mrr": 0.25, "target_mrr": 0.5},
        "training_ended": False,
        "refitted": False,
        "history": (EpochRecord(0, 0, (2.5, 1.0), 3.0), EpochRecord(0, 1, (2.0, 0.5), 3.0, VALID, 0.375)),
        "seconds": {"load": 1.0, "train": 6.0, "valid": 2.0, "test": 0.0},
        "samples_seen": 100,
    }
    return Checkpoint(**{**values, **changes})


def saved(path: Path, **changes) -> Path:
    checkpoint(**changes).save(path)
    return path


# ------------------------------------------------------------------ written and read


def test_a_checkpoint_is_read_as_it_was_written(tmp_path):
    written = checkpoint()
    written.save(tmp_path / "model.pth")
    read = Checkpoint.load(tmp_path / "model.pth")
    for name in {field.name for field in fields(Checkpoint)} - {"best", "last_state_dict"}:
        assert getattr(read, name) == getattr(written, name), name
    assert_same_weights(read.last_state_dict, written.last_state_dict)
    expected_epochs = {"mean": (0, 0.375, VALID), "target": (1, 0.75, VALID)}
    assert list(read.best) == list(expected_epochs)
    for name, epoch in read.best.items():
        assert (epoch.epoch, epoch.score, epoch.valid) == expected_epochs[name]
        assert_same_weights(epoch.state_dict, written.best[name].state_dict)
    assert_same_weights(read.state_dict, written.best["mean"].state_dict)


def test_the_selected_weights_are_where_other_tools_look_for_them(tmp_path):
    state = torch.load(saved(tmp_path / "model.pth"), weights_only=True)
    assert torch.equal(state["state_dict"]["weight"], torch.arange(4.0))
    assert (state["format"], state["version"]) == (3, __version__)


def plain(value) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, (str, int)) and plain(item) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(plain, value))
    return value is None or isinstance(value, (bool, int, float, str, torch.Tensor))


def test_the_checkpoint_of_a_run_holds_tensors_and_plain_data_only(finished):
    state = torch.load(finished["folder"] / "model.pth", weights_only=True)
    assert plain(state)
    assert state["parameters"]["dataset"] == "pair"


@pytest.mark.parametrize(
    "changes",
    [{}, {"train_epochs": ["BOTH:9"], "stopping_step": 0, "learning_rate": 0.1},
     {"train_epochs": ["BOTH:3"], "eval_step": 2}, {"eval_args": {"split": {"LS": "test_only"}}}],
    ids=["last epoch", "stopped early", "last validation", "no validation"],
)  # fmt: skip
def test_the_checkpoint_of_a_finished_run_says_that_its_training_has_ended(pair, changes):
    folder = Path(train(pair, **changes)["run_directory"])
    assert Checkpoint.load(folder / "model.pth").training_ended


# ------------------------------------------------------------------ whole or not at all


class Unwritable(str):
    """A text that breaks off the writing of whatever it is part of."""

    error: BaseException

    def __reduce__(self):
        raise self.error


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt()], ids=repr)
def test_a_checkpoint_that_breaks_off_leaves_the_last_good_one_and_nothing_else(tmp_path, error):
    path = saved(tmp_path / "model.pth")
    before = path.read_bytes()
    unwritable = Unwritable()
    unwritable.error = error
    with pytest.raises(type(error)):
        saved(path, optimizer={"state": torch.ones(1000), "last": unwritable})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_last_good_checkpoint_and_tells_the_remedy(tmp_path):
    path = saved(tmp_path / "model.pth")
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"model\.pth cannot be written .*make room .*--resume=True"), full_disk():
        saved(path, optimizer={"state": torch.ones(100_000)})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


# ------------------------------------------------------------------ what cannot be read


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_checkpoint_is_an_error_with_the_file_and_a_remedy(tmp_path, share):
    path = saved(tmp_path / "model.pth")
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(UserError, match=rf"{re.escape(str(path))} \(\d+ bytes\).*truncated.*delete it and train again"):
        Checkpoint.load(path)


@pytest.mark.parametrize("content", [b"no checkpoint\n", pickle.dumps({"a": 1}, protocol=2), b"PK\x03\x04" + bytes(60)])
def test_a_file_that_is_no_checkpoint_is_an_error_with_a_remedy(tmp_path, content):
    path = tmp_path / "model.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"{re.escape(str(path))}.*(delete it|give another file)"):
        Checkpoint.load(path)


@pytest.mark.parametrize("content", [{"weight": torch.ones(2)}, [1, 2], torch.ones(2), {"state_dict": {}}], ids=str)
def test_a_checkpoint_of_something_else_is_an_error_with_a_remedy(tmp_path, content):
    torch.save(content, tmp_path / "model.pth")
    with pytest.raises(UserError, match=r"model\.pth holds no LeCDSR run.*give another file"):
        Checkpoint.load(tmp_path / "model.pth")


def test_a_checkpoint_that_is_not_there_is_an_error_with_a_remedy(tmp_path):
    with pytest.raises(UserError, match=r"absent\.pth does not exist: train first"):
        Checkpoint.load(tmp_path / "absent.pth")


def test_a_checkpoint_without_a_part_is_an_error_that_names_it(tmp_path):
    path = saved(tmp_path / "model.pth")
    state = torch.load(path, weights_only=True)
    del state["optimizer"], state["epoch"]
    torch.save(state, path)
    with pytest.raises(UserError, match=r"model\.pth lacks epoch, optimizer: delete it"):
        Checkpoint.load(path)


def test_code_in_a_checkpoint_is_never_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "done"),)

    path = saved(tmp_path / "model.pth")
    torch.save({**torch.load(path, weights_only=True), "evil": Evil()}, path)
    with pytest.raises(UserError, match=r"model\.pth"):
        Checkpoint.load(path)
    assert not (tmp_path / "done").exists()


# ------------------------------------------------------------------ other formats


def in_the_format_of_0_1_0(path: Path) -> None:
    """Rewrite a checkpoint with the keys that version 0.1.0 wrote."""
    state = torch.load(path, weights_only=True)
    state["data"] = state["data_digest"]
    names = ["parameters", "data", "state_dict", "best", "refitted", "last_state_dict", "optimizer", "phase", "epoch",
             "cur_step", "best_valid_score", "best_valid_result", "history", "seconds", "samples_seen"]  # fmt: skip
    torch.save({name: state[name] for name in names}, path)


@pytest.fixture
def old_run(finished, tmp_path) -> Path:
    """The directory of a run of version 0.1.0."""
    folder = tmp_path / "runs" / "pair" / finished["folder"].name
    shutil.copytree(finished["folder"], folder)
    in_the_format_of_0_1_0(folder / "model.pth")
    return folder


@pytest.mark.parametrize("use", ["resume", "load_data_and_model", "recommend"])
def test_a_checkpoint_of_0_1_0_is_refused_in_one_line_with_the_remedy(finished, old_run, use):
    uses = {
        "resume": lambda: train(
            {**finished["settings"], "train_epochs": ["BOTH:4"]}, output_dir=str(old_run.parents[1]), resume=True
        ),
        "load_data_and_model": lambda: load_data_and_model(old_run / "model.pth"),
        "recommend": lambda: load_run(old_run),
    }
    before = (old_run / "model.pth").read_bytes()
    with pytest.raises(UserError) as caught:
        uses[use]()
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert "model.pth was written by recbole_lecdsr 0.1.0" in message
    assert message.endswith("train again, or use recbole_lecdsr 0.1.0")
    assert (old_run / "model.pth").read_bytes() == before


def test_a_checkpoint_of_0_1_0_does_not_hinder_a_new_training(finished, old_run):
    outcome = train(finished["settings"], output_dir=str(old_run.parents[1]), overwrite=True)
    assert Path(outcome["run_directory"]).samefile(old_run)
    assert outcome["test_result"] == finished["test_result"]
    assert Checkpoint.load(old_run / "model.pth").epoch == 2


def test_a_checkpoint_of_a_later_version_is_refused_with_that_version(tmp_path):
    path = saved(tmp_path / "model.pth")
    torch.save({**torch.load(path, weights_only=True), "format": 4, "version": "0.9.0"}, path)
    with pytest.raises(UserError, match=r"written by recbole_lecdsr 0\.9\.0 .*use recbole_lecdsr 0\.9\.0$"):
        Checkpoint.load(path)
